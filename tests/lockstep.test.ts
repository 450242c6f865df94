/** The lockstep runner finds where two engines part, and nothing where they do not. */
import { describe, expect, it } from 'vitest';
import { buildGuest, GUEST_NAMES, type GuestName } from '../guests/build.ts';
import { cpuState, GPR } from '../src/machine/cpu-state.ts';
import { type Engine, EXIT } from '../src/machine/platform.ts';
import { loadKernel } from '../src/toolstack/loader/kernel.ts';
import { compareEngines } from '../tools/lockstep/between-engines.ts';
import { ENGINES } from '../tools/lockstep/engines.ts';
import { loadPvh } from '../tools/lockstep/load.ts';
import { type Difference, report } from '../tools/lockstep/report.ts';
import type { EngineFactory, Rig } from '../tools/lockstep/rig.ts';

const MIB = 1 << 20;
const LIMITS = { count: 100_000, every: 256, before: 5 };
const interpreter = ENGINES.interpreter!;

function compare(other: EngineFactory, guest: GuestName = 'hello') {
  const kernel = loadKernel(buildGuest(guest), guest, 'pvh');
  const load = (rig: Rig): void => loadPvh(rig, { kernel, ramdisk: undefined, cmdline: '' });
  const factories = [interpreter, other] as const;
  return compareEngines({ names: ['right', 'wrong'], factories, memory: 16 * MIB, load }, LIMITS);
}

/** The interpreter, but `break_` is done once `after` instructions have run. */
const broken =
  (after: number, break_: (rig: { engine: Engine; cpu: number; mem: Memory }) => void): EngineFactory =>
  (machine, platform, options) => {
    const engine = interpreter(machine, platform, options);
    const { run, step } = engine;
    const count = (cpu: number): number => cpuState.icount.get(machine.mem, cpu);
    engine.step = (cpu) => {
      const before = count(cpu);
      const exit = step.call(engine, cpu);
      if (before < after && count(cpu) === after) break_({ engine, cpu, mem: machine.mem });
      return exit;
    };
    engine.run = (cpu, blocks) => {
      for (let i = 0; i < blocks && count(cpu) < after; i++) {
        const exit = engine.step(cpu);
        if (exit !== EXIT.budget) return exit;
      }
      return count(cpu) < after ? EXIT.budget : run.call(engine, cpu, blocks);
    };
    return engine;
  };
type Memory = Parameters<EngineFactory>[0]['mem'];

const difference = (other: EngineFactory): Difference => {
  const found = compare(other);
  if (!('history' in found)) throw new Error(`${found.count} instructions agree`);
  return found;
};
const suspects = ({ history, suspects: n }: Difference): number[] => history.slice(-n).map((f) => f.number);

describe('two engines in step', () => {
  it('agree to the end of a guest when they are the same', () => {
    expect(compare(interpreter)).toMatchObject({ ended: 'halted' });
  });

  it.each(['hello', 'hello32', 'fault-probe', 'debug-step', 'triple-fault'] as const)(
    'agree when one of them runs its instructions one by one: %s',
    (guest) => {
      const ended = guest === 'triple-fault' ? 'triple fault' : 'halted';
      expect(compare(ENGINES.stepper!, guest)).toMatchObject({ ended });
    },
  );

  it.each(GUEST_NAMES)('agree when one of them compiles: %s', (guest) => {
    const found = compare(ENGINES['compile-all']!, guest);
    expect('history' in found ? report(found) : 'they agree').toBe('they agree');
  });

  it('part at the instruction after which a register differs', () => {
    const found = difference(
      broken(9999, ({ cpu, mem }) => mem.setU8(cpu + 8 * GPR.rbp, mem.u8(cpu + 8 * GPR.rbp) ^ 4)),
    );
    expect(suspects(found)).toEqual([9998]);
    const text = report(found);
    expect(text).toMatch(/^first difference: instruction 9998\n/);
    expect(text).toMatch(/^\* rbp +right [0-9a-f]+ {3}wrong [0-9a-f]+$/m);
    expect(text).not.toContain('* memory');
    expect(found.history).toHaveLength(LIMITS.before + 1);
  });

  it('part at the instruction after which memory differs, though it is noticed later', () => {
    const unused = 6 * MIB;
    const wrongStore = broken(5000, ({ engine, cpu, mem }) => {
      mem.setU8(engine.linearToMaddr(cpu, BigInt(unused + 3), true), 0x55);
    });
    const found = difference(wrongStore);
    expect(suspects(found)).toEqual([4999]);
    expect(report(found)).toContain(`* memory at guest-physical ${unused.toString(16)}`);
  });

  it('shows the block when its instructions agree one by one', () => {
    const wrongTogether: EngineFactory = (machine, platform, options) => {
      const engine = interpreter(machine, platform, options);
      const { run } = engine;
      engine.run = (cpu, blocks) => {
        const exit = run.call(engine, cpu, blocks);
        if (cpuState.icount.get(machine.mem, cpu) > 7000) machine.mem.setU8(cpu + 8 * GPR.rbp + 7, 1);
        return exit;
      };
      return engine;
    };
    const found = difference(wrongTogether);
    expect(found.suspects).toBeGreaterThan(0);
    expect(report(found)).toContain('they differ when they are run together');
    expect(suspects(found).at(-1)).toBeGreaterThanOrEqual(7000);
  });

  it('say so when one ends before the other', () => {
    const stops = broken(3000, () => {});
    const halting: EngineFactory = (machine, platform, options) => {
      const engine = stops(machine, platform, options);
      const { step } = engine;
      engine.step = (cpu) =>
        cpuState.icount.get(machine.mem, cpu) >= 2999 ? EXIT.hlt : step.call(engine, cpu);
      return engine;
    };
    const found = difference(halting);
    expect(found.remark).toBe('right: goes on; wrong: halted');
  });
});
