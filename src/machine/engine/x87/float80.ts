/**
 * 80-bit extended values and their rounding. A magnitude on its way to a result is an exact integer times a power of
 * two, and a note that a bit more is missing below; `round` is the only place where bits get lost.
 * @spec SDM 1 4.2, 4.8, 8.4, 8.5
 */

export interface F80 {
  /** 1: negative. */
  readonly sign: number;
  /** Biased by 16383; 0 to 0x7fff. */
  readonly exp: number;
  /** 64 bits, the integer bit explicit. */
  readonly sig: bigint;
}

export const BIAS = 16383;
export const EXP_MAX = 0x7fff;
export const INTEGER_BIT = 1n << 63n;
export const QUIET_BIT = 1n << 62n;

/** Exception flags, at their place in the status and control words. */
export const FX = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 16, PE: 32 } as const;
/** Rounding control: to nearest even, down, up, toward zero. */
export const RC = { near: 0, down: 1, up: 2, chop: 3 } as const;

/** How an operation rounds, which exceptions are masked, and what it raised. */
export class Context {
  rc: number = RC.near;
  /** Bits of significand the arithmetic instructions keep: 24, 53 or 64. */
  precision = 64;
  /** Mask bits as in the control word. */
  masks = 0x3f;
  flags = 0;
  /** The magnitude was rounded up: what C1 tells. */
  up = false;

  begin(rc: number, precision: number, masks: number): void {
    this.rc = rc;
    this.precision = precision;
    this.masks = masks;
    this.flags = 0;
    this.up = false;
  }
  raise(flags: number): void {
    this.flags |= flags;
  }
  /** One of these was raised and is not masked. */
  unmasked(flags: number): boolean {
    return (this.flags & flags & ~this.masks) !== 0;
  }
  /** The masked response to an invalid operation. */
  invalid(): F80 {
    this.flags |= FX.IE;
    return INDEFINITE;
  }
}

export const zero = (sign: number): F80 => ({ sign, exp: 0, sig: 0n });
export const infinity = (sign: number): F80 => ({ sign, exp: EXP_MAX, sig: INTEGER_BIT });
export const ONE: F80 = { sign: 0, exp: BIAS, sig: INTEGER_BIT };
export const INDEFINITE: F80 = { sign: 1, exp: EXP_MAX, sig: INTEGER_BIT | QUIET_BIT };
export const withSign = (v: F80, sign: number): F80 => ({ sign, exp: v.exp, sig: v.sig });

/** Classes of values. Pseudo-denormals count as denormal; unnormals, pseudo-infinities and pseudo-NaNs have no meaning. */
export const KIND = {
  zero: 0,
  denormal: 1,
  normal: 2,
  infinity: 3,
  quiet: 4,
  signaling: 5,
  unsupported: 6,
} as const;

export function kindOf(v: F80): number {
  if (v.exp === 0) return v.sig === 0n ? KIND.zero : KIND.denormal;
  if ((v.sig & INTEGER_BIT) === 0n) return KIND.unsupported;
  if (v.exp !== EXP_MAX) return KIND.normal;
  if (v.sig === INTEGER_BIT) return KIND.infinity;
  return (v.sig & QUIET_BIT) === 0n ? KIND.signaling : KIND.quiet;
}
export const isNan = (kind: number): boolean => kind === KIND.quiet || kind === KIND.signaling;
/** Denormal or normal: the value is sig * 2^exponentOf. */
export const isFiniteKind = (kind: number): boolean => kind === KIND.denormal || kind === KIND.normal;
/** Weight of the lowest significand bit, as a power of two. */
export const exponentOf = (v: F80): number => (v.exp || 1) - BIAS - 63;

/** Bits of `v`, which is not negative; 0 for 0. */
export function bitLength(v: bigint): number {
  let n = 0;
  let rest = v;
  for (let more = rest >> 64n; more !== 0n; more = rest >> 64n) {
    rest = more;
    n += 64;
  }
  const high = Number(rest >> 32n);
  return n + (high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(Number(rest)));
}

/** A format results are rounded to; exponents are those of the value's highest bit. */
export interface Format {
  readonly precision: number;
  readonly min: number;
  readonly max: number;
}
export const SINGLE: Format = { precision: 24, min: -126, max: 127 };
export const DOUBLE: Format = { precision: 53, min: -1022, max: 1023 };
const EXTENDED: Readonly<Record<number, Format>> = {
  24: { precision: 24, min: 1 - BIAS, max: BIAS },
  53: { precision: 53, min: 1 - BIAS, max: BIAS },
  64: { precision: 64, min: 1 - BIAS, max: BIAS },
};
export const extended = (precision: number): Format => EXTENDED[precision]!;

let inexact = false;
let roundedUp = false;

/** Drops the low `drop` bits (a left shift where negative); leaves `inexact` and `roundedUp`. */
export function dropBits(rc: number, sign: number, sig: bigint, drop: number, sticky: boolean): bigint {
  inexact = sticky;
  roundedUp = false;
  if (drop < 0) return sig << BigInt(-drop);
  const n = BigInt(drop);
  const kept = sig >> n;
  const lost = sig - (kept << n);
  inexact ||= lost !== 0n;
  if (!inexact) return kept;
  if (rc === RC.near) {
    const twice = lost << 1n;
    const half = 1n << n;
    roundedUp = twice > half || (twice === half && (sticky || (kept & 1n) === 1n));
  } else roundedUp = rc === (sign ? RC.down : RC.up);
  return roundedUp ? kept + 1n : kept;
}
export const wasInexact = (): boolean => inexact;
export const wasRoundedUp = (): boolean => roundedUp;

/** A rounded magnitude: zero, infinity, or sig (exactly `precision` bits, fewer when denormal) * 2^exp. */
export interface Rounded {
  sig: bigint;
  exp: number;
  infinite: boolean;
}

/**
 * Rounds `sig * 2^exp`, plus less than its lowest bit if `sticky`, to a format; raises OE, UE and PE. `sticky` needs
 * two bits more than the format has. With OE or UE unmasked the exponent is left unbounded: wrapping it or giving up
 * is the caller's business.
 */
export function round(
  x: Context,
  f: Format,
  sign: number,
  sig: bigint,
  exp: number,
  sticky = false,
): Rounded {
  const drop = bitLength(sig) - f.precision;
  const kept = dropBits(x.rc, sign, sig, drop, sticky);
  const top = exp + drop + bitLength(kept) - 1;
  if (top < f.min)
    return roundTiny(x, f, sign, sig, exp, sticky, { sig: kept, exp: exp + drop, infinite: false });
  if (top > f.max) return roundHuge(x, f, sign, { sig: kept, exp: exp + drop, infinite: false });
  note(x);
  return { sig: kept, exp: exp + drop, infinite: false };
}

function note(x: Context): void {
  if (inexact) x.raise(FX.PE);
  x.up = roundedUp;
}

function roundTiny(
  x: Context,
  f: Format,
  sign: number,
  sig: bigint,
  exp: number,
  sticky: boolean,
  unbounded: Rounded,
): Rounded {
  if ((x.masks & FX.UE) === 0) {
    note(x);
    x.raise(FX.UE);
    return unbounded;
  }
  const lowest = f.min - f.precision + 1;
  // far below the format everything is sticky
  const far = exp + bitLength(sig) < lowest - 2;
  const out = far ? dropBits(x.rc, sign, 1n, 2, true) : dropBits(x.rc, sign, sig, lowest - exp, sticky);
  note(x);
  if (inexact) x.raise(FX.UE);
  return { sig: out, exp: lowest, infinite: false };
}

function roundHuge(x: Context, f: Format, sign: number, unbounded: Rounded): Rounded {
  if ((x.masks & FX.OE) === 0) {
    note(x);
    x.raise(FX.OE);
    return unbounded;
  }
  x.raise(FX.OE | FX.PE);
  x.up = x.rc === RC.near || x.rc === (sign ? RC.down : RC.up);
  if (x.up) return { sig: 0n, exp: 0, infinite: true };
  return { sig: (1n << BigInt(f.precision)) - 1n, exp: f.max - f.precision + 1, infinite: false };
}

/** What is added to or taken from the exponent of a result whose UE or OE is unmasked. */
const WRAP = 24576;

/** Rounds to extended format with `precision` bits of significand. */
export function pack(
  x: Context,
  sign: number,
  sig: bigint,
  exp: number,
  sticky = false,
  precision = x.precision,
): F80 {
  if (sig === 0n && !sticky) return zero(sign);
  const r = round(x, extended(precision), sign, sig, exp, sticky);
  if (r.infinite) return infinity(sign);
  let e = r.exp;
  if (x.unmasked(FX.OE)) e -= WRAP;
  else if (x.unmasked(FX.UE)) e += WRAP;
  const v = place(sign, r.sig, e);
  if (e !== r.exp && (v.exp === 0 || v.exp === EXP_MAX)) stillOut(x);
  return v;
}
/** FSCALE can miss the range so far that wrapping does not help: the result is infinite or next to nothing. */
function stillOut(x: Context): void {
  x.raise(FX.PE);
  x.up = x.unmasked(FX.OE);
}

/** An exact value as extended; out of range it becomes infinite or nothing. */
export function place(sign: number, sig: bigint, exp: number): F80 {
  if (sig === 0n) return zero(sign);
  const shift = 64 - bitLength(sig);
  const biased = exp - shift + BIAS + 63;
  const wide = shift >= 0 ? sig << BigInt(shift) : sig >> BigInt(-shift);
  if (biased >= EXP_MAX) return infinity(sign);
  if (biased > 0) return { sign, exp: biased, sig: wide };
  const out = wide >> BigInt(Math.min(64, 1 - biased));
  return { sign, exp: out >> 63n === 1n ? 1 : 0, sig: out };
}

/**
 * What an operation on these operands gives if one is a NaN or has no meaning; undefined if none is.
 * @spec SDM 1 table 4-7
 */
export function nanResult(x: Context, a: F80, b: F80 = ONE): F80 | undefined {
  const ka = kindOf(a);
  const kb = kindOf(b);
  if (ka < KIND.quiet && kb < KIND.quiet) return undefined;
  if (ka === KIND.unsupported || kb === KIND.unsupported) return x.invalid();
  if (ka === KIND.signaling || kb === KIND.signaling) x.raise(FX.IE);
  return quieten(chosenNan(a, ka, b, kb));
}
function chosenNan(a: F80, ka: number, b: F80, kb: number): F80 {
  if (!isNan(kb)) return a;
  if (!isNan(ka)) return b;
  if (ka !== kb) return ka === KIND.quiet ? a : b;
  if (a.sig !== b.sig) return a.sig > b.sig ? a : b;
  return a.sign <= b.sign ? a : b;
}
export const quieten = (v: F80): F80 => ({ sign: v.sign, exp: v.exp, sig: v.sig | QUIET_BIT });

/** Raises DE if one is denormal. */
export function noteDenormal(x: Context, ka: number, kb: number = KIND.normal): void {
  if (ka === KIND.denormal || kb === KIND.denormal) x.raise(FX.DE);
}
