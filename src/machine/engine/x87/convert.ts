/** Between 80-bit values and the other formats of memory: single, double, integers, packed decimal. */
import {
  BIAS,
  bitLength,
  type Context,
  DOUBLE,
  dropBits,
  EXP_MAX,
  exponentOf,
  type F80,
  FX,
  INTEGER_BIT,
  isFiniteKind,
  KIND,
  kindOf,
  nanResult,
  place,
  RC,
  round,
  SINGLE,
  wasInexact,
  wasRoundedUp,
  zero,
} from './float80.ts';

const FRACTION = { 4: 23, 8: 52 } as const;
type Bytes = keyof typeof FRACTION;

export interface Loaded {
  value: F80;
  /** It was denormal in its own format: DE is due. */
  denormal: boolean;
}

/** A single or double as extended; a NaN stays as it is. */
export function fromFloat(bits: bigint, bytes: Bytes): Loaded {
  const fraction = FRACTION[bytes];
  const bias = bytes === 4 ? SINGLE.max : DOUBLE.max;
  const sign = Number(bits >> BigInt(bytes * 8 - 1));
  const exp = Number(bits >> BigInt(fraction)) & (bias * 2 + 1);
  const low = bits & ((1n << BigInt(fraction)) - 1n);
  if (exp === 0) return { value: place(sign, low, 1 - bias - fraction), denormal: low !== 0n };
  const sig = INTEGER_BIT | (low << BigInt(63 - fraction));
  return { value: { sign, exp: exp > bias * 2 ? EXP_MAX : exp - bias + BIAS, sig }, denormal: false };
}

/** To single or double; undefined when an unmasked exception keeps it from being stored. */
export function toFloat(x: Context, v: F80, bytes: Bytes): bigint | undefined {
  const fraction = FRACTION[bytes];
  const format = bytes === 4 ? SINGLE : DOUBLE;
  const k = kindOf(v);
  const topExp = BigInt(format.max * 2 + 1) << BigInt(fraction);
  const sign = (s: number): bigint => BigInt(s) << BigInt(bytes * 8 - 1);
  if (k === KIND.zero) return sign(v.sign);
  if (k === KIND.infinity) return sign(v.sign) | topExp;
  const nan = nanResult(x, v);
  if (nan) {
    if (x.unmasked(FX.IE)) return undefined;
    const payload = (nan.sig & (INTEGER_BIT - 1n)) >> BigInt(63 - fraction);
    return sign(nan.sign) | topExp | payload;
  }
  const r = round(x, format, v.sign, v.sig, exponentOf(v));
  if (x.unmasked(FX.OE | FX.UE)) {
    x.flags &= ~FX.PE;
    x.up = false;
    return undefined;
  }
  if (r.infinite) return sign(v.sign) | topExp;
  const length = bitLength(r.sig);
  if (length <= fraction) return sign(v.sign) | r.sig;
  // one bit longer than the format where rounding carried
  const low = (r.sig >> BigInt(length - fraction - 1)) & ((1n << BigInt(fraction)) - 1n);
  return sign(v.sign) | (BigInt(r.exp + length - 1 + format.max) << BigInt(fraction)) | low;
}

export const fromInteger = (v: bigint): F80 =>
  v === 0n ? zero(0) : place(v < 0n ? 1 : 0, v < 0n ? -v : v, 0);

/** Rounded to an integer whose magnitude is below `limit` (at most, when negative and `asymmetric`); undefined: IE. */
function integral(x: Context, v: F80, limit: bigint, rc: number, asymmetric: boolean): bigint | undefined {
  const k = kindOf(v);
  if (k === KIND.zero) return 0n;
  if (!isFiniteKind(k) || v.exp > BIAS + 70) {
    x.raise(FX.IE);
    return undefined;
  }
  const e = exponentOf(v);
  const n = e < -70 ? dropBits(rc, v.sign, 1n, 3, true) : dropBits(rc, v.sign, v.sig, -e, false);
  const fits = n < limit || (asymmetric && v.sign === 1 && n === limit);
  if (!fits) {
    x.raise(FX.IE);
    return undefined;
  }
  if (wasInexact()) x.raise(FX.PE);
  x.up = wasRoundedUp();
  return n;
}

/** To a two's-complement integer; IE gives the integer indefinite. */
export function toInteger(x: Context, v: F80, bytes: number, truncate: boolean): bigint {
  const limit = 1n << BigInt(bytes * 8 - 1);
  const n = integral(x, v, limit, truncate ? RC.chop : x.rc, true);
  if (n === undefined) return limit;
  return BigInt.asUintN(bytes * 8, v.sign ? -n : n);
}

/** Packed decimal, 80 bits. Digits above nine count with their value. */
export function fromDecimal(bits: bigint): F80 {
  let n = 0n;
  for (let digit = 17n; digit >= 0n; digit--) n = n * 10n + ((bits >> (digit * 4n)) & 15n);
  return place(Number(bits >> 79n), n, 0);
}
const DECIMAL_INDEFINITE = 0xffff_c000_0000_0000_0000n;
export function toDecimal(x: Context, v: F80): bigint {
  const n = integral(x, v, 10n ** 18n, x.rc, false);
  if (n === undefined) return DECIMAL_INDEFINITE;
  let bits = BigInt(v.sign) << 79n;
  let rest = n;
  for (let digit = 0n; rest !== 0n; digit++, rest /= 10n) bits |= (rest % 10n) << (digit * 4n);
  return bits;
}
