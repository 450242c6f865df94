/** Conditions told from what set the flags: a compare and its branch become one comparison. @spec SDM 1 appendix B */
import { OP } from '../../wasm/opcodes.ts';
import type { FlagSource, Size, V32, Var } from '../../x86/sem/sem.ts';
import type { ValueEmitter } from '../emit/value.ts';

const B = {} as V32;
/** Condition codes without their lowest bit, halved. */
const CC = { o: 0, b: 1, z: 2, be: 3, s: 4, p: 5, l: 6, le: 7 } as const;
/** Of x and y, operands of the subtraction, sign-extended: which keeps their order, with and without sign. */
const COMPARE: Readonly<Record<number, Ops>> = {
  [CC.b]: [OP.i64_lt_u, OP.i32_lt_u],
  [CC.z]: [OP.i64_eq, OP.i32_eq],
  [CC.be]: [OP.i64_le_u, OP.i32_le_u],
  [CC.l]: [OP.i64_lt_s, OP.i32_lt_s],
  [CC.le]: [OP.i64_le_s, OP.i32_le_s],
};
const ZERO: Ops = [OP.i64_eqz, OP.i32_eqz];
const LESS: Ops = [OP.i64_lt_s, OP.i32_lt_s];
/** For operands of 8 bytes, and of less: V8's first compiler joins only the latter with the branch. */
type Ops = readonly [number, number];

/** The condition, on the stack; undefined where the source does not tell. */
export function conditionFrom(e: ValueEmitter, from: FlagSource, cc: number): V32 | undefined {
  const { r, z } = from;
  if (from.kind === 'sub') {
    const compare = COMPARE[cc];
    if (compare !== undefined) return test(e, z, compare, from.x, from.y);
  }
  if (cc === CC.z) return test(e, z, ZERO, r);
  if (cc === CC.s) return test(e, z, LESS, r, 0);
  if (cc === CC.p) return e.eqz(e.and(e.popcnt(e.and(e.get(r), e.c(255))), e.c(1)));
  if (from.kind !== 'logic') return undefined;
  // CF and OF are clear
  if (cc === CC.be) return test(e, z, ZERO, r);
  if (cc === CC.l) return test(e, z, LESS, r, 0);
  if (cc === CC.le) return test(e, z, LESS, r, 1);
  e.code.i32(0);
  return B;
}

function test(e: ValueEmitter, z: Size, ops: Ops, ...operands: (Var | number)[]): V32 {
  for (const v of operands) {
    if (typeof v === 'number') {
      if (z === 8) e.c(v);
      else e.code.i32(v);
      continue;
    }
    e.get(v);
    if (z !== 8) e.code.op(OP.i32_wrap_i64);
  }
  e.code.op(ops[z === 8 ? 0 : 1]);
  return B;
}
