/** From a decoded operation, size, form and variant to the handler that does it; and which forms an instruction has. */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP_NAMES, OP as X } from '../../x86/ops.ts';
import { vectorRow } from '../../x86/sem/vector.ts';
import { FORM, HANDLERS, handlerOf } from './handlers.ts';

export const Z_INDEX: Record<number, number> = { 1: 0, 2: 1, 4: 2, 8: 3 };
export const SUBS = 16;
export const FORMS = Object.keys(FORM).length;
export const names = new Map<string, number>(OP_NAMES.map((n, i) => [n, i]));
// operations that exist only for the interpreter
for (const extra of [
  'imul1',
  'imul2',
  'imul3',
  'jmpRel',
  'callRel',
  'cmpxchgPair',
  'movdToGpr',
  'loadWord',
  'iretq',
  'movFromCr',
])
  names.set(extra, names.size);
for (const h of HANDLERS) if (h.name.startsWith('lock.')) names.set(h.name, names.get(h.name) ?? names.size);

export const LOOKUP = new Int16Array(names.size * 4 * FORMS * SUBS).fill(-1);
export const HAS = new Uint8Array(names.size);
HANDLERS.forEach((h) => {
  const id = names.get(h.name) as number;
  HAS[id] = 1;
  LOOKUP[((id * 4 + Z_INDEX[h.z]!) * FORMS + FORM[h.form]) * SUBS + h.s] = handlerOf(
    h.name,
    h.z,
    h.form,
    h.s,
  );
});
export const ID = (name: string): number => names.get(name) as number;
for (const [name, id] of names)
  for (const form of ['rr', 'rm', 'mr', 'rri', 'ri'] as const)
    for (const z of [4, 8]) {
      const row = vectorRow(name, form, z);
      const at = ((id * 4 + Z_INDEX[z]!) * FORMS + FORM[form]) * SUBS;
      if (row) LOOKUP[at] = handlerOf(row.name, row.z, form);
    }
export const I = {
  imul1: ID('imul1'),
  imul2: ID('imul2'),
  imul3: ID('imul3'),
  jmpRel: ID('jmpRel'),
  callRel: ID('callRel'),
  pair: ID('cmpxchgPair'),
  movdToGpr: ID('movdToGpr'),
  loadWord: ID('loadWord'),
  iretq: ID('iretq'),
  movFromCr: ID('movFromCr'),
} as const;
export const LOCKED = new Int16Array(OP_NAMES.length).fill(-1);
for (const [name, id] of names) if (name.startsWith('lock.')) LOCKED[names.get(name.slice(5)) as number] = id;

/** Operation after the address has been taken from a register operand's bits. */
export const BIT_OPS = new Set([X.bt, X.bts, X.btr, X.btc]);
export const SHIFTS = new Set([X.shl, X.shr, X.sar, X.rol, X.ror, X.rcl, X.rcr]);
/** Read operand 0 without writing it. */
export const READ_ONLY = new Set([X.cmp, X.test, X.bt, X.mul, X.div, X.idiv]);
export const NO_FORM = new Set([
  X.lahf,
  X.sahf,
  X.clc,
  X.stc,
  X.cmc,
  X.cld,
  X.std,
  X.cli,
  X.sti,
  X.stac,
  X.clac,
  X.nop,
  X.prefetch,
  X.lfence,
  X.mfence,
  X.sfence,
]);
/** Nothing to do for these in a machine that does one thing after the other. */
export const NOTHING = new Set([X.nop, X.prefetch, X.lfence, X.mfence, X.sfence]);

/** The form, a FORM, of an instruction as it stands. */
export function formOf(i: Insn): number {
  const { operands } = i;
  const to = operands[0].kind;
  const from = operands[1].kind;
  const third = operands[2].kind;
  if (to === OPK.mem) {
    if (third !== OPK.none) return FORM.none;
    if (from === OPK.none) return FORM.m;
    return from === OPK.imm ? FORM.mi : SHIFTS.has(i.op) ? FORM.none : FORM.mr;
  }
  if (from === OPK.none) return FORM.r;
  if (from === OPK.mem) return third === OPK.none ? FORM.rm : FORM.none;
  if (third !== OPK.none) return third === OPK.gpr ? FORM.rrc : FORM.rri;
  if (from === OPK.imm) return FORM.ri;
  return SHIFTS.has(i.op) ? FORM.rc : FORM.rr;
}

/** The register form of an instruction whose memory operand became a temporary. */
export function splitForm(i: Insn): number {
  const from = i.operands[1].kind;
  const third = i.operands[2].kind;
  if (from === OPK.none) return FORM.r;
  if (third === OPK.gpr) return FORM.rrc;
  if (third === OPK.imm) return FORM.rri;
  if (from === OPK.imm) return FORM.ri;
  return SHIFTS.has(i.op) ? FORM.rc : FORM.rr;
}
