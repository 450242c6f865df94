/** Legacy protected mode: task switches, segment limits, and what a kernel's entries do without the engine. */
import { describe, expect, test, vi } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import { EXIT } from './platform.ts';
import { TestCpu } from './testing.ts';

const NT = 0x4000;
const TSS_32 = 9;
/** GDT entries. */
const SEL = {
  code: 0x08,
  data: 0x10,
  tss: 0x18,
  other: 0x20,
  gate: 0x28,
  short: 0x30,
  down: 0x38,
  code16: 0x40,
} as const;
/** Places in one run of frames: tables, a TSS each, code and a stack for each task, handlers. */
const AT = {
  gdt: 0,
  idt: 0x100,
  tss: 0x400,
  other: 0x500,
  code: 0x1000,
  otherCode: 0x1800,
  halts: 0x2000,
  data: 0x3000,
  top: 0x5000,
} as const;

const HLT = 0xf4;
const FAR = { jmp: 0xea, call: 0x9a } as const;
const far = (op: number, sel: number): number[] => [op, 0, 0, 0, 0, sel & 255, sel >> 8];

class Legacy {
  readonly t = new TestCpu();
  readonly base = this.t.machine.allocFrames(6) * 4096;

  constructor(code: readonly number[]) {
    const { t } = this;
    t.m.fill(this.base, 6 * 4096);
    t.m.fill(this.base + AT.halts, 0x800, HLT);
    this.bytes(AT.code, code);
    this.descriptor(SEL.code, 0, 0xfffff, 0xc9b);
    this.descriptor(SEL.data, 0, 0xfffff, 0xc93);
    this.descriptor(SEL.tss, this.base + AT.tss, 0x67, 0x80 | TSS_32 | 2);
    this.descriptor(SEL.other, this.base + AT.other, 0x67, 0x80 | TSS_32);
    this.descriptor(SEL.short, this.base + AT.data, 0xff, 0x493);
    this.descriptor(SEL.down, this.base + AT.data, 0xff, 0x497);
    this.bytes(SEL.gate, [0, 0, SEL.other, 0, 0, 0xe5, 0, 0]);
    for (let v = 0; v < 64; v++) this.gate(v, SEL.code, this.base + AT.halts + v * 8, 0xee);
    this.word(AT.other + 32, this.base + AT.otherCode);
    this.word(AT.other + 36, 2);
    this.word(AT.other + 56, this.base + AT.top - 0x800);
    [SEL.data, SEL.code, SEL.data, SEL.data, SEL.data, SEL.data].forEach((sel, i) => {
      this.word(AT.other + 72 + 4 * i, sel);
    });
    this.registers();
  }

  private registers(): void {
    const { t, base } = this;
    const c = t.engine.core;
    c.cpu = t.cpu;
    c.set(cpuState.cr0, 0x11n);
    c.set(cpuState.cr4, 0n);
    c.set(cpuState.efer, 0n);
    t.m.setU64(t.cpu + cpuState.cpl.offset, 0n);
    c.setLin(cpuState.gdtBase, base + AT.gdt);
    c.set32(cpuState.gdtLimit, 0x47);
    c.setLin(cpuState.idtBase, base + AT.idt);
    c.set32(cpuState.idtLimit, 64 * 8 - 1);
    for (const s of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, SEL.data, 0xc93, 0xffff_ffff, 0);
    c.setSeg(SEG.cs, SEL.code, 0xc9b, 0xffff_ffff, 0);
    c.setSeg(SEG.tr, SEL.tss, 0x8b, 0x67, base + AT.tss);
    c.setSeg(SEG.ldtr, 0, 0, 0, 0);
    c.flags = 2;
    c.setGpr32(4, base + AT.top);
    c.setLin(cpuState.rip, base + AT.code);
    t.engine.stateChanged(t.cpu);
  }

  bytes(at: number, code: readonly number[]): void {
    code.forEach((b, i) => {
      this.t.m.setU8(this.base + at + i, b);
    });
  }
  word(at: number, v: number): void {
    this.t.m.setU32(this.base + at, v >>> 0);
  }
  read(at: number): number {
    return this.t.m.u32(this.base + at);
  }
  descriptor(sel: number, base: number, limit: number, attr: number): void {
    this.word(sel, (base << 16) | (limit & 0xffff));
    this.word(
      sel + 4,
      (base & 0xff00_0000) |
        ((attr & 0xf00) << 12) |
        (limit & 0xf_0000) |
        ((attr & 0xff) << 8) |
        ((base >>> 16) & 0xff),
    );
  }
  gate(v: number, sel: number, offset: number, type: number): void {
    this.word(AT.idt + v * 8, (sel << 16) | (offset & 0xffff));
    this.word(AT.idt + v * 8 + 4, (offset & 0xffff_0000) | (type << 8));
  }
  gpr(r: number, v?: number): number {
    if (v !== undefined) this.t.engine.core.setGpr32(r, v);
    return this.t.engine.core.gpr32(r);
  }
  /** Runs to a HLT: the vector of the handler it is in, or where in the frames it is. */
  run(): { vector: number; at: number } {
    const { t } = this;
    const exit = t.engine.run(t.cpu, 100_000);
    if (exit !== EXIT.hlt) throw new Error(`exit ${exit} ${t.engine.lastError}`);
    const c = t.engine.core;
    const at = c.lin(cpuState.rip) + c.segBase(SEG.cs) - 1 - this.base;
    return at >= AT.halts && at < AT.halts + 64 * 8
      ? { vector: (at - AT.halts) / 8, at }
      : { vector: -1, at };
  }
  get tr(): number {
    return this.t.engine.core.segSel(SEG.tr);
  }
  get flags(): number {
    return this.t.engine.core.flags;
  }
  busy(sel: number): boolean {
    return (this.read(sel + 4) & 0x200) !== 0;
  }
}

describe('a task switch', () => {
  test('by JMP saves the old task, loads the new one and marks it busy', () => {
    const g = new Legacy([...far(FAR.jmp, SEL.other), HLT]);
    g.bytes(AT.otherCode, [HLT]);
    g.word(AT.other + 40, 0x1234); // eax
    g.gpr(3, 0x5678);
    expect(g.run().at).toBe(AT.otherCode);
    expect(g.gpr(0)).toBe(0x1234);
    expect(g.tr).toBe(SEL.other);
    expect([g.busy(SEL.tss), g.busy(SEL.other)]).toEqual([false, true]);
    expect(g.read(AT.tss + 32)).toBe(g.base + AT.code + 7);
    expect(g.read(AT.tss + 40 + 4 * 3)).toBe(0x5678);
    expect(g.t.m.u32(g.t.cpu + cpuState.cr0.offset) & 8).toBe(8);
  });

  test('by CALL is undone by IRET', () => {
    const g = new Legacy([...far(FAR.call, SEL.other), HLT]);
    g.bytes(AT.otherCode, [0xcf]);
    g.gpr(0, 0x77);
    expect(g.run().at).toBe(AT.code + 7);
    expect(g.gpr(0)).toBe(0x77);
    expect(g.tr).toBe(SEL.tss);
    expect([g.busy(SEL.tss), g.busy(SEL.other)]).toEqual([true, false]);
    expect(g.read(AT.other) & 0xffff).toBe(SEL.tss);
    // IRET leaves NT clear in the task it ends
    expect(g.read(AT.other + 36) & NT).toBe(0);
  });

  test('goes by a task gate in the GDT too', () => {
    const g = new Legacy(far(FAR.call, SEL.gate));
    g.bytes(AT.otherCode, [HLT]);
    expect(g.run().at).toBe(AT.otherCode);
    expect(g.flags & NT).toBe(NT);
  });

  test('by an exception pushes the error code alone, on the new stack', () => {
    const g = new Legacy([0x8e, 0xd8, HLT]); // mov ds, eax
    g.gpr(0, 0x100);
    g.gate(13, SEL.other, 0, 0xe5);
    g.bytes(AT.otherCode, [HLT]);
    expect(g.run().at).toBe(AT.otherCode);
    expect(g.gpr(4)).toBe(g.base + AT.top - 0x804);
    expect(g.read(AT.top - 0x804)).toBe(0x100);
    expect(g.read(AT.tss + 32)).toBe(g.base + AT.code);
  });

  test('to a busy task is #GP, and to one of too small a limit #TS, both in the old task', () => {
    const busy = new Legacy(far(FAR.jmp, SEL.tss));
    expect(busy.run().vector).toBe(13);
    const small = new Legacy(far(FAR.jmp, SEL.other));
    small.descriptor(SEL.other, small.base + AT.other, 0x66, 0x80 | TSS_32);
    expect(small.run().vector).toBe(10);
    expect(small.tr).toBe(SEL.tss);
  });

  test('with a bad segment is #TS in the new task', () => {
    const g = new Legacy(far(FAR.jmp, SEL.other));
    g.word(AT.other + 72 + 4 * 3, SEL.tss); // ds
    expect(g.run().vector).toBe(10);
    expect(g.tr).toBe(SEL.other);
    expect(g.read(AT.top - 0x810)).toBe(SEL.tss);
    expect(g.read(AT.top - 0x80c)).toBe(g.base + AT.otherCode);
  });

  test('traps before the first instruction when the TSS says so', () => {
    const g = new Legacy(far(FAR.jmp, SEL.other));
    g.word(AT.other + 100, 1);
    expect(g.run().vector).toBe(1);
    expect(g.read(AT.top - 0x80c)).toBe(g.base + AT.otherCode);
    expect(g.t.m.u32(cpuState.dr.addr(g.t.cpu, 6)) & 0x8000).toBe(0x8000);
  });
});

/** ES is limited when code is decoded, FS when it is run; and how each is loaded from EAX and used. */
const LOADED = [
  ['ES', 0xc0, 0x26],
  ['FS', 0xe0, 0x64],
  ['GS', 0xe8, 0x65],
] as const;

describe.each(LOADED)('a segment limit of %s', (_name, modrm, prefix) => {
  const load = (sel: number, ...code: number[]): Legacy => {
    const g = new Legacy([0x8e, modrm, ...code, HLT]); // mov es, eax
    g.gpr(0, sel);
    return g;
  };

  test('lets the last byte through and nothing across it', () => {
    const ok = load(SEL.short, prefix, 0x8b, 0x1b); // mov ebx, es:[ebx]
    ok.gpr(3, 0xfc);
    ok.word(AT.data + 0xfc, 0xabcd);
    expect(ok.run().vector).toBe(-1);
    expect(ok.gpr(3)).toBe(0xabcd);
    const across = load(SEL.short, prefix, 0x8b, 0x1b);
    across.gpr(3, 0xfd);
    expect(across.run().vector).toBe(13);
  });

  test('of an expand-down segment is where it begins', () => {
    const below = load(SEL.down, prefix, 0x8b, 0x1b);
    below.gpr(3, 0xff);
    expect(below.run().vector).toBe(13);
    const above = load(SEL.down, prefix, 0x8b, 0x1b);
    above.gpr(3, 0x100);
    expect(above.run().vector).toBe(-1);
  });

  test('a null selector can be held but not used', () => {
    expect(load(0).run().vector).toBe(-1);
    expect(load(3, prefix, 0x8b, 0x1b).run().vector).toBe(13);
  });

  test('counts for each part of what an instruction does', () => {
    const cases: [number[], number][] = [
      [[prefix, 0x01, 0x0b], 0], // add es:[ebx], ecx
      [[prefix, 0xf0, 0x0f, 0xc1, 0x0b], 0], // lock xadd es:[ebx], ecx
      [[prefix, 0xff, 0x33], 0], // push dword es:[ebx]
      [[prefix, 0x8f, 0x03], 0], // pop dword es:[ebx]
      [[prefix, 0xd9, 0x03], 0], // fld dword es:[ebx]
      [[prefix, 0xdd, 0x03], 4], // fld qword es:[ebx]
      [[prefix, 0x0f, 0x10, 0x03], 12], // movups xmm0, es:[ebx]
      [[prefix, 0x0f, 0xab, 0x0b], 0], // bts es:[ebx], ecx
      [[prefix, 0xff, 0x13], 0], // call es:[ebx]
    ];
    for (const [code, more] of cases)
      for (const [at, vector] of [
        [0xfc - more, -1],
        [0xfd - more, 13],
      ] as const) {
        const g = load(SEL.short, ...code);
        g.t.engine.core.set(cpuState.cr4, 0x600n);
        g.gpr(3, at);
        // where CALL goes is a HLT too
        g.word(AT.data + at, g.base + AT.code + 2 + code.length);
        expect([code, g.run().vector]).toEqual([code, vector]);
      }
  });
});

describe('a segment limit', () => {
  const load = (sel: number, ...code: number[]): Legacy => {
    const g = new Legacy([0x8e, 0xc0, ...code, HLT]); // mov es, eax
    g.gpr(0, sel);
    return g;
  };

  test('of the stack is #SS, for the operand as for PUSH', () => {
    // mov ss, eax; push ebx: the handler's frame would not fit either, so a task takes the fault
    const stack = new Legacy([0x8e, 0xd0, 0x53, HLT]);
    stack.gpr(0, SEL.short);
    stack.gate(12, SEL.other, 0, 0xe5);
    stack.bytes(AT.otherCode, [HLT]);
    expect(stack.run().at).toBe(AT.otherCode);
    expect(stack.read(AT.tss + 32)).toBe(stack.base + AT.code + 2);
  });

  test('stops REP STOS at the element that is outside', () => {
    const g = load(SEL.short, 0xf3, 0xaa); // rep stosb
    g.gpr(7, 0xf0);
    g.gpr(1, 0x40);
    expect(g.run().vector).toBe(13);
    expect(g.gpr(7)).toBe(0x100);
    expect(g.gpr(1)).toBe(0x30);
  });
});

describe.each(LOADED)('a segment type of %s', (_name, modrm, prefix) => {
  const PAST = 0x50;
  const load = (attr: number, ...code: number[]): Legacy => {
    const g = new Legacy([0x8e, modrm, ...code, HLT]); // mov es, eax
    g.t.engine.core.set32(cpuState.gdtLimit, 0x57);
    g.descriptor(PAST, 0, 0xfffff, attr);
    g.gpr(0, PAST);
    g.gpr(3, g.base + AT.data);
    return g;
  };
  const read = [prefix, 0x8b, 0x0b]; // mov ecx, es:[ebx]
  const write = [prefix, 0x89, 0x0b];
  const modify = [prefix, 0xff, 0x03]; // inc dword es:[ebx]

  test.each([
    ['data that can be written', 0xc93, -1],
    ['read-only data', 0xc91, 13],
    ['code', 0xc9b, 13],
  ])('%s is written to, or is not', (_name, attr, vector) => {
    expect(load(attr, ...read).run().vector).toBe(-1);
    expect(load(attr, ...write).run().vector).toBe(vector);
    expect(load(attr, ...modify).run().vector).toBe(vector);
  });

  test('flat code is not written to through CS, either', () => {
    const g = new Legacy([0x2e, 0x89, 0x0b, HLT]);
    g.gpr(3, g.base + AT.data);
    expect(g.run().vector).toBe(13);
  });

  test('follows a change of the register in code that was run before', () => {
    // mov es:[ebx], ecx; mov es, edx; loop back
    const g = new Legacy([prefix, 0x89, 0x0b, 0x8e, modrm | 2, 0x49, 0x75, 0xf8, HLT]);
    g.t.engine.core.set32(cpuState.gdtLimit, 0x57);
    g.descriptor(PAST, 0, 0xfffff, 0xc91);
    g.gpr(1, 3);
    g.gpr(2, PAST);
    g.gpr(3, g.base + AT.data);
    expect(g.run().vector).toBe(13);
    expect(g.gpr(1)).toBe(2);
  });
});

test('code that comes back to itself in another mode is decoded anew', () => {
  // b8 01 00 43 43 is mov eax, 0x43430001 here, and in the 16-bit segment mov ax, 1; inc bx; inc bx.
  // dec ecx; js to the HLT; jmp far to the first instruction
  const g = new Legacy([
    0xb8,
    1,
    0,
    0x43,
    0x43,
    0x49,
    0x78,
    7,
    FAR.jmp,
    ...[0, AT.code >> 8, 0, 0],
    SEL.code16,
    0,
    HLT,
  ]);
  g.descriptor(SEL.code16, g.base, 0xffff, 0x9b);
  g.gpr(1, 1);
  g.gpr(3, 0);
  expect(g.run().vector).toBe(-1);
  expect(g.gpr(3)).toBe(2);
});

describe('a 32-bit kernel', () => {
  /** Turns on paging by tables of PAE, with 32 MiB where they are; answers where the pages' entries are. */
  function page({ t: { engine, machine, m, cpu } }: Legacy): number {
    const [top, tables] = [machine.allocFrame() * 4096, machine.allocFrame() * 4096];
    m.setU64(top, BigInt(tables) | 1n);
    for (let k = 0; k < 16; k++) m.setU64(tables + 8 * k, BigInt(k * 0x20_0000) | 0x83n);
    const c = engine.core;
    c.set(cpuState.cr4, 0x20n);
    c.set(cpuState.cr0, 0x8000_0011n);
    c.setLin(cpuState.cr3, top);
    expect(c.mmu.loadPdptes(cpu, top)).toBe(true);
    engine.stateChanged(cpu);
    return tables;
  }

  test.each([
    ['ES', SEG.es, [0x8e, 0xc0], 0x06, 0x07],
    ['DS', SEG.ds, [0x8e, 0xd8], 0x1e, 0x1f],
    ['FS', SEG.fs, [0x8e, 0xe0], [0x0f, 0xa0], [0x0f, 0xa1]],
    ['GS', SEG.gs, [0x8e, 0xe8], [0x0f, 0xa8], [0x0f, 0xa9]],
  ] as const)('loads %s, pushes and pops it, without a helper', (_name, s, load, push, pop) => {
    // mov s, ecx; push s; mov s, eax; push s; mov s, ecx; pop s; pop edx
    const other = [load[0], load[1] | 1];
    const code = [other, push, load, push, other, pop, 0x5a, HLT];
    const g = new Legacy(code.flat());
    const FAR_DATA = 0x50;
    page(g);
    g.t.engine.core.set32(cpuState.gdtLimit, 0x57);
    g.descriptor(FAR_DATA, 0x1234_5000, 0xfffff, 0xc93);
    g.gpr(0, FAR_DATA);
    g.gpr(1, SEL.data);
    g.gpr(2, -1);
    const loads = vi.spyOn(g.t.engine.core, 'setSeg');
    expect(g.run().vector).toBe(-1);
    expect(loads).not.toHaveBeenCalled();
    const c = g.t.engine.core;
    expect([c.segSel(s), c.segBase(s), c.segAttr(s)]).toEqual([FAR_DATA, 0x1234_5000, 0xc93]);
    expect([g.gpr(2), g.gpr(4)]).toEqual([SEL.data, g.base + AT.top]);
  });

  test('is entered and left by SYSENTER and SYSEXIT without a helper', () => {
    const bytes = (v: number): number[] => [0, 8, 16, 24].map((at) => (v >>> at) & 255);
    const g = new Legacy([]);
    // mov edx, user; mov ecx, stack; dec ebx; jz to the HLT; sysexit
    const [user, stack] = [g.base + AT.otherCode, g.base + AT.top - 0x800];
    g.bytes(AT.code, [0xba, ...bytes(user), 0xb9, ...bytes(stack), 0x4b, 0x74, 2, 0x0f, 0x35, HLT]);
    g.bytes(AT.otherCode, [0x8c, 0xcf, 0x8c, 0xd6, 0x89, 0xe5, 0x0f, 0x34]); // mov edi, cs; mov esi, ss; mov ebp, esp; sysenter
    g.gpr(3, 20);
    const c = g.t.engine.core;
    c.set(cpuState.sysenterCs, BigInt(SEL.code));
    c.setLin(cpuState.sysenterEsp, g.base + AT.top);
    c.setLin(cpuState.sysenterEip, g.base + AT.code);
    const loads = vi.spyOn(c, 'setSeg');
    expect(g.run().vector).toBe(-1);
    expect([7, 6, 5].map((r) => g.gpr(r))).toEqual([SEL.code + 16 + 3, SEL.code + 24 + 3, stack]);
    expect([c.segSel(SEG.cs), c.segSel(SEG.ss), c.cpl, g.gpr(4)]).toEqual([
      SEL.code,
      SEL.data,
      0,
      g.base + AT.top,
    ]);
    // the first ways in and out are the helper's: what code means there is not known yet
    expect(loads.mock.calls.length).toBeLessThan(8);
  });

  test('has its TLBs filled from the tables of PAE without the engine', () => {
    // mov eax, [ebx]; add ebx, 4096; loop
    const g = new Legacy([0x8b, 0x03, 0x81, 0xc3, 0, 16, 0, 0, 0xe2, 0xf6, HLT]);
    const tables = page(g);
    g.gpr(1, 100);
    g.gpr(3, 0x10_0000);
    const walks = vi.spyOn(g.t.engine.core.mmu, 'translate');
    expect(g.run().vector).toBe(-1);
    expect(g.gpr(3)).toBe(0x10_0000 + 100 * 4096);
    expect(walks.mock.calls.length).toBeLessThan(20);
    expect(g.t.m.u32(tables) & 0x20).toBe(0x20);
  });
});
