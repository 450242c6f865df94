/** Comparisons, to condition codes or to EFLAGS, and FXAM. */
import { CF, PF, ZF } from '../../../x86/flags.ts';
import { OPK } from '../../../x86/insn.ts';
import { compare, EQUAL, LESS, UNORDERED } from './arith.ts';
import { FX, isNan, KIND, kindOf, zero } from './float80.ts';
import { memoryOperand } from './operate.ts';
import { CC, SW, type Unit } from './unit.ts';

function setCodes(u: Unit, order: number): void {
  u.fsw &= ~CC;
  if (order === UNORDERED) u.fsw |= CC;
  else if (order === EQUAL) u.fsw |= SW.C3;
  else if (order === LESS) u.fsw |= SW.C0;
}
function setFlags(u: Unit, order: number): void {
  u.c.setStatus(order === UNORDERED ? ZF | PF | CF : order === EQUAL ? ZF : order === LESS ? CF : 0);
}

/** How a comparison reports, and how many it pops. */
export interface Comparison {
  quiet?: boolean;
  integer?: boolean;
  toFlags?: boolean;
  pops?: number;
}

/** Reports, even where an unmasked exception then forbids to pop. */
function finish(u: Unit, how: Comparison, order: number, accepted: boolean): void {
  if (how.toFlags) setFlags(u, order);
  else setCodes(u, order);
  if (accepted) for (let n = 0; n < (how.pops ?? 0); n++) u.pop();
}

/** ST0 against a register, memory, or ST1 where the instruction names nothing. */
export function fcom(u: Unit, how: Comparison): void {
  const { operands, count } = u.i;
  const source = operands[0].kind === OPK.mem ? memoryOperand(u, how.integer ?? false) : undefined;
  const st = count === 0 ? 1 : operands[1].reg;
  if (u.empty(0) || (!source && u.empty(st))) {
    finish(u, how, UNORDERED, u.stackFault(false));
    return;
  }
  const order = compare(u.x, u.get(0), source ? source.value : u.get(st), how.quiet ?? false);
  if (source?.denormal && order !== UNORDERED) u.x.raise(FX.DE);
  finish(u, how, order, u.accept());
}

export function ftst(u: Unit): void {
  if (u.empty(0)) {
    u.stackFault(false);
    setCodes(u, UNORDERED);
    return;
  }
  setCodes(u, compare(u.x, u.get(0), zero(0), false));
  u.accept();
}

const CLASSES: Readonly<Record<number, number>> = {
  [KIND.unsupported]: 0,
  [KIND.normal]: SW.C2,
  [KIND.infinity]: SW.C2 | SW.C0,
  [KIND.zero]: SW.C3,
  [KIND.denormal]: SW.C3 | SW.C2,
};
/** Class of ST0 in C3, C2, C0 and its sign in C1, even when it is empty. */
export function fxam(u: Unit): void {
  const v = u.get(0);
  const k = kindOf(v);
  u.fsw &= ~CC;
  if (u.empty(0)) u.fsw |= SW.C3 | SW.C0;
  else u.fsw |= isNan(k) ? SW.C0 : CLASSES[k]!;
  if (v.sign) u.fsw |= SW.C1;
}
