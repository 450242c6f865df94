/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. Sets of elements are numbers, a bit to an element. The first operand is
 * `a` (the set, the ranges, what is searched for), the second `b`. @spec SDM 1 14.5.3, SDM 2 4.1
 */
import { CF, OF, SF, unpackStatus, ZF } from '../flags.ts';
import { RAX, RCX, RDX } from './common.ts';
import { type Routine, routine } from './routine.ts';
import type { Sem, V64, Var, Vec, VecVar } from './sem.ts';
import { capped, repeat8, zero } from './vector-rows.ts';

interface Elements {
  readonly bytes: 1 | 2;
  readonly n: 16 | 8;
  readonly eq: string;
  readonly ge: string;
  readonly mask: string;
  /** The sign bit of each element. */
  readonly signs: bigint;
}
const BYTES: Elements = {
  bytes: 1,
  n: 16,
  eq: 'i8x16_eq',
  ge: 'i8x16_ge_s',
  mask: 'i8x16_bitmask',
  signs: 0x80n,
};
const WORDS: Elements = {
  bytes: 2,
  n: 8,
  eq: 'i16x8_eq',
  ge: 'i16x8_ge_s',
  mask: 'i16x8_bitmask',
  signs: 0x8000n,
};

interface Strings {
  readonly e: Sem;
  readonly t: Elements;
  readonly a: VecVar;
  readonly b: VecVar;
  /** Elements that count. */
  readonly lengthA: Var;
  readonly lengthB: Var;
  /** The same as sets. */
  readonly validA: Var;
  readonly validB: Var;
}
const all = (t: Elements): number => (1 << t.n) - 1;
const below = (e: Sem, n: Var): V64 => e.sub(e.shl(e.c(1), n), e.c(1));

/** Element i of a vector in all places. */
const element = ({ e, t }: Strings, v: VecVar, i: number): Vec =>
  e.shuffle(
    Array.from({ length: 16 }, (_, k) => i * t.bytes + (k % t.bytes)),
    v,
    v,
  );
/** Adds up `n` sets. */
function any(e: Sem, n: number, set: (i: number) => Vec): Vec {
  let out = set(0);
  for (let i = 1; i < n; i++) out = e.v2('v128_or', out, set(i));
  return out;
}
/** `a` with its first `unit` bytes in place of what does not count: that changes no set and no list of ranges. */
function padded({ e, a }: Strings, length: V64, unit: number): VecVar {
  const iota = (mask: number): [bigint, bigint] => {
    const half = (from: number): bigint =>
      [7, 6, 5, 4, 3, 2, 1, 0].reduce((v, k) => (v << 8n) | BigInt((from + k) & mask), 0n);
    return [half(0), half(8)];
  };
  const ends = e.vlet(repeat8(e, length));
  const counts = e.vlet(e.v2('i8x16_lt_u', e.vconst(...iota(15)), e.vget(ends)));
  const own = e.vlet(e.vconst(...iota(15)));
  const first = e.vlet(e.vconst(...iota(unit - 1)));
  return e.vlet(e.v2('i8x16_swizzle', e.vget(a), e.bitselect(own, first, counts)));
}
/** A set, less all of it unless `count` is `least` or more. */
const unless = (e: Sem, set: V64, count: Var, least: number): V64 => {
  const s = e.let(set);
  const none = e.let(e.c(0));
  return e.select(none, s, e.ltu(e.get(count), e.c(least)));
};

type Aggregate = (s: Strings) => V64;
const equalAny: Aggregate = (s) => {
  const { e, t, b, lengthA } = s;
  const set = padded(s, e.mul(e.get(lengthA), e.c(t.bytes)), t.bytes);
  const found = any(e, t.n, (i) => e.v2(t.eq, element(s, set, i), b));
  return e.and(unless(e, e.vmask(t.mask, found), lengthA, 1), s.validB);
};
/** Unsigned elements are compared with their sign bits turned over. */
const ranges: Aggregate = (s) => {
  const { e, t, lengthA } = s;
  const pairs = e.and(e.get(lengthA), e.c(-2));
  const list = padded(s, e.mul(pairs, e.c(t.bytes)), 2 * t.bytes);
  const turn = e.let(e.mul(e.sub(e.c(1), e.shru(e.and(e.imm8(), e.c(2)), e.c(1))), e.big(repeated(t))));
  const signs = e.vlet(e.splat64(turn));
  const limits = e.vlet(e.v2('v128_xor', list, signs));
  const x = e.vlet(e.v2('v128_xor', s.b, signs));
  const found = any(e, t.n / 2, (i) => {
    const above = e.v2(t.ge, e.vget(x), element(s, limits, 2 * i));
    return e.v2('v128_and', above, e.v2(t.ge, element(s, limits, 2 * i + 1), x));
  });
  return e.and(unless(e, e.vmask(t.mask, found), lengthA, 2), s.validB);
};
const repeated = (t: Elements): bigint => {
  let v = 0n;
  for (let at = 0n; at < 64n; at += BigInt(8 * t.bytes)) v |= t.signs << at;
  return BigInt.asIntN(64, v);
};
/** Both end, or neither and they are equal. */
const equalEach: Aggregate = ({ e, t, a, b, validA, validB }) => {
  const both = e.and(e.vmask(t.mask, e.v2(t.eq, a, b)), e.let(e.and(validA, validB)));
  const neither = e.xor(e.or(validA, validB), e.c(all(t)));
  return e.or(both, neither);
};
/** Where all of `a` is found, or as much as lies in the vector. */
const equalOrdered: Aggregate = (s) => {
  const { e, t, b, validA, validB } = s;
  let out = e.c(all(t));
  for (let i = 0; i < t.n; i++) {
    const found = e.and(e.vmask(t.mask, e.v2(t.eq, element(s, s.a, i), b)), validB);
    const here = e.shrs(e.or(found, e.c(~all(t))), e.c(i));
    // what does not count in `a` is found everywhere
    const free = e.sub(e.and(e.shru(e.get(validA), e.c(i)), e.c(1)), e.c(1));
    out = e.and(out, e.or(here, free));
  }
  return out;
};
const AGGREGATES = [equalAny, ranges, equalEach, equalOrdered] as const;

/** A length register's absolute value, at most `most`. */
function explicitLength(e: Sem, r: number, most: number): Var {
  const wide = e.let(e.reg(r, 8));
  const narrow = e.let(e.reg(r, 4));
  const v = e.let(e.select(wide, narrow, e.ne(e.and(e.imm(), e.c(WIDE)), e.c(0))));
  const minus = e.let(e.sub(e.c(0), v));
  return e.let(capped(e, e.select(minus, v, e.lts(e.get(v), e.c(0))), most));
}
/** Bit of the immediate that stands for REX.W. */
export const WIDE = 0x100;
const implicitLength = (e: Sem, t: Elements, v: VecVar): Var => {
  const zeros = e.vmask(t.mask, e.v2(t.eq, e.vget(v), zero(e)));
  return e.let(e.ctz(e.or(zeros, e.c(1 << t.n))));
};

function compare(e: Sem, t: Elements, explicit: boolean, result: (t: Elements, set: Var) => void): void {
  const a = e.vlet(e.vread(0));
  const b = e.vlet(e.vread(1));
  const lengthA = explicit ? explicitLength(e, RAX, t.n) : implicitLength(e, t, a);
  const lengthB = explicit ? explicitLength(e, RDX, t.n) : implicitLength(e, t, b);
  const validA = e.let(below(e, lengthA));
  const validB = e.let(below(e, lengthB));
  const s: Strings = { e, t, a, b, lengthA, lengthB, validA, validB };
  const set = e.let(e.c(0));
  const how = e.let(e.and(e.shru(e.imm8(), e.c(2)), e.c(3)));
  AGGREGATES.forEach((aggregate, n) => {
    e.if(e.eq(e.get(how), e.c(n)), () => e.set(set, aggregate(s)));
  });
  // polarity: bit 4 negates all elements, with bit 5 only those of b that count
  const whole = e.let(e.c(all(t)));
  const negated = e.let(e.select(validB, whole, e.ne(e.and(e.imm8(), e.c(0x20)), e.c(0))));
  const none = e.let(e.c(0));
  const turn = e.let(e.select(negated, none, e.ne(e.and(e.imm8(), e.c(0x10)), e.c(0))));
  e.set(set, e.xor(set, turn));
  const flag = (on: V64, bit: number): V64 => e.mul(on, e.c(bit));
  const shorter = (length: Var): V64 => e.bool(e.ltu(e.get(length), e.c(t.n)));
  const carry = flag(e.bool(e.ne(e.get(set), e.c(0))), CF);
  const ends = e.or(flag(shorter(lengthB), ZF), flag(shorter(lengthA), SF));
  unpackStatus(e, e.let(e.or(e.or(carry, ends), flag(e.and(e.get(set), e.c(1)), OF))));
  result(t, set);
}

/** The lowest or the highest element of the set, n of none. */
function index(e: Sem, t: Elements, set: Var): void {
  const lowest = e.let(e.ctz(e.or(e.get(set), e.c(1 << t.n))));
  const top = e.let(e.sub(e.c(63), e.clz(set)));
  const none = e.let(e.c(t.n));
  const highest = e.let(e.select(none, top, e.eqz(set)));
  e.setReg(RCX, 4, e.select(highest, lowest, e.ne(e.and(e.imm8(), e.c(0x40)), e.c(0))));
}
/** The set as it is, or as elements of ones. Each byte of the vector tests the bit of its element. */
function mask(e: Sem, t: Elements, set: Var): void {
  const bits = e.vlet(e.setLane64(zero(e), 0, set));
  const per =
    t.bytes === 1
      ? [1, 2, 4, 8, 16, 32, 64, 128]
      : [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128];
  const test = (from: number): bigint =>
    [7, 6, 5, 4, 3, 2, 1, 0].reduce((v, k) => (v << 8n) | BigInt(per[(from + k) % per.length]!), 0n);
  const second = t.bytes === 1 ? 1 : 0;
  const places = Array.from({ length: 16 }, (_, k) => (k < 8 ? 0 : second));
  const tests = e.vlet(e.vconst(test(0), test(8)));
  const ones = e.vlet(e.v2('i8x16_eq', e.v2('v128_and', e.shuffle(places, bits, bits), tests), tests));
  const spread = e.vlet(e.splat64(e.sub(e.c(0), e.and(e.shru(e.imm8(), e.c(6)), e.c(1)))));
  e.setVreg(0, e.bitselect(ones, bits, spread));
}

const row = (name: string, explicit: boolean, result: (e: Sem, t: Elements, set: Var) => void): Routine =>
  routine(
    name,
    (e) => {
      const run = (t: Elements) => (): void => compare(e, t, explicit, (of, set) => result(e, of, set));
      e.if(e.ne(e.and(e.imm8(), e.c(1)), e.c(0)), run(WORDS), run(BYTES));
    },
    { aligned: false },
  );
export const TEXT: readonly Routine[] = [
  row('pcmpestri', true, index),
  row('pcmpistri', false, index),
  row('pcmpestrm', true, mask),
  row('pcmpistrm', false, mask),
];
