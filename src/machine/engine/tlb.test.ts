/** What the TLB keeps, where forgetting would be allowed but slow; and that it forgets for all that. */
import { describe, expect, test } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { KERNEL_STACK_TOP, TestCpu } from '../testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const BEFORE = 0xaaaan;
const AFTER = 0xbbbbn;
const G = 0x100;
const CR4_PGE = 0x80;
const CR4_PCIDE = 0x2_0000;
const NOFLUSH = 1n << 63n;
const LOOK = [0x4c, 0x8b, 0x03]; // mov r8, [rbx]
const SET_CR3 = [0x0f, 0x22, 0xd9]; // mov cr3, rcx
const INVLPG = [0x0f, 0x01, 0x3b]; // invlpg [rbx]
const INVPCID = [0x66, 0x0f, 0x38, 0x82, 0x45, 0x00]; // invpcid rax, [rbp]
const R8 = 8;

class World {
  readonly t = new TestCpu();
  private readonly code: number;
  constructor(cr4: number, flags: number) {
    const { t } = this;
    this.code = t.map(CODE, false);
    t.m.setU64(t.map(DATA, false), BEFORE);
    t.m.setU32(t.entry(DATA), t.m.u32(t.entry(DATA)) | flags);
    t.m.setU32(cpuState.cr4.addr(t.cpu), 0x630 | cr4);
    this.set(3, BigInt(DATA));
    t.supervisor(CODE);
  }
  set(r: number, v: bigint): void {
    this.t.m.setU64(cpuState.gpr.addr(this.t.cpu, r), v);
  }
  get cr3(): bigint {
    return this.t.m.u64(cpuState.cr3.addr(this.t.cpu)) & ~0xfffn;
  }
  /** Runs code from where the last ended; the engine keeps what it knows. */
  run(code: readonly number[]): bigint {
    const { t } = this;
    t.engine.dropCode(Math.floor(this.code / 4096));
    [...code, 0x0f, 0x0b].forEach((b, i) => {
      t.m.setU8(this.code + i, b);
    });
    t.engine.core.setLin(cpuState.rip, CODE);
    this.set(4, BigInt(KERNEL_STACK_TOP));
    t.run();
    return t.m.u64(cpuState.gpr.addr(t.cpu, R8));
  }
  mapOther(): void {
    const { t } = this;
    const page = t.machine.allocFrame() * 4096;
    t.m.setU64(page, AFTER);
    t.m.setU32(t.entry(DATA), page | (t.m.u32(t.entry(DATA)) & 0xfff));
  }
  toSpace(pcid: bigint): void {
    this.set(1, this.cr3 | pcid);
    this.run(SET_CR3);
  }
}

describe('a global page', () => {
  test.each([
    ['MOV CR3', CR4_PGE],
    ['MOV CR3 with PCIDs', CR4_PGE | CR4_PCIDE],
  ])('outlives %s, until INVLPG', (_name, cr4) => {
    const w = new World(cr4, G);
    w.run(LOOK);
    w.mapOther();
    w.toSpace(0n);
    expect(w.run(LOOK)).toBe(BEFORE);
    expect(w.run([...INVLPG, ...LOOK])).toBe(AFTER);
  });

  test('is known in other address spaces, and outlives INVPCID of all but global pages', () => {
    const w = new World(CR4_PGE | CR4_PCIDE, G);
    w.run(LOOK);
    w.mapOther();
    w.toSpace(5n);
    expect(w.run(LOOK)).toBe(BEFORE);
    w.set(5, BigInt(DATA) + 64n);
    w.set(0, 3n);
    expect(w.run([...INVPCID, ...LOOK])).toBe(BEFORE);
    w.set(0, 2n);
    expect(w.run([...INVPCID, ...LOOK])).toBe(AFTER);
  });

  test('is none without CR4.PGE', () => {
    const w = new World(0, G);
    w.run(LOOK);
    w.mapOther();
    w.toSpace(0n);
    expect(w.run(LOOK)).toBe(AFTER);
  });
});

describe('an address space', () => {
  test('is as it was when it comes back', () => {
    const w = new World(CR4_PCIDE, 0);
    w.run(LOOK);
    w.mapOther();
    w.toSpace(5n);
    expect(w.run(LOOK)).toBe(AFTER);
    w.toSpace(NOFLUSH);
    expect(w.run(LOOK)).toBe(AFTER);
    w.toSpace(5n | NOFLUSH);
    expect(w.run(LOOK)).toBe(AFTER);
  });

  test('keeps what nobody took its slot of', () => {
    const w = new World(CR4_PCIDE, 0);
    w.run(LOOK);
    w.mapOther();
    w.toSpace(5n);
    w.toSpace(NOFLUSH);
    expect(w.run(LOOK)).toBe(BEFORE);
  });

  test('is never taken for another, however many there are', () => {
    // more than there are generations
    const w = new World(CR4_PCIDE, 0);
    for (let pcid = 1n; pcid < 300n; pcid++) {
      w.t.m.setU64(Number(w.t.m.u32(w.t.entry(DATA)) & ~0xfff), pcid);
      expect(w.run(LOOK)).toBe(pcid);
      w.mapOther();
      w.toSpace(pcid);
      expect(w.run(LOOK)).toBe(AFTER);
    }
  });
});
