/** Repeatable random numbers, and operand values biased towards the edges. */

/** xorshift128: the same seed records the same file. */
export class Random {
  private readonly s: Uint32Array;

  constructor(seed: number) {
    this.s = Uint32Array.from([seed, 0x9e3779b9, 0x243f6a88, 0xb7e15162]);
    for (let i = 0; i < 16; i++) this.u32();
  }
  u32(): number {
    const s = this.s;
    let t = s[3]!;
    const head = s[0]!;
    s.copyWithin(1, 0, 3);
    t ^= t << 11;
    t ^= t >>> 8;
    s[0] = t ^ head ^ (head >>> 19);
    return s[0]!;
  }
  /** 0 … n-1. */
  below(n: number): number {
    return this.u32() % n;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => this.u32() >>> 24);
  }
}

/** An integer of `bits` bits, often one at which carries, signs and sizes turn over. */
export function edgeInt(r: Random, bits: number): bigint {
  const n = BigInt(bits);
  const all = (1n << n) - 1n;
  const sign = 1n << (n - 1n);
  const choices: readonly (() => bigint)[] = [
    () => r.pick([0n, 1n, all, sign, sign - 1n, sign + 1n, all - 1n, 2n]),
    () => r.pick([0n, 1n, all, sign, sign - 1n]),
    () => 1n << BigInt(r.below(bits)),
    () => all ^ (1n << BigInt(r.below(bits))),
    () => r.pick([0x80n, 0x7fn, 0xffn, 0x8000n, 0x7fffn, 0xffffn, 0x80000000n, 0x7fffffffn, 0xffffffffn]),
    () => BigInt(r.below(256)) * (r.chance(50) ? 1n : -1n),
    () => r.pick([0x5555555555555555n, 0xaaaaaaaaaaaaaaaan, 0x0123456789abcdefn, 0x9999999999999999n]),
    () => r.u64() >> BigInt(r.below(bits)),
    () => r.u64(),
    () => r.u64(),
  ];
  return r.pick(choices)() & all;
}

const FLOAT64_EDGES = [
  0x0000000000000000n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000123n,
  0x7ff0000000000001n,
  0xfff4000000000456n,
  0x0000000000000001n,
  0x800fffffffffffffn,
  0x0010000000000000n,
  0x7fefffffffffffffn,
  0xffefffffffffffffn,
  0x41dfffffffc00000n,
  0x41e0000000000000n,
  0xc1e0000000200000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x3fe0000000000000n,
  0x3ff8000000000000n,
  0x4004000000000000n,
  0x47efffffe0000000n,
  0x47f0000000000000n,
  0x36a0000000000000n,
  0x380fffffe0000000n,
  0x3fd5555555555555n,
  0x4340000000000001n,
  0x3ca0000000000000n,
] as const;
const FLOAT32_EDGES = [
  0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00123, 0x7f800001,
  0xffa00456, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x4effffff, 0x4f000000, 0xcf000001,
  0x5f000000, 0xdf000000, 0x3f000000, 0x3fc00000, 0x40200000, 0x3eaaaaab, 0x4b800001, 0x33800000,
] as const;

export type Lane = 'i8' | 'i16' | 'i32' | 'i64' | 'f32' | 'f64';

function randomDouble(r: Random): bigint {
  const view = new DataView(new ArrayBuffer(8));
  const whole = (r.u32() | 0) / (1 << r.below(31));
  view.setFloat64(0, r.chance(60) ? whole : whole * 2 ** (r.below(200) - 100));
  return view.getBigUint64(0);
}

function randomFloat(r: Random): number {
  const view = new DataView(new ArrayBuffer(4));
  const whole = (r.u32() | 0) / (1 << r.below(31));
  view.setFloat32(0, r.chance(60) ? whole : whole * 2 ** (r.below(200) - 100));
  return view.getUint32(0);
}

/** One lane's bits. */
export function edgeLane(r: Random, lane: Lane): bigint {
  if (lane === 'f64') {
    if (r.chance(45)) return r.pick(FLOAT64_EDGES);
    return r.chance(75) ? randomDouble(r) : r.u64();
  }
  if (lane === 'f32') {
    if (r.chance(45)) return BigInt(r.pick(FLOAT32_EDGES));
    return BigInt(r.chance(75) ? randomFloat(r) : r.u32());
  }
  return edgeInt(r, Number(lane.slice(1)));
}

/** Sixteen bytes of lanes. */
export function edgeVector(r: Random, lane: Lane): Uint8Array {
  const out = new Uint8Array(16);
  const size = Number(lane.slice(1)) / 8;
  for (let i = 0; i < 16; i += size) {
    let v = edgeLane(r, lane);
    for (let j = 0; j < size; j++, v >>= 8n) out[i + j] = Number(v & 0xffn);
  }
  return out;
}
