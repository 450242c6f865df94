/**
 * Call gates and the gates of the IDT in legacy protected mode: who may use them, what they push, on which stack, and the
 * error codes of what goes wrong on the way. @spec SDM 3A 5.8, 6.11 to 6.13
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, gate, LANDED, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem } from '../registers.ts';

const [UD, TS, NP, SS, GP] = [6, 10, 11, 12, 13];
const [CALL16, CALL32, INT16, TRAP16, INT32, TRAP32] = [0x84, 0x8c, 0x86, 0x87, 0x8e, 0x8f];
const DPL3 = 0x60;
const [TOP0, TOP1, , TOP3] = PLACE.stacks;
const FLAT = 0xfffff;

/** Selectors that several probes share. */
function selectors(p: Probes) {
  const landed = p.g.a.addressOf(stub(LANDED));
  const land = p.g.a.addressOf('pr.land');
  const base = landed & ~0xffff;
  const low = p.add(descriptor(base, 0xfffff, 0xc9b));
  const s = {
    landed,
    land,
    base,
    /** Ring 0 code from where a 16-bit offset reaches the handlers. */
    low,
    conforming: p.add(descriptor(0, FLAT, 0xc9f)),
    absentCode: p.add(descriptor(0, FLAT, 0xc1b)),
    shortCode: p.add(descriptor(0, 0xfff, 0x49b)),
    absentStack: p.add(descriptor(0, FLAT, 0xc33)),
    shortStack: p.add(descriptor(0, 0xff, 0x4b3)),
  };
  const call = (sel: number, offset: number, type: number, count = 0) =>
    p.add(gate(sel, offset, type, count));
  return {
    ...s,
    call32: call(SEL.code, landed, CALL32 | DPL3, 2),
    call16: call(low, landed - base, CALL16 | DPL3, 1),
    inner: call(SEL.code, landed, CALL32),
    absent: call(SEL.code, landed, (CALL32 | DPL3) & 0x7f),
    toData: call(SEL.data, 0, CALL32 | DPL3),
    toNull: call(0, 0, CALL32 | DPL3),
    toAbsent: call(s.absentCode, 0, CALL32 | DPL3),
    toOuter: call(SEL.code3, 0, CALL32 | DPL3),
    toConforming: call(s.conforming, land, CALL32 | DPL3),
    toRing1: call(SEL.code1, land, CALL32 | DPL3),
    beyond: call(s.shortCode, 0x1000, CALL32 | DPL3),
  };
}
type Selectors = ReturnType<typeof selectors>;

const far =
  (sel: number, op = 0x9a) =>
  (a: Asm) =>
    a.db(op, 0, 0, 0, 0, sel & 255, sel >> 8);
const ring3 = (p: Probe): Probe => ({ ...p, level: 'ring3' });

function calls(s: Selectors): Record<string, Probe> {
  const refused = (sel: number, vector: number, error = sel & ~3): Probe => ({
    code: far(sel),
    vector,
    error,
  });
  /** The TSS's stack for ring 1. */
  const stack1 = (ss: number, vector: number, error = ss & ~3): Probe =>
    ring3({
      setup: (a) => a.mov(mem(32, PLACE.tss + 16), ss),
      code: far(s.toRing1),
      vector,
      error,
      is: { s1: SEL.code3, s3: TOP3!, s4: SEL.data3 },
    });
  return {
    'a 32-bit call gate inward copies its parameters': ring3({
      prelude: (a) => {
        a.push(0x1111);
        a.push(0x2222);
      },
      code: far(s.call32),
      vector: LANDED,
      ip: 'after',
      is: {
        s1: SEL.code3,
        s2: 0x2222,
        s3: 0x1111,
        s4: TOP3! - 8,
        s5: SEL.data3,
        sp: TOP0! - 24,
        cs: SEL.code,
      },
    }),
    'a 16-bit call gate inward': ring3({
      prelude: (a) => a.push(0x44443333),
      code: far(s.call16),
      vector: LANDED,
      ip: 'any',
      is: { s1: (((TOP3! - 4) & 0xffff) << 16) | 0x3333, sp: TOP0! - 10, cs: s.low, ss: SEL.data },
    }),
    'a call gate of the same level': {
      code: far(s.call32),
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code, cs: SEL.code },
    },
    'JMP through a call gate of the same level pushes nothing': {
      setup: (a) => a.push(0x1234),
      code: far(s.call32, 0xea),
      vector: LANDED,
      ip: 0x1234,
    },
    'JMP through a call gate inward': ring3({ code: far(s.call32, 0xea), vector: GP, error: SEL.code }),
    'a call gate to conforming code keeps the level': ring3({
      code: far(s.toConforming),
      is: { s1: s.conforming | 3, s3: TOP3! - 8, s4: SEL.data3 },
    }),
    'a call gate to ring 1': ring3({
      code: far(s.toRing1),
      is: { s1: SEL.code1, s3: TOP1! - 16, s4: SEL.data1 },
    }),
    'an inner gate from ring 3': ring3(refused(s.inner, GP)),
    'a gate with an RPL beyond its DPL': refused(s.inner | 3, GP),
    'an absent gate': refused(s.absent, NP),
    'a gate to data': refused(s.toData, GP, SEL.data),
    'a gate to null': refused(s.toNull, GP, 0),
    'a gate to absent code': refused(s.toAbsent, NP, s.absentCode),
    'a gate to outer code': refused(s.toOuter, GP, SEL.code3 & ~3),
    'an inner stack of null': stack1(0, TS),
    'an inner stack of the wrong level': stack1(SEL.data3, TS),
    'an inner stack with the wrong RPL': stack1(SEL.data1 & ~3, TS),
    'an inner stack of code': stack1(SEL.code1, TS),
    'an inner stack beyond the GDT': stack1(0x7fe1, TS),
    'an absent inner stack': stack1(s.absentStack | 1, SS),
    'an inner stack that is too short': stack1(s.shortStack | 1, SS),
    'CALL far to data': refused(SEL.data, GP),
    'CALL far to null': refused(0, GP, 0),
    'CALL far to an outer level': refused(SEL.code3, GP),
    'CALL far to an inner level': ring3(refused(SEL.code | 3, GP)),
    'CALL far to absent code': refused(s.absentCode, NP),
    'CALL far to the LDT of a system type': refused(SEL.ldt, GP),
  };
}

const setGate =
  (v: number, sel: number, offset: number, type: number) =>
  (a: Asm): void => {
    const g = gate(sel, offset, type);
    a.mov(mem(32, PLACE.idt + v * 8), g & 0xffffffffn);
    a.mov(mem(32, PLACE.idt + v * 8 + 4), g >> 32n);
  };

function interrupts(s: Selectors): Record<string, Probe> {
  const V = 0x42;
  const through = (sel: number, offset: number, type: number, rest: Partial<Probe> = {}): Probe => ({
    setup: setGate(V, sel, offset, type),
    code: (a) => a.int(V),
    ...rest,
  });
  const refused = (sel: number, type: number, vector: number, error: number): Probe =>
    through(sel, s.landed, type, { vector, error });
  const own = V * 8 + 2;
  const withIf = (a: Asm): void => {
    a.push(0x202);
    a.op('popf');
  };
  const stack1 = (ss: number, vector: number, error = ss & ~3): Probe =>
    ring3({
      ...through(SEL.code1, s.land, INT32 | DPL3, { vector, error }),
      setup: (a) => {
        setGate(V, SEL.code1, s.land, INT32 | DPL3)(a);
        a.mov(mem(32, PLACE.tss + 16), ss);
      },
    });
  return {
    'an interrupt gate clears IF': through(SEL.code, s.landed, INT32, {
      prelude: withIf,
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code, s2: 0x202, flags: 2 },
    }),
    'a trap gate leaves IF': through(SEL.code, s.landed, TRAP32, {
      prelude: withIf,
      vector: LANDED,
      ip: 'after',
      is: { s2: 0x202, flags: 0x202 },
    }),
    'a 16-bit interrupt gate': through(s.low, s.landed - s.base, INT16, {
      prelude: withIf,
      vector: LANDED,
      ip: 'any',
      is: { cs: s.low, flags: 2 },
    }),
    'a 16-bit trap gate from ring 3': ring3(
      through(s.low, s.landed - s.base, TRAP16 | DPL3, {
        vector: LANDED,
        ip: 'any',
        is: { s1: ((TOP3! & 0xffff) << 16) | 2, sp: TOP0! - 10, cs: s.low },
      }),
    ),
    'an interrupt from ring 3': ring3(
      through(SEL.code, s.landed, INT32 | DPL3, {
        vector: LANDED,
        ip: 'after',
        is: { s1: SEL.code3, s2: 2, s3: TOP3!, s4: SEL.data3, sp: TOP0! - 20, ds: SEL.data3 },
      }),
    ),
    'a conforming handler': ring3(
      through(s.conforming, s.land, INT32 | DPL3, { is: { s1: s.conforming | 3, s3: TOP3! - 12 } }),
    ),
    'a handler in ring 1': ring3(
      through(SEL.code1, s.land, INT32 | DPL3, { is: { s1: SEL.code1, s3: TOP1! - 20, s4: SEL.data1 } }),
    ),
    'a gate that ring 3 may not use': ring3(refused(SEL.code, INT32, GP, own)),
    'an absent gate': refused(SEL.code, INT32 & 0x7f, NP, own),
    'an absent gate that ring 3 may not use': ring3(refused(SEL.code, INT32 & 0x7f, GP, own)),
    'a call gate in the IDT': refused(SEL.code, CALL32, GP, own),
    'a handler in data': refused(SEL.data, INT32, GP, SEL.data),
    'a handler at null': refused(0, INT32, GP, 0),
    'a handler in absent code': refused(s.absentCode, INT32, NP, s.absentCode),
    'a handler in outer code': refused(SEL.code3, INT32, GP, SEL.code3 & ~3),
    'a handler beyond the GDT': refused(0x7ff0, INT32, GP, 0x7ff0),
    'INT beyond the IDT': { code: (a) => a.int(0xff), vector: GP, error: 0xff * 8 + 2 },
    'INT3 where its gate is for ring 0': ring3({
      setup: setGate(3, SEL.code, s.landed, INT32),
      code: (a) => a.op('int3'),
      vector: GP,
      error: 3 * 8 + 2,
    }),
    'INTO where its gate is for ring 0': ring3({
      setup: setGate(4, SEL.code, s.landed, INT32),
      prelude: (a) => a.db(0xb0, 0x7f, 0x04, 1), // mov al, 7f; add al, 1
      code: (a) => a.op('into'),
      vector: GP,
      error: 4 * 8 + 2,
    }),
    'an exception needs no DPL': ring3({ code: (a) => a.op('ud2'), vector: UD, is: { s2: 0x10002 } }),
    'an exception through an absent gate is external': {
      setup: setGate(UD, SEL.code, s.landed, INT32 & 0x7f),
      code: (a) => a.op('ud2'),
      vector: NP,
      error: UD * 8 + 3,
    },
    'an exception to absent code is external': {
      setup: setGate(UD, s.absentCode, s.landed, INT32),
      code: (a) => a.op('ud2'),
      vector: NP,
      error: s.absentCode | 1,
    },
    'INT on an inner stack of the wrong level': stack1(SEL.data3, TS),
    'INT on an absent inner stack': stack1(s.absentStack | 1, SS),
    'INT on a short inner stack': stack1(s.shortStack | 1, SS),
  };
}

/** Offsets beyond the code segment; QEMU's TCG does not come past the first. */
function beyond(s: Selectors): Record<string, Probe> {
  return {
    'a call gate to an offset beyond its segment': { code: far(s.beyond), vector: GP },
    'CALL far beyond the segment leaves the stack': {
      code: (a) => a.db(0x9a, 0, 0x10, 0, 0, s.shortCode & 255, s.shortCode >> 8),
      vector: GP,
      is: { s1: SEL.code },
    },
    'an interrupt handler beyond its segment': {
      setup: setGate(0x42, s.shortCode, 0x1000, INT32),
      code: (a) => a.int(0x42),
      vector: GP,
    },
  };
}

export function gates(g: Guest): void {
  const p = new Probes(g);
  const s = selectors(p);
  p.all({ ...calls(s), ...interrupts(s), ...beyond(s) });
}
