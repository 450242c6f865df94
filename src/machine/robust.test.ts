/** Nothing that a guest executes throws in the host, or reaches memory that is not the guest's. */
import { describe, expect, it } from 'vitest';
import { random } from '../x86/decoder-strings.fuzz.ts';
import { cpuState, SEG } from './cpu-state.ts';
import { EXIT } from './platform.ts';
import { runRobust } from './robust.fuzz.ts';
import { KINDS, RobustWorld } from './robust-world.fuzz.ts';

const CASES = 120;

describe('random code in random states', () => {
  it.each(KINDS)('ends in the exits of the engine, in %s', (kind) => {
    const found = runRobust(kind, 0, CASES);
    expect(found.failures).toEqual([]);
    expect(found.instructions).toBeGreaterThan(CASES * 100);
  });
});

it('a fault whose handler cannot be fetched, which faults again for ever, uses up the budget', () => {
  const w = new RobustWorld();
  w.arrange('real mode', random(1));
  const { core } = w.engine;
  core.setLin(cpuState.idtBase, 0);
  core.set32(cpuState.idtLimit, 0xffff);
  core.setSeg(SEG.cs, 0xf000, 0x9b, 0xffff, 0xf_0000);
  core.setSeg(SEG.ss, 0x1000, 0x93, 0xffff, 0x1_0000);
  core.setLin(cpuState.rip, 0);
  core.flags = 2;
  w.m.setU64(cpuState.dr.addr(w.cpu, 7), 0x400n);
  w.m.setU32(w.cpu + cpuState.irqWindow.offset, 0);
  // #GP leads to where there is no RAM either
  w.m.setU32(w.engine.linearToMaddr(w.cpu, 13n * 4n, true), 0xf000_0000);
  w.engine.stateChanged(w.cpu);
  expect(w.engine.run(w.cpu, 1000)).toBe(EXIT.budget);
});
