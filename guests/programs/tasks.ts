/**
 * Task switches by JMP, CALL, INT and IRET, between 32-bit and 16-bit tasks: what is saved and loaded, busy bits and links,
 * and faults before and after the point of no return. @spec SDM 3A 7.2, 7.3
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { DONE, descriptor, gate, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes, word32 } from '../probes.ts';
import { mem, R } from '../registers.ts';

const [TS, NP, SS, GP] = [10, 11, 12, 13];
/** The other tasks' states, and the stack of one of them. */
const OTHER = PLACE.data;
const WATCHER = PLACE.data + 0x200;
const OTHER16 = PLACE.data + 0x100;
const TOP = PLACE.data + 0xf00;
const V = 0x42;
const NT = 0x4000;
const [TOP0] = PLACE.stacks;

/** Fields of a 32-bit TSS. */
const T = {
  link: 0,
  esp0: 4,
  ss0: 8,
  cr3: 28,
  eip: 32,
  flags: 36,
  eax: 40,
  esp: 56,
  ebp: 60,
  es: 72,
  cs: 76,
  ss: 80,
  ds: 84,
  fs: 88,
  gs: 92,
  ldt: 96,
  trap: 100,
} as const;

/** Where the 16-bit task lands: what is above its stack pointer is not said anywhere. */
const LAND_16 = 'tasks.land16';
function emitLand16(a: Asm): void {
  a.jmp('tasks.begin');
  a.label(LAND_16);
  a.movzx(R.esp, R.sp);
  a.int(DONE);
  a.label('tasks.begin');
}

function selectors(p: Probes) {
  const tss = (base: number, limit: number, type: number): number => p.add(descriptor(base, limit, type));
  const other = tss(OTHER, 0x67, 0x89);
  return {
    land: p.g.a.addressOf('pr.land'),
    land16: p.g.a.addressOf(LAND_16),
    other,
    other3: tss(OTHER, 0x67, 0xe9),
    other16: tss(OTHER16, 0x2b, 0x81),
    busy: tss(OTHER, 0x67, 0x8b),
    absent: tss(OTHER, 0x67, 0x09),
    short: tss(OTHER, 0x66, 0x89),
    short16: tss(OTHER16, 0x2a, 0x81),
    watcher: tss(WATCHER, 0x67, 0x89),
    gate: p.add(gate(other, 0, 0x85)),
    gate3: p.add(gate(other, 0, 0xe5)),
    gateAbsent: p.add(gate(other, 0, 0x05)),
    gateToCode: p.add(gate(SEL.code, 0, 0x85)),
    gateToNull: p.add(gate(0, 0, 0x85)),
    absentCode: p.add(descriptor(0, 0xfffff, 0xc1b)),
    absentStack: p.add(descriptor(0, 0xfffff, 0xc13)),
    shortCode: p.add(descriptor(0, 0xfff, 0x49b)),
    low: p.add(descriptor(p.g.a.addressOf(LAND_16) & ~0xffff, 0xffff, 0x49b)),
    stack16: p.add(descriptor(PLACE.data, 0xffff, 0x093)),
  };
}
type Selectors = ReturnType<typeof selectors>;

/** A task that lands at once, in ring 0; `change` alters its state. */
function other(s: Selectors, change: Partial<Record<keyof typeof T, number>> = {}, also?: (a: Asm) => void) {
  const state = {
    link: 0,
    trap: 0,
    esp0: TOP0!,
    ss0: SEL.data,
    eip: s.land,
    flags: 2,
    eax: 0xa1a1a1a1,
    esp: TOP,
    ebp: 0xb2b2b2b2,
    es: SEL.data,
    cs: SEL.code,
    ss: SEL.data,
    ds: SEL.data,
    fs: 0,
    gs: 0,
    ldt: SEL.ldt,
    ...change,
  };
  return (a: Asm): void => {
    for (const [name, v] of Object.entries(state)) a.mov(mem(32, OTHER + T[name as keyof typeof T]), v);
    a.mov(R.ebx, 0xc3c3c3c3);
    also?.(a);
  };
}
function other16(s: Selectors) {
  return (a: Asm): void => {
    const put = (at: number, v: number): void => a.mov(mem(16, OTHER16 + at), v);
    put(14, s.land16 & 0xffff);
    put(16, 2);
    put(18, 0xd4d4);
    put(26, TOP - PLACE.data);
    for (const [at, sel] of [
      [34, SEL.data],
      [36, s.low],
      [38, s.stack16],
      [40, SEL.data],
      [42, 0],
    ] as const)
      put(at, sel);
    a.mov(R.ebx, 0xc3c3c3c3);
  };
}

const far = (sel: number, op: number) => (a: Asm) => a.db(op, 0, 0, 0, 0, sel & 255, sel >> 8);
const jmp = (sel: number) => far(sel, 0xea);
const call = (sel: number) => far(sel, 0x9a);
const type = (sel: number) => (a: Asm) => {
  a.mov(R.eax, mem(32, PLACE.gdt + (sel & ~7) + 4));
  a.shift('shr', R.eax, 8);
  a.alu('and', R.eax, 0xf);
};

function switches(s: Selectors): Record<string, Probe> {
  const landed = { s1: SEL.code, s2: 2, ax: 0xa1a1a1a1, bp: 0xb2b2b2b2, bx: 0, sp: TOP - 12, tr: s.other };
  const fromOther = (name: string, p: Probe): [string, Probe] => [
    name,
    { setup: other(s), is: landed, ...p },
  ];
  return Object.fromEntries([
    fromOther('JMP to a TSS', { code: jmp(s.other) }),
    fromOther('JMP marks the new task busy', { code: jmp(s.other), look: type(s.other), value: 0xb }),
    fromOther('JMP marks the old task available', { code: jmp(s.other), look: type(SEL.tss), value: 9 }),
    fromOther('JMP saves EBX', { code: jmp(s.other), look: word32(PLACE.tss + 52), value: 0xc3c3c3c3 }),
    fromOther('JMP saves CS', { code: jmp(s.other), look: word32(PLACE.tss + T.cs), value: SEL.code }),
    fromOther('JMP leaves the link', { code: jmp(s.other), look: word32(OTHER), value: 0 }),
    fromOther('CALL to a TSS sets NT', { code: call(s.other), is: { ...landed, s2: NT | 2 } }),
    fromOther('CALL links the tasks', {
      code: call(s.other),
      is: { tr: s.other },
      look: word32(OTHER),
      value: SEL.tss,
    }),
    fromOther('CALL leaves the old task busy', {
      code: call(s.other),
      is: {},
      look: type(SEL.tss),
      value: 0xb,
    }),
    fromOther('JMP through a task gate', { code: jmp(s.gate) }),
    fromOther('CALL through a task gate', { code: call(s.gate), is: { tr: s.other, s2: NT | 2 } }),
    fromOther('a task switch sets TS', {
      code: jmp(s.other),
      is: {},
      look: (a) => a.db(0x0f, 0x20, 0xc0, 0x83, 0xe0, 0x08), // mov eax, cr0; and eax, 8
      value: 8,
    }),
    fromOther('a task gate in the IDT', {
      setup: (a) => {
        other(s)(a);
        setTaskGate(a, s.other);
      },
      code: (a) => a.int(V),
      is: { ...landed, s2: NT | 2 },
    }),
    fromOther('IRET of a nested task', {
      setup: (a) => {
        other(s, { link: 0 })(a);
        a.mov(mem(32, PLACE.tss), s.busy);
        a.push(NT | 2);
        a.op('popf');
      },
      code: (a) => a.op('iretd'),
      is: { tr: s.busy, s2: 2, ax: 0xa1a1a1a1 },
      look: type(SEL.tss),
      value: 9,
    }),
    fromOther('a task in ring 3', {
      setup: other(s, { cs: SEL.code3, ss: SEL.data3, ds: SEL.data3, es: SEL.data3 }),
      code: jmp(s.other),
      is: { s1: SEL.code3, s3: TOP, s4: SEL.data3, tr: s.other },
    }),
    fromOther('a task in virtual-8086 mode', {
      setup: other(
        s,
        { flags: 0x23002, cs: PLACE.low >> 4, ss: PLACE.low >> 4, eip: 0, esp: 0x8000, ds: 0x77 },
        (a) => a.mov(mem(16, PLACE.low), 0x40cd),
      ),
      code: jmp(s.other),
      is: { s0: 2, s1: PLACE.low >> 4, s2: 0x23002, s3: 0x8000, s6: 0x77, tr: s.other },
    }),
    fromOther('from ring 3 through a task gate', {
      level: 'ring3',
      code: call(s.gate3),
      is: { s1: SEL.code, tr: s.other },
      look: word32(PLACE.tss + T.cs),
      value: SEL.code3,
    }),
    fromOther('JMP to a 16-bit TSS', {
      setup: other16(s),
      code: jmp(s.other16),
      is: { s1: s.low, tr: s.other16 },
    }),
    fromOther('a 16-bit task has 16-bit registers', {
      setup: other16(s),
      code: jmp(s.other16),
      is: {},
      look: (a) => a.movzx(R.eax, mem(16, 'pr.record', 8)),
      value: 0xd4d4,
    }),
    fromOther('the T flag traps before the first instruction', {
      setup: other(s, { trap: 1 }),
      code: jmp(s.other),
      vector: 1,
      ip: s.land,
      is: { tr: s.other },
      look: (a) => a.db(0x0f, 0x21, 0xf0, 0x25, 0, 0x80, 0, 0), // mov eax, dr6; and eax, 8000
      value: 0x8000,
    }),
  ]);
}

function setTaskGate(a: Asm, sel: number, vector = V): void {
  a.mov(mem(32, PLACE.idt + vector * 8), sel << 16);
  a.mov(mem(32, PLACE.idt + vector * 8 + 4), 0xe500);
}

function refusals(s: Selectors): Record<string, Probe> {
  const refused = (
    sel: number,
    vector: number,
    error = sel & ~3,
    level: Probe['level'] = 'ring0',
  ): Probe => ({
    level,
    setup: other(s),
    code: jmp(sel),
    vector,
    error,
    is: { tr: SEL.tss, s1: level === 'ring0' ? SEL.code : SEL.code3 },
  });
  /** In the new task: a fault of its own, with its registers in place. */
  const late = (change: Parameters<typeof other>[1], vector: number, error: number): Probe => ({
    setup: other(s, change),
    code: jmp(s.other),
    vector,
    error,
    ip: change?.eip ?? s.land,
    is: { tr: s.other },
  });
  /** The same where there is no stack yet: another task takes the fault, and finds in the new one's TSS where it was. */
  const early = (change: Parameters<typeof other>[1], vector: number, error: number): Probe => ({
    setup: (a) => {
      other(s, change)(a);
      const state = {
        eip: a.addressOf(stub(vector)),
        flags: 2,
        esp: TOP,
        es: SEL.data,
        cs: SEL.code,
        ss: SEL.data,
        ds: SEL.data,
      };
      for (const [name, v] of Object.entries(state)) a.mov(mem(32, WATCHER + T[name as keyof typeof T]), v);
      setTaskGate(a, s.watcher, vector);
    },
    code: jmp(s.other),
    vector,
    error,
    ip: 'any',
    is: { tr: s.watcher },
    look: word32(OTHER + T.eip),
    value: s.land,
  });
  return {
    'a busy TSS': refused(s.busy, GP),
    'an absent TSS': refused(s.absent, NP),
    'a TSS that is too short': refused(s.short, TS),
    'a 16-bit TSS that is too short': refused(s.short16, TS),
    'a TSS of ring 0 from ring 3': refused(s.other, GP, s.other, 'ring3'),
    'a TSS with an RPL beyond its DPL': refused(s.other | 3, GP),
    'a task gate of ring 0 from ring 3': refused(s.gate, GP, s.gate, 'ring3'),
    'an absent task gate': refused(s.gateAbsent, NP),
    'a task gate to code': refused(s.gateToCode, GP, SEL.code),
    'a task gate to null': refused(s.gateToNull, GP, 0),
    'INT through a task gate to code': {
      setup: (a) => setTaskGate(a, SEL.code),
      code: (a) => a.int(V),
      vector: GP,
      error: SEL.code,
    },
    'IRET of a nested task with a link that is not busy': {
      setup: (a) => {
        other(s)(a);
        a.mov(mem(32, PLACE.tss), s.other);
        a.push(NT | 2);
        a.op('popf');
      },
      code: (a) => a.op('iretd'),
      vector: TS,
      error: s.other,
    },
    'the new LDT is data': early({ ldt: SEL.data }, TS, SEL.data),
    'the new CS is data': early({ cs: SEL.data }, TS, SEL.data),
    'the new CS is null': early({ cs: 0 }, TS, 0),
    'the new CS is absent': early({ cs: s.absentCode }, NP, s.absentCode),
    'the new SS is null': early({ ss: 0 }, TS, 0),
    'the new SS is code': early({ ss: SEL.code }, TS, SEL.code),
    'the new SS is absent': early({ ss: s.absentStack }, SS, s.absentStack),
    'the new DS is a system segment': late({ ds: SEL.ldt }, TS, SEL.ldt),
    'the new ES is absent': late({ es: s.absentStack }, NP, s.absentStack),
    'the new GS is beyond the GDT': late({ gs: 0x7ff0 }, TS, 0x7ff0),
    'the new EIP is beyond its segment': late({ cs: s.shortCode, eip: 0x1000 }, GP, 0),
  };
}
export function tasks(g: Guest): void {
  const p = new Probes(g);
  emitLand16(g.a);
  const s = selectors(p);
  p.all({ ...switches(s), ...refusals(s) });
}
