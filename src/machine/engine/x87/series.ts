/**
 * Elementary functions to some 190 bits, in fixed point. What comes back is a magnitude for `pack`: never a tie and
 * hardly ever near one, so that rounding it once rounds correctly.
 */

import { integerRoot } from './arith.ts';
import { bitLength, exponentOf, type F80 } from './float80.ts';

/** sign * sig * 2^exp, and a bit more than that if not `exact`. */
export interface Approx {
  sign: number;
  sig: bigint;
  exp: number;
  exact: boolean;
}

const GUARD = 200;
/** Arguments smaller than 2^-TINY are taken as their function's first term. */
const TINY = 100;
const F = BigInt(GUARD + TINY);
const UNIT = 1n << F;

const approx = (v: bigint, exp: number, exact = false): Approx => ({
  sign: v < 0n ? 1 : 0,
  sig: v < 0n ? -v : v,
  exp,
  exact,
});
const FIXED = -Number(F);

/** Exponent of the highest bit. */
const topOf = (v: F80): number => exponentOf(v) + bitLength(v.sig) - 1;
/** v as fixed point; bits below are lost. */
function fixed(v: F80): bigint {
  const shift = exponentOf(v) + Number(F);
  const magnitude = shift >= 0 ? v.sig << BigInt(shift) : v.sig >> BigInt(-shift);
  return v.sign ? -magnitude : magnitude;
}
/** A hair above or below an exact magnitude. */
const nudged = (sign: number, sig: bigint, exp: number, by: bigint): Approx => ({
  sign,
  sig: (sig << 100n) + by,
  exp: exp - 100,
  exact: false,
});

/** Sum of t^(2n+1) / (2n+1), the signs alternating or not: arctangent or its hyperbolic sister. */
function oddPowers(t: bigint, alternate: boolean): bigint {
  const square = (t * t) >> F;
  let sum = t;
  let power = t;
  for (let n = 3n; power !== 0n && power !== -1n; n += 2n) {
    power = (power * square) >> F;
    if (alternate) power = -power;
    sum += power / n;
  }
  return sum;
}

/** ln 2 = 2 artanh 1/3; pi = 16 arctan 1/5 - 4 arctan 1/239. */
const LN2 = 2n * oddPowers(UNIT / 3n, false);
const LOG2E = (UNIT * UNIT) / LN2;
const PI = 16n * oddPowers(UNIT / 5n, true) - 4n * oddPowers(UNIT / 239n, true);

/** 2^x - 1 for -1 <= x <= 1. */
export function exp2m1(x: F80): Approx {
  if (topOf(x) < -TINY) return { sign: x.sign, sig: x.sig * LN2, exp: exponentOf(x) + FIXED, exact: false };
  // CPUs find 2^1 - 1 to lie just below 1
  if (topOf(x) === 0) return x.sign ? approx(-1n, -1, true) : nudged(0, 1n, 0, -1n);
  const y = (fixed(x) * LN2) >> F;
  let sum = y;
  let term = y;
  for (let n = 2n; term !== 0n && term !== -1n; n++) {
    term = (term * y) / (n << F);
    sum += term;
  }
  return approx(sum, FIXED);
}

/** log2 of a * 2^exp, fixed point; `exact` for powers of two. */
function log2(a: bigint, exp: number): { v: bigint; exact: boolean } {
  let top = bitLength(a) - 1;
  // the significand between the square roots of 1/2 and 2
  if ((a * a) >> BigInt(2 * top) >= 2n) top++;
  const one = 1n << BigInt(top);
  const k = BigInt(top + exp) << F;
  if (a === one) return { v: k, exact: true };
  const z = ((a - one) << F) / (a + one);
  return { v: k + ((2n * oddPowers(z, false) * LOG2E) >> F), exact: false };
}
function times(y: F80, { v, exact }: { v: bigint; exact: boolean }): Approx {
  const r = approx(v * y.sig, exponentOf(y) + FIXED, exact);
  r.sign ^= y.sign;
  return r;
}

/** y log2 x, x > 0. */
export const yLog2x = (y: F80, x: F80): Approx => times(y, log2(x.sig, exponentOf(x)));

/** y log2(x + 1), x > -1. */
export function yLog2xPlus1(y: F80, x: F80): Approx {
  const e = exponentOf(x);
  if (topOf(x) < -TINY) {
    return {
      sign: x.sign ^ y.sign,
      sig: x.sig * y.sig * LOG2E,
      exp: e + exponentOf(y) + FIXED,
      exact: false,
    };
  }
  const low = Math.min(e, 0);
  const n = x.sig << BigInt(e - low);
  return times(y, log2((1n << BigInt(-low)) + (x.sign ? -n : n), low));
}

/** arctan t for 0 <= t <= 1, by halving the angle until the series is quick. */
function arctan(t: bigint): bigint {
  let r = t;
  for (let n = 0; n < 3; n++) r = (r << F) / (UNIT + integerRoot(UNIT * UNIT + r * r));
  return oddPowers(r, true) << 3n;
}

/** Quarters and halves of pi, for arguments at the edges: pi * n / 4. */
export const quarterTurns = (sign: number, n: number): Approx => ({
  sign,
  sig: PI * BigInt(n),
  exp: FIXED - 2,
  exact: false,
});

/** The angle of the point (x, y), both finite and not zero. */
export function angle(y: F80, x: F80): Approx {
  const ey = exponentOf(y);
  const ex = exponentOf(x);
  const distance = topOf(y) - topOf(x);
  if (distance < -TINY && x.sign === 0) {
    const q = (y.sig << 264n) / x.sig;
    const exact = q * x.sig === y.sig << 264n;
    return exact ? nudged(y.sign, q, ey - ex - 264, -1n) : approx(y.sign ? -q : q, ey - ex - 264);
  }
  const steep =
    distance > 0 ||
    (distance === 0 && y.sig << BigInt(Math.max(0, ey - ex)) > x.sig << BigInt(Math.max(0, ex - ey)));
  const small = steep ? ratio(x, y) : ratio(y, x);
  let a = arctan(small);
  if (steep) a = PI / 2n - a;
  if (x.sign) a = PI - a;
  return approx(y.sign ? -a : a, FIXED);
}
function ratio(a: F80, b: F80): bigint {
  const shift = exponentOf(a) - exponentOf(b) + Number(F);
  if (shift < -64) return 0n;
  return shift >= 0 ? (a.sig << BigInt(shift)) / b.sig : a.sig / (b.sig << BigInt(-shift));
}

/** Half of pi as CPUs have it: 66 bits of pi. */
const HALF_PI = 0x3_243f_6a88_85a3_08d3n;
const HALF_PI_EXP = -65;

/** The argument's distance from the nearest multiple of half pi, and which one that is, modulo 4. */
function reduce(x: F80): { r: bigint; exp: number; quadrant: number } {
  const e = exponentOf(x);
  const exp = Math.min(e, HALF_PI_EXP);
  const v = x.sig << BigInt(e - exp);
  const half = HALF_PI << BigInt(HALF_PI_EXP - exp);
  const k = (2n * v + half) / (2n * half);
  const r = v - k * half;
  return { r: x.sign ? -r : r, exp, quadrant: Number((x.sign ? -k : k) & 3n) };
}

/** Sum of the sine's or cosine's series from its first term on. */
function alternating(first: bigint, r: bigint, from: bigint): bigint {
  const square = (r * r) >> F;
  let sum = first;
  let term = first;
  for (let n = from; term !== 0n && term !== -1n; n += 2n) {
    term = -((term * square) >> F) / (n * (n + 1n));
    sum += term;
  }
  return sum;
}

/** Sine and cosine of an angle below 2^63 in magnitude. */
export function sineCosine(x: F80): { sin: Approx; cos: Approx } {
  const { r, exp, quadrant } = reduce(x);
  const shift = exp + Number(F);
  const tiny = topOf(x) < -TINY;
  const at = tiny ? 0n : shift >= 0 ? r << BigInt(shift) : r >> BigInt(-shift);
  const sin = tiny ? nudged(x.sign, x.sig, exponentOf(x), -1n) : approx(alternating(at, at, 2n), FIXED);
  const cos = tiny ? nudged(0, 1n, 0, -1n) : approx(alternating(UNIT, at, 1n), FIXED);
  const opposite = (a: Approx): Approx => ({ ...a, sign: a.sign ^ 1 });
  switch (quadrant) {
    case 0:
      return { sin, cos };
    case 1:
      return { sin: cos, cos: opposite(sin) };
    case 2:
      return { sin: opposite(sin), cos: opposite(cos) };
    default:
      return { sin: opposite(cos), cos: sin };
  }
}

export function tangent(x: F80): Approx {
  if (topOf(x) < -TINY) return nudged(x.sign, x.sig, exponentOf(x), 1n);
  const { sin, cos } = sineCosine(x);
  return {
    sign: sin.sign ^ cos.sign,
    sig: (sin.sig << BigInt(GUARD)) / cos.sig,
    exp: sin.exp - cos.exp - GUARD,
    exact: false,
  };
}
