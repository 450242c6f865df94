/** LODS, SCAS and CMPS, alone and repeated: what they leave wherever they end, and that no page tables are walked for each. */
import { describe, expect, test, vi } from 'vitest';
import { DF } from '../x86/flags.ts';
import { cpuState } from './cpu-state.ts';
import { nullPlatform, TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const A = 0x50_0000;
const B = 0x60_0000;
const UD = 6;
const PF = 14;
const ZF = 0x40;
const CF = 1;
const [RAX, RCX, RSI, RDI] = [0, 1, 6, 7] as const;
const PAGES = 3;
const REPE = 0xf3;
const REPNE = 0xf2;
const SIZES = [1, 2, 4, 8] as const;

/** The bytes of an instruction, for elements of a size; `op` is that for bytes. */
const sized = (op: number, z: number, ...prefixes: number[]): number[] => [
  ...(z === 2 ? [0x66] : []),
  ...prefixes,
  ...(z === 8 ? [0x48] : []),
  z === 1 ? op : op + 1,
];
const [CMPS, LODS, SCAS] = [0xa6, 0xac, 0xae] as const;

/** Runs code with pages of zeros at A and B, and what the registers are then. */
function run(
  code: readonly number[],
  start: Record<number, number>,
  bytes: [number, number][] = [],
  flags = 0,
) {
  const t = new TestCpu(nullPlatform);
  const page = t.map(CODE);
  [...code, 0x0f, 0x0b].forEach((b, i) => {
    t.m.setU8(page + i, b);
  });
  const pages = new Map(
    [A, B].flatMap((at) => Array.from({ length: PAGES }, (_, k) => [at / 4096 + k, t.map(at + 4096 * k)])),
  );
  for (const [at, b] of bytes) t.m.setU8((pages.get(at >>> 12) as number) + (at & 4095), b);
  for (const [r, v] of Object.entries(start)) t.m.setN64(cpuState.gpr.addr(t.cpu, Number(r)), v);
  t.user(CODE, flags);
  const walks = vi.spyOn(t.engine.core.mmu, 'translate');
  const out = t.run();
  const get = (r: number): number => Number(t.m.u64(cpuState.gpr.addr(t.cpu, r)));
  return { ...out, walks: walks.mock.calls.length, get, rax: t.m.u64(cpuState.gpr.addr(t.cpu, RAX)) };
}

describe.each(SIZES)('an element of %i bytes', (z) => {
  test('is loaded, and leaves the rest of the register as its size says', () => {
    const r = run(sized(LODS, z), { [RAX]: 0x1_1111_1111, [RSI]: A + 8 }, [[A + 8, 0x7e]]);
    expect(r.vector).toBe(UD);
    expect(r.get(RSI)).toBe(A + 8 + z);
    expect(r.rax).toBe(({ 1: 0x1_1111_117en, 2: 0x1_1111_007en, 4: 0x7en, 8: 0x7en } as const)[z]);
  });

  test('is compared with the accumulator, and with another', () => {
    for (const [value, flags] of [
      [5, ZF],
      [6, CF],
    ] as const) {
      const scas = run(sized(SCAS, z), { [RAX]: 5, [RDI]: B }, [[B, value]]);
      expect([scas.flags & (ZF | CF), scas.get(RDI)]).toEqual([flags, B + z]);
      const both: [number, number][] = [
        [A, 5],
        [B, value],
      ];
      const cmps = run(sized(CMPS, z), { [RSI]: A, [RDI]: B }, both);
      expect([cmps.flags & (ZF | CF), cmps.get(RSI), cmps.get(RDI)]).toEqual([flags, A + z, B + z]);
    }
  });

  test('is the one behind which a repeated comparison stops', () => {
    for (const at of [0, 3, 4096 / z, 5000 / z - 1].map(Math.floor)) {
      const count = 8192 / z;
      const differs = run(sized(CMPS, z, REPE), { [RCX]: count, [RSI]: A, [RDI]: B }, [[A + at * z, 1]]);
      expect([differs.get(RCX), differs.get(RSI), differs.get(RDI), differs.flags & ZF]).toEqual([
        count - at - 1,
        A + (at + 1) * z,
        B + (at + 1) * z,
        0,
      ]);
      const found = run(sized(SCAS, z, REPNE), { [RAX]: 1, [RCX]: count, [RDI]: B }, [[B + at * z, 1]]);
      expect([found.get(RCX), found.get(RDI), found.flags & ZF]).toEqual([
        count - at - 1,
        B + (at + 1) * z,
        ZF,
      ]);
      for (const r of [differs, found]) expect(r.walks).toBeLessThan(40);
    }
  });

  test('is the last where the count ends, or there is none', () => {
    const all = run(sized(CMPS, z, REPE), { [RCX]: 600, [RSI]: A, [RDI]: B });
    expect([all.get(RCX), all.get(RSI), all.get(RDI), all.flags & ZF]).toEqual([
      0,
      A + 600 * z,
      B + 600 * z,
      ZF,
    ]);
    const none = run(sized(SCAS, z, REPNE), { [RCX]: 0, [RDI]: 0x123 }, [], CF);
    expect([none.vector, none.get(RDI), none.flags & CF]).toEqual([UD, 0x123, CF]);
  });

  test('may lie in two pages, and goes backward', () => {
    const across = run(sized(CMPS, z, REPE), { [RCX]: 2000, [RSI]: A + 4089, [RDI]: B + 4093 }, [
      [A + 4089 + 7 * z, 2],
    ]);
    expect([across.get(RCX), across.get(RSI), across.get(RDI)]).toEqual([
      1992,
      A + 4089 + 8 * z,
      B + 4093 + 8 * z,
    ]);
    const back = run(
      sized(SCAS, z, REPNE),
      { [RAX]: 9, [RCX]: 50, [RDI]: B + 400 },
      [[B + 400 - 20 * z, 9]],
      DF,
    );
    expect([back.get(RCX), back.get(RDI)]).toEqual([29, B + 400 - 21 * z]);
    expect(run(sized(LODS, z), { [RSI]: A + 16 }, [], DF).get(RSI)).toBe(A + 16 - z);
  });

  test('that is not there is a page fault at it', () => {
    const end = B + PAGES * 4096;
    const alone = run([0x90, ...sized(SCAS, z)], { [RDI]: end });
    expect(alone).toMatchObject({ vector: PF, cr2: BigInt(end), rip: BigInt(CODE + 1) });
    const repeated = run([0x90, ...sized(SCAS, z, REPE)], { [RCX]: 100_000, [RDI]: B });
    expect(repeated).toMatchObject({ vector: PF, cr2: BigInt(end), rip: BigInt(CODE + 1) });
    expect([repeated.get(RDI), repeated.get(RCX)]).toEqual([end, 100_000 - (PAGES * 4096) / z]);
    const source = run(sized(CMPS, z), { [RSI]: end, [RDI]: end + 4096 });
    expect(source).toMatchObject({ vector: PF, cr2: BigInt(end) });
    expect([source.get(RSI), source.get(RDI)]).toEqual([end, end + 4096]);
  });
});

test('addresses of 32 bits wrap there, and clear the upper halves', () => {
  const start = { [RCX]: 2 ** 32 + 3, [RSI]: 2 ** 32 + A, [RDI]: 2 ** 32 + B };
  const r = run([0x67, REPE, 0xa6], start);
  expect([r.get(RCX), r.get(RSI), r.get(RDI)]).toEqual([0, A + 3, B + 3]);
});
