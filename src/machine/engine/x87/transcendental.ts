/** F2XM1 to FPATAN: arguments at the edges, and rounding of what series.ts computes. @spec SDM 1 8.3.6 to 8.3.11 */
import {
  BIAS,
  bitLength,
  type Context,
  exponentOf,
  type F80,
  FX,
  infinity,
  isFiniteKind,
  isNan,
  KIND,
  kindOf,
  nanResult,
  noteDenormal,
  ONE,
  pack,
  withSign,
  zero,
} from './float80.ts';
import { roomToPush, unary } from './operate.ts';
import {
  type Approx,
  angle,
  exp2m1,
  quarterTurns,
  sineCosine,
  tangent,
  yLog2x,
  yLog2xPlus1,
} from './series.ts';
import { SW, type Unit } from './unit.ts';

const rounded = (x: Context, a: Approx): F80 => pack(x, a.sign, a.sig, a.exp, !a.exact, 64);

/** Exponent of the value's highest bit. */
const topOf = (v: F80): number => exponentOf(v) + bitLength(v.sig) - 1;
/** |v| > 1 for a finite one. */
const aboveOne = (v: F80): boolean =>
  topOf(v) > 0 || (topOf(v) === 0 && v.sig << BigInt(64 - bitLength(v.sig)) !== 1n << 63n);

/** For arguments out of the function's range the manual promises nothing: CPUs give the argument back. */
function undefinedResult(x: Context, a: F80): F80 {
  x.raise(FX.PE);
  return a;
}

function f2xm1Of(x: Context, a: F80): F80 {
  const nan = nanResult(x, a);
  if (nan) return nan;
  const k = kindOf(a);
  if (k === KIND.zero) return a;
  if (k === KIND.infinity) return a.sign ? withSign(ONE, 1) : a;
  noteDenormal(x, k);
  if (aboveOne(a)) return undefinedResult(x, a);
  x.raise(FX.PE); // even for -1
  return rounded(x, exp2m1(a));
}

/** y log2 a. */
function fyl2xOf(x: Context, a: F80, y: F80): F80 {
  const nan = nanResult(x, a, y);
  if (nan) return nan;
  const ka = kindOf(a);
  const ky = kindOf(y);
  if (ka === KIND.zero) {
    if (ky === KIND.zero) return x.invalid();
    if (ky !== KIND.infinity) x.raise(FX.ZE);
    return infinity(y.sign ^ 1);
  }
  if (a.sign) return x.invalid();
  const isOne = isFiniteKind(ka) && topOf(a) === 0 && !aboveOne(a);
  if (ka === KIND.infinity) {
    if (ky === KIND.zero) return x.invalid();
    noteDenormal(x, ky);
    return infinity(y.sign);
  }
  if (ky === KIND.infinity && isOne) return x.invalid();
  noteDenormal(x, ka, ky);
  const negative = topOf(a) < 0 ? 1 : 0;
  if (ky === KIND.infinity) return infinity(y.sign ^ negative);
  if (ky === KIND.zero || isOne) return zero(y.sign ^ negative);
  const v = rounded(x, yLog2x(y, a));
  // inexact even for powers of two
  x.raise(kindOf(v) === KIND.denormal ? FX.PE | FX.UE : FX.PE);
  return v;
}

/** y log2(a + 1). */
function fyl2xp1Of(x: Context, a: F80, y: F80): F80 {
  const nan = nanResult(x, a, y);
  if (nan) return nan;
  const ka = kindOf(a);
  const ky = kindOf(y);
  if ((ka === KIND.zero && ky === KIND.infinity) || (ka === KIND.infinity && (ky === KIND.zero || a.sign)))
    return x.invalid();
  noteDenormal(x, ka, ky);
  const sign = a.sign ^ y.sign;
  if (ka === KIND.infinity || ky === KIND.infinity) return infinity(sign);
  if (ka === KIND.zero || ky === KIND.zero) return zero(sign);
  if (a.sign && topOf(a) >= 0) return undefinedResult(x, a);
  return rounded(x, yLog2xPlus1(y, a));
}

/** Angle of the point (a, y). */
function fpatanOf(x: Context, a: F80, y: F80): F80 {
  const nan = nanResult(x, a, y);
  if (nan) return nan;
  const ka = kindOf(a);
  const ky = kindOf(y);
  noteDenormal(x, ka, ky);
  const turns = (n: number): F80 => rounded(x, quarterTurns(y.sign, n));
  if (ky === KIND.infinity) return turns(ka === KIND.infinity ? (a.sign ? 3 : 1) : 2);
  if (ky === KIND.zero || ka === KIND.infinity) return a.sign ? turns(4) : zero(y.sign);
  if (ka === KIND.zero) return turns(2);
  return rounded(x, angle(y, a));
}

export const f2xm1 = (u: Unit): void => unary(u, f2xm1Of);

/** ST1 from ST0 and ST1, then pop. */
function intoSt1(u: Unit, f: (x: Context, a: F80, y: F80) => F80): void {
  if (u.lacks(1, 0, 1)) {
    if (u.fcw & FX.IE) u.pop();
  } else if (u.result(1, f(u.x, u.get(0), u.get(1)))) u.pop();
}
export const fyl2x = (u: Unit): void => intoSt1(u, fyl2xOf);
export const fyl2xp1 = (u: Unit): void => intoSt1(u, fyl2xp1Of);
export const fpatan = (u: Unit): void => intoSt1(u, fpatanOf);

/** What the trigonometric instructions do with an argument that needs no computing; undefined: it does. */
function easyAngle(x: Context, a: F80): F80 | undefined {
  const nan = nanResult(x, a);
  if (nan) return nan;
  const k = kindOf(a);
  if (k === KIND.infinity) return x.invalid();
  noteDenormal(x, k);
  return k === KIND.zero ? a : undefined;
}
/** 2^63 and beyond (but not infinite): C2, and nothing is done. */
function outOfRange(u: Unit): boolean {
  const v = u.get(0);
  u.fsw &= ~SW.C2;
  if (kindOf(v) !== KIND.normal || v.exp < BIAS + 63) return false;
  u.fsw |= SW.C2;
  return true;
}

export function trig(u: Unit, which: 'sin' | 'cos'): void {
  if (u.empty(0)) u.fsw &= ~SW.C2;
  else if (outOfRange(u)) return;
  unary(u, (x, a) => {
    const easy = easyAngle(x, a);
    if (easy === undefined) return rounded(x, sineCosine(a)[which]);
    return which === 'cos' && kindOf(easy) === KIND.zero ? ONE : easy;
  });
}

/** Replaces ST0 by one result and pushes the other; a NaN goes in both places. */
function both(u: Unit, f: (x: Context, a: F80) => [F80, F80]): void {
  u.fsw &= ~SW.C2;
  if (!roomToPush(u) || outOfRange(u)) return;
  const a = u.get(0);
  const easy = easyAngle(u.x, a);
  const [first, second]: [F80, F80] =
    easy === undefined ? f(u.x, a) : isNan(kindOf(easy)) ? [easy, easy] : [easy, ONE];
  if (u.result(0, first)) u.push(second);
}
export const fsincos = (u: Unit): void =>
  both(u, (x, a) => {
    const { sin, cos } = sineCosine(a);
    const pushed = rounded(x, cos);
    // C1 tells of the sine
    return [rounded(x, sin), pushed];
  });
export const fptan = (u: Unit): void => both(u, (x, a) => [rounded(x, tangent(a)), ONE]);
