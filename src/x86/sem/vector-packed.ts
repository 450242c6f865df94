/** Packed SSE floating point, under the conditions of vector-float.ts: all lanes must satisfy them. @spec SDM 1 11.5 */
import type { Sem, V32, Vec, VecVar } from './sem.ts';
import { byMode, checkRounding, D, type Format, notUsual, predicate, S } from './vector-float.ts';
import { type Fn, rr, rri, type VectorSemantics } from './vector-rows.ts';

// biome-ignore format: a table
const PACKED = {
  s: {
    add: 'f32x4_add', sub: 'f32x4_sub', mul: 'f32x4_mul', div: 'f32x4_div', sqrt: 'f32x4_sqrt',
    lt: 'f32x4_lt', gt: 'f32x4_gt', le: 'f32x4_le', ge: 'f32x4_ge', eq: 'f32x4_eq', ne: 'f32x4_ne',
    all: 'i32x4_all_true',
  },
  d: {
    add: 'f64x2_add', sub: 'f64x2_sub', mul: 'f64x2_mul', div: 'f64x2_div', sqrt: 'f64x2_sqrt',
    lt: 'f64x2_lt', gt: 'f64x2_gt', le: 'f64x2_le', ge: 'f64x2_ge', eq: 'f64x2_eq', ne: 'f64x2_ne',
    all: 'i64x2_all_true',
  },
} as const;

/** A number in every lane. */
function every(e: Sem, n: number, t: Format): Vec {
  const view = new DataView(new ArrayBuffer(8));
  if (t.f === 8) view.setFloat64(0, n);
  else for (const at of [0, 4]) view.setFloat32(at, n);
  const bits = view.getBigUint64(0);
  return e.vconst(bits, bits);
}
const anyTrue = (e: Sem, v: Vec): V32 => e.ne(e.vmask('v128_any_true', v), e.c(0));
const notAll = (e: Sem, t: Format, v: Vec): V32 => e.eqz(e.vmask(PACKED[t.suffix].all, v));
const zeros = (e: Sem, x: VecVar, t: Format): Vec => e.v2(PACKED[t.suffix].eq, e.vget(x), e.vconst(0n, 0n));

/** Denormal lanes go to the helper. */
function noDenormals(e: Sem, x: VecVar, t: Format): void {
  const o = PACKED[t.suffix];
  const small = e.v2(o.lt, e.v1(t.abs, x), every(e, t.min, t));
  const nonzero = e.v2(o.ne, e.vget(x), e.vconst(0n, 0n));
  e.slowIf(anyTrue(e, e.v2('v128_and', small, nonzero)));
}
const vectorOperand = (e: Sem, i: number, t: Format): VecVar => {
  const x = e.vlet(e.vread(i));
  noDenormals(e, x, t);
  return x;
};
/** As checkResult, for all lanes; `zero` says in which a zero is in order. */
function checkLanes(e: Sem, r: VecVar, t: Format, zero: (isZero: Vec) => Vec): void {
  const o = PACKED[t.suffix];
  const size = e.vlet(e.v1(t.abs, r));
  const above = e.v2(o.gt, e.vget(size), every(e, t.min, t));
  const normal = e.v2('v128_and', above, e.v2(o.le, e.vget(size), every(e, t.max, t)));
  e.slowIf(notAll(e, t, e.v2('v128_or', normal, zero(zeros(e, r, t)))));
}
const asIs = (z: Vec): Vec => z;

function addPacked(t: Format, op: string): Fn {
  return (e) => {
    e.slowIf(notUsual(e));
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const r = e.vlet(e.v2(op, a, b));
    checkLanes(e, r, t, asIs);
    e.vwrite(r);
  };
}
function mulPacked(t: Format): Fn {
  return (e) => {
    e.slowIf(notUsual(e));
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const r = e.vlet(e.v2(PACKED[t.suffix].mul, a, b));
    checkLanes(e, r, t, (z) => e.v2('v128_and', z, e.v2('v128_or', zeros(e, a, t), zeros(e, b, t))));
    e.vwrite(r);
  };
}
function divPacked(t: Format): Fn {
  return (e) => {
    e.slowIf(notUsual(e));
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const r = e.vlet(e.v2(PACKED[t.suffix].div, a, b));
    checkLanes(e, r, t, (z) => e.v2('v128_and', z, zeros(e, a, t)));
    e.vwrite(r);
  };
}
function sqrtPacked(t: Format): Fn {
  return (e) => {
    e.slowIf(notUsual(e));
    const r = e.vlet(e.v1(PACKED[t.suffix].sqrt, vectorOperand(e, 1, t)));
    checkLanes(e, r, t, asIs);
    e.vwrite(r);
  };
}
/** Leaves unordered lanes to the helper; yields a < b. */
function lessThan(e: Sem, t: Format, a: VecVar, b: VecVar): VecVar {
  const o = PACKED[t.suffix];
  const less = e.vlet(e.v2(o.lt, a, b));
  e.slowIf(notAll(e, t, e.v2('v128_or', e.vget(less), e.vlet(e.v2(o.ge, a, b)))));
  return less;
}
function pickPacked(t: Format, greater: boolean): Fn {
  return (e) => {
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const first = greater ? lessThan(e, t, b, a) : lessThan(e, t, a, b);
    e.vwrite(e.bitselect(a, b, first));
  };
}
function comparePacked(t: Format): Fn {
  return (e) => {
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const less = lessThan(e, t, a, b);
    const p = predicate(e);
    const lt = e.v2('v128_and', e.vget(less), e.splat64(p.lt));
    const eq = e.v2('v128_and', e.v2(PACKED[t.suffix].eq, e.vget(a), b), e.splat64(p.eq));
    e.vwrite(e.v2('v128_xor', e.v2('v128_or', lt, eq), e.splat64(p.not)));
  };
}

/** Leaves a conversion whose result is not what it came from, unless MXCSR is the usual. */
const exactOrUsual = (e: Sem, t: Format, x: VecVar, back: VecVar): void => {
  const modes = e.let(e.bool(notUsual(e)));
  const differs = e.let(e.bool(anyTrue(e, e.v2(PACKED[t.suffix].ne, x, back))));
  e.slowIf(e.ne(e.and(modes, differs), e.c(0)));
};
const intToSingle: Fn = (e) => {
  const v = e.vlet(e.vread(1));
  const size = e.v1('i32x4_abs', v);
  const beyond = e.let(
    e.bool(anyTrue(e, e.v2('i32x4_gt_u', size, e.vconst(0x0100_0000_0100_0000n, 0x0100_0000_0100_0000n)))),
  );
  e.slowIf(e.ne(e.and(beyond, e.let(e.bool(notUsual(e)))), e.c(0)));
  e.vwrite(e.v1('f32x4_convert_i32x4_s', v));
};
/** CVT(T)PS2DQ and CVT(T)PD2DQ within range. */
function toIntegers(t: Format, toWhole: string, convert: string): Fn {
  const o = PACKED[t.suffix];
  return (e) => {
    const x = e.vlet(e.vread(1));
    const whole = e.vlet(e.v1(toWhole, x));
    const low = e.v2(o.ge, e.vget(whole), every(e, -(2 ** 31), t));
    e.slowIf(notAll(e, t, e.v2('v128_and', low, e.v2(o.lt, e.vget(whole), every(e, 2 ** 31, t)))));
    exactOrUsual(e, t, x, whole);
    e.vwrite(e.v1(convert, whole));
  };
}
const widenPair: Fn = (e) => {
  // only the low two lanes count
  const low = e.vlet(e.setLane64(e.vconst(0n, 0n), 0, e.lane64(e.vread(1), 0)));
  noDenormals(e, low, S);
  e.slowIf(anyTrue(e, e.v2('f32x4_ne', low, low)));
  e.vwrite(e.v1('f64x2_promote_low_f32x4', low));
};
const narrowPair: Fn = (e) => {
  e.slowIf(notUsual(e));
  const x = e.vlet(e.vread(1));
  const r = e.vlet(e.v1('f32x4_demote_f64x2_zero', x));
  // zeros must come from zeros; the upper lanes are zeros anyway
  const nonzero = e.vlet(e.v2('f64x2_ne', e.vget(x), e.vconst(0n, 0n)));
  const lanes = e.vlet(
    e.shuffle([0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 16, 17, 18, 19], nonzero, e.vlet(e.vconst(0n, 0n))),
  );
  checkLanes(e, r, S, (z) => e.v2('v128_andnot', z, lanes));
  e.vwrite(r);
};

function roundPacked(t: Format, ops: readonly [string, string, string, string]): Fn {
  const { ne } = PACKED[t.suffix];
  return (e) => {
    const x = vectorOperand(e, 1, t);
    e.slowIf(anyTrue(e, e.v2(ne, x, x)));
    const whole = e.vlet(e.v1(ops[3], x));
    const mode = checkRounding(e, e.let(e.bool(anyTrue(e, e.v2(ne, whole, x)))));
    byMode(
      e,
      mode,
      ops.map((op) => () => e.vwrite(e.v1(op, x))),
    );
  };
}

function arithmetic(t: Format): VectorSemantics[] {
  const s = t.suffix;
  const o = PACKED[s];
  return [
    rr(`addp${s}`, addPacked(t, o.add)),
    rr(`subp${s}`, addPacked(t, o.sub)),
    rr(`mulp${s}`, mulPacked(t)),
    rr(`divp${s}`, divPacked(t)),
    rr(`sqrtp${s}`, sqrtPacked(t)),
    rr(`minp${s}`, pickPacked(t, false)),
    rr(`maxp${s}`, pickPacked(t, true)),
    rri(`cmpp${s}`, comparePacked(t)),
  ];
}

export const VECTOR_PACKED: readonly VectorSemantics[] = [
  ...arithmetic(S),
  ...arithmetic(D),
  rri('roundps', roundPacked(S, ['f32x4_nearest', 'f32x4_floor', 'f32x4_ceil', 'f32x4_trunc'])),
  rri('roundpd', roundPacked(D, ['f64x2_nearest', 'f64x2_floor', 'f64x2_ceil', 'f64x2_trunc'])),
  rr('cvtps2pd', widenPair),
  rr('cvtpd2ps', narrowPair),
  rr('cvtdq2ps', intToSingle),
  rr('cvtdq2pd', (e) => e.vwrite(e.v1('f64x2_convert_low_i32x4_s', e.vread(1)))),
  rr('cvttps2dq', toIntegers(S, 'f32x4_trunc', 'i32x4_trunc_sat_f32x4_s')),
  rr('cvtps2dq', toIntegers(S, 'f32x4_nearest', 'i32x4_trunc_sat_f32x4_s')),
  rr('cvttpd2dq', toIntegers(D, 'f64x2_trunc', 'i32x4_trunc_sat_f64x2_s_zero')),
  rr('cvtpd2dq', toIntegers(D, 'f64x2_nearest', 'i32x4_trunc_sat_f64x2_s_zero')),
];
