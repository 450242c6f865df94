/** Legacy protected mode without paging: task switches, and segment limits. */
import { describe, expect, test } from 'vitest';
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

describe('a segment limit', () => {
  const load = (sel: number, ...code: number[]): Legacy => {
    const g = new Legacy([0x8e, 0xc0, ...code, HLT]); // mov es, eax
    g.gpr(0, sel);
    return g;
  };

  test('lets the last byte through and nothing across it', () => {
    const ok = load(SEL.short, 0x26, 0x8b, 0x1b); // mov ebx, es:[ebx]
    ok.gpr(3, 0xfc);
    ok.word(AT.data + 0xfc, 0xabcd);
    expect(ok.run().vector).toBe(-1);
    expect(ok.gpr(3)).toBe(0xabcd);
    const across = load(SEL.short, 0x26, 0x8b, 0x1b);
    across.gpr(3, 0xfd);
    expect(across.run().vector).toBe(13);
  });

  test('of an expand-down segment is where it begins', () => {
    const below = load(SEL.down, 0x26, 0x8b, 0x1b);
    below.gpr(3, 0xff);
    expect(below.run().vector).toBe(13);
    const above = load(SEL.down, 0x26, 0x8b, 0x1b);
    above.gpr(3, 0x100);
    expect(above.run().vector).toBe(-1);
  });

  test('a null selector can be held but not used', () => {
    expect(load(0).run().vector).toBe(-1);
    expect(load(3, 0x26, 0x8b, 0x1b).run().vector).toBe(13);
  });

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

describe('a segment type', () => {
  const PAST = 0x50;
  const load = (attr: number, ...code: number[]): Legacy => {
    const g = new Legacy([0x8e, 0xc0, ...code, HLT]); // mov es, eax
    g.t.engine.core.set32(cpuState.gdtLimit, 0x57);
    g.descriptor(PAST, 0, 0xfffff, attr);
    g.gpr(0, PAST);
    g.gpr(3, g.base + AT.data);
    return g;
  };
  const read = [0x26, 0x8b, 0x0b]; // mov ecx, es:[ebx]
  const write = [0x26, 0x89, 0x0b];
  const modify = [0x26, 0xff, 0x03]; // inc dword es:[ebx]

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
    const g = new Legacy([0x26, 0x89, 0x0b, 0x8e, 0xc2, 0x49, 0x75, 0xf8, HLT]);
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
