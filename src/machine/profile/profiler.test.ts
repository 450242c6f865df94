import { describe, expect, it } from 'vitest';
import { COMPILE_ALL } from '../compiler/regions.ts';
import { cpuState } from '../cpu-state.ts';
import { TestCpu } from '../testing.ts';
import { Profile } from './profile.ts';
import { Profiler } from './profiler.ts';

/** A clock that goes on only when it is told to. */
class ManualClock {
  time = 0;
  now(): number {
    return this.time;
  }
  wall(): number {
    return 0;
  }
}

describe('a profiler', () => {
  it('charges each moment to the innermost work, and each piece with all that it led to', () => {
    const clock = new ManualClock();
    const p = new Profiler(clock);
    const work = {
      inner: (ns: number): void => void (clock.time += ns),
      outer(): number {
        clock.time += 10;
        this.inner(5);
        clock.time += 1;
        return 7;
      },
    };
    const seen: unknown[] = [];
    p.around(work, 'inner', 'pageWalk', (ns, [asked]) => seen.push([ns, asked]));
    p.around(work, 'outer', 'helper');
    clock.time += 100;
    expect(work.outer()).toBe(7);
    expect(p.profile.ns).toMatchObject({ helper: 11, pageWalk: 5, engine: 0 });
    expect(seen).toEqual([[5, 5]]);
    const { kinds } = p.profile.data();
    expect(kinds.helper.pieces).toMatchObject({ count: 1, totalNs: 16 });
    expect(kinds.pageWalk.pieces).toMatchObject({ count: 1, totalNs: 5 });
  });

  it('goes back to the outer work when the inner one throws', () => {
    const clock = new ManualClock();
    const p = new Profiler(clock);
    const work = {
      run(): void {
        clock.time += 3;
        throw new Error('as a fault does');
      },
    };
    p.around(work, 'run', 'tlbMiss');
    p.enter('engine');
    expect(() => work.run()).toThrow('as a fault does');
    clock.time += 4;
    p.enter(undefined);
    expect(p.profile.ns).toMatchObject({ tlbMiss: 3, engine: 4 });
  });

  it('charges each guest with its own', () => {
    const clock = new ManualClock();
    const p = new Profiler(clock);
    const [one, two] = [new Profile(), new Profile()];
    p.select(one);
    p.enter('hypervisor');
    clock.time += 5;
    p.select(two);
    clock.time += 7;
    p.enter(undefined);
    expect([one.ns.hypervisor, two.ns.hypervisor]).toEqual([5, 7]);
  });
});

describe('the profile of a CPU', () => {
  /** Runs a loop of CPUID, so many times, on a CPU that is profiled. */
  function profiled(times: bigint) {
    let time = 0;
    const profiler = new Profiler({ now: () => (time += 10), wall: () => 0 });
    const t = new TestCpu(undefined, { profiler });
    const code = 0x2000_0000;
    const page = t.map(code);
    // cpuid; dec rsi; jnz back; hlt, which faults in ring 3
    [0x0f, 0xa2, 0x48, 0xff, 0xce, 0x75, 0xf9, 0xf4].forEach((b, i) => {
      t.m.setU8(page + i, b);
    });
    t.user(code, 0);
    t.m.setU64(cpuState.gpr.addr(t.cpu, 6), times);
    const outcome = t.run();
    return { outcome, data: profiler.profile.data(), icount: t.m.n64(t.cpu + cpuState.icount.offset) };
  }

  it('counts helpers, decoding and instructions', () => {
    const { outcome, data, icount } = profiled(300n);
    expect(outcome.vector).toBe(13);
    expect(data.helpers[0]).toMatchObject({ mnemonic: 'cpuid', count: 300 });
    expect(data.kinds.helper.pieces.count).toBeGreaterThanOrEqual(300);
    expect(data.kinds.decode.pieces.count).toBeGreaterThan(0);
    expect(data.kinds.pageWalk.pieces.count).toBeGreaterThan(0);
    const { interpreted, compiled } = data.code;
    expect(interpreted + compiled).toBeGreaterThan(500);
    expect(interpreted + compiled).toBeLessThanOrEqual(icount);
    expect(data.code.ns).toBe(data.kinds.code.ns);
  });

  it('tells how many regions had to go for others where there is little room', () => {
    const profiler = new Profiler({ now: () => 0, wall: () => 0 });
    const t = new TestCpu(undefined, { profiler, compile: { ...COMPILE_ALL, codeBytes: 4096 } });
    const code = 0x2000_0000;
    const pages = Array.from({ length: 16 }, (_, i) => t.map(code + i * 4096));
    // from each page to the next, and back to the first while RSI lasts
    for (const [i, page] of pages.entries()) {
      const last = i === pages.length - 1;
      const next = last ? -15 * 4096 : 4096;
      // inc rax; add rcx, next; (dec rsi; jz +2); jmp rcx; hlt
      const bytes = [
        0x48,
        0xff,
        0xc0,
        0x48,
        0x81,
        0xc1,
        next & 255,
        (next >> 8) & 255,
        (next >> 16) & 255,
        next >>> 24,
      ];
      if (last) bytes.push(0x48, 0xff, 0xce, 0x74, 2);
      [...bytes, 0xff, 0xe1, 0xf4].forEach((b, k) => {
        t.m.setU8(page + k, b);
      });
    }
    t.user(code, 0);
    for (const [r, v] of [
      [0, 0n],
      [1, BigInt(code)],
      [6, 20n],
    ] as const)
      t.m.setU64(cpuState.gpr.addr(t.cpu, r), v);
    expect(t.run().vector).toBe(13);
    expect(t.m.u64(cpuState.gpr.addr(t.cpu, 0))).toBe(320n);
    const { counters, code: split } = profiler.profile.data();
    expect(counters.regionsEvicted).toBeGreaterThan(0);
    expect(counters.regions).toBeGreaterThan(counters.regionsEvicted);
    expect(counters.moduleBytes).toBeGreaterThan(0);
    expect(split.compiled).toBeGreaterThan(split.interpreted);
  });
});
