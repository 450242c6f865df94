/**
 * Exact binary floating point for SSE: values are bit patterns, results are rounded once from an exact integer times a
 * power of two, and exceptions are gathered as MXCSR has them. @spec SDM 1 4.8, 4.9, 11.5
 */
import {
  defaultNan,
  type Finite,
  type Format,
  FX,
  fraction,
  infinity,
  isDenormal,
  isInfinite,
  isNan,
  isSignalling,
  isZero,
  lengthOf,
  magnitude,
  quiet,
  quietBit,
  RC,
  signBit,
  signOf,
  squareRoot,
} from './float-format.ts';

const DAZ = 0x40;
const FTZ = 0x8000;
const MASK_SHIFT = 7;

export class SoftFloat {
  readonly mxcsr: number;
  rounding: number;
  /** Exceptions of operands (invalid, denormal, zero divide), and of the result. */
  before = 0;
  after = 0;

  constructor(mxcsr: number) {
    this.mxcsr = mxcsr;
    this.rounding = (mxcsr >> 13) & 3;
  }
  masked(exception: number): boolean {
    return ((this.mxcsr >> MASK_SHIFT) & exception) !== 0;
  }

  /** An operand with denormals treated as MXCSR says; `quietly`: they raise nothing. */
  operand(b: bigint, f: Format, quietly = false): bigint {
    if (!isDenormal(b, f)) return b;
    if (this.mxcsr & DAZ) return signBit(f, signOf(b, f));
    if (!quietly) this.before |= FX.denormal;
    return b;
  }
  /** The NaN that operands yield, -1n where neither is one. A quiet NaN keeps lesser exceptions from arising. */
  private nanOf(a: bigint, b: bigint, f: Format): bigint {
    if (isSignalling(a, f) || isSignalling(b, f)) this.before |= FX.invalid;
    return isNan(a, f) ? quiet(a, f) : isNan(b, f) ? quiet(b, f) : -1n;
  }
  private invalid(f: Format): bigint {
    this.before |= FX.invalid;
    return defaultNan(f);
  }
  private unpack(b: bigint, f: Format): Finite {
    const e = Number(magnitude(b, f) >> BigInt(f.frac));
    const low = b & fraction(f);
    const man = e === 0 ? low : low | (1n << BigInt(f.frac));
    return { negative: signOf(b, f), man, exp: Math.max(e, 1) - f.bias - f.frac };
  }

  // --- rounding ------------------------------------------------------------------------------------------------------

  /** man >> shift, rounded; a negative shift is exact. Sets `inexact`. */
  private inexact = false;
  private shifted(man: bigint, shift: number, negative: boolean): bigint {
    this.inexact = false;
    if (shift <= 0) return man << BigInt(-shift);
    const n = BigInt(shift);
    const q = man >> n;
    const rest = man - (q << n);
    if (rest === 0n) return q;
    this.inexact = true;
    const half = 1n << (n - 1n);
    switch (this.rounding) {
      case RC.nearest:
        return rest > half || (rest === half && q & 1n) ? q + 1n : q;
      case RC.down:
        return negative ? q + 1n : q;
      case RC.up:
        return negative ? q : q + 1n;
      default:
        return q;
    }
  }

  /** The value man * 2^exp in the format. `man` may carry a sticky lowest bit if it has bits enough above. */
  private round(x: Finite, f: Format): bigint {
    const { negative, man, exp } = x;
    const sign = signBit(f, negative);
    if (man === 0n) return sign;
    const length = lengthOf(man);
    const shift = length - (f.frac + 1);
    // first as if the exponent had no bounds
    const m = this.shifted(man, shift, negative);
    const top = exp + length - 1 + (lengthOf(m) > f.frac + 1 ? 1 : 0);
    if (top < 1 - f.bias) return this.tiny(x, f);
    if (top > f.bias) return this.overflowed(negative, f);
    if (this.inexact) this.after |= FX.precision;
    const wide = lengthOf(m) > f.frac + 1 ? m >> 1n : m;
    return sign | (BigInt(top + f.bias) << BigInt(f.frac)) | (wide & fraction(f));
  }
  private tiny(x: Finite, f: Format): bigint {
    const sign = signBit(f, x.negative);
    if (!this.masked(FX.underflow)) {
      // the handler would get the value scaled up: inexact if that is
      this.after |= FX.underflow | (this.inexact ? FX.precision : 0);
      return sign;
    }
    if (this.mxcsr & FTZ) {
      this.after |= FX.underflow | FX.precision;
      return sign;
    }
    const m = this.shifted(x.man, 1 - f.bias - f.frac - x.exp, x.negative);
    if (this.inexact) this.after |= FX.underflow | FX.precision;
    return sign | m;
  }
  private overflowed(negative: boolean, f: Format): bigint {
    // unmasked, the result that is not delivered would have had another exponent, and may have been exact
    this.after |= FX.overflow | (this.inexact || this.masked(FX.overflow) ? FX.precision : 0);
    const { rounding: r } = this;
    const away = r === RC.nearest || (r === RC.up && !negative) || (r === RC.down && negative);
    return away ? infinity(f, negative) : infinity(f, negative) - 1n;
  }

  // --- operations ----------------------------------------------------------------------------------------------------

  add(a0: bigint, b0: bigint, f: Format, subtract = false): bigint {
    const nan = this.nanOf(a0, b0, f);
    if (nan >= 0n) return nan;
    const a = this.operand(a0, f);
    const b = this.operand(b0, f);
    const minus = signOf(b, f) !== subtract;
    if (isInfinite(a, f)) return isInfinite(b, f) && signOf(a, f) !== minus ? this.invalid(f) : a;
    if (isInfinite(b, f)) return infinity(f, minus);
    const x = this.unpack(a, f);
    const y = this.unpack(b, f);
    const exp = Math.min(x.exp, y.exp);
    const xm = x.man << BigInt(x.exp - exp);
    const ym = y.man << BigInt(y.exp - exp);
    const sum = (x.negative ? -xm : xm) + (minus ? -ym : ym);
    if (sum === 0n) {
      const both = x.man === 0n && y.man === 0n && x.negative === minus;
      return signBit(f, both ? minus : this.rounding === RC.down);
    }
    return this.round({ negative: sum < 0n, man: sum < 0n ? -sum : sum, exp }, f);
  }
  sub(a: bigint, b: bigint, f: Format): bigint {
    return this.add(a, b, f, true);
  }
  mul(a0: bigint, b0: bigint, f: Format): bigint {
    const nan = this.nanOf(a0, b0, f);
    if (nan >= 0n) return nan;
    const a = this.operand(a0, f);
    const b = this.operand(b0, f);
    const negative = signOf(a, f) !== signOf(b, f);
    if (isInfinite(a, f) || isInfinite(b, f))
      return isZero(a, f) || isZero(b, f) ? this.invalid(f) : infinity(f, negative);
    const x = this.unpack(a, f);
    const y = this.unpack(b, f);
    return this.round({ negative, man: x.man * y.man, exp: x.exp + y.exp }, f);
  }
  div(a0: bigint, b0: bigint, f: Format): bigint {
    const nan = this.nanOf(a0, b0, f);
    if (nan >= 0n) return nan;
    // division by zero comes before a denormal operand
    const byZero = isZero(this.operand(b0, f, true), f);
    const a = this.operand(a0, f, byZero);
    const b = this.operand(b0, f);
    const negative = signOf(a, f) !== signOf(b, f);
    if (isInfinite(a, f)) return isInfinite(b, f) ? this.invalid(f) : infinity(f, negative);
    if (isInfinite(b, f)) return signBit(f, negative);
    if (isZero(b, f)) {
      if (isZero(a, f)) return this.invalid(f);
      this.before |= FX.zeroDivide;
      return infinity(f, negative);
    }
    const x = this.unpack(a, f);
    const y = this.unpack(b, f);
    const up = 2 * f.frac + 4;
    const n = x.man << BigInt(up);
    const q = n / y.man;
    const sticky = q * y.man === n ? 0n : 1n;
    return this.round({ negative, man: (q << 1n) | sticky, exp: x.exp - y.exp - up - 1 }, f);
  }
  sqrt(a0: bigint, f: Format): bigint {
    const nan = this.nanOf(a0, a0, f);
    if (nan >= 0n) return nan;
    if (signOf(a0, f) && !isZero(this.operand(a0, f, true), f)) return this.invalid(f);
    const a = this.operand(a0, f);
    if (isZero(a, f) || isInfinite(a, f)) return a;
    const x = this.unpack(a, f);
    const up = 2 * f.frac + 6 + (x.exp & 1);
    const n = x.man << BigInt(up);
    const q = squareRoot(n);
    const sticky = q * q === n ? 0n : 1n;
    return this.round({ negative: false, man: (q << 1n) | sticky, exp: (x.exp - up) / 2 - 1 }, f);
  }

  /** Negative, zero or positive as a is less, equal or greater; undefined where they are unordered. */
  compare(a0: bigint, b0: bigint, f: Format, signalling: boolean): number | undefined {
    if (isNan(a0, f) || isNan(b0, f)) {
      if (signalling || isSignalling(a0, f) || isSignalling(b0, f)) this.before |= FX.invalid;
      return undefined;
    }
    const key = (b: bigint): bigint => (signOf(b, f) ? -magnitude(b, f) : magnitude(b, f));
    const d = key(this.operand(a0, f)) - key(this.operand(b0, f));
    return d < 0n ? -1 : d > 0n ? 1 : 0;
  }
  /** MIN and MAX: the second operand whenever the first is not strictly the one asked for. */
  pick(a: bigint, b: bigint, f: Format, greater: boolean): bigint {
    const order = this.compare(a, b, f, true);
    const first = order !== undefined && (greater ? order > 0 : order < 0);
    return this.mxcsr & DAZ && !isNan(first ? a : b, f) ? this.operand(first ? a : b, f) : first ? a : b;
  }

  // --- conversions ---------------------------------------------------------------------------------------------------

  convert(a0: bigint, from: Format, to: Format): bigint {
    if (isNan(a0, from)) {
      if (isSignalling(a0, from)) this.before |= FX.invalid;
      const payload = (a0 & fraction(from)) << 64n;
      return (
        infinity(to, signOf(a0, from)) |
        quietBit(to) |
        ((payload << BigInt(to.frac)) >> BigInt(from.frac + 64))
      );
    }
    const a = this.operand(a0, from);
    if (isInfinite(a, from)) return infinity(to, signOf(a, from));
    return this.round(this.unpack(a, from), to);
  }
  fromInt(v: bigint, f: Format): bigint {
    return this.round({ negative: v < 0n, man: v < 0n ? -v : v, exp: 0 }, f);
  }
  /** To a signed integer of `bits` bits; what does not fit yields the most negative one. */
  toInt(a0: bigint, f: Format, bits: number, truncate: boolean): bigint {
    const indefinite = 1n << BigInt(bits - 1);
    const out = (): bigint => {
      this.before |= FX.invalid;
      return indefinite;
    };
    if (isNan(a0, f) || isInfinite(a0, f)) return out();
    const v = this.integer(this.unpack(this.operand(a0, f, true), f), truncate ? RC.zero : this.rounding);
    if (v >= indefinite || v < -indefinite) return out();
    if (this.inexact) this.after |= FX.precision;
    return BigInt.asUintN(bits, v);
  }
  private integer(x: Finite, rounding: number): bigint {
    const before = this.rounding;
    this.rounding = rounding;
    const m = this.shifted(x.man, -x.exp, x.negative);
    this.rounding = before;
    return x.negative ? -m : m;
  }
  /** ROUNDxx: to an integral value of the same format; `silent`: inexact is no exception. */
  toIntegral(a0: bigint, f: Format, rounding: number, silent: boolean): bigint {
    const nan = this.nanOf(a0, a0, f);
    if (nan >= 0n) return nan;
    const a = this.operand(a0, f, true);
    if (isInfinite(a, f) || isZero(a, f)) return a;
    const x = this.unpack(a, f);
    if (x.exp >= 0) return a;
    const v = this.integer(x, rounding);
    if (this.inexact && !silent) this.after |= FX.precision;
    return this.round({ negative: x.negative, man: v < 0n ? -v : v, exp: 0 }, f);
  }
}
