/** Binary floating-point formats as bit patterns. @spec SDM 1 4.2, 4.8 */

export interface Format {
  /** Bytes of the format, bits of its fraction, exponent bias. */
  readonly size: 4 | 8;
  readonly frac: number;
  readonly bias: number;
}
export const F32: Format = { size: 4, frac: 23, bias: 127 };
export const F64: Format = { size: 8, frac: 52, bias: 1023 };

export const FX = {
  invalid: 1,
  denormal: 2,
  zeroDivide: 4,
  overflow: 8,
  underflow: 16,
  precision: 32,
} as const;
export const RC = { nearest: 0, down: 1, up: 2, zero: 3 } as const;
/** A number taken apart: man * 2^exp. */
export interface Finite {
  negative: boolean;
  man: bigint;
  exp: number;
}

export const signOf = (b: bigint, f: Format): boolean => b >> BigInt(8 * f.size - 1) !== 0n;
export const fraction = (f: Format): bigint => (1n << BigInt(f.frac)) - 1n;
export const signBit = (f: Format, negative: boolean): bigint =>
  negative ? 1n << BigInt(8 * f.size - 1) : 0n;
export const infinity = (f: Format, negative: boolean): bigint =>
  signBit(f, negative) | (BigInt(2 * f.bias + 1) << BigInt(f.frac));
export const magnitude = (b: bigint, f: Format): bigint => BigInt.asUintN(8 * f.size - 1, b);
export const isNan = (b: bigint, f: Format): boolean => magnitude(b, f) > infinity(f, false);
export const quietBit = (f: Format): bigint => 1n << BigInt(f.frac - 1);
export const isSignalling = (b: bigint, f: Format): boolean => isNan(b, f) && (b & quietBit(f)) === 0n;
export const quiet = (b: bigint, f: Format): bigint => b | quietBit(f);
export const isInfinite = (b: bigint, f: Format): boolean => magnitude(b, f) === infinity(f, false);
export const isZero = (b: bigint, f: Format): boolean => magnitude(b, f) === 0n;
export const isDenormal = (b: bigint, f: Format): boolean => !isZero(b, f) && magnitude(b, f) <= fraction(f);
/** What an invalid operation yields: the negative quiet NaN without a payload. */
export const defaultNan = (f: Format): bigint => infinity(f, true) | quietBit(f);
const number = new Float64Array(1);
const numberBits = new Uint32Array(number.buffer);
/** Bits of a positive integer. */
export function lengthOf(v: bigint): number {
  number[0] = Number(v);
  if (number[0] === Number.POSITIVE_INFINITY) return v.toString(2).length;
  const length = (numberBits[1]! >>> 20) - 1022;
  // the conversion may have rounded up to a power of two
  return (numberBits[1]! & 0xf_ffff) === 0 && numberBits[0] === 0 && v >> BigInt(length - 1) === 0n
    ? length - 1
    : length;
}

export function squareRoot(v: bigint): bigint {
  let x = 1n << BigInt((lengthOf(v) + 1) >> 1);
  for (;;) {
    const y = (x + v / x) >> 1n;
    if (y >= x) return x;
    x = y;
  }
}
