/** AES-NI in byte vectors: a state is 16 bytes, column by column. @spec SDM 2, FIPS 197 5.1, 5.3 */
import { type Routine, routine } from './routine.ts';
import type { Sem, Vec, VecVar } from './sem.ts';
import { zero } from './vector-rows.ts';

/** A product in GF(2^8). */
function times(a: number, b: number): number {
  let out = 0;
  for (let x = a, y = b; y !== 0; y >>= 1) {
    if (y & 1) out ^= x;
    x = x & 0x80 ? (x << 1) ^ 0x11b : x << 1;
  }
  return out;
}
function power(v: number, n: number): number {
  let out = 1;
  for (let k = n, square = v; k !== 0; k >>= 1) {
    if (k & 1) out = times(out, square);
    square = times(square, square);
  }
  return out;
}
const inverse = (v: number): number => power(v, 254);
/** What SubBytes does to the inverse; and how that is undone. */
function affine(v: number): number {
  const twice = v | (v << 8);
  return (v ^ (twice >> 4) ^ (twice >> 5) ^ (twice >> 6) ^ (twice >> 7) ^ 0x63) & 0xff;
}
const BYTES = Array.from({ length: 256 }, (_, n) => n);
const UNAFFINE: number[] = [];
for (const v of BYTES) UNAFFINE[affine(v)] = v;

/**
 * Inverses by tables of 16, after Hamburg. A byte is k + iZ with k and i in GF(2^4), and Z + Z^16 = Z^17 = A there; its
 * inverse is u + Z(u/A + (u+v)/A^2), where with j = i + k
 *
 *   1/u = 1/(1/i + A/k) + j     1/v = 1/(1/j + A/k) + i
 *
 * 1/0 is a number that no table has, nor its sum with others, so that a swizzle makes 0 of it. @spec "Accelerating AES
 * with Vector Permute Instructions", CHES 2009
 */
const NIBBLES = BYTES.slice(0, 16);
/** The subfield's elements: sums of powers of a generator, whose 15th is 1. */
const GENERATOR = power(3, 17);
const ELEMENT = NIBBLES.map((n) =>
  [0, 1, 2, 3].reduce((v, k) => ((n >> k) & 1 ? v ^ power(GENERATOR, k) : v), 0),
);
const Z = BYTES.find((z) => !ELEMENT.includes(z) && (z ^ power(z, 16)) === power(z, 17)) as number;
const A = power(Z, 17);
const INFINITE = 0x80;
const nibbleOf = (v: number): number => ELEMENT.indexOf(v);
const INVERSE = NIBBLES.map((n) => (n === 0 ? INFINITE : nibbleOf(inverse(ELEMENT[n]!))));
const A_BY = NIBBLES.map((n) => (n === 0 ? INFINITE : nibbleOf(times(A, inverse(ELEMENT[n]!)))));
/** A byte to k and, above, i. */
const SPLIT: number[] = [];
for (const i of NIBBLES) for (const k of NIBBLES) SPLIT[ELEMENT[k]! ^ times(ELEMENT[i]!, Z)] = k | (i << 4);

interface Box {
  /** From the low and from the high nibble to k and i. */
  readonly low: readonly number[];
  readonly high: readonly number[];
  /** From 1/u and 1/v to parts of the result. */
  readonly u: readonly number[];
  readonly v: readonly number[];
  readonly constant: number;
}
/** The tables of an S-box that is an inverse, with a map before and one after. */
function box(before: (v: number) => number, after: (v: number) => number): Box {
  const linear = (v: number): number => after(v) ^ after(0);
  const over = inverse(A);
  const u = (v: number): number => v ^ times(Z, times(v, over) ^ times(v, times(over, over)));
  return {
    low: NIBBLES.map((n) => SPLIT[before(n)]!),
    high: NIBBLES.map((n) => SPLIT[before(n << 4) ^ before(0)]!),
    u: NIBBLES.map((n) => linear(u(inverse(ELEMENT[n]!)))),
    v: NIBBLES.map((n) => linear(times(Z, times(inverse(ELEMENT[n]!), times(over, over))))),
    constant: after(0),
  };
}
const SBOX = box((v) => v, affine);
const INVERSE_SBOX = box(
  (v) => UNAFFINE[v]!,
  (v) => v,
);

const bytes = (e: Sem, b: readonly number[]): Vec => {
  const half = (from: number): bigint =>
    b.slice(from, from + 8).reduceRight((v, x) => (v << 8n) | BigInt(x), 0n);
  return e.vconst(half(0), half(8));
};
const every = (e: Sem, b: number): Vec => bytes(e, Array<number>(16).fill(b));
const lowNibbles = (e: Sem, x: VecVar): Vec => e.v2('v128_and', e.vget(x), every(e, 15));
const highNibbles = (e: Sem, x: VecVar): Vec => e.vshift('i8x16_shr_u', e.vget(x), e.c(4));
/** The table comes before what yields the numbers. */
const lookUp = (e: Sem, table: readonly number[], numbers: () => Vec): Vec =>
  e.v2('i8x16_swizzle', bytes(e, table), numbers());

/** Each byte through an S-box. */
function substitute(e: Sem, t: Box, x: VecVar): Vec {
  const low = lookUp(e, t.low, () => lowNibbles(e, x));
  const high = lookUp(e, t.high, () => highNibbles(e, x));
  const ki = e.vlet(e.v2('v128_xor', low, high));
  const k = e.vlet(lowNibbles(e, ki));
  const i = e.vlet(highNibbles(e, ki));
  const j = e.vlet(e.v2('v128_xor', i, k));
  const ak = e.vlet(lookUp(e, A_BY, () => e.vget(k)));
  /** 1/(1/a + A/k) + b */
  const fraction = (a: VecVar, b: VecVar): Vec => {
    const sum = (): Vec =>
      e.v2(
        'v128_xor',
        lookUp(e, INVERSE, () => e.vget(a)),
        ak,
      );
    return e.v2('v128_xor', lookUp(e, INVERSE, sum), b);
  };
  const u = lookUp(e, t.u, () => fraction(i, j));
  const v = lookUp(e, t.v, () => fraction(j, i));
  const out = e.v2('v128_xor', u, v);
  return t.constant === 0 ? out : e.v2('v128_xor', out, every(e, t.constant));
}

const ROWS = [0, 1, 2, 3];
/** Lanes that take row r of column j from row and column `from` of these. */
const rearranged = (from: (j: number, r: number) => number): number[] =>
  ROWS.flatMap((j) => ROWS.map((r) => from(j, r)));
/** ShiftRows takes row r of column j from column j + r, its inverse from j - r. */
const SHIFT_ROWS = rearranged((j, r) => 4 * ((j + r) & 3) + r);
const UNSHIFT_ROWS = rearranged((j, r) => 4 * ((j - r) & 3) + r);
/** Each column one row up, and two. */
const UP1 = rearranged((j, r) => 4 * j + ((r + 1) & 3));
const UP2 = rearranged((j, r) => 4 * j + ((r + 2) & 3));

/** Each byte times 2 in GF(2^8). */
function doubled(e: Sem, x: VecVar): Vec {
  const wrap = e.v2('v128_and', e.v2('i8x16_lt_s', e.vget(x), zero(e)), every(e, 0x1b));
  return e.v2('v128_xor', wrap, e.v2('i8x16_add', x, x));
}
/** 2a + 3b + c + d for the bytes a, b, c, d of a column from each on. */
function mixColumns(e: Sem, x: VecVar): Vec {
  const up = e.vlet(e.shuffle(UP1, x, x));
  const pair = e.vlet(e.v2('v128_xor', x, up));
  return e.v2('v128_xor', e.v2('v128_xor', doubled(e, pair), up), e.shuffle(UP2, pair, pair));
}
/** 14, 11, 13, 9: MixColumns of the bytes plus 4 times the sum of each and its second next. */
function unmixColumns(e: Sem, x: VecVar): Vec {
  const sum = e.vlet(e.v2('v128_xor', e.shuffle(UP2, x, x), x));
  const four = doubled(e, e.vlet(doubled(e, sum)));
  return mixColumns(e, e.vlet(e.v2('v128_xor', four, x)));
}

const round =
  (t: Box, shift: readonly number[], mix: (e: Sem, x: VecVar) => Vec) =>
  (e: Sem): void => {
    const state = e.vlet(e.vread(0));
    const shifted = e.vlet(e.shuffle(shift, state, state));
    const out = mix(e, e.vlet(substitute(e, t, shifted)));
    e.vwrite(e.v2('v128_xor', out, e.vread(1)));
  };
const asIs = (e: Sem, x: VecVar): Vec => e.vget(x);

/** SubWord of words 1 and 3, each also rotated a byte down with the immediate added. */
function keygenAssist(e: Sem): void {
  const s = e.vlet(e.vread(1));
  const sub = e.vlet(substitute(e, SBOX, s));
  const out = e.shuffle([4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12], sub, sub);
  e.vwrite(e.v2('v128_xor', out, e.splat64(e.shl(e.imm8(), e.c(32)))));
}

export const AES: readonly Routine[] = [
  routine('aesenc', round(SBOX, SHIFT_ROWS, mixColumns)),
  routine('aesenclast', round(SBOX, SHIFT_ROWS, asIs)),
  routine('aesdec', round(INVERSE_SBOX, UNSHIFT_ROWS, unmixColumns)),
  routine('aesdeclast', round(INVERSE_SBOX, UNSHIFT_ROWS, asIs)),
  routine('aesimc', (e) => e.vwrite(unmixColumns(e, e.vlet(e.vread(1))))),
  routine('aeskeygenassist', keygenAssist),
];
