/** MMX arithmetic: 64-bit values as lanes of bytes, words and doublewords. @spec SDM 2, the instructions' own pages */

function split(v: bigint, bits: number, signed: boolean): number[] {
  const out: number[] = [];
  for (let at = 0; at < 64; at += bits) {
    const lane = v >> BigInt(at);
    out.push(Number(signed ? BigInt.asIntN(bits, lane) : BigInt.asUintN(bits, lane)));
  }
  return out;
}
/** Lanes, lowest first, each cut to its bits. */
const join = (lanes: readonly number[], bits: number): bigint =>
  lanes.reduceRight((v, lane) => (v << BigInt(bits)) | BigInt.asUintN(bits, BigInt(lane)), 0n);

const S = true;
const U = false;
export type Binary = (a: bigint, b: bigint) => bigint;
type Scalar = (a: number, b: number) => number;

/** Lane by lane. */
const each =
  (bits: number, signed: boolean, f: Scalar): Binary =>
  (a, b) => {
    const other = split(b, bits, signed);
    return join(
      split(a, bits, signed).map((lane, n) => f(lane, other[n]!)),
      bits,
    );
  };
const clamp =
  (bits: number, signed: boolean, f: Scalar): Scalar =>
  (a, b) => {
    const max = 2 ** (signed ? bits - 1 : bits) - 1;
    return Math.min(max, Math.max(signed ? -max - 1 : 0, f(a, b)));
  };
const saturating = (bits: number, signed: boolean, f: Scalar): Binary =>
  each(bits, signed, clamp(bits, signed, f));

/** Neighbours of `a`, then neighbours of `b`. */
const horizontal =
  (bits: number, f: Scalar): Binary =>
  (a, b) => {
    const lanes = [...split(a, bits, S), ...split(b, bits, S)];
    return join(
      lanes.filter((_, n) => n % 2 === 0).map((lane, n) => f(lane, lanes[2 * n + 1]!)),
      bits,
    );
  };
/** Products of lanes, summed in pairs to lanes twice as wide. */
const dot =
  (bits: number, signedA: boolean, f: Scalar): Binary =>
  (a, b) => {
    const other = split(b, bits, S);
    const products = split(a, bits, signedA).map((lane, n) => lane * other[n]!);
    return join(
      products.filter((_, n) => n % 2 === 0).map((p, n) => f(p, products[2 * n + 1]!)),
      2 * bits,
    );
  };
const narrow =
  (bits: number, signed: boolean): Binary =>
  (a, b) =>
    join(
      [...split(a, 2 * bits, S), ...split(b, 2 * bits, S)].map((v) => clamp(bits, signed, add)(v, 0)),
      bits,
    );
const interleave =
  (bits: number, high: boolean): Binary =>
  (a, b) => {
    const half = 32 / bits;
    const from = high ? half : 0;
    const other = split(b, bits, U).slice(from, from + half);
    return join(
      split(a, bits, U)
        .slice(from, from + half)
        .flatMap((lane, n) => [lane, other[n]!]),
      bits,
    );
  };

const add: Scalar = (a, b) => a + b;
const sub: Scalar = (a, b) => a - b;
const average: Scalar = (a, b) => (a + b + 1) >> 1;
const equal: Scalar = (a, b) => (a === b ? -1 : 0);
const greater: Scalar = (a, b) => (a > b ? -1 : 0);
const sign: Scalar = (a, b) => a * Math.sign(b);
const magnitude: Scalar = (_a, b) => Math.abs(b);

/** Shift of every lane by the whole of `b`. */
const shift =
  (bits: number, signed: boolean, f: (lane: bigint, count: bigint) => bigint): Binary =>
  (a, b) => {
    const limit = BigInt(signed ? bits - 1 : bits);
    const count = b > limit ? limit : b;
    let out = 0n;
    for (let at = 64 - bits; at >= 0; at -= bits) {
      const lane = a >> BigInt(at);
      const wide = signed ? BigInt.asIntN(bits, lane) : BigInt.asUintN(bits, lane);
      out = (out << BigInt(bits)) | BigInt.asUintN(bits, f(wide, count));
    }
    return out;
  };
const left = (lane: bigint, n: bigint): bigint => lane << n;
const right = (lane: bigint, n: bigint): bigint => lane >> n;

function shuffleBytes(a: bigint, b: bigint): bigint {
  const lanes = split(a, 8, U);
  return join(
    split(b, 8, U).map((control) => (control & 0x80 ? 0 : lanes[control & 7]!)),
    8,
  );
}
const LOW = 0xffff_ffffn;

/** Destination and source to destination. */
export const BINARY_MMX = {
  paddb: each(8, U, add),
  paddw: each(16, U, add),
  paddd: each(32, U, add),
  paddq: (a, b) => BigInt.asUintN(64, a + b),
  paddsb: saturating(8, S, add),
  paddsw: saturating(16, S, add),
  paddusb: saturating(8, U, add),
  paddusw: saturating(16, U, add),
  psubb: each(8, U, sub),
  psubw: each(16, U, sub),
  psubd: each(32, U, sub),
  psubq: (a, b) => BigInt.asUintN(64, a - b),
  psubsb: saturating(8, S, sub),
  psubsw: saturating(16, S, sub),
  psubusb: saturating(8, U, sub),
  psubusw: saturating(16, U, sub),
  pmullw: each(16, S, (a, b) => a * b),
  pmulhw: each(16, S, (a, b) => (a * b) >> 16),
  pmulhuw: each(16, U, (a, b) => (a * b) >>> 16),
  pmulhrsw: each(16, S, (a, b) => (((a * b) >> 14) + 1) >> 1),
  pmuludq: (a, b) => (a & LOW) * (b & LOW),
  pmaddwd: dot(16, S, add),
  pmaddubsw: dot(8, U, clamp(16, S, add)),
  pand: (a, b) => a & b,
  pandn: (a, b) => ~a & b,
  por: (a, b) => a | b,
  pxor: (a, b) => a ^ b,
  pcmpeqb: each(8, U, equal),
  pcmpeqw: each(16, U, equal),
  pcmpeqd: each(32, U, equal),
  pcmpgtb: each(8, S, greater),
  pcmpgtw: each(16, S, greater),
  pcmpgtd: each(32, S, greater),
  pavgb: each(8, U, average),
  pavgw: each(16, U, average),
  pmaxub: each(8, U, Math.max),
  pmaxsw: each(16, S, Math.max),
  pminub: each(8, U, Math.min),
  pminsw: each(16, S, Math.min),
  psadbw: (a, b) => {
    const other = split(b, 8, U);
    return BigInt(split(a, 8, U).reduce((sum, lane, n) => sum + Math.abs(lane - other[n]!), 0));
  },
  packsswb: narrow(8, S),
  packssdw: narrow(16, S),
  packuswb: narrow(8, U),
  punpcklbw: interleave(8, false),
  punpcklwd: interleave(16, false),
  punpckldq: interleave(32, false),
  punpckhbw: interleave(8, true),
  punpckhwd: interleave(16, true),
  punpckhdq: interleave(32, true),
  pshufb: shuffleBytes,
  psignb: each(8, S, sign),
  psignw: each(16, S, sign),
  psignd: each(32, S, sign),
  pabsb: each(8, S, magnitude),
  pabsw: each(16, S, magnitude),
  pabsd: each(32, S, magnitude),
  phaddw: horizontal(16, add),
  phaddd: horizontal(32, add),
  phaddsw: horizontal(16, clamp(16, S, add)),
  phsubw: horizontal(16, sub),
  phsubd: horizontal(32, sub),
  phsubsw: horizontal(16, clamp(16, S, sub)),
  psllw: shift(16, U, left),
  pslld: shift(32, U, left),
  psllq: shift(64, U, left),
  psrlw: shift(16, U, right),
  psrld: shift(32, U, right),
  psrlq: shift(64, U, right),
  psraw: shift(16, S, right),
  psrad: shift(32, S, right),
} as const satisfies Record<string, Binary>;

/** Words of `v` in the order the immediate gives. */
export function shuffleWords(v: bigint, control: number): bigint {
  const lanes = split(v, 16, U);
  return join(
    lanes.map((_, n) => lanes[(control >> (2 * n)) & 3]!),
    16,
  );
}
/** Eight bytes from byte `count` on of `a` above `b`. */
export const align = (a: bigint, b: bigint, count: number): bigint =>
  BigInt.asUintN(64, ((a << 64n) | b) >> BigInt(8 * count));
/** The bytes' sign bits. */
export const signBits = (v: bigint): number =>
  split(v, 8, U).reduce((mask, lane, n) => mask | ((lane >> 7) << n), 0);
