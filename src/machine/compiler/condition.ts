/** Conditions told from what set the flags: a compare and its branch become one comparison. @spec SDM 1 appendix B */
import { OP } from '../../wasm/opcodes.ts';
import type { FlagSource, V32, Var } from '../../x86/sem/sem.ts';
import type { ValueEmitter } from '../emit/value.ts';

const B = {} as V32;
/** Condition codes without their lowest bit, halved. */
const CC = { o: 0, b: 1, z: 2, be: 3, s: 4, p: 5, l: 6, le: 7 } as const;
/** Of x and y, operands of the subtraction, sign-extended: which keeps their order, with and without sign. */
const COMPARE: Readonly<Record<number, number>> = {
  [CC.b]: OP.i64_lt_u,
  [CC.z]: OP.i64_eq,
  [CC.be]: OP.i64_le_u,
  [CC.l]: OP.i64_lt_s,
  [CC.le]: OP.i64_le_s,
};

/** The condition, on the stack; undefined where the source does not tell. */
export function conditionFrom(e: ValueEmitter, from: FlagSource, cc: number): V32 | undefined {
  const { r } = from;
  if (from.kind === 'sub') {
    const compare = COMPARE[cc];
    if (compare !== undefined) return pair(e, from.x, from.y, compare);
  }
  if (cc === CC.z) return e.eqz(r);
  if (cc === CC.s) return negative(e, r);
  if (cc === CC.p) return e.eqz(e.and(e.popcnt(e.and(e.get(r), e.c(255))), e.c(1)));
  if (from.kind !== 'logic') return undefined;
  // CF and OF are clear
  if (cc === CC.be) return e.eqz(r);
  if (cc === CC.l) return negative(e, r);
  if (cc === CC.le) return e.lts(e.get(r), e.c(1));
  e.code.i32(0);
  return B;
}

const negative = (e: ValueEmitter, r: Var): V32 => e.lts(e.get(r), e.c(0));
function pair(e: ValueEmitter, x: Var, y: Var, compare: number): V32 {
  e.get(x);
  e.get(y);
  e.code.op(compare);
  return B;
}
