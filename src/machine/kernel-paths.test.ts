/** What a kernel does all the time and is done in WebAssembly: page faults, code that comes back, address spaces, state. */
import { describe, expect, test } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import type { Platform } from './platform.ts';
import { KERNEL_STACK_TOP, nullPlatform, TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const GATES = 0x8000_0000;
const UD = 6;
const GP = 13;
const PF = 14;
const AC = 0x4_0000;
const CR4 = { pge: 0x80, pcide: 0x2_0000, smep: 0x10_0000, smap: 0x20_0000 } as const;
const NX = 1n << 63n;
const LOAD = [0x48, 0x8b, 0x03]; // mov rax, [rbx]
const STORE = [0x48, 0x89, 0x03];
const SET_CR3 = [0x0f, 0x22, 0xd9]; // mov cr3, rcx

/** The code is run in ring 3, or in ring 0 for `kernel`; RBX points at a page of the user's. */
function world(
  code: readonly number[],
  kernel = false,
  cr4 = 0,
  flags = 0,
  platform: Platform = nullPlatform,
): TestCpu {
  const t = new TestCpu(platform);
  const at = t.map(CODE, !kernel);
  t.map(DATA);
  [...code, 0x0f, 0x0b].forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.m.setU32(cpuState.cr4.addr(t.cpu), 0x6b0 | cr4);
  set(t, 3, DATA);
  if (kernel) t.supervisor(CODE, flags);
  else t.user(CODE, flags);
  return t;
}
const get = (t: TestCpu, r: number): bigint => t.m.u64(cpuState.gpr.addr(t.cpu, r));
const set = (t: TestCpu, r: number, v: number): void => t.m.setN64(cpuState.gpr.addr(t.cpu, r), v);
const unmap = (t: TestCpu, linear: number): void => t.m.setN64(t.entry(linear), 0);
/** Machine address of one of the gates. */
const gate = (t: TestCpu, vector: number): number => (t.m.u32(t.entry(GATES)) & ~0xfff) + 16 * vector;
const count = (t: TestCpu): number => cpuState.icount.get(t.m, t.cpu);

describe('a page fault', () => {
  test('is an instruction that has begun, and its handler goes on counting', () => {
    const t = world([0x90, 0x90, ...STORE]);
    unmap(t, DATA);
    expect(t.run()).toMatchObject({ vector: PF, errorCode: 6, cr2: BigInt(DATA), rip: BigInt(CODE + 2) });
    // NOP, NOP, the store, HLT
    expect(count(t)).toBe(4);
  });

  test('that cannot be delivered plainly tells the same', () => {
    for (const how of ['across pages', 'by IST'] as const) {
      const t = world(STORE, true);
      unmap(t, DATA);
      if (how === 'across pages') {
        t.map(KERNEL_STACK_TOP, false);
        set(t, 4, KERNEL_STACK_TOP + 16);
      } else {
        t.m.setU8(gate(t, PF) + 4, 1);
        const tss = (t.m.u32(t.entry(GATES + 0x2000)) & ~0xfff) + 0x100;
        t.m.setN64(tss + 36, KERNEL_STACK_TOP - 0x200);
      }
      expect(t.run()).toMatchObject({ vector: PF, errorCode: 2, cr2: BigInt(DATA), rip: BigInt(CODE) });
      expect(count(t)).toBe(2);
    }
  });

  test('whose gate leads nowhere becomes a double fault', () => {
    const t = world(LOAD);
    unmap(t, DATA);
    t.m.setU8(gate(t, PF) + 5, 0x0e);
    expect(t.run()).toMatchObject({ vector: 8, errorCode: 0, cr2: BigInt(DATA), rip: BigInt(CODE) });
  });

  test('of a kernel that is let into user pages leaves EFLAGS.AC, but for the CPU itself', () => {
    const t = world([...LOAD, 0x48, 0x8b, 0x06], true, CR4.smap, AC);
    set(t, 6, 0x70_0000);
    const out = t.run();
    expect(out).toMatchObject({ vector: PF, errorCode: 0, cr2: 0x70_0000n, rip: BigInt(CODE + 3) });
    expect([out.flags & AC, t.engine.core.flags & AC]).toEqual([AC, AC]);
    // a stack of the user's is none for the CPU
    const other = world([...LOAD, 0x48, 0x8b, 0x06], true, CR4.smap, AC);
    set(other, 6, 0x70_0000);
    set(other, 4, DATA + 0x800);
    expect(() => other.run()).toThrow('exit');
  });
});

describe('IRETQ', () => {
  test('gives the kernel back its way into user pages', () => {
    for (const [flags, vector] of [
      [AC, UD],
      [0, PF],
    ] as const) {
      const t = world([0x48, 0xcf, ...LOAD], true, CR4.smap);
      const frame = t.map(0x60_0000, false);
      [CODE + 2, 0x08, 0x2 | flags, KERNEL_STACK_TOP, 0x10].forEach((w, k) => {
        t.m.setN64(frame + 8 * k, w);
      });
      set(t, 4, 0x60_0000);
      const out = t.run();
      expect([out.vector, out.flags & AC]).toEqual([vector, flags]);
    }
  });
});

describe('code whose entry of the TLB was taken', () => {
  const OTHER = CODE + 4096 * 4096;
  /** From one page to the other one, which has the same entry, and back, some times. */
  function toAndFro(kernel = false, cr4 = 0): TestCpu {
    // dec rdx; jz +2; jmp rdi
    const t = world([0x48, 0xff, 0xca, 0x74, 0x02, 0xff, 0xe7], kernel, cr4);
    const at = t.map(OTHER, !kernel);
    [0xff, 0xe6].forEach((b, i) => {
      t.m.setU8(at + i, b); // jmp rsi
    });
    set(t, 2, 50);
    set(t, 6, CODE);
    set(t, 7, OTHER);
    return t;
  }

  test('is found again, by the user and by the kernel', () => {
    for (const kernel of [false, true]) {
      const t = toAndFro(kernel);
      expect(t.run()).toMatchObject({ vector: UD, rip: BigInt(CODE + 7) });
      expect(get(t, 2)).toBe(0n);
      expect(count(t)).toBe(49 * 4 + 2 + 1 + 1);
    }
  });

  test.each([
    ['cannot be run', false, (e: bigint) => e | NX, 0x15],
    ['is gone', false, () => 0n, 0x14],
    ["is the kernel's", false, (e: bigint) => e & ~4n, 0x15],
    ["is the user's, under SMEP", true, (e: bigint) => e | 4n, 0x11],
  ] as const)('is not, where the page %s', (_name, kernel, change, errorCode) => {
    const t = toAndFro(kernel, CR4.smep);
    expect(t.run().vector).toBe(UD);
    t.m.setU64(t.entry(OTHER), change(t.m.u64(t.entry(OTHER))));
    set(t, 2, 50);
    if (kernel) t.supervisor(CODE);
    else t.user(CODE, 0);
    t.engine.flushTlb(t.cpu);
    expect(t.run()).toMatchObject({ vector: PF, errorCode, rip: BigInt(OTHER) });
  });
});

describe('MOV to CR3', () => {
  /** A copy of the tables' root; the code's page is another frame's in it, and so is that of the data. */
  function otherSpace(t: TestCpu, code: readonly number[]): number {
    const root = Number(t.m.u64(cpuState.cr3.addr(t.cpu)));
    const copy = (from: number): number => {
      const to = t.machine.allocFrame() * 4096;
      t.m.move(to, from, 4096);
      return to;
    };
    const top = copy(root);
    let table = top;
    for (const shift of [39, 30, 21]) {
      const at = table + (Math.floor(CODE / 2 ** shift) % 512) * 8;
      const next = copy(t.m.u32(at) & ~0xfff);
      t.m.setN64(at, next + 7);
      table = next;
    }
    const page = t.machine.allocFrame() * 4096;
    code.forEach((b, i) => {
      t.m.setU8(page + i, b);
    });
    t.m.setN64(table + (Math.floor(CODE / 4096) % 512) * 8, page + 3);
    return top;
  }

  test('goes on in the code that is there now', () => {
    for (const cr4 of [0, CR4.pcide]) {
      const t = world(SET_CR3, true, cr4);
      // mov eax, 7; ud2
      set(t, 1, otherSpace(t, [0, 0, 0, 0xb8, 7, 0, 0, 0, 0x0f, 0x0b]));
      expect(t.run()).toMatchObject({ vector: UD, rip: BigInt(CODE + 8) });
      expect(get(t, 0)).toBe(7n);
    }
  });

  test("is the kernel's, and of 40 bits", () => {
    expect(world(SET_CR3).run()).toMatchObject({ vector: GP, rip: BigInt(CODE) });
    for (const [cr4, value] of [
      [0, 2 ** 40],
      [0, 2 ** 63],
      [CR4.pcide, 2 ** 62],
    ] as const) {
      const t = world(SET_CR3, true, cr4);
      set(t, 1, value);
      expect(t.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
    }
  });

  test('keeps what fits of a space with very many pages, and nothing that is not so', () => {
    // reads RDX pages from RSI on, goes to the space in RCX, reads, and comes back
    const READ = [0x48, 0x8b, 0x06, 0x48, 0x81, 0xc6, 0, 0x10, 0, 0, 0x48, 0xff, 0xca, 0x75, 0xf1];
    const PAGES = 5000;
    const t = world([...READ, ...SET_CR3, ...LOAD, 0x0f, 0x22, 0xdf, 0x49, 0x8b, 0x00], true, CR4.pcide);
    const shared = t.map(DATA + 0x1000, false);
    for (let k = 0; k < PAGES; k++) t.map(0x1000_0000 + 4096 * k, false, true, shared);
    const last = 0x1000_0000 + 4096 * (PAGES - 1);
    set(t, 3, last);
    set(t, 8, last);
    set(t, 2, PAGES);
    set(t, 6, 0x1000_0000);
    const root = Number(t.m.u64(cpuState.cr3.addr(t.cpu)));
    set(t, 1, root + 5);
    t.m.setU64(cpuState.gpr.addr(t.cpu, 7), BigInt(root) | (1n << 63n));
    t.m.setU64(shared, 0x77n);
    expect(t.run().vector).toBe(UD);
    expect([get(t, 0), get(t, 2)]).toEqual([0x77n, 0n]);
  });
});

describe('a null selector', () => {
  test.each([
    ['ES', SEG.es, 0xc0],
    ['DS', SEG.ds, 0xd8],
    ['FS', SEG.fs, 0xe0],
    ['GS', SEG.gs, 0xe8],
  ] as const)('clears all of %s', (_name, s, modrm) => {
    const t = world([0x8e, modrm]); // mov sreg, eax
    t.m.setN64(cpuState.seg.addr(t.cpu, s) + 8, 0x1234);
    t.m.setN64(cpuState.segBase.addr(t.cpu, s), 0x1234);
    set(t, 0, 0x1_0002);
    expect(t.run().vector).toBe(UD);
    const c = t.engine.core;
    expect([c.segSel(s), c.segAttr(s), t.m.u32(c.seg(s) + 4), c.segBase(s)]).toEqual([2, 0, 0, 0]);
    expect(t.m.n64(cpuState.segBase.addr(t.cpu, s))).toBe(0);
  });

  test('is none for CS and SS', () => {
    expect(world([0x8e, 0xc8]).run()).toMatchObject({ vector: UD, rip: BigInt(CODE) });
    expect(world([0x8e, 0xd0]).run()).toMatchObject({ vector: GP, rip: BigInt(CODE) });
  });
});

describe('LDMXCSR and STMXCSR', () => {
  const LDMXCSR = [0x0f, 0xae, 0x13]; // ldmxcsr [rbx]
  const STMXCSR = [0x0f, 0xae, 0x5b, 0x10]; // stmxcsr [rbx + 16]

  test.each([
    ['in a page', DATA],
    ['across two', DATA + 4096 - 18],
  ])('move a word %s', (_name, at) => {
    const t = world([...LDMXCSR, ...STMXCSR]);
    const [one, two] = [t.m.u32(t.entry(DATA)) & ~0xfff, t.map(DATA + 4096)];
    const byte = (linear: number): number => (linear < DATA + 4096 ? one : two) + (linear & 4095);
    [0xc0, 0x9f, 0, 0].forEach((b, k) => {
      t.m.setU8(byte(at + k), b);
    });
    set(t, 3, at);
    expect(t.run().vector).toBe(UD);
    expect(t.m.u32(cpuState.mxcsr.addr(t.cpu))).toBe(0x9fc0);
    expect([16, 17, 18, 19].map((k) => t.m.u8(byte(at + k)))).toEqual([0xc0, 0x9f, 0, 0]);
  });

  test('have their faults', () => {
    const reserved = world(LDMXCSR);
    reserved.m.setU32(reserved.m.u32(reserved.entry(DATA)) & ~0xfff, 0x1_1f80);
    expect(reserved.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
    const switched = world(LDMXCSR);
    switched.m.setU64(cpuState.cr0.addr(switched.cpu), 0x8005_003bn);
    expect(switched.run()).toMatchObject({ vector: 7, rip: BigInt(CODE) });
    const absent = world(STMXCSR);
    unmap(absent, DATA);
    expect(absent.run()).toMatchObject({ vector: PF, errorCode: 6, cr2: BigInt(DATA + 16) });
  });
});

test('REP MOVS goes over page boundaries whatever its addresses are', () => {
  const t = world([0xf3, 0x48, 0xa5]); // rep movsq
  const [FROM, TO, COUNT] = [0x1000_0003, 0x2000_0005, 1600];
  const frames = new Map<number, number>();
  for (const base of [FROM, TO])
    for (let k = 0; k < 5; k++) frames.set((base >>> 12) + k, t.map((base & ~0xfff) + 4096 * k));
  const byte = (linear: number): number => frames.get(linear >>> 12)! + (linear & 4095);
  for (let k = 0; k < 8 * COUNT; k++) t.m.setU8(byte(FROM + k), (k * 7 + (k >> 8)) & 255);
  set(t, 1, COUNT);
  set(t, 6, FROM);
  set(t, 7, TO);
  expect(t.run().vector).toBe(UD);
  expect([get(t, 1), get(t, 6), get(t, 7)]).toEqual([0n, BigInt(FROM + 8 * COUNT), BigInt(TO + 8 * COUNT)]);
  let differ = 0;
  for (let k = 0; k < 8 * COUNT; k++) if (t.m.u8(byte(TO + k)) !== t.m.u8(byte(FROM + k))) differ++;
  expect([differ, count(t)]).toEqual([0, 3]);
});

describe('IN', () => {
  const { ioRead: _, ...silent } = nullPlatform;
  const ANSWERED = { ...nullPlatform, ioRead: (_c: number, port: number, size: number) => port * 16 + size };
  const FORMS = [
    ['IN AL', [0xe4, 0x42]],
    ['IN AX', [0x66, 0xe5, 0x42]],
    ['IN EAX', [0xe5, 0x42]],
  ] as const;

  test.each([
    [
      'reads ones where there are no ports',
      silent,
      [0x1234_5678n * 2n ** 32n + 0xffn, 0x1234_5678_0000_ffffn, 0xffff_ffffn],
    ],
    ['reads what there is', ANSWERED, [0x1234_5678_0000_0021n, 0x1234_5678_0000_0422n, 0x424n]],
  ] as const)('%s', (_name, platform, values) => {
    FORMS.forEach(([, code], k) => {
      const t = world(code, true, 0, 0, platform);
      t.m.setU64(cpuState.gpr.addr(t.cpu, 0), 0x1234_5678_0000_0000n);
      expect(t.run().vector).toBe(UD);
      expect(get(t, 0)).toBe(values[k]);
    });
  });

  test('is not for the user, but where the TSS says so', () => {
    for (const [map, vector] of [
      [0, UD],
      [0x68, GP],
    ] as const) {
      const t = world(FORMS[0][1], false, 0, 0, silent);
      // from where on there is a bit for each port; beyond the TSS there are none
      t.m.setU16((t.m.u32(t.entry(GATES + 0x2000)) & ~0xfff) + 0x100 + 102, map);
      expect(t.run().vector).toBe(vector);
    }
  });
});
