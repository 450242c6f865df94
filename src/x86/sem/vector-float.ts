/**
 * SSE floating point where Wasm's result is x86's and no exception flag changes; all else is left to the helper.
 *
 * Results agree when operands and result are normal numbers or plain zeros. Rounding, the masks and the sticky precision
 * flag then decide whether a rounded result may be stored without more: `usual` MXCSR says so, and compiled programs
 * have it after their first inexact operation. Until then exact results are recognised where that is cheap.
 * @spec SDM 1 11.5
 */
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { FltSize, FltVar, Sem, V32, V64, Var, Vec, VecVar } from './sem.ts';
import { type Fn, fromMemory, rr, rri, type VectorSemantics } from './vector-rows.ts';

/** FTZ, rounding, masks, DAZ, PE; round to nearest, all masked, PE set. */
const MODES = 0xffe0;
const USUAL = 0x1fa0;
/** The same before anything was inexact. */
const FRESH = 0x1f80;

interface Format {
  readonly f: FltSize;
  /** Left shift that leaves exponent and fraction at the top of 64 bits. */
  readonly up: number;
  /** The least normal number and infinity, shifted so. */
  readonly normal: bigint;
  readonly infinity: bigint;
  readonly suffix: 's' | 'd';
  readonly abs: number;
  readonly min: number;
  readonly max: number;
}
const S: Format = {
  f: 4, up: 33, normal: 1n << 56n, infinity: 0xff00_0000n << 32n, suffix: 's', abs: SIMD.f32x4_abs,
  min: 2 ** -126, max: (2 - 2 ** -23) * 2 ** 127,
};
const D: Format = {
  f: 8, up: 1, normal: 1n << 53n, infinity: 0xffe0n << 48n, suffix: 'd', abs: SIMD.f64x2_abs,
  min: 2 ** -1022, max: Number.MAX_VALUE,
};
const signed = (v: bigint): bigint => BigInt.asIntN(64, v);

const notUsual = (e: Sem): V32 => e.ne(e.and(e.mxcsr(), e.c(MODES)), e.c(USUAL));

// --- scalars -------------------------------------------------------------------------------------------------------

/** A number and its magnitude's bits at the top of a word. */
interface Scalar {
  readonly x: FltVar;
  readonly m: Var;
}
const magnitude = (e: Sem, x: FltVar, t: Format): Var => e.let(e.shl(e.fbits(x), e.c(t.up)));
/** Operand i; a denormal is left to the helper. */
function operand(e: Sem, i: number, t: Format): Scalar {
  const x = e.flet(e.fread(i, t.f), t.f);
  const m = magnitude(e, x, t);
  e.slowIf(e.ltu(e.sub(e.get(m), e.c(1)), e.big(t.normal - 1n)));
  return { x, m };
}

/** Leaves results other than zero that are not above the least normal number and finite; and zero ones unless `zero`. */
function checkResult(e: Sem, r: FltVar, t: Format, zero?: () => V32): void {
  const m = magnitude(e, r, t);
  const least = t.normal + 1n;
  e.if(e.notBool(e.ltu(e.sub(e.get(m), e.big(least)), e.big(signed(t.infinity - least)))), () => {
    e.slowIf(e.ne(e.get(m), e.c(0)));
    if (zero) e.slowIf(e.notBool(zero()));
  });
}

/** Unusual MXCSR: only a fresh one with an exact result is taken here. */
function checkPrecision(e: Sem, inexact: (() => V32) | undefined): void {
  const modes = e.let(e.and(e.mxcsr(), e.c(MODES)));
  e.if(e.ne(e.get(modes), e.c(USUAL)), () => {
    e.slowIf(e.ne(e.get(modes), e.c(inexact ? FRESH : USUAL)));
    if (inexact) e.slowIf(inexact());
  });
}

const ARITHMETIC = {
  s: { add: OP.f32_add, sub: OP.f32_sub, mul: OP.f32_mul, div: OP.f32_div, sqrt: OP.f32_sqrt, ne: OP.f32_ne, lt: OP.f32_lt, ge: OP.f32_ge, eq: OP.f32_eq },
  d: { add: OP.f64_add, sub: OP.f64_sub, mul: OP.f64_mul, div: OP.f64_div, sqrt: OP.f64_sqrt, ne: OP.f64_ne, lt: OP.f64_lt, ge: OP.f64_ge, eq: OP.f64_eq },
} as const;

/** Whether the rounding error of s = a + b (or a - b) is other than 0, by Knuth's two-sum. */
function sumInexact(e: Sem, t: Format, a: FltVar, b: FltVar, s: FltVar, subtract: boolean): V32 {
  const o = ARITHMETIC[t.suffix];
  const put = (v: ReturnType<Sem['fop']>): FltVar => e.flet(v, t.f);
  // of a - b = s: b' = a - s, err = (b' - b) + (a - (s + b'))
  const part = put(subtract ? e.fop(o.sub, a, s) : e.fop(o.sub, s, a));
  const left = put(subtract ? e.fop(o.add, s, part) : e.fop(o.sub, s, part));
  // what is left of a, and of b: exact iff both are whole
  return e.orBool(e.fcmp(o.ne, left, a), e.fcmp(o.ne, part, b));
}
/** Whether a product may not fit: together the factors have more significant bits than the format. */
function productInexact(e: Sem, t: Format, a: Var, b: Var): V32 {
  // trailing zeros of the fractions, shifted up with the rest
  const zeros = (m: Var): V64 => e.ctz(e.or(e.get(m), e.big(t.normal)));
  const sum = e.add(zeros(a), zeros(b));
  return e.ltu(sum, e.c(2 * t.up + (t.f === 4 ? 24 : 53)));
}

function addScalar(t: Format, subtract: boolean): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const r = e.flet(e.fop(subtract ? o.sub : o.add, a, b), t.f);
    checkResult(e, r, t);
    checkPrecision(e, () => sumInexact(e, t, a, b, r, subtract));
    e.fwrite(r);
  };
}
function mulScalar(t: Format): Fn {
  return (e) => {
    const a = operand(e, 0, t);
    const b = operand(e, 1, t);
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].mul, a.x, b.x), t.f);
    checkResult(e, r, t, () => e.orBool(e.eqz(a.m), e.eqz(b.m)));
    checkPrecision(e, () => productInexact(e, t, a.m, b.m));
    e.fwrite(r);
  };
}
function divScalar(t: Format): Fn {
  return (e) => {
    const a = operand(e, 0, t);
    const b = operand(e, 1, t);
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].div, a.x, b.x), t.f);
    // an infinite divisor may go the long way
    checkResult(e, r, t, () => e.eqz(a.m));
    checkPrecision(e, undefined);
    e.fwrite(r);
  };
}
function sqrtScalar(t: Format): Fn {
  return (e) => {
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].sqrt, operand(e, 1, t).x), t.f);
    checkResult(e, r, t);
    checkPrecision(e, undefined);
    e.fwrite(r);
  };
}
/** MIN and MAX: the second operand unless the first is strictly less (greater). */
function pickScalar(t: Format, greater: boolean): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const [x, y] = greater ? [b, a] : [a, b];
    e.if(e.notBool(e.fcmp(o.lt, x, y)), () => {
      e.slowIf(e.notBool(e.fcmp(o.ge, x, y)));
      e.fwrite(b);
    });
  };
}
/** (U)COMIS: ZF and CF; unordered operands are left to the helper. */
function comi(t: Format): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const less = e.let(e.bool(e.fcmp(o.lt, a, b)));
    e.slowIf(e.notBool(e.orBool(e.ne(e.get(less), e.c(0)), e.fcmp(o.ge, a, b))));
    // PF clear: odd parity; carry out of the top two bits: CF without OF
    const unequal = e.shl(e.bool(e.fcmp(o.ne, a, b)), e.c(8));
    e.setFlags(unequal, e.or(e.shl(e.mul(e.get(less), e.c(3)), e.c(62)), e.c(0x100)));
  };
}
const ones = (e: Sem, bit: V64): Var => {
  const v = e.let(bit);
  return e.let(e.sub(e.c(0), v));
};
/** The predicate in the immediate: whether equality and less-than count, and whether the answer is turned round. */
function predicate(e: Sem): { eq: Var; lt: Var; not: Var } {
  const p = e.let(e.imm8());
  const bit = (table: number): Var => ones(e, e.and(e.shru(e.c(table), p), e.c(1)));
  return { eq: bit(0b0101_0101), lt: bit(0b0110_0110), not: bit(0b1111_0000) };
}
function compareScalar(t: Format): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const p = predicate(e);
    const lt = ones(e, e.bool(e.fcmp(o.lt, a, b)));
    e.slowIf(e.notBool(e.orBool(e.ne(e.get(lt), e.c(0)), e.fcmp(o.ge, a, b))));
    const eq = ones(e, e.bool(e.fcmp(o.eq, a, b)));
    const r = e.let(e.xor(e.or(e.and(eq, p.eq), e.and(lt, p.lt)), p.not));
    e.vwrite(t.f === 4 ? e.setLane32(e.vread(0), 0, e.get(r)) : e.setLane64(e.vread(0), 0, e.get(r)));
  };
}

// --- scalar conversions --------------------------------------------------------------------------------------------

/** CVTSI2SS/SD: exact if the integer has no more bits than the fraction. */
function fromInteger(t: Format, z: 4 | 8): Fn {
  const bits = t.f === 4 ? 24n : 53n;
  const op = t.f === 4 ? OP.f32_convert_i64_s : OP.f64_convert_i64_s;
  return (e) => {
    const v = e.let(e.read(1, z));
    const r = e.flet(e.ffrom(op, v), t.f);
    if (t.f === 4 || z === 8) {
      const beyond = (): V32 => e.gtu(e.add(e.get(v), e.big(1n << bits)), e.big(2n << bits));
      checkPrecision(e, beyond);
    }
    e.fwrite(r);
  };
}
/** CVT(T)SS/SD2SI in the integer's range; singles are widened first, which is exact. */
function toInteger(t: Format, z: 4 | 8, truncate: boolean): Fn {
  return (e) => {
    const narrow = e.flet(e.fread(1, t.f), t.f);
    const x = t.f === 4 ? e.flet(e.fop(OP.f64_promote_f32, narrow), 8) : narrow;
    const whole = e.flet(e.fop(truncate ? OP.f64_trunc : OP.f64_nearest, x), 8);
    const limit = z === 4 ? 2 ** 31 : 2 ** 63;
    const low = e.flet(e.fconst(-limit, 8), 8);
    const high = e.flet(e.fconst(limit, 8), 8);
    e.slowIf(e.notBool(e.andBool(e.fcmp(OP.f64_ge, whole, low), e.fcmp(OP.f64_lt, whole, high))));
    e.if(e.fcmp(OP.f64_ne, whole, x), () => e.slowIf(notUsual(e)));
    e.write(z, e.fto(OP.i64_trunc_f64_s, whole));
  };
}
const widen: Fn = (e) => {
  const { x } = operand(e, 1, S);
  e.slowIf(e.fcmp(OP.f32_ne, x, x));
  e.fwrite(e.flet(e.fop(OP.f64_promote_f32, x), 8));
};
const narrow: Fn = (e) => {
  const { x, m } = operand(e, 1, D);
  const r = e.flet(e.fop(OP.f32_demote_f64, x), 4);
  checkResult(e, r, S, () => e.eqz(m));
  checkPrecision(e, () => {
    const back = e.flet(e.fop(OP.f64_promote_f32, r), 8);
    return e.fcmp(OP.f64_ne, back, x);
  });
  e.fwrite(r);
};

// --- packed --------------------------------------------------------------------------------------------------------

const PACKED = {
  s: {
    add: SIMD.f32x4_add, sub: SIMD.f32x4_sub, mul: SIMD.f32x4_mul, div: SIMD.f32x4_div, sqrt: SIMD.f32x4_sqrt,
    lt: SIMD.f32x4_lt, gt: SIMD.f32x4_gt, le: SIMD.f32x4_le, ge: SIMD.f32x4_ge, eq: SIMD.f32x4_eq, ne: SIMD.f32x4_ne,
    all: SIMD.i32x4_all_true,
  },
  d: {
    add: SIMD.f64x2_add, sub: SIMD.f64x2_sub, mul: SIMD.f64x2_mul, div: SIMD.f64x2_div, sqrt: SIMD.f64x2_sqrt,
    lt: SIMD.f64x2_lt, gt: SIMD.f64x2_gt, le: SIMD.f64x2_le, ge: SIMD.f64x2_ge, eq: SIMD.f64x2_eq, ne: SIMD.f64x2_ne,
    all: SIMD.i64x2_all_true,
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
const anyTrue = (e: Sem, v: Vec): V32 => e.ne(e.vmask(SIMD.v128_any_true, v), e.c(0));
const notAll = (e: Sem, t: Format, v: Vec): V32 => e.eqz(e.vmask(PACKED[t.suffix].all, v));
const zeros = (e: Sem, x: VecVar, t: Format): Vec => e.v2(PACKED[t.suffix].eq, e.vget(x), e.vconst(0n, 0n));

/** Denormal lanes go to the helper. */
function noDenormals(e: Sem, x: VecVar, t: Format): void {
  const o = PACKED[t.suffix];
  const small = e.v2(o.lt, e.v1(t.abs, x), every(e, t.min, t));
  const nonzero = e.v2(o.ne, e.vget(x), e.vconst(0n, 0n));
  e.slowIf(anyTrue(e, e.v2(SIMD.v128_and, small, nonzero)));
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
  const normal = e.v2(SIMD.v128_and, above, e.v2(o.le, e.vget(size), every(e, t.max, t)));
  e.slowIf(notAll(e, t, e.v2(SIMD.v128_or, normal, zero(zeros(e, r, t)))));
}
const asIs = (z: Vec): Vec => z;

function addPacked(t: Format, op: number): Fn {
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
    checkLanes(e, r, t, (z) => e.v2(SIMD.v128_and, z, e.v2(SIMD.v128_or, zeros(e, a, t), zeros(e, b, t))));
    e.vwrite(r);
  };
}
function divPacked(t: Format): Fn {
  return (e) => {
    e.slowIf(notUsual(e));
    const a = vectorOperand(e, 0, t);
    const b = vectorOperand(e, 1, t);
    const r = e.vlet(e.v2(PACKED[t.suffix].div, a, b));
    checkLanes(e, r, t, (z) => e.v2(SIMD.v128_and, z, zeros(e, a, t)));
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
  e.slowIf(notAll(e, t, e.v2(SIMD.v128_or, e.vget(less), e.vlet(e.v2(o.ge, a, b)))));
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
    const lt = e.v2(SIMD.v128_and, e.vget(less), e.splat64(p.lt));
    const eq = e.v2(SIMD.v128_and, e.v2(PACKED[t.suffix].eq, e.vget(a), b), e.splat64(p.eq));
    e.vwrite(e.v2(SIMD.v128_xor, e.v2(SIMD.v128_or, lt, eq), e.splat64(p.not)));
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
  const size = e.v1(SIMD.i32x4_abs, v);
  const beyond = e.let(e.bool(anyTrue(e, e.v2(SIMD.i32x4_gt_u, size, e.vconst(0x0100_0000_0100_0000n, 0x0100_0000_0100_0000n)))));
  e.slowIf(e.ne(e.and(beyond, e.let(e.bool(notUsual(e)))), e.c(0)));
  e.vwrite(e.v1(SIMD.f32x4_convert_i32x4_s, v));
};
/** CVT(T)PS2DQ and CVT(T)PD2DQ within range. */
function toIntegers(t: Format, toWhole: number, convert: number): Fn {
  const o = PACKED[t.suffix];
  return (e) => {
    const x = e.vlet(e.vread(1));
    const whole = e.vlet(e.v1(toWhole, x));
    const low = e.v2(o.ge, e.vget(whole), every(e, -(2 ** 31), t));
    e.slowIf(notAll(e, t, e.v2(SIMD.v128_and, low, e.v2(o.lt, e.vget(whole), every(e, 2 ** 31, t)))));
    exactOrUsual(e, t, x, whole);
    e.vwrite(e.v1(convert, whole));
  };
}
const widenPair: Fn = (e) => {
  // only the low two lanes count
  const low = e.vlet(e.setLane64(e.vconst(0n, 0n), 0, e.lane64(e.vread(1), 0)));
  noDenormals(e, low, S);
  e.slowIf(anyTrue(e, e.v2(SIMD.f32x4_ne, low, low)));
  e.vwrite(e.v1(SIMD.f64x2_promote_low_f32x4, low));
};
const narrowPair: Fn = (e) => {
  e.slowIf(notUsual(e));
  const x = e.vlet(e.vread(1));
  const r = e.vlet(e.v1(SIMD.f32x4_demote_f64x2_zero, x));
  // zeros must come from zeros; the upper lanes are zeros anyway
  const nonzero = e.vlet(e.v2(SIMD.f64x2_ne, e.vget(x), e.vconst(0n, 0n)));
  const lanes = e.vlet(e.shuffle([0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 16, 17, 18, 19], nonzero, e.vlet(e.vconst(0n, 0n))));
  checkLanes(e, r, S, (z) => e.v2(SIMD.v128_andnot, z, lanes));
  e.vwrite(r);
};

/** ROUNDSS/SD: mode in the immediate, or with bit 2 MXCSR's; bit 3 keeps inexact quiet. */
function checkRounding(e: Sem, inexact: Var): Var {
  const imm = e.let(e.imm8());
  const byMxcsr = e.let(e.and(e.shru(e.get(imm), e.c(2)), e.c(1)));
  const rounding = e.let(e.and(e.mxcsr(), e.c(0x6000)));
  e.slowIf(e.ne(e.mul(byMxcsr, rounding), e.c(0)));
  const loud = e.let(e.and(e.get(inexact), e.let(e.bool(e.eqz(e.and(e.get(imm), e.c(8)))))));
  e.if(e.ne(e.get(loud), e.c(0)), () => e.slowIf(notUsual(e)));
  return e.let(e.and(e.get(imm), e.let(e.mul(e.xor(e.get(byMxcsr), e.c(1)), e.c(3)))));
}
/** One of four roundings by a mode known when it runs. */
function byMode(e: Sem, mode: Var, round: readonly (() => void)[]): void {
  const [nearest, down, up, zero] = round as readonly [() => void, () => void, () => void, () => void];
  const is = (n: number): V32 => e.eq(e.get(mode), e.c(n));
  e.if(is(1), down, () => e.if(is(2), up, () => e.if(is(3), zero, nearest)));
}
function roundScalar(t: Format, ops: readonly [number, number, number, number], unequal: number): Fn {
  return (e) => {
    const { x } = operand(e, 1, t);
    e.slowIf(e.fcmp(unequal, x, x));
    const whole = e.flet(e.fop(ops[3], x), t.f);
    const mode = checkRounding(e, e.let(e.bool(e.fcmp(unequal, whole, x))));
    byMode(e, mode, ops.map((op) => () => e.fwrite(e.flet(e.fop(op, x), t.f))));
  };
}
function roundPacked(t: Format, ops: readonly [number, number, number, number]): Fn {
  const { ne } = PACKED[t.suffix];
  return (e) => {
    const x = vectorOperand(e, 1, t);
    e.slowIf(anyTrue(e, e.v2(ne, x, x)));
    const whole = e.vlet(e.v1(ops[3], x));
    const mode = checkRounding(e, e.let(e.bool(anyTrue(e, e.v2(ne, whole, x)))));
    byMode(e, mode, ops.map((op) => () => e.vwrite(e.v1(op, x))));
  };
}

function arithmetic(t: Format): VectorSemantics[] {
  const s = t.suffix;
  const o = PACKED[s];
  return [
    rr(`adds${s}`, addScalar(t, false)),
    rr(`subs${s}`, addScalar(t, true)),
    rr(`muls${s}`, mulScalar(t)),
    rr(`divs${s}`, divScalar(t)),
    rr(`sqrts${s}`, sqrtScalar(t)),
    rr(`mins${s}`, pickScalar(t, false)),
    rr(`maxs${s}`, pickScalar(t, true)),
    rr(`ucomis${s}`, comi(t)),
    rri(`cmps${s}`, compareScalar(t)),
    rr(`addp${s}`, addPacked(t, o.add)),
    rr(`subp${s}`, addPacked(t, o.sub)),
    rr(`mulp${s}`, mulPacked(t)),
    rr(`divp${s}`, divPacked(t)),
    rr(`sqrtp${s}`, sqrtPacked(t)),
    rr(`minp${s}`, pickPacked(t, false)),
    rr(`maxp${s}`, pickPacked(t, true)),
    rri(`cmpp${s}`, comparePacked(t)),
    ...([4, 8] as const).flatMap((z) => [
      rr(`cvtsi2s${s}`, fromInteger(t, z), z),
      rr(`cvtts${s}2si`, toInteger(t, z, true), z),
      rr(`cvts${s}2si`, toInteger(t, z, false), z),
    ]),
  ];
}

const single = arithmetic(S);
const double = arithmetic(D);

export const VECTOR_FLOAT: readonly VectorSemantics[] = [
  ...single,
  ...fromMemory(single, 4, 'addss', 'subss', 'mulss'),
  ...double,
  ...fromMemory(double, 8, 'addsd', 'subsd', 'mulsd', 'divsd', 'ucomisd'),
  rri('roundss', roundScalar(S, [OP.f32_nearest, OP.f32_floor, OP.f32_ceil, OP.f32_trunc], OP.f32_ne)),
  rri('roundsd', roundScalar(D, [OP.f64_nearest, OP.f64_floor, OP.f64_ceil, OP.f64_trunc], OP.f64_ne)),
  rri('roundps', roundPacked(S, [SIMD.f32x4_nearest, SIMD.f32x4_floor, SIMD.f32x4_ceil, SIMD.f32x4_trunc])),
  rri('roundpd', roundPacked(D, [SIMD.f64x2_nearest, SIMD.f64x2_floor, SIMD.f64x2_ceil, SIMD.f64x2_trunc])),
  rr('cvtss2sd', widen),
  rr('cvtsd2ss', narrow),
  rr('cvtps2pd', widenPair),
  rr('cvtpd2ps', narrowPair),
  rr('cvtdq2ps', intToSingle),
  rr('cvtdq2pd', (e) => e.vwrite(e.v1(SIMD.f64x2_convert_low_i32x4_s, e.vread(1)))),
  rr('cvttps2dq', toIntegers(S, SIMD.f32x4_trunc, SIMD.i32x4_trunc_sat_f32x4_s)),
  rr('cvtps2dq', toIntegers(S, SIMD.f32x4_nearest, SIMD.i32x4_trunc_sat_f32x4_s)),
  rr('cvttpd2dq', toIntegers(D, SIMD.f64x2_trunc, SIMD.i32x4_trunc_sat_f64x2_s_zero)),
  rr('cvtpd2dq', toIntegers(D, SIMD.f64x2_nearest, SIMD.i32x4_trunc_sat_f64x2_s_zero)),
];
