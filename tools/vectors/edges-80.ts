/** 80-bit reals and packed decimals at and between the edges. A value is a pair of words and a sign with exponent. */
import type { Random } from './random.ts';

/** Leaves a significand with its integer bit in r.lo and r.hi, often short, round or full. */
function significand(r: Random): void {
  const TOP = 0x8000_0000;
  switch (r.below(12)) {
    case 0:
      return r.pair(0, TOP);
    case 1:
      return r.pair(-1, -1);
    case 2:
      return r.pair(r.u32() >>> 8, TOP);
    case 3:
      return r.pair(0, TOP | r.u32());
    case 4: // a tie or near one when rounded to single precision
      return r.pair(r.below(3) === 0 ? 1 : 0, TOP | (r.u32() & 0x7fff_ff00) | 0x80);
    case 5: // and to double
      return r.pair((r.u32() & 0xffff_f800) | 0x400 | r.below(2), TOP | r.u32());
    case 6:
      return r.pair(~(1 << r.below(32)), -1);
    default:
      return r.pair(r.u32(), TOP | r.u32());
  }
}

const CENTRES: readonly (readonly [at: number, by: number])[] = [
  [0x3fff, 66],
  [0x3fff, 3],
  [0x3fff, 66],
  [0x3fff, 16383],
  [0x3fff - 126, 30],
  [0x3fff + 128, 4],
  [0x3fff - 1022, 60],
  [0x3fff + 1024, 4],
  [36, 35],
  [0x7ffc, 2],
  [0x1fff, 40],
  [0x5fff, 4],
];

/** Zeros, infinities, NaNs, denormals, and what the unit supports no more. Answers the exponent. */
function special(r: Random): number {
  const TOP = 0x8000_0000;
  switch (r.below(10)) {
    case 0:
    case 1:
      r.pair(0, 0);
      return 0;
    case 2:
    case 3:
      r.pair(0, TOP);
      return 0x7fff;
    case 4:
      r.pair(r.below(2) * r.u32(), TOP | 0x4000_0000 | (r.below(2) * (r.u32() >>> 2)));
      return 0x7fff;
    case 5: // signalling
      r.pair(r.u32() | 1, TOP | (r.u32() >>> 2));
      return 0x7fff;
    case 6:
      r.pair(r.u32(), r.u32() >>> 1);
      return 0x7fff;
    case 7:
      r.pair(r.u32() >>> r.below(32), r.u32() >>> (1 + r.below(31)));
      return 0;
    case 8:
      r.pair(r.u32(), TOP | r.u32());
      return 0;
    default:
      r.pair(r.u32(), r.u32() >>> 1);
      return 1 + r.below(0x7ffe);
  }
}

function put(r: Random, view: DataView, at: number, exponent: number): void {
  view.setUint32(at, r.lo, true);
  view.setUint32(at + 4, r.hi, true);
  view.setUint16(at + 8, exponent | (r.below(2) << 15), true);
}

/** Any 80-bit value. */
export function putExtended(r: Random, view: DataView, at: number): void {
  if (r.chance(22)) return put(r, view, at, special(r));
  const [centre, by] = r.pick(CENTRES);
  significand(r);
  put(r, view, at, Math.min(0x7ffe, Math.max(1, centre - by + r.below(2 * by + 1))));
}

/** A value whose unbiased exponent is in [from, to), most of the time. */
export function putWithin(r: Random, view: DataView, at: number, from: number, to: number): void {
  if (r.chance(15)) return putExtended(r, view, at);
  significand(r);
  put(r, view, at, 0x3fff + from + r.below(to - from));
}

/** A value close to the one at `other`: the same, a neighbour, or of about its size. */
export function putRelated(r: Random, view: DataView, at: number, other: number): void {
  const [lo, hi] = [view.getUint32(other, true), view.getUint32(other + 4, true)];
  const head = view.getUint16(other + 8, true);
  r.pair(lo, hi);
  switch (r.below(4)) {
    case 0:
      return put(r, view, at, head & 0x7fff);
    case 1:
      r.pair(lo + r.below(5) - 2, hi);
      break;
    case 2:
      r.pair(lo ^ (1 << r.below(32)), hi);
      break;
    default:
      significand(r);
      return put(r, view, at, Math.min(0x7ffe, Math.max(0, (head & 0x7fff) + r.below(131) - 65)));
  }
  view.setUint32(at, r.lo, true);
  view.setUint32(at + 4, r.hi, true);
  view.setUint16(at + 8, head, true);
}

/** Close to 1: for logarithms. */
export function putNearOne(r: Random, view: DataView, at: number): void {
  const shift = r.below(64);
  const rest = r.u32();
  r.pair(
    shift < 32 ? rest >>> shift : 0,
    0x8000_0000 | (shift < 32 ? (rest >>> 1) >>> shift : rest >>> shift),
  );
  view.setUint32(at, r.lo, true);
  view.setUint32(at + 4, r.hi, true);
  view.setUint16(at + 8, 0x3fff - r.below(2), true);
}

/** Ten bytes of packed decimal, some with digits that are none. */
export function putDecimal(r: Random, view: DataView, at: number): void {
  const digits = r.chance(20) ? 18 : r.below(19);
  const bad = r.chance(15) ? 16 : 10;
  for (let n = 0; n < 9; n++) {
    const low = 2 * n < digits ? r.below(bad) : 0;
    const high = 2 * n + 1 < digits ? r.below(bad) : 0;
    view.setUint8(at + n, low | (high << 4));
  }
  view.setUint8(at + 9, r.chance(50) ? r.below(2) * 128 : r.below(256));
}
