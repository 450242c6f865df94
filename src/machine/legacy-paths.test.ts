/**
 * What a 32-bit kernel does all the time and is done in WebAssembly: gates, IRET, CR3, state, strings backward. It leaves
 * the same as the engine does, which does it where somebody watches every access.
 */
import { describe, expect, test, vi } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import { AT, HLT, Legacy, SEL } from './testing-legacy.ts';

const USER = { code: 0x53, data: 0x5b } as const;
const [EAX, ECX, EDX, EBX, ESP, ESI, EDI] = [0, 1, 2, 3, 4, 6, 7] as const;
const VECTOR = { ud: 6, gp: 13, pf: 14, int: 0x30 } as const;
const FLAG = { cf: 1, tf: 0x100, if: 0x200, df: 0x400, nt: 0x4000, vm: 0x2_0000, ac: 0x4_0000 } as const;
/** 2 MiB that only the kernel may use, that nobody may write, and that are not there: by the next table, or at all. */
const PAGE = {
  kernel: 0x1e0_0000,
  readOnly: 0x1c0_0000,
  absent: 0x300_0000,
  beyond: 0x4000_0000,
} as const;
const AREA = AT.data + 0x400;

const bytes = (v: number): number[] => [0, 8, 16, 24].map((at) => (v >>> at) & 255);

/** A kernel with PAE and segments for ring 3. */
function world(code: readonly number[]): Legacy {
  const g = new Legacy(code);
  g.t.engine.core.set32(cpuState.gdtLimit, 0x5f);
  g.descriptor(USER.code & ~3, 0, 0xfffff, 0xcfb);
  g.descriptor(USER.data & ~3, 0, 0xfffff, 0xcf3);
  g.word(AT.tss + 4, g.base + AT.top);
  g.word(AT.tss + 8, SEL.data);
  const tables = g.page(7);
  g.t.m.setU64(tables + 8 * (PAGE.kernel / 0x20_0000), BigInt(PAGE.kernel) | 0x83n);
  g.t.m.setU64(tables + 8 * (PAGE.readOnly / 0x20_0000), BigInt(PAGE.readOnly) | 0x85n);
  g.t.engine.core.set(cpuState.cr0, 0x8001_0011n);
  g.t.engine.core.set(cpuState.cr4, 0x4_0620n);
  g.t.engine.core.set(cpuState.xcr0, 3n);
  g.t.engine.stateChanged(g.t.cpu);
  return g;
}

/** All that code can see, and the frames. */
function seen({ t, base }: Legacy): unknown {
  const c = t.engine.core;
  const registers = Array.from({ length: 8 }, (_, r) => c.gpr(r));
  const segments = Array.from({ length: 6 }, (_, s) => [
    c.segSel(s),
    c.segAttr(s),
    t.m.u32(c.seg(s) + 4),
    c.segBase(s),
    t.m.u64(cpuState.segBase.addr(t.cpu, s)),
  ]);
  const control = [cpuState.cr2, cpuState.cr3, cpuState.rip, cpuState.mxcsr].map((f) => c.get(f));
  const pdptes = [0, 1, 2, 3].map((k) => t.m.u64(cpuState.pdpte.addr(t.cpu, k)));
  const unit = Array.from({ length: 120 }, (_, k) => t.m.u64(cpuState.xmm.addr(t.cpu, 0) + 8 * k)).slice(
    0,
    59,
  );
  const frames = Array.from({ length: 0x6000 / 8 }, (_, k) => t.m.u64(base + 8 * k));
  const count = cpuState.icount.get(t.m, t.cpu);
  return { registers, segments, control, pdptes, unit, frames, count, flags: c.flags, cpl: c.cpl };
}
/**
 * Runs a world as it is, and one in which all is the engine's: they leave the same. Answers the first, and how often a
 * segment register was loaded by the engine in it.
 */
function both(make: () => Legacy): { g: Legacy; vector: number; loads: number } {
  const [g, other] = [make(), make()];
  other.t.engine.core.set32(cpuState.watched, 1);
  const loads = vi.spyOn(g.t.engine.core, 'setSeg');
  const { vector } = g.run();
  expect(other.run().vector).toBe(vector);
  expect(seen(g)).toEqual(seen(other));
  return { g, vector, loads: loads.mock.calls.length };
}

interface Frame {
  cs?: number;
  ss?: number;
  flags?: number;
  esp?: number;
}
/** A stack at which IRET finds where to go, from a page offset on. */
function frame(g: Legacy, at: number, { cs = USER.code, ss = USER.data, flags = 2, esp }: Frame = {}): void {
  [g.base + AT.otherCode, cs, flags, esp ?? g.base + AT.top - 0x900, ss].forEach((w, k) => {
    g.word(at + 4 * k, w);
  });
  g.gpr(ESP, g.base + at);
}
/** Goes to other code by IRET, and back by its gate's handler, EBX times. */
function rounds(event: readonly number[], vector: number, to: Frame, error: boolean, type = 0xee): Legacy {
  const g = world([0xcf]);
  g.bytes(AT.otherCode, [...event, 0xeb, 256 - event.length - 2]);
  // add esp, 4; dec ebx; jz to the HLT; iret
  const handler = [...(error ? [0x83, 0xc4, 4] : []), 0x4b, 0x74, 1, 0xcf, HLT];
  g.bytes(AT.halts + 8 * vector, handler);
  g.gate(vector, SEL.code, g.base + AT.halts + 8 * vector, type);
  frame(g, AT.top - 0x600, to);
  // the kernel has left the user's in place
  for (const s of [SEG.es, SEG.ds]) g.t.engine.core.setSeg(s, USER.data, 0xcf3, 0xffff_ffff, 0);
  g.t.engine.stateChanged(g.t.cpu);
  g.gpr(EBX, 20);
  return g;
}
const KERNEL = { cs: SEL.code, ss: SEL.data } as const;
const load = (at: number): number[] => [0xa1, ...bytes(at)];
const store = (at: number): number[] => [0xa3, ...bytes(at)];

describe('a gate of 32-bit code, and IRET behind it', () => {
  test.each([
    ['INT from ring 3', [0xcd, VECTOR.int], VECTOR.int, {}],
    ['INT from ring 0', [0xcd, VECTOR.int], VECTOR.int, KERNEL],
    ['an exception of ring 3', [0x0f, 0x0b], VECTOR.ud, {}],
    ['an exception of ring 0', [0x0f, 0x0b], VECTOR.ud, KERNEL],
    ['with flags', [0x0f, 0x0b], VECTOR.ud, { flags: 0x20_0ed7 | FLAG.if }],
    ["INT with flags of ring 3's", [0xcd, VECTOR.int], VECTOR.int, { flags: 0x20_3ed7 | FLAG.if }],
    ['that the kernel reads a page without', load(PAGE.absent), VECTOR.pf, KERNEL],
    ['that the kernel writes what cannot be written', store(PAGE.readOnly), VECTOR.pf, KERNEL],
    ['that the user reads a page without', load(PAGE.absent), VECTOR.pf, {}],
    ['that the user writes beyond all tables', store(PAGE.beyond), VECTOR.pf, {}],
    ["that the user reads the kernel's", load(PAGE.kernel), VECTOR.pf, {}],
    ['that the user writes what cannot be written', store(PAGE.readOnly), VECTOR.pf, {}],
  ] as [string, number[], number, Frame][])(
    '%s: leaves what the engine leaves, without it',
    (_name, ...how) => {
      const [event, vector, to] = how;
      for (const type of [0xee, 0xef]) {
        const done = both(() => rounds(event, vector, to, vector === VECTOR.pf, type));
        expect(done.g.gpr(EBX)).toBe(0);
        // the first ways are the engine's: what code means there is not known yet
        expect(done.loads).toBeLessThan(12);
      }
    },
  );

  test('pushes what there was, and has what the TSS says', () => {
    const { g } = both(() => rounds(store(PAGE.readOnly), VECTOR.pf, { flags: FLAG.cf | 2 }, false));
    const top = AT.top - 24;
    expect([0, 4, 8, 12, 16, 20].map((k) => g.read(top + k))).toEqual([
      7,
      g.base + AT.otherCode,
      USER.code,
      0x1_0003,
      g.base + AT.top - 0x900,
      USER.data,
    ]);
  });

  test('whose selectors or stack are not plain leaves what the engine leaves', () => {
    const changes: ((g: Legacy) => void)[] = [
      (g) => g.descriptor(SEL.code, 0, 0xfffff, 0xc9a),
      (g) => g.descriptor(SEL.code, 0, 0xfffff, 0xc9f),
      (g) => g.descriptor(SEL.data, 0, 0xfffff, 0xc92),
      (g) => g.descriptor(SEL.data, 0, 0xffff, 0xc93),
      (g) => g.descriptor(SEL.data, 0x1000, 0xfffff, 0xc93),
      (g) => g.descriptor(USER.code & ~3, 0, 0xfffff, 0xcfa),
      (g) => g.descriptor(USER.code & ~3, 0, 0xfffff, 0x4fb),
      (g) => g.descriptor(USER.code & ~3, 0, 0xfffff, 0xc7b),
      (g) => g.descriptor(USER.data & ~3, 0, 0xfffff, 0xcf2),
      (g) => g.descriptor(USER.data & ~3, 0, 0xfffff, 0xcf1),
      (g) => g.descriptor(USER.data & ~3, 0, 0xfffff, 0x8f3),
      (g) => g.word(AT.tss + 4, g.base + AT.top - 4096 + 12),
      (g) => g.word(AT.tss + 8, 0),
      (g) => g.word(AT.tss + 8, USER.data),
      (g) => g.gate(VECTOR.int, SEL.code, g.base + AT.halts + 8 * VECTOR.int, 0x8e),
      (g) => g.gate(VECTOR.int, SEL.code, g.base + AT.halts + 8 * VECTOR.int, 0x6e),
      (g) => g.gate(VECTOR.int, SEL.data, g.base + AT.halts + 8 * VECTOR.int, 0xee),
      (g) => g.gate(VECTOR.int, SEL.code, 0x40, 0xe6),
      (g) => g.t.engine.core.set32(cpuState.idtLimit, 8 * VECTOR.int + 6),
      (g) => g.t.engine.core.set32(cpuState.gdtLimit, USER.data - 1),
      (g) => g.t.engine.core.setSeg(SEG.tr, SEL.tss, 0x8b, 8, g.base + AT.tss),
      (g) => g.t.engine.core.setSeg(SEG.tr, SEL.tss, 0x83, 0x67, g.base + AT.tss),
    ];
    changes.forEach((change) => {
      both(() => {
        const g = rounds([0xcd, VECTOR.int], VECTOR.int, {}, false);
        // what does not come through has a gate of its own that does
        for (const v of [10, 11, 12, 13]) g.gate(v, SEL.code, g.base + AT.halts + 8 * v, 0xee);
        change(g);
        return Object.assign(g, { run: () => tried(g) });
      });
    });
  });
  /** -2: there was no way to tell of it. */
  function tried(g: Legacy): { vector: number; at: number } {
    try {
      return Legacy.prototype.run.call(g);
    } catch {
      return { vector: -2, at: 0 };
    }
  }
});

describe('IRET', () => {
  const to = (how: Frame, at = AT.top - 0x600): (() => Legacy) => {
    return () => {
      const g = world([0xcf]);
      g.bytes(AT.otherCode, [0xcd, VECTOR.int]);
      frame(g, at, how);
      return g;
    };
  };

  test.each([
    ['a frame across pages', {}, AT.top - 4096 - 16],
    ['a short frame across pages', KERNEL, AT.top - 4096 - 8],
    ['alignment checks', { flags: FLAG.ac | 2 }, undefined],
    ['single steps', { flags: FLAG.tf | 2 }, undefined],
    ['a nested task', { flags: FLAG.nt | 2 }, undefined],
    ['other rings of stack and code', { ss: SEL.data }, undefined],
    ['ring 1', { cs: 0x51, ss: 0x59 }, undefined],
    ['no code segment', { cs: 0 }, undefined],
    ['no stack segment', { ss: 3 }, undefined],
    ['data for code', { cs: USER.data }, undefined],
    ['a selector of the LDT', { cs: USER.code | 4 }, undefined],
    ['a selector beyond the table', { cs: 0x63 }, undefined],
    ['virtual-8086 mode', { flags: FLAG.vm | 2, cs: 0x100 }, undefined],
  ] as [string, Frame, number | undefined][])('to %s leaves what the engine leaves', (_name, how, at) => {
    both(to(how, at));
  });

  test('takes from ring 3 the segments it may not have', () => {
    const { g } = both(() => {
      const made = to({})();
      made.t.engine.core.setSeg(SEG.fs, USER.data, 0xcf3, 0xffff_ffff, 0);
      return made;
    });
    expect([SEG.es, SEG.ds, SEG.fs, SEG.gs].map((s) => g.t.engine.core.segSel(s))).toEqual([
      0,
      0,
      USER.data,
      0,
    ]);
  });
});

describe('MOV to CR3', () => {
  /** mov cr3, eax; mov edx, cr3; mov esi, cr0; mov edi, cr2; hlt */
  const CODE = [0x0f, 0x22, 0xd8, 0x0f, 0x20, 0xda, 0x0f, 0x20, 0xc6, 0x0f, 0x20, 0xd7, HLT];
  const withEntry = (k: number, entry: bigint) => (): Legacy => {
    const g = world(CODE);
    const { machine, m, cpu } = g.t;
    const top = machine.allocFrame() * 4096 + 0x40;
    m.setU64(top, m.u64(cpuState.pdpte.addr(cpu, 0)));
    m.setU64(top + 8 * k, entry);
    g.gpr(EAX, top + 8);
    g.t.engine.core.set(cpuState.cr2, 0x1234n);
    return g;
  };

  test('loads the entries that legacy PAE has as registers, without the engine', () => {
    const { g, vector } = both(withEntry(2, 0x7001n));
    expect([vector, g.t.m.u64(cpuState.pdpte.addr(g.t.cpu, 2))]).toEqual([-1, 0x7001n]);
    const plain = withEntry(3, 0x7000n)();
    const walked = vi.spyOn(plain.t.engine.core.mmu, 'loadPdptes');
    expect(plain.run().vector).toBe(-1);
    expect(walked).not.toHaveBeenCalled();
    expect([EDX, ESI, EDI].map((r) => plain.gpr(r))).toEqual([plain.gpr(EAX), 0x8001_0011, 0x1234]);
  });

  test.each([
    ['reserved bits', 0x7003n, VECTOR.gp],
    ['an address of too many bits', 0x100_0000_7001n, VECTOR.gp],
    ['what is not present, whatever it has', 0x7ffen, -1],
  ])('finds %s', (_name, entry, vector) => {
    for (const k of [1, 3]) {
      const done = both(withEntry(k, entry));
      expect(done.vector).toBe(vector);
    }
  });

  test("is the kernel's", () => {
    const { g } = both(() => rounds([0x0f, 0x22, 0xd8], VECTOR.gp, {}, true));
    expect(g.gpr(EBX)).toBe(0);
  });
});

describe('the state of x87 and SSE in 32-bit code', () => {
  const RESTORE = { xrstor: [0x0f, 0xae, 0x2b], fxrstor: [0x0f, 0xae, 0x0b] } as const; // [ebx]
  const SAVE = {
    xsave: [0x0f, 0xae, 0x23],
    xsaveopt: [0x0f, 0xae, 0x33],
    xsavec: [0x0f, 0xc7, 0x23],
    fxsave: [0x0f, 0xae, 0x03],
  } as const;
  function filled(code: readonly number[], rfbm: number, at: number): Legacy {
    const g = world([...code, HLT]);
    const { m, cpu } = g.t;
    m.setU16(cpuState.fcw.addr(cpu), 0x37f);
    m.setU16(cpuState.fsw.addr(cpu), 0x2800);
    m.setU8(cpuState.ftw.addr(cpu), 0xe0);
    m.setU64(cpuState.fip.addr(cpu), 0x7_1234_5678n);
    m.setU64(cpuState.fdp.addr(cpu), 0x9_8765_4321n);
    m.setU32(cpuState.mxcsr.addr(cpu), 0x1fa0);
    for (let r = 0; r < 16; r++) m.setU64(cpuState.xmm.addr(cpu, r) + 8, 0x77n << BigInt(r));
    for (let r = 0; r < 8; r++) m.setU64(cpuState.fpr.addr(cpu, r), 0x8000_0000_0000_0000n + BigInt(r));
    for (let k = 0; k < 640; k += 4) g.word(at + k, 0xcccc_cccc);
    for (let k = 512; k < 576; k += 4) g.word(at + k, 0);
    g.gpr(EAX, rfbm);
    g.gpr(EDX, 0);
    g.gpr(EBX, g.base + at);
    return g;
  }

  test.each(Object.entries(SAVE))('%s writes what the engine writes', (_name, code) => {
    for (const rfbm of [0, 1, 2, 3]) both(() => filled(code, rfbm, AREA));
  });
  test.each([...Object.values(SAVE), ...Object.values(RESTORE)])(
    '%i %i %i is done without the engine',
    (...code) => {
      const g = filled(code, 3, AREA);
      const [loads, probes] = [vi.spyOn(g.t.engine.core, 'load'), vi.spyOn(g.t.engine.core, 'probe')];
      g.word(AREA + 24, 0x1f80);
      expect(g.run().vector).toBe(-1);
      expect([loads.mock.calls.length, probes.mock.calls.length]).toEqual([0, 0]);
    },
  );
  test('comes back as it was, or as it is at first', () => {
    for (const [save, restore] of [
      [SAVE.fxsave, RESTORE.fxrstor],
      [SAVE.xsave, RESTORE.xrstor],
      [SAVE.xsavec, RESTORE.xrstor],
    ] as const)
      for (const rfbm of [1, 2, 3]) {
        // fninit; xorps xmm1, xmm1; ldmxcsr of the HLT's page, where there are zeros
        const change = [0xdb, 0xe3, 0x0f, 0x57, 0xc9, 0x0f, 0xae, 0x93, ...bytes(0x800)];
        both(() => filled([...save, ...change, ...restore], rfbm, AREA));
        both(() => filled(restore, rfbm, AREA));
      }
  });
  test('may lie across pages, be misaligned or beyond the segment', () => {
    for (const code of [...Object.values(SAVE), ...Object.values(RESTORE)]) {
      both(() => filled(code, 3, AT.data + 4096 - 64));
      both(() => filled(code, 3, AREA + 8));
      both(() => {
        const g = filled(code, 3, AREA);
        g.t.engine.core.setSeg(SEG.ds, SEL.data, 0xc93, g.base + AREA + 511, 0);
        g.t.engine.stateChanged(g.t.cpu);
        return g;
      });
      both(() => {
        const g = filled(code, 3, AREA);
        g.t.engine.core.setSeg(SEG.ds, SEL.data, 0xc93, 0xffff_ffff, 0x40);
        g.t.engine.stateChanged(g.t.cpu);
        return g;
      });
    }
  });
});

describe('POP to memory', () => {
  const pop = (code: readonly number[], ebx: number) => (): Legacy => {
    const g = world([...code, HLT]);
    g.gpr(ESP, g.base + AT.data);
    for (let k = 0; k < 64; k += 4) g.word(AT.data + k, 0x1111_1111 * (k / 4 + 1));
    g.gpr(EBX, ebx || g.base + AT.data + 0x30);
    return g;
  };

  test('has its address from the stack pointer behind the word', () => {
    const { g } = both(pop([0x8f, 0x44, 0x24, 8], 0)); // pop dword [esp + 8]
    expect([g.read(AT.data + 12), g.gpr(ESP)]).toEqual([0x1111_1111, g.base + AT.data + 4]);
    both(pop([0x66, 0x8f, 0x04, 0x24], 0));
    both(pop([0x8f, 0x03], 0));
  });
  test('leaves the stack pointer where it cannot write', () => {
    const { vector, g } = both(pop([0x8f, 0x03], PAGE.readOnly));
    expect([vector, g.read(AT.data - 16)]).toEqual([VECTOR.pf, 3]);
    expect(g.gpr(ESP)).toBe(g.base + AT.data - 16);
  });
});

test('INVLPG forgets a page in a segment with a base', () => {
  // mov eax, [ebx]; mov [esi], edx; invlpg [edi]; mov ecx, [ebx]
  const g = world([0x8b, 0x03, 0x89, 0x16, 0x0f, 0x01, 0x3f, 0x8b, 0x0b, HLT]);
  const { machine, m, cpu } = g.t;
  const [table, one, two] = [0, 0, 0].map(() => machine.allocFrame() * 4096) as [number, number, number];
  const directory = Number(m.u64(cpuState.pdpte.addr(cpu, 0)) & ~0xfffn);
  m.setN64(directory + 8 * (PAGE.absent / 0x20_0000), table + 7);
  m.setN64(table, one + 7);
  m.setU32(one, 0xaaaa);
  m.setU32(two, 0xbbbb);
  g.t.engine.core.setSeg(SEG.ds, SEL.data, 0xc93, 0xffff_ffff, 0x1000);
  g.t.engine.stateChanged(cpu);
  g.gpr(EBX, PAGE.absent - 0x1000);
  g.gpr(EDI, PAGE.absent - 0x1000 + 0x123);
  g.gpr(ESI, table - 0x1000);
  g.gpr(EDX, two + 7);
  const helped = vi.spyOn(g.t.engine.services, 'invalidate');
  expect(g.run().vector).toBe(-1);
  expect([g.gpr(EAX), g.gpr(ECX)]).toEqual([0xaaaa, 0xbbbb]);
  expect(helped).not.toHaveBeenCalled();
});

describe('strings backward', () => {
  const [FROM, TO] = [AT.data + 0x7f0, AT.data + 0x17e0];
  const moved = (code: readonly number[], from: number, to: number, count: number) => (): Legacy => {
    const g = world([...code, HLT]);
    for (let k = 0; k < 0x2000; k++) g.t.m.setU8(g.base + AT.data + k, (k * 7 + (k >> 8)) & 255);
    g.t.engine.core.flags = FLAG.df | 2;
    g.gpr(EAX, 0x1234_5678);
    g.gpr(ECX, count);
    g.gpr(ESI, g.base + from);
    g.gpr(EDI, g.base + to);
    return g;
  };

  test.each([
    ['MOVSB', [0xa4]],
    ['REP MOVSB', [0xf3, 0xa4]],
    ['REP MOVSW', [0xf3, 0x66, 0xa5]],
    ['REP MOVSD', [0xf3, 0xa5]],
    ['REP STOSB', [0xf3, 0xaa]],
    ['REP STOSD', [0xf3, 0xab]],
  ])('%s leaves what the engine leaves, over pages and over itself', (_name, code) => {
    for (const [from, to] of [
      [FROM, TO],
      [FROM + 1, TO + 3],
      [FROM, FROM + 8],
      [FROM + 8, FROM],
      [FROM + 1, FROM],
      [FROM, FROM],
    ] as const)
      for (const count of [0, 1, 7, 400]) both(moved(code, from, to, count));
  });

  test('are moved in one piece', () => {
    const g = moved([0xf3, 0xa5], FROM, TO, 400)();
    const reads = vi.spyOn(g.t.engine.core, 'load');
    expect(g.run().vector).toBe(-1);
    expect([g.gpr(ECX), g.gpr(ESI)]).toEqual([0, g.base + FROM - 1600]);
    expect(reads.mock.calls.length).toBeLessThan(4);
  });
});

describe('code of 32 bits', () => {
  test('that lies across two pages is decoded once', () => {
    const g = world([]);
    // mov eax, imm32 over the end of the page; loop
    g.bytes(AT.data + 4094, [0xb8, 1, 2, 3, 4, 0xe2, 0xf9, HLT]);
    g.t.engine.core.setLin(cpuState.rip, g.base + AT.data + 4094);
    g.gpr(ECX, 50);
    const alone = vi.spyOn(g.t.engine.cache, 'lowerAlone');
    expect(g.run().vector).toBe(-1);
    expect([g.gpr(EAX), g.gpr(ECX)]).toEqual([0x0403_0201, 0]);
    expect(alone.mock.calls.length).toBeLessThan(3);
  });

  test('whose entry of the TLB was taken is found again without the engine', () => {
    // loop to and fro between two pages that have the same entry: jmp esi; and dec ecx; jz; jmp edi
    const g = world([0x49, 0x74, 2, 0xff, 0xe7, HLT]);
    const far = g.base + AT.code + 0x200_0000;
    const { machine, m, cpu } = g.t;
    const [table, page] = [machine.allocFrame() * 4096, machine.allocFrame() * 4096];
    const directory = Number(m.u64(cpuState.pdpte.addr(cpu, 0)) & ~0xfffn);
    m.setN64(directory + 8 * (far >>> 21), table + 7);
    m.setN64(table + 8 * ((far >>> 12) & 511), page + 7);
    [0xff, 0xe6].forEach((b, k) => {
      m.setU8(page + k, b);
    });
    g.gpr(ECX, 100);
    g.gpr(EDI, far);
    g.gpr(ESI, g.base + AT.code);
    const walks = vi.spyOn(g.t.engine.core.mmu, 'translate');
    expect(g.run().vector).toBe(-1);
    expect(walks.mock.calls.length).toBeLessThan(10);
  });
});
