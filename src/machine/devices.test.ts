/** Device memory: each access once, and not at all when the instruction faults. */
import { describe, expect, test } from 'vitest';
import { cpuState } from './cpu-state.ts';
import type { Platform } from './platform.ts';
import { nullPlatform, TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const DEVICE = 0x60_0000;
const STACK = 0x70_0000;
const ABSENT = 0x80_0000;
/** Beyond the machine's memory. */
const DEVICE_GPA = 0x1000_0000;
const UD = 6;
const PF = 14;

interface World {
  t: TestCpu;
  log: string[];
  run(): number;
}

/** RBX points at the device, RSI at it too, RDI at memory, RBP at nothing. */
function world(code: readonly number[], regs: Partial<Record<number, number>> = {}): World {
  const log: string[] = [];
  const platform: Platform = {
    ...nullPlatform,
    mmioRead: (_c, gpa, size, out) => {
      log.push(`read ${gpa - DEVICE_GPA} ${size}`);
      out.fill(0x0101_0101 * log.length);
    },
    mmioWrite: (_c, gpa, size, lo) => void log.push(`write ${gpa - DEVICE_GPA} ${size} ${lo.toString(16)}`),
    ioRead: (_c, port, size) => log.push(`in ${port} ${size}`),
  };
  const t = new TestCpu(platform);
  const at = t.map(CODE);
  [...code, 0x0f, 0x0b].forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.map(DATA);
  t.map(STACK);
  t.map(DEVICE, true, true, DEVICE_GPA);
  const all = { 3: DEVICE, 6: DEVICE, 7: DATA, 5: ABSENT, 4: STACK + 0x800, 1: 4, 2: 0x80, ...regs };
  for (const [r, v] of Object.entries(all)) t.m.setU64(cpuState.gpr.addr(t.cpu, Number(r)), BigInt(v ?? 0));
  t.user(CODE, 0x3000);
  return { t, log, run: () => t.run().vector };
}
const rcx = (w: World): bigint => w.t.m.u64(cpuState.gpr.addr(w.t.cpu, 1));

describe('an access to a device happens once', () => {
  test.each<[string, number[], string[]]>([
    ['MOV', [0x8b, 0x03], ['read 0 4']],
    ['ADD to it', [0x01, 0x0b], ['read 0 4', 'write 0 4 1010105']],
    ['LOCK XADD', [0xf0, 0x0f, 0xc1, 0x0b], ['read 0 4', 'write 0 4 1010105']],
    ['XCHG', [0x87, 0x0b], ['read 0 4', 'write 0 4 4']],
    ['LOCK NEG', [0xf0, 0xf7, 0x1b], ['read 0 4', 'write 0 4 fefefeff']],
    ['CMPXCHG that fails', [0x0f, 0xb1, 0x0b], ['read 0 4', 'write 0 4 1010101']],
    ['INC of a byte', [0xfe, 0x03], ['read 0 1', 'write 0 1 2']],
    ['MOVDQU', [0xf3, 0x0f, 0x6f, 0x03], ['read 0 8', 'read 8 8']],
    ['PUSH', [0xff, 0x33], ['read 0 8']],
    ['POP', [0x8f, 0x03], ['write 0 8 0']],
    ['MOVS', [0xa5], ['read 0 4']],
    ['REP MOVS', [0xf3, 0xa4], ['read 0 1', 'read 1 1', 'read 2 1', 'read 3 1']],
    ['REP LODS', [0xf3, 0xad], ['read 0 4', 'read 4 4', 'read 8 4', 'read 12 4']],
    ['BTS of a far bit', [0x0f, 0xba, 0x6b, 0x04, 3], ['read 4 4', 'write 4 4 1010109']],
    ['REP INS', [0xf3, 0x6c], ['in 128 1', 'in 128 1', 'in 128 1', 'in 128 1']],
  ])('%s', (_name, code, log) => {
    const w = world(code);
    expect(w.run()).toBe(UD);
    expect(w.log).toEqual(log);
  });

  test('REP STOS writes each element', () => {
    const w = world([0xf3, 0xab], { 0: 7, 7: DEVICE });
    expect(w.run()).toBe(UD);
    expect(w.log).toEqual([0, 4, 8, 12].map((at) => `write ${at} 4 7`));
  });

  test('from memory into the device and across its edge', () => {
    const w = world([0x8b, 0x03], { 3: DEVICE - 2 });
    w.t.m.setU16(w.t.map(DEVICE - 4096) + 4094, 0x1234);
    expect(w.run()).toBe(UD);
    expect(w.log).toEqual(['read 0 2']);
    expect(w.t.m.u32(cpuState.gpr.addr(w.t.cpu, 0))).toBe(0x0101_1234);
  });
});

describe('a device is not touched by an instruction that faults', () => {
  const LAST = DEVICE + 4094;
  test.each<[string, number[], Record<number, number>]>([
    ['a load across its end', [0x8b, 0x03], { 3: LAST }],
    ['a store across its end', [0x89, 0x03], { 3: LAST }],
    ['ADD across its end', [0x01, 0x03], { 3: LAST }],
    ['PUSH to an absent stack', [0xff, 0x33], { 4: ABSENT }],
    ['CALL with an absent stack', [0xff, 0x13], { 4: ABSENT }],
    ['POP from an absent stack', [0x8f, 0x03], { 4: ABSENT }],
    ['MOVS to an absent page', [0xa5], { 7: ABSENT }],
    ['REP MOVS to an absent page', [0xf3, 0xa5], { 7: ABSENT }],
    ['INS to an absent page', [0x6d], { 7: ABSENT }],
  ])('%s', (_name, code, regs) => {
    const w = world(code, regs);
    expect(w.run()).toBe(PF);
    expect(w.log).toEqual([]);
  });

  test('and a REP MOVS goes on where it faulted', () => {
    const w = world([0xf3, 0xa5], { 7: DATA + 4096 - 8 });
    expect(w.run()).toBe(PF);
    expect(w.log).toEqual(['read 0 4', 'read 4 4']);
    expect(rcx(w)).toBe(2n);
    w.t.map(DATA + 4096);
    w.t.user(CODE, 0);
    expect(w.run()).toBe(UD);
    expect(w.log).toEqual([0, 4, 8, 12].map((at) => `read ${at} 4`));
  });
});
