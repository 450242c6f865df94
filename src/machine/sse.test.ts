import { describe, expect, test } from 'vitest';
import { cpuState } from './cpu-state.ts';
import { F32, F64, type Format } from './engine/float-format.ts';
import { SoftFloat } from './engine/softfloat.ts';
import { TestCpu } from './testing.ts';

const CODE = 0x2000_0000;

class Snippets {
  readonly t = new TestCpu();
  private readonly page = this.t.map(CODE, true, false);

  /** Runs one instruction; answers MXCSR and XMM0's halves. */
  run(
    code: readonly number[],
    a: bigint,
    b: bigint,
    mxcsr: number,
  ): { mxcsr: number; low: bigint; high: bigint } {
    const { m, cpu, engine } = this.t;
    engine.dropCode(this.page >>> 12);
    m.write(this.page, Uint8Array.from([...code, 0xf4]));
    const xmm = cpuState.xmm.addr(cpu);
    [a, ~a, b, ~b].forEach((v, i) => {
      m.setU64(xmm + 8 * i, BigInt.asUintN(64, v));
    });
    m.setU32(cpu + cpuState.mxcsr.offset, mxcsr);
    this.t.user(CODE, 0);
    this.t.run();
    return { mxcsr: m.u32(cpu + cpuState.mxcsr.offset), low: m.u64(xmm), high: m.u64(xmm + 8) };
  }
}

let seed = 1;
function random(n: number): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return Math.floor((seed / 2 ** 32) * n);
}
const view = new DataView(new ArrayBuffer(8));
/** Small integers, fractions, neighbours of the least normal number, and plain ones. */
function number(f: Format): bigint {
  const least = f.size === 4 ? 2 ** -126 : 2 ** -1022;
  const plain = (random(2 ** 31) - 2 ** 30) * 2 ** (random(60) - 50);
  const v = [
    random(100) - 50,
    random(1000) / 16,
    least * random(8),
    least * 1.5,
    plain,
    plain,
    1 / (1 + random(50)),
  ][random(7)]!;
  if (f.size === 4) {
    view.setFloat32(4, v);
    return BigInt(view.getUint32(4));
  }
  view.setFloat64(0, v);
  return view.getBigUint64(0);
}

const OPERATIONS = {
  add: [0x58, (s, a, b, f) => s.add(a, b, f)],
  sub: [0x5c, (s, a, b, f) => s.sub(a, b, f)],
  mul: [0x59, (s, a, b, f) => s.mul(a, b, f)],
  div: [0x5e, (s, a, b, f) => s.div(a, b, f)],
  min: [0x5d, (s, a, b, f) => s.pick(a, b, f, false)],
  max: [0x5f, (s, a, b, f) => s.pick(a, b, f, true)],
  sqrt: [0x51, (s, _a, b, f) => s.sqrt(b, f)],
} satisfies Record<string, [number, (s: SoftFloat, a: bigint, b: bigint, f: Format) => bigint]>;

describe('SSE floating point', () => {
  const cpu = new Snippets();
  const modes = [0x1f80, 0x1fa0, 0x9fe0, 0x9fc0, 0x1fc0, 0x3fa0, 0x1fbf];

  test.each(Object.entries(OPERATIONS))(
    '%s in a handler is what the exact form gives',
    (_name, [opcode, exact]) => {
      for (const [prefix, f] of [
        [0xf3, F32],
        [0xf2, F64],
      ] as const)
        for (let n = 0; n < 400; n++) {
          const [a, b] = [number(f), number(f)];
          const mxcsr = modes[n % modes.length]!;
          const s = new SoftFloat(mxcsr);
          const low = exact(s, a, b, f);
          const got = cpu.run([prefix, 0x0f, opcode, 0xc1], a, b, mxcsr);
          const what = `${a.toString(16)} ${b.toString(16)} ${mxcsr.toString(16)}`;
          expect([what, BigInt.asUintN(8 * f.size, got.low), got.mxcsr]).toEqual([
            what,
            low,
            mxcsr | s.before | s.after,
          ]);
          expect(got.high).toBe(BigInt.asUintN(64, ~a));
        }
    },
  );

  test('reciprocals are good to 12 bits and raise nothing', () => {
    for (const [opcode, fn] of [
      [0x53, (x: number) => 1 / x],
      [0x52, (x: number) => 1 / Math.sqrt(x)],
    ] as const)
      for (let n = 0; n < 100; n++) {
        const x = Math.fround(random(2 ** 30) * 2 ** (random(60) - 60) + 2 ** -60);
        view.setFloat32(4, x);
        const got = cpu.run([0xf3, 0x0f, opcode, 0xc1], 0n, BigInt(view.getUint32(4)), 0x1f80);
        view.setUint32(4, Number(got.low & 0xffff_ffffn));
        expect(Math.abs(view.getFloat32(4) / fn(x) - 1)).toBeLessThanOrEqual(1.5 * 2 ** -12);
        expect(got.mxcsr).toBe(0x1f80);
      }
    // of zeros and infinities
    expect(cpu.run([0xf3, 0x0f, 0x53, 0xc1], 0n, 0x8000_0000n, 0x1f80).low & 0xffff_ffffn).toBe(0xff80_0000n);
    expect(cpu.run([0xf3, 0x0f, 0x52, 0xc1], 0n, 0x7f80_0000n, 0x1f80).low & 0xffff_ffffn).toBe(0n);
    expect(cpu.run([0xf3, 0x0f, 0x52, 0xc1], 0n, 0xbf80_0000n, 0x1f80).low & 0xffff_ffffn).toBe(0xffc0_0000n);
  });
});
