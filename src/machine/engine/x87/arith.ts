/** Arithmetic on 80-bit values, exact up to the final rounding. @spec SDM 2 FADD, FMUL, FDIV, FSQRT, FPREM and others */
import {
  BIAS,
  bitLength,
  type Context,
  dropBits,
  exponentOf,
  type F80,
  FX,
  infinity,
  isFiniteKind,
  KIND,
  kindOf,
  nanResult,
  noteDenormal,
  pack,
  place,
  RC,
  wasInexact,
  wasRoundedUp,
  withSign,
  zero,
} from './float80.ts';

/** Beyond this many bits apart the smaller operand of a sum only tells on which side of the larger it is. */
const FAR = 160;

/** Sum of two signed magnitudes; an exact zero takes the sign rounding gives it. */
function addFinite(x: Context, a: F80, b: F80): F80 {
  let ea = exponentOf(a);
  let eb = exponentOf(b);
  let sa = a.sig;
  let sb = b.sig;
  if (ea - eb > FAR) {
    eb = ea - FAR;
    sb = 1n;
  } else if (eb - ea > FAR) {
    ea = eb - FAR;
    sa = 1n;
  }
  const e = Math.min(ea, eb);
  const va = sa << BigInt(ea - e);
  const vb = sb << BigInt(eb - e);
  const sum = (a.sign ? -va : va) + (b.sign ? -vb : vb);
  if (sum === 0n) return zero(x.rc === RC.down ? 1 : 0);
  return sum < 0n ? pack(x, 1, -sum, e) : pack(x, 0, sum, e);
}

export function add(x: Context, a: F80, b: F80): F80 {
  const nan = nanResult(x, a, b);
  if (nan) return nan;
  const ka = kindOf(a);
  const kb = kindOf(b);
  if (ka === KIND.infinity && kb === KIND.infinity) return a.sign === b.sign ? a : x.invalid();
  noteDenormal(x, ka, kb);
  if (ka === KIND.infinity) return a;
  if (kb === KIND.infinity) return b;
  if (ka === KIND.zero && kb === KIND.zero)
    return zero(a.sign === b.sign ? a.sign : x.rc === RC.down ? 1 : 0);
  if (ka === KIND.zero) return pack(x, b.sign, b.sig, exponentOf(b));
  if (kb === KIND.zero) return pack(x, a.sign, a.sig, exponentOf(a));
  return addFinite(x, a, b);
}
/** a - b. A NaN keeps its own sign. */
export function subtract(x: Context, a: F80, b: F80): F80 {
  return nanResult(x, a, b) ?? add(x, a, withSign(b, b.sign ^ 1));
}

export function multiply(x: Context, a: F80, b: F80): F80 {
  const nan = nanResult(x, a, b);
  if (nan) return nan;
  const ka = kindOf(a);
  const kb = kindOf(b);
  const sign = a.sign ^ b.sign;
  if (ka === KIND.infinity || kb === KIND.infinity) {
    if (ka === KIND.zero || kb === KIND.zero) return x.invalid();
    noteDenormal(x, ka, kb);
    return infinity(sign);
  }
  noteDenormal(x, ka, kb);
  if (ka === KIND.zero || kb === KIND.zero) return zero(sign);
  return pack(x, sign, a.sig * b.sig, exponentOf(a) + exponentOf(b));
}

/** a / b. */
export function divide(x: Context, a: F80, b: F80): F80 {
  const nan = nanResult(x, a, b);
  if (nan) return nan;
  const ka = kindOf(a);
  const kb = kindOf(b);
  const sign = a.sign ^ b.sign;
  if (ka === kb && (ka === KIND.infinity || ka === KIND.zero)) return x.invalid();
  if (kb === KIND.zero && ka !== KIND.infinity) {
    x.raise(FX.ZE);
    return infinity(sign);
  }
  noteDenormal(x, ka, kb);
  if (ka === KIND.infinity) return infinity(sign);
  if (ka === KIND.zero || kb === KIND.infinity) return zero(sign);
  const shift = 68 + bitLength(b.sig) - bitLength(a.sig);
  const n = a.sig << BigInt(shift);
  const q = n / b.sig;
  return pack(x, sign, q, exponentOf(a) - exponentOf(b) - shift, q * b.sig !== n);
}

/** Largest integer whose square is at most `v`. */
export function integerRoot(v: bigint): bigint {
  let r = 1n << BigInt((bitLength(v) + 1) >> 1);
  for (;;) {
    const next = (r + v / r) >> 1n;
    if (next >= r) return r;
    r = next;
  }
}

export function squareRoot(x: Context, a: F80): F80 {
  const nan = nanResult(x, a);
  if (nan) return nan;
  const k = kindOf(a);
  if (k === KIND.zero) return a;
  if (a.sign) return x.invalid();
  noteDenormal(x, k);
  if (k === KIND.infinity) return a;
  let shift = 136 - bitLength(a.sig);
  if ((exponentOf(a) - shift) & 1) shift++;
  const n = a.sig << BigInt(shift);
  const r = integerRoot(n);
  return pack(x, 0, r, (exponentOf(a) - shift) / 2, r * r !== n);
}

export function roundToInteger(x: Context, a: F80): F80 {
  const nan = nanResult(x, a);
  if (nan) return nan;
  const k = kindOf(a);
  if (!isFiniteKind(k)) return a;
  noteDenormal(x, k);
  const e = exponentOf(a);
  if (e >= 0) return a;
  // below a quarter all is sticky, and the shift stays small
  const v = e < -70 ? dropBits(x.rc, a.sign, 1n, 3, true) : dropBits(x.rc, a.sign, a.sig, -e, false);
  if (wasInexact()) x.raise(FX.PE);
  x.up = wasRoundedUp();
  return place(a.sign, v, 0);
}

/** a * 2^trunc(b). */
export function scale(x: Context, a: F80, b: F80): F80 {
  const nan = nanResult(x, a, b);
  if (nan) return nan;
  const ka = kindOf(a);
  const kb = kindOf(b);
  if (kb === KIND.infinity) {
    if (ka === (b.sign ? KIND.infinity : KIND.zero)) return x.invalid();
    noteDenormal(x, ka);
    return b.sign ? zero(a.sign) : infinity(a.sign);
  }
  noteDenormal(x, ka, kb);
  if (!isFiniteKind(ka)) return a;
  return pack(x, a.sign, a.sig, exponentOf(a) + scaleBy(b), false, 64);
}
/** trunc(b), cut off where every result has long over- or underflowed. */
function scaleBy(b: F80): number {
  if (b.exp < BIAS) return 0;
  const n = b.exp > BIAS + 16 ? 0x1_0000 : Number(b.sig >> BigInt(BIAS + 63 - b.exp));
  return b.sign ? -n : n;
}

/** Exponent and significand of `a`. */
export function extract(x: Context, a: F80): { exponent: F80; significand: F80 } {
  const nan = nanResult(x, a);
  if (nan) return { exponent: nan, significand: nan };
  const k = kindOf(a);
  if (k === KIND.infinity) return { exponent: infinity(0), significand: a };
  if (k === KIND.zero) {
    x.raise(FX.ZE);
    return { exponent: infinity(1), significand: a };
  }
  noteDenormal(x, k);
  const bits = bitLength(a.sig);
  const top = exponentOf(a) + bits - 1;
  const exponent = place(top < 0 ? 1 : 0, BigInt(Math.abs(top)), 0);
  return { exponent, significand: place(a.sign, a.sig, 1 - bits) };
}

export interface Remainder {
  value: F80;
  /** Low three bits of the quotient. */
  quotient: number;
  /** Reduced only in part: to be done again (C2). */
  partial: boolean;
}

/**
 * Partial remainder of a / b, truncating or to nearest. Exponents 64 or more apart are brought closer by 32 to 63,
 * such that the rest is a multiple of 32: what CPUs do, where the manual leaves it open.
 */
export function remainder(x: Context, a: F80, b: F80, nearest: boolean): Remainder {
  const done = (value: F80): Remainder => ({ value, quotient: 0, partial: false });
  const nan = nanResult(x, a, b);
  if (nan) return done(nan);
  const ka = kindOf(a);
  const kb = kindOf(b);
  if (ka === KIND.infinity || kb === KIND.zero) return done(x.invalid());
  noteDenormal(x, ka, kb);
  if (ka === KIND.zero) return done(a);
  if (kb === KIND.infinity) return done(pack(x, a.sign, a.sig, exponentOf(a), false, 64));
  const ea = exponentOf(a) + bitLength(a.sig);
  const eb = exponentOf(b) + bitLength(b.sig);
  const distance = ea - eb;
  if (distance < -1) return done(pack(x, a.sign, a.sig, exponentOf(a), false, 64));
  const partial = distance >= 64;
  const up = partial ? distance - ((distance & 31) | 32) : 0;
  const e = Math.min(exponentOf(a), exponentOf(b) + up);
  const n = a.sig << BigInt(exponentOf(a) - e);
  const d = b.sig << BigInt(exponentOf(b) + up - e);
  let q = n / d;
  let rest = n - q * d;
  let sign = a.sign;
  if (nearest && !partial && (rest * 2n > d || (rest * 2n === d && (q & 1n) === 1n))) {
    q++;
    rest = d - rest;
    sign ^= 1;
  }
  const value = rest === 0n ? zero(a.sign) : pack(x, sign, rest, e, false, 64);
  return { value, quotient: partial ? 0 : Number(q & 7n), partial };
}

export const LESS = -1;
export const EQUAL = 0;
export const GREATER = 1;
export const UNORDERED = 2;

/** Order of a against b; `quiet` lets quiet NaNs pass without IE. */
export function compare(x: Context, a: F80, b: F80, quiet: boolean): number {
  const ka = kindOf(a);
  const kb = kindOf(b);
  if (ka >= KIND.quiet || kb >= KIND.quiet) {
    const silent = quiet && ka <= KIND.quiet && kb <= KIND.quiet;
    if (!silent) x.raise(FX.IE);
    return UNORDERED;
  }
  noteDenormal(x, ka, kb);
  if (ka === KIND.zero && kb === KIND.zero) return EQUAL;
  if (a.sign !== b.sign) return a.sign ? LESS : GREATER;
  const ea = a.exp || 1;
  const eb = b.exp || 1;
  const order = ea !== eb ? ea - eb : a.sig === b.sig ? 0 : a.sig < b.sig ? -1 : 1;
  return Math.sign(a.sign ? -order : order);
}
