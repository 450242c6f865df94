/** Repeatable random numbers, and operand values biased towards the edges. Values of 64 bits are pairs of words. */

/** sfc32: the same seed gives the same case. */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private d = 0;
  /** Answers of those that choose more than 32 bits. */
  lo = 0;
  hi = 0;

  seed(x: number, y: number): void {
    this.a = x;
    this.b = y;
    this.c = 0x9e37_79b9;
    this.d = 1;
    for (let i = 0; i < 12; i++) this.u32();
  }
  u32(): number {
    const t = (this.a + this.b + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + t) | 0;
    return t >>> 0;
  }
  /** 0 ... n-1. */
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }
  chance(percent: number): boolean {
    return this.u32() < percent * 42_949_672;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  pair(lo: number, hi: number): void {
    this.lo = lo >>> 0;
    this.hi = hi >>> 0;
  }
}

/** Seed of a form's cases: FNV-1a of its key. */
export function hash(key: string): number {
  let h = 0x811c_9dc5;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x0100_0193);
  return h >>> 0;
}

const LIMITS = [0x80, 0x7f, 0xff, 0x8000, 0x7fff, 0xffff, 0x8000_0000, 0x7fff_ffff, 0xffff_ffff] as const;
const PATTERNS = [0x5555_5555, 0xaaaa_aaaa, 0x0123_4567, 0x9999_9999, 0xffff_0000, 0x0f0f_0f0f] as const;

/** One bit of 64, at `n`. */
function bit(r: Random, n: number): void {
  r.pair(n < 32 ? 1 << n : 0, n >= 32 ? 1 << (n - 32) : 0);
}

/** Leaves in r.lo and r.hi an integer of `bits` bits at which carries, signs and sizes turn over; above, anything. */
export function edgeInt(r: Random, bits: number): void {
  const choice = r.below(18);
  if (choice < 6) return r.pair(r.u32(), r.u32());
  edge(r, bits, choice);
  if (bits === 64 || r.chance(25)) return;
  const keep = bits === 32 ? 0xffff_ffff : 2 ** bits - 1;
  r.pair((r.lo & keep) | (r.u32() & ~keep), r.u32());
}

function edge(r: Random, bits: number, choice: number): void {
  switch (choice) {
    case 6: // few bits
      r.pair(r.u32() >>> r.below(32), r.chance(50) ? 0 : r.u32() >>> r.below(32));
      return;
    case 7:
    case 8:
      return small(r, r.below(5) - 2);
    case 9:
      return small(r, r.below(256) - 128);
    case 10:
    case 11: {
      // the sign bit and its neighbours
      bit(r, bits - 1);
      const by = r.below(3) - 1;
      if (by !== 0) r.pair(r.lo + by, by < 0 && r.lo === 0 ? r.hi - 1 : r.hi);
      return;
    }
    case 12:
      return bit(r, r.below(bits));
    case 13:
      bit(r, r.below(bits));
      return r.pair(~r.lo, ~r.hi);
    case 14: {
      // ones up to a bit
      const n = r.below(bits) + 1;
      return r.pair(n >= 32 ? -1 : (1 << n) - 1, n >= 64 ? -1 : n > 32 ? (1 << (n - 32)) - 1 : 0);
    }
    case 15:
      return r.pair(r.pick(LIMITS), 0);
    default:
      return r.pair(r.pick(PATTERNS), r.pick(PATTERNS));
  }
}

function small(r: Random, v: number): void {
  r.pair(v, v < 0 ? -1 : 0);
}

const F64_EDGES = [
  0x0000_0000, 0x8000_0000, 0x3ff0_0000, 0xbff0_0000, 0x7ff0_0000, 0xfff0_0000, 0x7ff8_0000, 0xfff8_0000,
  0x7ff0_0000, 0xfff4_0000, 0x0000_0000, 0x800f_ffff, 0x0010_0000, 0x7fef_ffff, 0xffef_ffff, 0x41df_ffff,
  0x41e0_0000, 0xc1e0_0000, 0x43e0_0000, 0xc3e0_0000, 0x3fe0_0000, 0x3ff8_0000, 0x4004_0000, 0x47ef_ffff,
  0x47f0_0000, 0x36a0_0000, 0x380f_ffff, 0x3fd5_5555, 0x4340_0000, 0x3ca0_0000, 0x43df_ffff, 0x41ef_ffff,
] as const;
const LOW_WORDS = [
  0, 0, 0, 0, 1, 0xffff_ffff, 0xffc0_0000, 0xe000_0000, 0x0020_0000, 0x5555_5555, 0x123,
] as const;
const F32_EDGES = [
  0x0000_0000, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0123,
  0x7f80_0001, 0xffa0_0456, 0x0000_0001, 0x807f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x4eff_ffff,
  0x4f00_0000, 0xcf00_0001, 0x5f00_0000, 0xdf00_0000, 0x3f00_0000, 0x3fc0_0000, 0x4020_0000, 0x3eaa_aaab,
  0x4b80_0001, 0x3380_0000, 0x5eff_ffff, 0x4b7f_ffff,
] as const;

export type Lane = 'i8' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64';

/** Leaves a double in r.lo and r.hi: a special one, one of a middling size and often few digits, or anything. */
function edgeDouble(r: Random): void {
  const kind = r.below(16);
  if (kind < 6) return r.pair(r.pick(LOW_WORDS), r.pick(F64_EDGES));
  if (kind === 15) return r.pair(r.u32(), r.u32());
  const spread = kind < 11 ? 4 : kind < 13 ? 40 : 900;
  const exponent = 0x3ff - spread + r.below(2 * spread);
  const digits = r.below(3) === 0 ? r.below(53) : 52;
  const low = digits >= 52 ? r.u32() : digits > 20 ? (r.u32() << (52 - digits)) >>> 0 : 0;
  const high = digits >= 20 ? r.u32() & 0xf_ffff : (r.u32() << (20 - digits)) & 0xf_ffff;
  r.pair(low, (r.u32() & 0x8000_0000) | (exponent << 20) | high);
}

function edgeSingle(r: Random): number {
  const kind = r.below(16);
  if (kind < 6) return r.pick(F32_EDGES);
  if (kind === 15) return r.u32();
  const spread = kind < 11 ? 4 : kind < 13 ? 30 : 120;
  const digits = r.below(3) === 0 ? r.below(24) : 23;
  const fraction = (r.u32() << (23 - digits)) & 0x7f_ffff;
  return ((r.u32() & 0x8000_0000) | ((127 - spread + r.below(2 * spread)) << 23) | fraction) >>> 0;
}

/** Fills `length` bytes at `at` with lanes. */
export function putLanes(r: Random, view: DataView, at: number, length: number, lane: Lane): void {
  const size = Number(lane.slice(1)) / 8;
  const same = r.chance(6);
  for (let i = 0; i + size <= length; i += size) {
    if (same && i > 0) {
      // equal lanes, so that comparisons have something to find
    } else if (lane === 'f64') edgeDouble(r);
    else if (lane === 'f32') r.lo = edgeSingle(r);
    else edgeInt(r, size * 8);
    if (size === 1) view.setUint8(at + i, r.lo & 0xff);
    else if (size === 2) view.setUint16(at + i, r.lo & 0xffff, true);
    else view.setUint32(at + i, r.lo, true);
    if (size === 8) view.setUint32(at + i + 4, r.hi, true);
  }
}
