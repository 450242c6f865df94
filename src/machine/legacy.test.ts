/** Legacy protected mode: task switches, segment limits, and what a kernel's entries do without the engine. */
import { describe, expect, test, vi } from 'vitest';
import { cpuState, SEG } from './cpu-state.ts';
import { AT, FAR, far, HLT, Legacy, SEL, TSS_32 } from './testing-legacy.ts';

const NT = 0x4000;

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
    g.page();
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
    const tables = g.page();
    g.gpr(1, 100);
    g.gpr(3, 0x10_0000);
    const walks = vi.spyOn(g.t.engine.core.mmu, 'translate');
    expect(g.run().vector).toBe(-1);
    expect(g.gpr(3)).toBe(0x10_0000 + 100 * 4096);
    expect(walks.mock.calls.length).toBeLessThan(20);
    expect(g.t.m.u32(tables) & 0x20).toBe(0x20);
  });
});
