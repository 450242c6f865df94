/** System features of the CPU: what CR4 turns on, and the instructions that go with it. */
import { describe, expect, test } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import { TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
const GP = 13;
const UD = 6;
const PF = 14;
const UD2 = [0x0f, 0x0b];
const CR4 = { umip: 1 << 11, fsgsbase: 1 << 16, pcide: 1 << 17, osxsave: 1 << 18, smep: 1 << 20 } as const;

interface Setup {
  cr4?: number;
  supervisor?: boolean;
  /** The code is in a user page, though run at CPL 0. */
  userCode?: boolean;
}

/** RBX points at a page of user data. */
function start(code: readonly number[], setup: Setup = {}): TestCpu {
  const t = new TestCpu();
  const at = t.map(CODE, !setup.supervisor || setup.userCode);
  t.map(DATA);
  [...code, ...UD2].forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.m.setU32(cpuState.cr4.addr(t.cpu), 0x6b0 | (setup.cr4 ?? 0));
  setReg(t, 3, BigInt(DATA));
  if (setup.supervisor) t.supervisor(CODE);
  else t.user(CODE, 0);
  return t;
}
const reg = (t: TestCpu, r: number): bigint => t.m.u64(cpuState.gpr.addr(t.cpu, r));
const setReg = (t: TestCpu, r: number, v: bigint): void => t.m.setU64(cpuState.gpr.addr(t.cpu, r), v);

describe('FSGSBASE', () => {
  const RDFSBASE = [0xf3, 0x48, 0x0f, 0xae, 0xc0];
  const WRGSBASE = [0xf3, 0x48, 0x0f, 0xae, 0xd8];

  test('reads and writes the bases in user code once CR4 says so', () => {
    const t = start([...WRGSBASE, ...RDFSBASE], { cr4: CR4.fsgsbase });
    t.engine.core.setSeg(SEG.fs, 0x23, 0xcf3, 0xffff_ffff, 0x1234_5678_9000);
    setReg(t, 0, 0xffff_8000_0000_1000n);
    expect(t.run()).toMatchObject({ vector: UD, rip: BigInt(CODE + 10) });
    expect(reg(t, 0)).toBe(0x1234_5678_9000n);
    expect(t.engine.core.segBase(SEG.gs)).toBe(-0x7fff_ffff_f000);
  });

  test('is #UD without CR4, and #GP for an address that is not canonical', () => {
    expect(start(RDFSBASE).run()).toMatchObject({ vector: UD, rip: BigInt(CODE) });
    const t = start(WRGSBASE, { cr4: CR4.fsgsbase });
    setReg(t, 0, 1n << 47n);
    expect(t.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
  });
});

describe('SMEP', () => {
  test('keeps the kernel from running user pages', () => {
    const code: Setup = { supervisor: true, userCode: true };
    expect(start([0x90], code).run()).toMatchObject({ vector: UD, rip: BigInt(CODE + 1) });
    const out = start([0x90], { ...code, cr4: CR4.smep }).run();
    expect(out).toMatchObject({ vector: PF, errorCode: 0x11, cr2: BigInt(CODE), rip: BigInt(CODE) });
    expect(start([0x90], { cr4: CR4.smep }).run().vector).toBe(UD);
  });
});

describe('UMIP', () => {
  test.each([
    ['SGDT', [0x0f, 0x01, 0x03]],
    ['SIDT', [0x0f, 0x01, 0x0b]],
    ['SLDT', [0x0f, 0x00, 0xc0]],
    ['STR', [0x0f, 0x00, 0xc8]],
    ['SMSW', [0x0f, 0x01, 0xe0]],
  ])("makes %s the kernel's", (_name, code) => {
    expect(start(code, { cr4: CR4.umip }).run()).toMatchObject({
      vector: GP,
      errorCode: 0,
      rip: BigInt(CODE),
    });
    expect(start(code).run().vector).toBe(UD);
    expect(start(code, { cr4: CR4.umip, supervisor: true }).run().vector).toBe(UD);
  });
});

describe('PCIDs', () => {
  const NOFLUSH = 1n << 63n;
  const SET_CR3 = [0x0f, 0x22, 0xd9]; // mov cr3, rcx
  const SET_CR3_OTHER = [0x0f, 0x22, 0xdf]; // mov cr3, rdi
  const REMAP = [0x48, 0x89, 0x16]; // mov [rsi], rdx: the page's entry
  const INVPCID = [0x66, 0x0f, 0x38, 0x82, 0x45, 0x00]; // invpcid rax, [rbp]
  const LOOK = [0x4c, 0x8b, 0x03]; // mov r8, [rbx]
  const LOOK_R9 = [0x4c, 0x8b, 0x0b];
  const LOOK_R10 = [0x4c, 0x8b, 0x13];
  const BEFORE = 0xaaaan;
  const AFTER = 0xbbbbn;

  /** RCX and RDI are values for CR3; REMAP puts another page behind RBX. */
  function spaces(code: readonly number[], rcx: bigint, rdi = 0n, cr4: number = CR4.pcide): TestCpu {
    const t = start(code, { supervisor: true, cr4 });
    const cr3 = t.engine.core.get(cpuState.cr3);
    const entry = t.entry(DATA);
    const other = t.machine.allocFrame() * 4096;
    t.map(0x60_0000, false, true, entry & ~0xfff);
    t.map(0x70_0000, false);
    t.m.setU64(t.map(DATA), BEFORE);
    t.m.setU64(other, AFTER);
    [
      [1, cr3 | rcx],
      [7, cr3 | rdi],
      [6, BigInt(0x60_0000 + (entry & 0xfff))],
      [2, BigInt(other + 7)],
    ].forEach(([r, v]) => {
      setReg(t, Number(r), BigInt(v!));
    });
    setReg(t, 5, 0x70_0000n);
    return t;
  }
  const looks = (t: TestCpu): bigint[] => [8, 9, 10].map((r) => reg(t, r));

  test('keep their translations over a CR3 write that says so, and lose them by another', () => {
    const t = spaces([...LOOK, ...REMAP, ...SET_CR3, ...LOOK_R9, ...SET_CR3_OTHER, ...LOOK_R10], NOFLUSH);
    expect(t.run().vector).toBe(UD);
    expect(looks(t)).toEqual([BEFORE, BEFORE, AFTER]);
    expect(t.engine.core.get(cpuState.cr3) >> 63n).toBe(0n);
  });

  test("do not see each other's", () => {
    const code = [...LOOK, ...REMAP, ...SET_CR3, ...LOOK_R9];
    const t = spaces(code, NOFLUSH | 5n);
    t.run();
    expect(looks(t).slice(0, 2)).toEqual([BEFORE, AFTER]);
  });

  test.each([
    ['one address', 0n, 0n, AFTER],
    ['its address space', 1n, 0n, AFTER],
    ['another address space', 1n, 7n, BEFORE],
    ['all', 2n, 0n, AFTER],
    ['all but global pages', 3n, 0n, AFTER],
  ])('INVPCID forgets %s', (_name, type, pcid, seen) => {
    const t = spaces([...LOOK, ...REMAP, ...INVPCID, ...LOOK_R9], 0n);
    setReg(t, 0, type);
    const descriptor = t.map(0x70_0000, false);
    t.m.setU64(descriptor, pcid);
    t.m.setU64(descriptor + 8, BigInt(DATA));
    expect(t.run().vector).toBe(UD);
    expect(reg(t, 9)).toBe(seen);
  });

  test.each([
    ['type', 4n, 0n, 0n],
    ['PCID', 1n, 0x1000n, 0n],
    ['address', 0n, 0n, 1n << 47n],
  ])('INVPCID of a bad %s is #GP', (_name, type, pcid, linear) => {
    const t = spaces(INVPCID, 0n);
    setReg(t, 0, type);
    const descriptor = t.map(0x70_0000, false);
    t.m.setU64(descriptor, pcid);
    t.m.setU64(descriptor + 8, linear);
    expect(t.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
  });

  test('are turned on only in PCID 0, and CR3 has no bit 63 before', () => {
    const enable = [0x0f, 0x22, 0xe0]; // mov cr4, rax
    const turnOn = (pcid: bigint): number => {
      const t = spaces([...SET_CR3, ...enable], pcid, 0n, 0);
      setReg(t, 0, BigInt(0x6b0 | CR4.pcide));
      return t.run().vector;
    };
    expect(turnOn(0n)).toBe(UD);
    expect(turnOn(3n)).toBe(GP);
    expect(spaces(SET_CR3, NOFLUSH, 0n, 0).run().vector).toBe(GP);
  });
});

test("RDRAND and RDSEED give a number of the operand's size and set the carry", () => {
  const t = start([0x0f, 0xc7, 0xf0, 0x66, 0x0f, 0xc7, 0xf9]); // rdrand eax; rdseed cx
  setReg(t, 0, -1n & 0xffff_ffff_ffff_ffffn);
  setReg(t, 1, 0x1_0000n);
  expect(t.run().flags & 0x8d5).toBe(1);
  expect(reg(t, 0)).toBe(0x0707_0707n);
  expect(reg(t, 1)).toBe(0x1_0707n);
});

test('RDPID reads TSC_AUX', () => {
  const t = start([0xf3, 0x0f, 0xc7, 0xf8]);
  t.engine.core.set(cpuState.tscAux, 0x1005n);
  t.run();
  expect(reg(t, 0)).toBe(0x1005n);
});

describe('XSAVE', () => {
  const AREA = DATA + 64;
  const MODRM = (reg: number): number => 0x40 | (reg << 3) | 3; // [rbx + disp8]
  const XSAVE = [0x48, 0x0f, 0xae, MODRM(4), 64];
  const XRSTOR = [0x48, 0x0f, 0xae, MODRM(5), 64];
  const XSAVEOPT = [0x48, 0x0f, 0xae, MODRM(6), 64];
  const XSAVEC = [0x48, 0x0f, 0xc7, MODRM(4), 64];
  const COMPACTED = 1n << 63n;

  /** RAX asks for the components; XMM3 is not zero, the x87 is as FNINIT leaves it. */
  function saving(code: readonly number[], asked = 3, cr4: number = CR4.osxsave): TestCpu {
    const t = start(code, { cr4 });
    setReg(t, 0, BigInt(asked));
    t.engine.core.set(cpuState.xcr0, 3n);
    t.m.setU32(cpuState.xmm.addr(t.cpu) + 48, 0x1234);
    t.m.fill(memory(t, 0) - 64, 4096, 0xee);
    t.m.fill(memory(t, 512), 64);
    return t;
  }
  const memory = (t: TestCpu, at: number): number => t.engine.linearToMaddr(t.cpu, BigInt(AREA + at), false);
  const header = (t: TestCpu): bigint[] => [512, 520].map((at) => t.m.u64(memory(t, at)));
  const xmm3 = (t: TestCpu): number => t.m.u32(cpuState.xmm.addr(t.cpu) + 48);

  test('writes what is asked for, and in the header what is not initial', () => {
    const t = saving(XSAVE);
    expect(t.run().vector).toBe(UD);
    expect(header(t)).toEqual([2n, 0n]);
    expect(t.m.u16(memory(t, 0))).toBe(0x37f);
    expect(t.m.u32(memory(t, 24))).toBe(0x1f80);
    expect(t.m.u32(memory(t, 160 + 48))).toBe(0x1234);
    expect(t.m.u32(memory(t, 416))).toBe(0xeeee_eeee);
  });

  test('leaves the rest of the area and its bits alone', () => {
    const t = saving(XSAVE, 2);
    t.m.setU64(memory(t, 512), 5n);
    t.run();
    expect(header(t)).toEqual([7n, 0n]);
    expect(t.m.u16(memory(t, 0))).toBe(0xeeee);
  });

  test.each([
    ['XSAVEOPT', XSAVEOPT, 0n],
    ['XSAVEC', XSAVEC, COMPACTED | 3n],
  ])('%s does not write what is initial', (_name, code, layout) => {
    const t = saving(code);
    t.run();
    expect(header(t)).toEqual([2n, layout]);
    expect(t.m.u16(memory(t, 0))).toBe(0xeeee);
    expect(t.m.u32(memory(t, 160 + 48))).toBe(0x1234);
  });

  test('XRSTOR loads what is there and initialises the rest', () => {
    const t = saving(XRSTOR);
    t.m.setU64(memory(t, 512), 2n);
    t.m.setU32(memory(t, 24), 0x1fa0);
    t.m.setU16(cpuState.fcw.addr(t.cpu), 0x27f);
    t.run();
    expect(xmm3(t)).toBe(0xeeee_eeee);
    expect(t.m.u16(cpuState.fcw.addr(t.cpu))).toBe(0x37f);
    expect(t.m.u32(cpuState.mxcsr.addr(t.cpu))).toBe(0x1fa0);
  });

  test('XRSTOR of the compacted form has MXCSR with SSE', () => {
    const t = saving(XRSTOR);
    t.m.setU64(memory(t, 520), COMPACTED | 3n);
    t.m.setU32(cpuState.mxcsr.addr(t.cpu), 0x1fa0);
    t.run();
    expect(xmm3(t)).toBe(0);
    expect(t.m.u32(cpuState.mxcsr.addr(t.cpu))).toBe(0x1f80);
  });

  test.each([
    ['a component that XCR0 has not', 512, 4n],
    ['a layout without the compacted bit', 520, 3n],
    ['a reserved byte', 528, 1n],
    ['a compacted component that XCR0 has not', 520, COMPACTED | 4n],
  ])('XRSTOR of %s is #GP and changes nothing', (_name, at, v) => {
    const t = saving(XRSTOR);
    t.m.setU32(memory(t, 24), 0x1f80);
    t.m.setU64(memory(t, at), v);
    expect(t.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
    expect(xmm3(t)).toBe(0x1234);
  });

  test('XRSTOR wants the rest of the header clear in the compacted form only', () => {
    const outcome = (layout: bigint): number => {
      const t = saving(XRSTOR, 1);
      t.m.setU64(memory(t, 520), layout);
      t.m.setU64(memory(t, 568), 1n);
      return t.run().vector;
    };
    expect(outcome(0n)).toBe(UD);
    expect(outcome(COMPACTED | 1n)).toBe(GP);
  });

  test('wants CR4.OSXSAVE, CR0.TS clear and 64 bytes of alignment', () => {
    const off = saving(XSAVE, 3, 0);
    expect(off.run()).toMatchObject({ vector: UD, rip: BigInt(CODE) });
    const ts = saving(XSAVE);
    ts.m.setU32(cpuState.cr0.addr(ts.cpu), 0x8005_003b);
    expect(ts.run().vector).toBe(7);
    const odd = saving(XSAVE);
    setReg(odd, 3, BigInt(DATA + 16));
    expect(odd.run().vector).toBe(GP);
  });

  test('XGETBV reads XCR0, and XSETBV takes what there is', () => {
    const get = saving([0x0f, 0x01, 0xd0]);
    setReg(get, 1, 0n);
    get.run();
    expect(reg(get, 0)).toBe(3n);
    const set = (v: bigint, supervisor = true): number => {
      const t = start([0x0f, 0x01, 0xd1], { cr4: CR4.osxsave, supervisor });
      for (const [r, to] of [
        [0, v],
        [1, 0n],
        [2, 0n],
      ] as const)
        setReg(t, r, to);
      return t.run().vector;
    };
    expect([1n, 3n, 2n, 7n].map((v) => set(v))).toEqual([UD, UD, GP, GP]);
    expect(set(3n, false)).toBe(GP);
  });
});
