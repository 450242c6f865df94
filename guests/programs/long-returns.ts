/**
 * Call gates, far returns and IRET of long mode, between its rings and its two modes; and LAR and LSL there.
 * @spec APM 2 4.8.2, 4.11; SDM 2 CALL, RET, IRET in 64-bit mode
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, gate, LANDED, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem, R, S } from '../registers.ts';

const [NP, SS, GP] = [11, 12, 13];
const D = PLACE.data;
const [TOP0, , , TOP3] = PLACE.stacks;
const NT = 0x4000;
const CALL64 = 0x8c;
const DPL3 = 0x60;

function selectors(p: Probes) {
  const landed = p.g.a.addressOf(stub(LANDED));
  const call = (sel: number, type: number, upper = 0n): number => p.add(gate(sel, landed, type), upper);
  const flat = (attr: number): number => p.add(descriptor(0, 0xfffff, attr));
  return {
    land: p.g.a.addressOf('pr.land'),
    /** Of `gate`: its offset is where a segment has limit and flags. */
    rights: (((landed & 0xff0000) | ((CALL64 | DPL3) << 8)) & 0xffff00) >>> 0,
    absentCode: flat(0xa7b),
    absentStack: flat(0xc73),
    both: flat(0xefb),
    shortCode: p.add(descriptor(0, 0xfff, 0x4fb)),
    gate: call(SEL.code64, CALL64 | DPL3),
    inner: call(SEL.code64, CALL64),
    absent: call(SEL.code64, (CALL64 | DPL3) & 0x7f),
    toCompat: call(SEL.code, CALL64 | DPL3),
    toAway: call(SEL.code64, CALL64 | DPL3, 0x8000n),
    upperType: call(SEL.code64, CALL64 | DPL3, 0x0c00n << 32n),
    gate16: call(SEL.code64, 0x84 | DPL3),
    ldt: p.add(descriptor(D, 0x37, 0x82), 0n),
    tssUpper: p.add(descriptor(D, 0x67, 0x89), 0x0900n << 32n),
    tssAway: p.add(descriptor(D, 0x67, 0x89), 0x8000n),
    /** The GDT ends in its middle. */
    last: p.add(descriptor(D, 0x37, 0x82)),
  };
}
type Selectors = ReturnType<typeof selectors>;
const push =
  (...words: number[]) =>
  (a: Asm): void => {
    for (const w of words) a.push(w);
  };

function calls(s: Selectors): Record<string, Probe> {
  /** CALL m16:32 or, with REX.W, m16:64 at D. */
  const code = (a: Asm): void => a.db(0xff, 0x1c, 0x25, D & 255, (D >> 8) & 255, D >> 16, 0);
  const pointer = (sel: number) => (a: Asm) => {
    a.mov(mem(32, D), 0);
    a.mov(mem(32, D + 4), sel);
  };
  const to = (sel: number, rest: Partial<Probe>): Probe => ({ setup: pointer(sel), code, ...rest });
  const refused = (sel: number, vector: number, error = sel & ~3): Probe => to(sel, { vector, error });
  return {
    'a call gate inward': to(s.gate, {
      level: 'ring3',
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code64r3, s2: TOP3!, s3: SEL.data3, sp: TOP0! - 32, cs: SEL.code64, ss: 0 },
    }),
    'a call gate from compatibility mode': {
      level: 'compat3',
      code: (a) => a.db(0x9a, 0, 0, 0, 0, s.gate & 255, s.gate >> 8),
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code3, s2: TOP3!, s3: SEL.data3, sp: TOP0! - 32, cs: SEL.code64, ss: 0 },
    },
    'a call gate of the same level': to(s.gate, {
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code64, ss: SEL.data },
    }),
    'an inner gate from ring 3': { ...refused(s.inner, GP), level: 'ring3' },
    'an absent gate': refused(s.absent, NP),
    'a gate to compatibility mode': refused(s.toCompat, GP, SEL.code),
    'a gate to nowhere': refused(s.toAway, GP, 0),
    'a gate whose upper half has a type': refused(s.upperType, GP),
    'a 16-bit gate': refused(s.gate16, GP),
    'CALL to a TSS': refused(SEL.tss, GP),
    'CALL to data': refused(SEL.data, GP),
    'CALL to null': refused(0, GP, 0),
    'an inner stack that is nowhere': {
      ...to(s.gate, { level: 'ring3', vector: SS, error: 0 }),
      setup: (a) => {
        pointer(s.gate)(a);
        a.mov(mem(32, PLACE.tss + 8), 0x8000);
      },
    },
  };
}

function returns(s: Selectors): Record<string, Probe> {
  const retfq = (a: Asm): void => a.db(0x48, 0xcb);
  const iretq = (a: Asm): void => a.op('iretq');
  const frame = (ss: number, cs: number, ip = s.land, flags = 2) => push(ss, TOP3! - 64, flags, cs, ip);
  const iret = (ss: number, cs: number, is: Probe['is']): Probe => ({
    prelude: frame(ss, cs),
    code: iretq,
    is: is!,
  });
  const refused = (ss: number, cs: number, vector: number, error: number, ip = s.land): Probe => ({
    prelude: frame(ss, cs, ip),
    code: iretq,
    vector,
    error,
  });
  return {
    'RETFQ to the same level': { prelude: push(SEL.code64, s.land), code: retfq, is: { s1: SEL.code64 } },
    'RETFQ to ring 3': {
      prelude: push(SEL.data3, TOP3! - 64, SEL.code64r3, s.land),
      code: retfq,
      is: { s1: SEL.code64r3, s3: TOP3! - 64, s4: SEL.data3, ds: 0 },
    },
    'RETFQ to compatibility mode': {
      prelude: push(SEL.data3, TOP3! - 64, SEL.code3, s.land),
      code: retfq,
      is: { s1: SEL.code3, s3: TOP3! - 64, s4: SEL.data3 },
    },
    'RETF of 32 bits': {
      prelude: (a) => {
        a.mov(R.eax, s.land);
        a.mov(R.ecx, SEL.code64);
        a.shift('shl', R.rcx, 32);
        a.alu('or', R.rax, R.rcx);
        a.push(R.rax);
      },
      code: (a) => a.op('retf'),
      is: { s1: SEL.code64 },
    },
    'IRETQ to the same level takes the stack, too': iret(SEL.data, SEL.code64, {
      s1: SEL.code64,
      s3: TOP3! - 64,
      s4: SEL.data,
    }),
    'IRETQ to a null stack in ring 0': iret(0, SEL.code64, { s4: 0, s3: TOP3! - 64 }),
    'IRETQ to ring 3': iret(SEL.data3, SEL.code64r3, {
      s1: SEL.code64r3,
      s3: TOP3! - 64,
      s4: SEL.data3,
      ds: 0,
    }),
    'IRETQ to compatibility mode': iret(SEL.data3, SEL.code3, { s1: SEL.code3, s4: SEL.data3 }),
    'IRETQ to a null stack in ring 3': refused(3, SEL.code64r3, GP, 0),
    'IRETQ to a null stack in compatibility mode': refused(0, SEL.code, GP, 0),
    'IRETQ to a stack of another level': refused(SEL.data, SEL.code64r3, GP, SEL.data),
    'IRETQ to an absent stack': refused(s.absentStack | 3, SEL.code64r3, SS, s.absentStack),
    'IRETQ to absent code': refused(SEL.data3, s.absentCode | 3, NP, s.absentCode),
    'IRETQ to code that is both 64-bit and 32-bit': refused(SEL.data3, s.both | 3, GP, s.both),
    'IRETQ to null': refused(SEL.data3, 0, GP, 0),
    'IRETQ to data': refused(SEL.data3, SEL.data3, GP, SEL.data3 & ~3),
    'IRETQ beyond the limit of compatibility mode': refused(SEL.data3, s.shortCode | 3, GP, 0, 0x1000),
    'IRETQ of a nested task': {
      prelude: (a) => {
        frame(SEL.data, SEL.code64)(a);
        a.push(NT | 2);
        a.op('popf');
      },
      code: iretq,
      vector: GP,
    },
    'IRETQ loads no VM': {
      prelude: frame(SEL.data3, SEL.code64r3, s.land, 0x20002),
      code: iretq,
      is: { s1: SEL.code64r3, s2: 2 },
    },
    'an outer segment outlives the way out, an inner one does not': {
      setup: (a) => {
        a.mov(R.eax, SEL.data3);
        a.mov(S.gs, R.eax);
      },
      ...iret(SEL.data3, SEL.code64r3, { ds: 0, es: 0, fs: 0, gs: SEL.data3 }),
    },
  };
}

function inspections(s: Selectors): Record<string, Probe> {
  const inspect = (op: number, sel: number, result?: number): Probe => ({
    setup: (a) => {
      a.mov(R.eax, sel);
      a.mov(R.ecx, 0x5a5a);
    },
    code: (a) => a.db(0x0f, op, 0xc8),
    is: { cx: result ?? 0x5a5a },
  });
  const system = (modrm: number, sel: number, error: number): Probe => ({
    setup: (a) => a.mov(R.eax, sel),
    code: (a) => a.db(0x0f, 0x00, modrm),
    vector: GP,
    error,
  });
  const [LAR, LSL] = [0x02, 0x03] as const;
  return {
    'LAR of 64-bit code': inspect(LAR, SEL.code64, 0xaf9b00),
    'LAR of a 64-bit TSS': inspect(LAR, SEL.tss, 0x8b00),
    'LAR of a 64-bit call gate': inspect(LAR, s.gate, s.rights),
    'LAR of a 16-bit call gate': inspect(LAR, s.gate16),
    'LTR of a TSS whose upper half has a type': system(0xd8, s.tssUpper, s.tssUpper),
    'LTR of a TSS at nowhere': system(0xd8, s.tssAway, s.tssAway),
    'LLDT of half a descriptor': system(0xd0, s.last, s.last),
    'LSL of an LDT': inspect(LSL, s.ldt, 0x37),
    'LSL of a call gate': inspect(LSL, s.gate),
  };
}
export function longReturns(g: Guest): void {
  const p = new Probes(g);
  const s = selectors(p);
  p.all({ ...calls(s), ...returns(s), ...inspections(s) });
}
