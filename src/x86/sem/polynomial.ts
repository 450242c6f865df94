/** PCLMULQDQ and CRC32: polynomials over GF(2), a bit to a coefficient. @spec SDM 2 */
import { type Routine, routine } from './routine.ts';
import type { Sem, Size, V64, Var, Vec } from './sem.ts';

/**
 * The 64-bit carry-less product of two 32-bit numbers. Of each only every fourth bit goes into a multiplication: at most
 * eight products then meet in a place, and what they carry does not reach the next bit that counts.
 */
function multiply(e: Sem, x: Var, y: Var): V64 {
  const every4 = (v: Var): Var[] => [0, 1, 2, 3].map((n) => e.let(e.and(e.get(v), e.c(0x1111_1111 << n))));
  const places = (n: number): bigint => BigInt.asIntN(64, 0x1111_1111_1111_1111n << BigInt(n));
  const a = every4(x);
  const b = every4(y);
  const part = (n: number): V64 => {
    let sum = e.mul(a[0]!, b[n]!);
    for (const i of [1, 2, 3]) sum = e.xor(sum, e.mul(a[i]!, b[(n - i) & 3]!));
    return e.and(sum, e.big(places(n)));
  };
  let out = part(0);
  for (const n of [1, 2, 3]) out = e.or(out, part(n));
  return out;
}
const low = (e: Sem, v: Var): Var => e.let(e.zx(v, 4));
const high = (e: Sem, v: Var): Var => e.let(e.shru(e.get(v), e.c(32)));

/** The half of a vector that a bit of the immediate names. */
function half(e: Sem, i: number, bit: number): Var {
  const v = e.vlet(e.vread(i));
  const first = e.let(e.lane64(v, 0));
  const second = e.let(e.lane64(v, 1));
  return e.let(e.select(second, first, e.ne(e.and(e.imm8(), e.c(bit)), e.c(0))));
}
/** Three products of halves, after Karatsuba: the middle one is that of the sums less the outer ones. */
function pclmulqdq(e: Sem): void {
  const a = half(e, 0, 1);
  const b = half(e, 1, 16);
  const [al, ah, bl, bh] = [low(e, a), high(e, a), low(e, b), high(e, b)] as const;
  const bottom = e.let(multiply(e, al, bl));
  const top = e.let(multiply(e, ah, bh));
  const sums = multiply(e, e.let(e.xor(al, ah)), e.let(e.xor(bl, bh)));
  const middle = e.let(e.xor(e.xor(sums, bottom), top));
  const out = e.splat64(e.xor(e.shl(e.get(middle), e.c(32)), bottom));
  e.vwrite(e.setLane64(out, 1, e.xor(e.shru(e.get(middle), e.c(32)), top)));
}

/** The polynomial 11edc6f41h, reflected. */
const CRC32C = 0x82f6_3b78;
/** What bit `at` of `bits` that are shifted out leaves in the remainder. */
function remainder(at: number, bits: number): number {
  let v = 1n << BigInt(at);
  for (let n = 0; n < bits; n++) v = v & 1n ? (v >> 1n) ^ BigInt(CRC32C) : v >> 1n;
  return Number(v);
}
const words = (e: Sem, [a, b, c, d]: readonly number[]): Vec => {
  const pair = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo);
  return e.vconst(pair(a!, b!), pair(c!, d!));
};
/**
 * The remainder is the sum of those of the single bits. Each of four lanes goes through a quarter of them, from the
 * highest down, with the bit in hand on top.
 */
function crc32(e: Sem, z: Size): void {
  const bits = 8 * z;
  const quarter = bits / 4;
  const old = e.let(e.zx(e.read(0, 4), 4));
  const data = e.let(e.xor(old, e.let(e.zx(e.read(1, z), z))));
  const lane = (n: number): V64 => {
    const end = quarter * (n + 1);
    return end <= 32 ? e.shl(e.get(data), e.c(32 - end)) : e.shru(e.get(data), e.c(end - 32));
  };
  let v = e.splat64(lane(0));
  for (const n of [1, 2, 3]) v = e.setLane32(v, n, lane(n));
  const lanes = e.vlet(v);
  let sum = e.vconst(0n, 0n);
  for (let k = quarter - 1; k >= 0; k--) {
    const picked = e.vshift(
      'i32x4_shr_s',
      e.vshift('i32x4_shl', e.vget(lanes), e.c(quarter - 1 - k)),
      e.c(31),
    );
    const gives = words(
      e,
      [0, 1, 2, 3].map((n) => remainder(n * quarter + k, bits)),
    );
    sum = e.v2('v128_xor', sum, e.v2('v128_and', picked, gives));
  }
  const sums = e.vlet(sum);
  const pairs = e.let(e.xor(e.lane64(sums, 0), e.lane64(sums, 1)));
  const out = e.xor(e.get(pairs), e.shru(e.get(pairs), e.c(32)));
  const rest = bits < 32 ? e.xor(out, e.shru(e.get(old), e.c(bits))) : out;
  e.write(8, e.zx(rest, 4));
}

export const POLYNOMIAL: readonly Routine[] = [
  routine('pclmulqdq', pclmulqdq),
  ...([1, 2, 4, 8] as const).map((z) => routine('crc32', (e) => crc32(e, z), { z })),
];
