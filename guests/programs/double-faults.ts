/**
 * Exceptions on the way to a handler: which pairs are a double fault, which are taken one after the other, and that what
 * is left is the state of the first instruction. @spec SDM 3A 6.15 (table 6-5); APM 2 8.2.9
 */
import type { Asm } from '../asm.ts';
import { type Guest, LAYOUT } from '../guest.ts';
import { descriptor, gate, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { cr, mem, R, S } from '../registers.ts';

const V = { DE: 0, BP: 3, UD: 6, NM: 7, DF: 8, TS: 10, NP: 11, SS: 12, GP: 13, PF: 14 } as const;
/** A page of 2 MB that is not there. */
const HOLE = 0x80000000;
/** Another; absolute addresses of instructions are signed. */
const LOW_HOLE = 0x40000000;
const AWAY = 0x8000_0000_0000n;

/** What breaks the handler of a vector, and the exception that comes of it. */
type Break = (a: Asm, vector: number) => void;
const setGate = (a: Asm, vector: number, g: bigint): void => {
  a.mov(mem(32, PLACE.idt + vector * 16), g & 0xffffffffn);
  a.mov(mem(32, PLACE.idt + vector * 16 + 4), g >> 32n);
};
/** #GP(SEL.data), #NP(gate), #NP(absent code): the selector of the code is not good. */
const toData: Break = (a, vector) => setGate(a, vector, gate(SEL.data, 0, 0x8e, 1));
const absent: Break = (a, vector) => setGate(a, vector, gate(SEL.code64, 0, 0x0e, 1));
/** #PF on the handler's stack, which is IST 2. */
const noStack: Break = (a, vector) => {
  a.mov(R.rdx, HOLE + 0x1000);
  a.mov(mem(64, PLACE.tss + 36 + 8), R.rdx);
  a.mov(R.edx, 0);
  setGate(a, vector, gate(SEL.code64, 0x100000, 0x8e, 2));
};
/** #SS: the stack is nowhere. */
const farStack: Break = (a, vector) => {
  a.mov(R.rdx, AWAY);
  a.mov(mem(64, PLACE.tss + 36 + 8), R.rdx);
  a.mov(R.edx, 0);
  setGate(a, vector, gate(SEL.code64, 0x100000, 0x8e, 2));
};

/** An instruction that raises the vector, with its error code and what comes before it. */
type Raise = Pick<Probe, 'code' | 'setup' | 'prelude' | 'level'>;
function raises(absentData: number): Record<string, Raise & { vector: number }> {
  const load = (sel: number, to = S.ds): Raise => ({
    prelude: (a) => a.mov(R.eax, sel),
    code: (a) => a.mov(to, R.eax),
  });
  return {
    '#DE': { vector: V.DE, code: (a) => a.db(0xf7, 0xf1) },
    '#UD': { vector: V.UD, code: (a) => a.op('ud2') },
    '#NM': {
      vector: V.NM,
      prelude: (a) => a.db(0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22, 0xc0), // or CR0.TS
      code: (a) => a.db(0xd9, 0xe8),
    },
    '#NP': { vector: V.NP, ...load(absentData) },
    '#SS': { vector: V.SS, ...load(absentData, S.ss) },
    '#GP': { vector: V.GP, ...load(0x7ff0) },
    '#PF': { vector: V.PF, code: (a) => a.mov(R.eax, mem(32, LOW_HOLE)) },
  };
}

export function doubleFaults(g: Guest): void {
  const p = new Probes(g);
  const absentData = p.add(descriptor(0, 0xfffff, 0xc12));
  const first = raises(absentData);
  for (const at of [HOLE, LOW_HOLE]) g.a.mov(mem(32, LAYOUT.pd + (at / 0x200000) * 8), 0);
  g.a.mov(R.rax, cr(3));
  g.a.mov(cr(3), R.rax);
  const probes: Record<string, Probe> = {};
  const pair = (one: string, broken: Break, what: string, expected: Partial<Probe>): void => {
    const { vector, ...raise } = first[one]!;
    probes[`${one}, then ${what}`] = {
      ...raise,
      setup: (a) => broken(a, vector),
      ip: 'at',
      ...expected,
    };
  };
  const DF: Partial<Probe> = { vector: V.DF, error: 0 };
  const PF: Partial<Probe> = { vector: V.PF, error: 2, is: { cr2: HOLE + 0xff8 } };
  for (const one of ['#UD', '#NM']) {
    pair(one, toData, '#GP', { vector: V.GP, error: SEL.data | 1 });
    pair(one, absent, '#NP', { vector: V.NP, error: first[one]!.vector * 8 + 3 });
    pair(one, noStack, '#PF', PF);
    pair(one, farStack, '#SS', { vector: V.SS, error: 1 });
  }
  for (const one of ['#DE', '#NP', '#SS', '#GP']) {
    pair(one, toData, '#GP', DF);
    pair(one, absent, '#NP', DF);
    pair(one, farStack, '#SS', DF);
    pair(one, noStack, '#PF', { ...PF, is: {} });
  }
  for (const [broken, what] of [
    [toData, '#GP'],
    [absent, '#NP'],
    [noStack, '#PF'],
    [farStack, '#SS'],
  ] as const)
    pair('#PF', broken, what, DF);
  p.all({ ...probes, ...others(p) });
}

function others(p: Probes): Record<string, Probe> {
  const landed = p.g.a.addressOf(stub(0x41));
  return {
    'INT 13 by software is no contributory exception': {
      setup: (a) => absent(a, V.GP),
      code: (a) => a.int(V.GP),
      vector: V.NP,
      error: V.GP * 8 + 2,
    },
    'INT 14 by software is no page fault': {
      setup: (a) => absent(a, V.PF),
      code: (a) => a.int(V.PF),
      vector: V.NP,
      error: V.PF * 8 + 2,
    },
    'INT by software pushes no error code': {
      setup: (a) => setGate(a, V.GP, gate(SEL.code64, landed, 0x8e, 1)),
      code: (a) => a.int(V.GP),
      vector: 0x41,
      ip: 'after',
      is: { s1: SEL.code64 },
    },
    'an exception beyond the IDT': {
      setup: (a) => {
        a.mov(mem(16, PLACE.data), V.GP * 16 + 15);
        a.mov(mem(32, PLACE.data + 2), 'pr.idt');
        a.mov(mem(32, PLACE.data + 6), 0);
        a.lidt(mem(32, PLACE.data));
      },
      code: (a) => a.mov(R.eax, mem(32, LOW_HOLE)),
      vector: V.DF,
      error: 0,
    },
  };
}
