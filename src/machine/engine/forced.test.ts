import { describe, expect, it } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { nullPlatform, TestCpu } from '../testing.ts';

const CODE = 0x2000_0000;
const PREFIX = [0x0f, 0x0b, 0x78, 0x65, 0x6e];
const UD = 6;
const GP = 13;

/** Runs bytes at the start of a page of HLT, which is #GP in ring 3. */
function run(bytes: readonly number[], forcedEmulation: boolean, flags = 0, at = 0) {
  const t = new TestCpu(nullPlatform, { forcedEmulation });
  const page = t.map(CODE);
  t.m.fill(page, 4096, 0xf4);
  t.m.write(page + at, Uint8Array.from(bytes));
  t.user(CODE + at, flags);
  const { vector, rip } = t.run();
  return { vector, offset: Number(rip) - CODE - at, rax: t.m.u64(cpuState.gpr.addr(t.cpu, 0)) };
}

const MOV_AL_7 = [0xb0, 7];

describe('the forced emulation prefix', () => {
  it('is passed over once it was asked for', () => {
    expect(run([...PREFIX, ...MOV_AL_7], true)).toEqual({ vector: GP, offset: 7, rax: 7n });
  });

  it('is an UD2 otherwise, and without all of its letters', () => {
    expect(run([...PREFIX, ...MOV_AL_7], false)).toMatchObject({ vector: UD, offset: 0 });
    expect(run([0x0f, 0x0b, 0x78, 0x65, 0x6f, ...MOV_AL_7], true)).toMatchObject({ vector: UD, offset: 0 });
    expect(run(PREFIX.slice(0, 4), true, 0, 4092)).toMatchObject({ vector: UD, offset: 0 });
  });

  it('leaves faults to be reported behind it', () => {
    expect(run([...PREFIX, 0xf4], true)).toMatchObject({ vector: GP, offset: 5 });
    expect(run([...PREFIX, 0x0f, 0x0b], true)).toMatchObject({ vector: UD, offset: 5 });
  });

  it('counts once: a second one is an UD2', () => {
    expect(run([...PREFIX, ...PREFIX, ...MOV_AL_7], true)).toMatchObject({ vector: UD, offset: 5 });
  });

  it('is single-stepped together with its instruction', () => {
    expect(run([...PREFIX, ...MOV_AL_7, 0x90], true, 0x100)).toEqual({ vector: 1, offset: 7, rax: 7n });
  });
});
