/** System instructions, TLB misses and exceptions that are done in WebAssembly where all is plain: that case and the others. */
import { describe, expect, test } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import type { EngineOptions } from './engine/engine.ts';
import { P2M, P2M_ROOT_PAGES, type P2mType, p2mEntry, p2mSet } from './p2m.ts';
import { KERNEL_STACK_TOP, nullPlatform, TestCpu } from './testing.ts';

const CODE = 0x40_0000;
const DATA = 0x50_0000;
/** Has page tables of its own. */
const FAR = 0x7f00_0000_0000;
const GP = 13;
const UD = 6;
const PF = 14;
const CR4 = { tsd: 4, umip: 1 << 11, fsgsbase: 1 << 16, osxsave: 1 << 18, smap: 1 << 21 } as const;
const RSP = 4;
const AC = 0x4_0000;

interface Setup {
  cr4?: number;
  supervisor?: boolean;
  flags?: number;
  options?: Partial<EngineOptions>;
}

/** RBX points at a page of user data. */
function start(code: readonly number[], setup: Setup = {}): TestCpu {
  const t = new TestCpu(nullPlatform, setup.options);
  const at = t.map(CODE, !setup.supervisor);
  t.map(DATA);
  [...code, 0x0f, 0x0b].forEach((b, i) => {
    t.m.setU8(at + i, b);
  });
  t.m.setU32(cpuState.cr4.addr(t.cpu), 0x6b0 | (setup.cr4 ?? 0));
  setReg(t, 3, BigInt(DATA));
  if (setup.supervisor) t.supervisor(CODE, setup.flags ?? 0);
  else t.user(CODE, setup.flags ?? 0);
  return t;
}
const reg = (t: TestCpu, r: number): bigint => t.m.u64(cpuState.gpr.addr(t.cpu, r));
const setReg = (t: TestCpu, r: number, v: bigint): void => t.m.setU64(cpuState.gpr.addr(t.cpu, r), v);
const words = (n: bigint): number[] =>
  Array.from({ length: 8 }, (_, k) => Number((n >> BigInt(8 * k)) & 255n));

describe('RDTSC', () => {
  const RDTSC = [0x0f, 0x31];
  const RDTSCP = [0x0f, 0x01, 0xf9];
  const options = { clock: { now: () => 0x1_2345_6789, wall: () => 0 } };

  test.each([
    ['RDTSC', RDTSC, 99n],
    ['RDTSCP', RDTSCP, 7n],
  ])('%s gives the host time and what is added to it', (_name, code, rcx) => {
    for (const clockCounts of [false, true]) {
      const t = start(code, { options: { ...options, clockCounts } });
      setReg(t, 0, -1n & 0xffff_ffff_ffff_ffffn);
      setReg(t, 1, 99n);
      t.m.setU64(cpuState.tscOffset.addr(t.cpu), 0x10n);
      t.m.setU64(cpuState.tscAux.addr(t.cpu), 7n);
      expect(t.run().vector).toBe(UD);
      expect([0, 2, 1].map((r) => reg(t, r))).toEqual([0x2345_6799n, 1n, rcx]);
    }
  });

  test("is the kernel's alone once CR4.TSD says so", () => {
    expect(start(RDTSC, { cr4: CR4.tsd }).run()).toMatchObject({ vector: GP, rip: BigInt(CODE) });
    expect(start(RDTSC, { cr4: CR4.tsd, supervisor: true }).run().vector).toBe(UD);
  });
});

describe('MOV from', () => {
  test('a segment register leaves the upper half of a register as its size says', () => {
    const t = start([0x66, 0x8c, 0xd0, 0x8c, 0xd1, 0x48, 0x8c, 0xca]); // mov ax, ss; mov ecx, ss; mov rdx, cs
    for (const r of [0, 1, 2]) setReg(t, r, 0x1111_2222_3333_4444n);
    expect(t.run().vector).toBe(UD);
    expect([0, 1, 2].map((r) => reg(t, r))).toEqual([0x1111_2222_3333_0023n, 0x23n, 0x1bn]);
  });

  test.each([
    ['CR0', [0x0f, 0x20, 0xc0], 0x8005_0033n],
    ['CR2', [0x0f, 0x20, 0xd0], 0x1234_5678_9abcn],
    ['CR4', [0x0f, 0x20, 0xe0], 0x6b0n],
  ])("%s is the kernel's", (_name, code, value) => {
    const t = start(code, { supervisor: true });
    t.m.setU64(cpuState.cr2.addr(t.cpu), 0x1234_5678_9abcn);
    expect(t.run().vector).toBe(UD);
    expect(reg(t, 0)).toBe(value);
    expect(start(code).run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
  });
});

describe('IRETQ', () => {
  test('comes back to the kernel where no user has run', () => {
    const t = start([0x48, 0xcf], { supervisor: true });
    const frame = t.map(0x60_0000, false);
    [CODE + 2, 0x08, 0x246, KERNEL_STACK_TOP, 0].forEach((w, k) => {
      t.m.setU64(frame + 8 * k, BigInt(w));
    });
    setReg(t, RSP, 0x60_0000n);
    const out = t.run();
    expect(out).toMatchObject({ vector: UD, rip: BigInt(CODE + 2), rsp: BigInt(KERNEL_STACK_TOP) });
    expect(out.flags & 0x244).toBe(0x244);
  });

  test('finds its frame and its descriptors where the TLB has one entry for both pages', () => {
    const t = start([0x48, 0xcf], { supervisor: true });
    const gdt = Number(t.m.u64(cpuState.gdtBase.addr(t.cpu)));
    const place = gdt + 4096 * 4096;
    const frame = t.map(place, false);
    [CODE + 2, 0x08, 0x202, KERNEL_STACK_TOP, 0x10].forEach((w, k) => {
      t.m.setU64(frame + 8 * k, BigInt(w));
    });
    setReg(t, RSP, BigInt(place));
    expect(t.run()).toMatchObject({ vector: UD, rip: BigInt(CODE + 2) });
  });
});

describe('XSAVE', () => {
  const REX_AREA = { xsave: [0x48, 0x0f, 0xae, 0x23], xsaveopt: [0x48, 0x0f, 0xae, 0x33] } as const;
  const CODES = { ...REX_AREA, xsavec: [0x48, 0x0f, 0xc7, 0x23] } as const;
  const XRSTOR = [0x48, 0x0f, 0xae, 0x2b];
  const SIZE = 576;
  /** So that the area's second part lies in another page, which is not behind the first one in the machine. */
  const ACROSS = DATA + 4096 - 256;

  function world(code: readonly number[], at: number, rfbm: number, cr4: number = CR4.osxsave): TestCpu {
    const t = start(code, { cr4 });
    t.machine.allocFrame();
    t.map(DATA + 4096);
    t.m.setU64(cpuState.xcr0.addr(t.cpu), 3n);
    setReg(t, 3, BigInt(at));
    setReg(t, 0, BigInt(rfbm));
    setReg(t, 2, 0n);
    return t;
  }
  const bytes = (t: TestCpu, at: number): number[] =>
    Array.from({ length: SIZE }, (_, k) => {
      const page = t.m.u32(t.entry(at + k)) & ~0xfff;
      return t.m.u8(page + ((at + k) & 4095));
    });
  function put(t: TestCpu, at: number, offset: number, value: readonly number[]): void {
    value.forEach((b, k) => {
      t.m.setU8((t.m.u32(t.entry(at + offset + k)) & ~0xfff) + ((at + offset + k) & 4095), b);
    });
  }
  function fill(t: TestCpu, what: 'nothing' | 'x87' | 'all'): void {
    const { m, cpu } = t;
    m.setU16(cpuState.fcw.addr(cpu), 0x37f);
    m.setU32(cpuState.mxcsr.addr(cpu), 0x1f80);
    if (what === 'nothing') return;
    m.setU16(cpuState.fsw.addr(cpu), 0x2800);
    m.setU8(cpuState.ftw.addr(cpu), 0xe0);
    m.setU16(cpuState.fop.addr(cpu), 0x123);
    m.setU64(cpuState.fip.addr(cpu), 0x1234_5678_9abcn);
    for (let r = 0; r < 8; r++) {
      m.setU64(cpuState.fpr.addr(cpu, r), 0x8000_0000_0000_0000n + BigInt(r));
      m.setU16(cpuState.fpr.addr(cpu, r) + 8, 0x3fff + r);
    }
    if (what === 'x87') return;
    m.setU32(cpuState.mxcsr.addr(cpu), 0x1fa0);
    for (let r = 0; r < 16; r++) m.setU64(cpuState.xmm.addr(cpu, r) + 8, 0x77n << BigInt(r));
  }

  test.each(Object.entries(CODES))('%s writes the same wherever the area is', (_name, code) => {
    for (const what of ['nothing', 'x87', 'all'] as const)
      for (const rfbm of [0, 1, 2, 3, 0xffff]) {
        const [one, other] = [DATA, ACROSS].map((at) => {
          const t = world(code, at, rfbm);
          fill(t, what);
          put(t, at, 0, Array<number>(SIZE).fill(0xcc));
          put(t, at, 512, words(0xf0n));
          expect(t.run().vector).toBe(UD);
          return bytes(t, at);
        });
        expect(one).toEqual(other);
      }
  });

  test.each([
    ['the standard form', 0n],
    ['the compacted one', (1n << 63n) | 3n],
  ])('XRSTOR reads %s wherever it is', (_name, layout) => {
    for (const present of [0n, 1n, 2n, 3n]) {
      const [one, other] = [DATA, ACROSS].map((at) => {
        const from = world(CODES.xsave, at, 3);
        fill(from, 'all');
        from.run();
        const saved = bytes(from, at);
        const t = world(XRSTOR, at, 3);
        fill(t, 'x87');
        put(t, at, 0, [
          ...saved.slice(0, 512),
          ...words(present),
          ...words(layout),
          ...Array<number>(48).fill(0),
        ]);
        expect(t.run().vector).toBe(UD);
        const state = cpuState.xmm.offset;
        return Array.from({ length: cpuState.mxcsr.offset + 4 - state }, (_, k) => t.m.u8(t.cpu + state + k));
      });
      expect(one).toEqual(other);
    }
  });

  test('has its faults: no OSXSAVE, a misaligned area, a header that is not in order', () => {
    expect(world(CODES.xsave, DATA, 3, 0).run()).toMatchObject({ vector: UD, rip: BigInt(CODE) });
    expect(world(CODES.xsave, DATA + 8, 3).run()).toMatchObject({ vector: GP, rip: BigInt(CODE) });
    const bad = [
      [512, words(4n)],
      [520, words(5n)],
      [528, words(1n)],
      [24, words(0x1_0000n)],
    ] as const;
    for (const [offset, value] of bad) {
      const t = world(XRSTOR, DATA, 3);
      put(t, DATA, offset, value);
      expect(t.run()).toMatchObject({ vector: GP, errorCode: 0, rip: BigInt(CODE) });
    }
  });

  test('is a page fault in a page that is not there, and where it cannot be written', () => {
    const t = world(CODES.xsave, 0x70_0000, 3);
    expect(t.run()).toMatchObject({ vector: PF, errorCode: 6, cr2: 0x70_0000n, rip: BigInt(CODE) });
    const readOnly = world(CODES.xsave, DATA, 3);
    readOnly.m.setU32(readOnly.entry(DATA), readOnly.m.u32(readOnly.entry(DATA)) & ~2);
    expect(readOnly.run()).toMatchObject({ vector: PF, errorCode: 7, cr2: BigInt(DATA) });
  });
});

describe('a TLB miss', () => {
  const LOAD = [0x48, 0x8b, 0x03]; // mov rax, [rbx]
  const STORE = [0x48, 0x89, 0x03];
  const ACCESSED = 0x20;
  const DIRTY = 0x40;

  test('marks the entries it uses', () => {
    for (const [code, bits] of [
      [LOAD, ACCESSED],
      [STORE, ACCESSED | DIRTY],
    ] as const) {
      const t = start(code);
      expect(t.run().vector).toBe(UD);
      expect(t.m.u32(t.entry(DATA)) & (ACCESSED | DIRTY)).toBe(bits);
    }
  });

  test.each([
    ['of a page that is not there', LOAD, {}, 0, 4],
    ["of the kernel's page", LOAD, {}, 3, 5],
    ['of a page that cannot be written', STORE, {}, 5, 7],
    ["of the kernel's, which cannot be written", STORE, { supervisor: true }, 1, 3],
    ["of a user's page under SMAP", LOAD, { supervisor: true, cr4: CR4.smap }, 7, 1],
    ['of an entry with reserved bits', LOAD, {}, 7 + 2 ** 45, 13],
  ])('%s is a page fault', (_name, code, setup, entry, errorCode) => {
    const t = start(code, setup);
    const at = t.entry(DATA);
    t.m.setN64(at, entry === 0 ? 0 : entry + (t.m.u32(at) & ~0xfff));
    expect(t.run()).toMatchObject({ vector: PF, errorCode, cr2: BigInt(DATA), rip: BigInt(CODE) });
  });

  test("lets the kernel into a user's page while EFLAGS.AC is set, and no longer", () => {
    const CLAC = [0x0f, 0x01, 0xca];
    const t = start([...LOAD, ...CLAC, ...LOAD], { supervisor: true, cr4: CR4.smap, flags: AC });
    expect(t.run()).toMatchObject({ vector: PF, errorCode: 1, rip: BigInt(CODE + 6) });
  });

  test('lets the kernel write anywhere without CR0.WP', () => {
    const t = start(STORE, { supervisor: true });
    t.m.setU64(cpuState.cr0.addr(t.cpu), 0x8004_0033n);
    t.m.setU32(t.entry(DATA), t.m.u32(t.entry(DATA)) & ~2);
    expect(t.run().vector).toBe(UD);
  });

  test.each([
    [P2M.ram, []],
    [P2M.grantRo, ['write']],
    [P2M.mmio, ['read', 'write']],
    [P2M.none, ['read', 'write']],
  ] as [P2mType, string[]][])('of a frame of type %i goes where it should', (type, calls) => {
    const seen: string[] = [];
    const platform = {
      ...nullPlatform,
      mmioRead: (_c: number, _g: number, _s: number, out: Uint32Array): void => {
        seen.push('read');
        out.fill(0);
      },
      mmioWrite: (): void => void seen.push('write'),
    };
    const t = new TestCpu(platform);
    const code = t.map(CODE);
    const data = t.map(DATA);
    [...LOAD, ...STORE, 0x0f, 0x0b].forEach((b, i) => {
      t.m.setU8(code + i, b);
    });
    nest(t, data, type);
    setReg(t, 3, BigInt(DATA));
    t.user(CODE, 0);
    expect(t.run().vector).toBe(UD);
    expect(seen).toEqual(calls);
  });

  test.each(['the last', 'another'])(
    'marks nothing in %s table if the guest may only read its frame',
    (which) => {
      const t = start(LOAD);
      t.map(FAR);
      const entry = which === 'the last' ? t.entry(FAR) : directoryEntry(t, FAR);
      const before = t.m.u32(entry);
      nest(t, entry & ~0xfff, P2M.grantRo);
      setReg(t, 3, BigInt(FAR));
      expect(t.run()).toMatchObject({ vector: PF, rip: BigInt(CODE) });
      expect([before & ACCESSED, t.m.u32(entry)]).toEqual([0, before]);
    },
  );

  /** Guest frames are machine frames of the same number from now on, RAM but for one. */
  function nest(t: TestCpu, address: number, type: P2mType): void {
    const root = t.machine.allocFrames(P2M_ROOT_PAGES) * 4096;
    for (let gfn = 0; gfn < t.machine.totalFrames; gfn++) {
      const kind = gfn === address / 4096 ? type : P2M.ram;
      const entry = kind === P2M.none ? 0 : p2mEntry(gfn, kind);
      p2mSet(t.m, root, gfn, entry, () => t.machine.allocFrame() * 4096);
    }
    t.m.setU32(cpuState.p2mRoot.addr(t.cpu), root);
  }

  test('reaches the pieces of a large page, which INVLPG of any of them forgets', () => {
    const LARGE = 0x4000_0000;
    const INVLPG = [0x0f, 0x01, 0x3e]; // invlpg [rsi]
    const REMAP = [0x48, 0x89, 0x17]; // mov [rdi], rdx
    const t = start([...LOAD, ...REMAP, ...INVLPG, 0x48, 0x8b, 0x0b], { supervisor: true });
    t.entry(LARGE);
    const directory = directoryEntry(t, LARGE);
    const largePage = (): number => Math.ceil(t.machine.allocFrames(1023) / 512) * 0x20_0000;
    const [before, after] = [largePage(), largePage()];
    t.m.setU64(before + 0x1000, 0xaaaan);
    t.m.setU64(after + 0x1000, 0xbbbbn);
    t.m.setN64(directory, before + 0x83);
    t.map(0x60_0000, false, true, directory & ~0xfff);
    setReg(t, 3, BigInt(LARGE + 0x1000));
    setReg(t, 6, BigInt(LARGE + 0x5000));
    setReg(t, 7, BigInt(0x60_0000 + (directory & 0xfff)));
    setReg(t, 2, BigInt(after + 0x83));
    expect(t.run().vector).toBe(UD);
    expect([reg(t, 0), reg(t, 1)]).toEqual([0xaaaan, 0xbbbbn]);
  });

  /** Machine address of the directory's entry for a linear address. */
  function directoryEntry(t: TestCpu, linear: number): number {
    let table = Number(t.m.u64(cpuState.cr3.addr(t.cpu)));
    for (const shift of [39, 30])
      table = t.m.u32(table + (Math.floor(linear / 2 ** shift) % 512) * 8) & ~0xfff;
    return table + (Math.floor(linear / 2 ** 21) % 512) * 8;
  }
});

describe('an exception', () => {
  const KERNEL_CODE = 0x08;

  test('from ring 3 pushes what there was, on the stack of the TSS', () => {
    const t = start([0x0f, 0x0b], { flags: 0x8d5 });
    setReg(t, RSP, 0x1234n);
    const out = t.run();
    expect(out).toMatchObject({ vector: UD, rip: BigInt(CODE), rsp: 0x1234n });
    // RF is set in the image of a fault
    expect(out.flags).toBe(0x1_0ad7);
    const c = t.engine.core;
    expect([c.segSel(SEG.cs), c.segSel(SEG.ss), c.cpl, reg(t, RSP)]).toEqual([
      KERNEL_CODE,
      0,
      0,
      BigInt(KERNEL_STACK_TOP - 40),
    ]);
    expect(c.read(KERNEL_STACK_TOP - 32, 8, false)).toBe(0x1bn);
    expect(c.read(KERNEL_STACK_TOP - 8, 8, false)).toBe(0x23n);
  });

  test('from ring 0 stays on its stack, aligned, and keeps SS', () => {
    const t = start([0x0f, 0x0b], { supervisor: true });
    setReg(t, RSP, BigInt(KERNEL_STACK_TOP - 0x103));
    expect(t.run()).toMatchObject({ vector: UD, rsp: BigInt(KERNEL_STACK_TOP - 0x103) });
    expect(reg(t, RSP)).toBe(BigInt(KERNEL_STACK_TOP - 0x110 - 40));
    expect(t.engine.core.segSel(SEG.ss)).toBe(0x10);
  });

  test('clears IF at an interrupt gate, and leaves it at a trap gate', () => {
    for (const [type, left] of [
      [0xe, 0],
      [0xf, 0x200],
    ] as const) {
      const t = start([0x0f, 0x0b]);
      const gate = (t.m.u32(t.entry(0x8000_0000)) & ~0xfff) + UD * 16;
      t.m.setU8(gate + 5, 0xe0 | type);
      t.run();
      expect(t.engine.core.flags & 0x200).toBe(left);
    }
  });

  test('whose frame goes over a page boundary, or by IST, is delivered too', () => {
    const across = start([0x0f, 0x0b], { supervisor: true });
    across.map(KERNEL_STACK_TOP, false);
    setReg(across, RSP, BigInt(KERNEL_STACK_TOP + 16));
    expect(across.run()).toMatchObject({ vector: UD, rsp: BigInt(KERNEL_STACK_TOP + 16) });
    const ist = start([0x0f, 0x0b]);
    const gate = (ist.m.u32(ist.entry(0x8000_0000)) & ~0xfff) + UD * 16;
    ist.m.setU8(gate + 4, 3);
    const tss = (ist.m.u32(ist.entry(0x8000_2000)) & ~0xfff) + 0x100;
    ist.m.setU64(tss + 28 + 24, BigInt(KERNEL_STACK_TOP - 0x200));
    expect(ist.run().vector).toBe(UD);
    expect(reg(ist, RSP)).toBe(BigInt(KERNEL_STACK_TOP - 0x200 - 40));
  });

  test('that finds no gate becomes another one', () => {
    const t = start([0x0f, 0x0b]);
    const gate = (t.m.u32(t.entry(0x8000_0000)) & ~0xfff) + UD * 16;
    t.m.setU8(gate + 5, 0x0e);
    expect(t.run()).toMatchObject({ vector: 11, errorCode: UD * 8 + 3, rip: BigInt(CODE) });
    expect(t.engine.core.segSel(SEG.cs)).toBe(KERNEL_CODE);
  });
});
