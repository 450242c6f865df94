/**
 * SSE instructions on integers and bits, and moves, as Wasm SIMD gives them. Floating point is in vector-float.ts.
 *
 * A row is a register form; memory sources come through a temporary, except where a row of its own says how. An
 * instruction that differs from another only in name is an alias. @spec SDM 2
 */
import { SIMD } from '../../wasm/opcodes.ts';
import { type Insn, OPK } from '../insn.ts';
import { OP as X } from '../ops.ts';
import type { Sem, V32, V64, Var, Vec } from './sem.ts';
import { VECTOR_FLOAT } from './vector-float.ts';
import { both, type Fn, fromMemory, lanes, load, one, pairs, row, rr, rri, shuffled, store, type VectorSemantics } from './vector-rows.ts';

/** Elements from..from+n/2 of both operands in turn. */
const interleave = (name: string, size: number, high: boolean): VectorSemantics => {
  const n = 16 / size;
  const from = high ? n / 2 : 0;
  return shuffled(name, size, Array.from({ length: n }, (_, i) => (i & 1 ? n : 0) + from + (i >> 1)));
};

/** All ones where c, else zero. */
const whole = (e: Sem, c: V32): V64 => {
  const bit = e.let(e.bool(c));
  return e.sub(e.c(0), bit);
};
const repeat8 = (e: Sem, v: V64): Vec => e.splat64(e.mul(v, e.big(0x0101_0101_0101_0101n)));
const IOTA: readonly [bigint, bigint] = [0x0706_0504_0302_0100n, 0x0f0e_0d0c_0b0a_0908n];

// --- shifts --------------------------------------------------------------------------------------------------------

/** A logical shift of all lanes: none of the bits is left when the count reaches the width. */
function logical(e: Sem, op: number, bits: number, n: Var): Vec {
  const shifted = e.vshift(op, e.vread(0), e.get(n));
  return e.v2(SIMD.v128_and, shifted, e.splat64(whole(e, e.ltu(e.get(n), e.c(bits)))));
}
function arithmetic(e: Sem, op: number, bits: number, n: Var): Vec {
  const most = e.let(e.c(bits - 1));
  const count = e.let(e.select(n, most, e.ltu(n, most)));
  return e.vshift(op, e.vread(0), e.get(count));
}
const shiftBy =
  (op: number, bits: number, how: typeof logical, count: (e: Sem) => V64): Fn =>
  (e) => {
    const n = e.let(count(e));
    e.vwrite(how(e, op, bits, n));
  };
const shift = (name: string, op: number, bits: number, how: typeof logical): VectorSemantics[] => [
  rr(name, shiftBy(op, bits, how, (e) => e.lane64(e.vread(1), 0))),
  row('ri', name, shiftBy(op, bits, how, (e) => e.imm8())),
];

/** The lesser of n and a constant. */
const capped = (e: Sem, n: V64, most: number): V64 => {
  const v = e.let(n);
  const top = e.let(e.c(most));
  return e.select(v, top, e.ltu(v, top));
};
/** Byte numbers plus n: what lies outside 0-15 selects zero. */
const offsets = (e: Sem, op: number, n: Var): Vec => e.v2(op, e.vconst(...IOTA), repeat8(e, e.get(n)));

const byteShift = (name: string, op: number): VectorSemantics =>
  row('ri', name, (e) => {
    const n = e.let(capped(e, e.imm8(), 16));
    e.vwrite(e.v2(SIMD.i8x16_swizzle, e.vread(0), offsets(e, op, n)));
  });

// --- shuffles ------------------------------------------------------------------------------------------------------

/** dst = src's bytes as the control says. */
const permute: Fn = (e) => e.vwrite(e.v2(SIMD.i8x16_swizzle, e.vread(1), e.control()));
/** Low half from dst, high half from src. */
const permute2: Fn = (e) => {
  const control = e.vlet(e.control());
  const low = e.vlet(e.v2(SIMD.i8x16_swizzle, e.vread(0), e.vget(control)));
  const high = e.vlet(e.v2(SIMD.i8x16_swizzle, e.vread(1), e.vget(control)));
  e.vwrite(e.shuffle(lanes(8, [0, 3]), low, high));
};
/** Bytes with a control other than 0 come from src. */
const choose: Fn = (e) => {
  const a = e.vlet(e.vread(0));
  const b = e.vlet(e.vread(1));
  const mask = e.vlet(e.v2(SIMD.i8x16_ne, e.control(), e.vconst(0n, 0n)));
  e.vwrite(e.bitselect(b, a, mask));
};

const field = (imm: number, i: number, bits: number): number => (imm >> (i * bits)) & ((1 << bits) - 1);
const four = [0, 1, 2, 3] as const;
/** 16 bytes of control, each below 16, that an immediate stands for: what `control` yields. */
export const CONTROL: Readonly<Record<string, (imm: number) => number[]>> = {
  pshufd: (imm) => lanes(4, four.map((i) => field(imm, i, 2))),
  pshuflw: (imm) => lanes(2, [...four.map((i) => field(imm, i, 2)), 4, 5, 6, 7]),
  pshufhw: (imm) => lanes(2, [0, 1, 2, 3, ...four.map((i) => 4 + field(imm, i, 2))]),
  shufps: (imm) => lanes(4, four.map((i) => field(imm, i, 2))),
  shufpd: (imm) => lanes(8, [field(imm, 0, 1), field(imm, 1, 1)]),
  pblendw: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 1, 1)),
  blendps: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 2, 1)),
  blendpd: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 3, 1)),
};

// --- products ------------------------------------------------------------------------------------------------------

const HIGH_WORDS = Array.from({ length: 16 }, (_, i) => (i >> 1) * 4 + 2 + (i & 1));
const mulHigh = (low: number, high: number): Fn =>
  both((e, a, b) => {
    const l = e.vlet(e.v2(low, a, b));
    const h = e.vlet(e.v2(high, a, b));
    return e.shuffle(HIGH_WORDS, l, h);
  });
/** Products of the even doublewords. */
const mulEven = (op: number): Fn =>
  both((e, a, b) => {
    const x = e.vlet(e.shuffle(lanes(4, [0, 2, 0, 2]), a, a));
    const y = e.vlet(e.shuffle(lanes(4, [0, 2, 0, 2]), b, b));
    return e.v2(op, x, y);
  });
const psadbw: Fn = both((e, a, b) => {
  const up = e.v2(SIMD.i8x16_sub_sat_u, a, b);
  const differences = e.v2(SIMD.v128_or, up, e.vlet(e.v2(SIMD.i8x16_sub_sat_u, b, a)));
  const words = e.v1(SIMD.i16x8_extadd_pairwise_i8x16_u, differences);
  const sums = e.vlet(e.v1(SIMD.i32x4_extadd_pairwise_i16x8_u, words));
  const odd = e.vlet(e.vshift(SIMD.i64x2_shr_u, e.vget(sums), e.c(32)));
  return e.v2(SIMD.v128_and, e.v2(SIMD.i64x2_add, sums, odd), e.vconst(0xffffn, 0xffffn));
});

// --- moves ---------------------------------------------------------------------------------------------------------

const zero = (e: Sem): Vec => e.vconst(0n, 0n);
/** The low `bytes` of src, zeros above. */
const lowOf = (e: Sem, bytes: number): Vec =>
  bytes === 4 ? e.setLane32(zero(e), 0, e.read(1, 4)) : e.setLane64(zero(e), 0, e.read(1, 8));
const toGpr = (z: 4 | 8): VectorSemantics =>
  rr('movdToGpr', (e) => e.write(z, z === 4 ? e.lane32(e.vread(1), 0) : e.lane64(e.vread(1), 0)), z);

const moves: VectorSemantics[] = [
  rr('movups', (e) => e.vwrite(e.vread(1))),
  load('movups', 16, (e) => e.vwrite(e.vread(1))),
  store('movups', 16, (e) => e.vwrite(e.vread(1))),
  load('movaps', 16, (e) => e.vwrite(e.vread(1)), true),
  store('movaps', 16, (e) => e.vwrite(e.vread(1)), true),
  rr('movss', (e) => e.vwrite(e.setLane32(e.vread(0), 0, e.lane32(e.vread(1), 0)))),
  load('movss', 4, (e) => e.vwrite(lowOf(e, 4))),
  store('movss', 4, (e) => e.write(4, e.lane32(e.vread(1), 0))),
  rr('movsd', (e) => e.vwrite(e.setLane64(e.vread(0), 0, e.lane64(e.vread(1), 0)))),
  load('movsd', 8, (e) => e.vwrite(lowOf(e, 8))),
  store('movsd', 8, (e) => e.write(8, e.lane64(e.vread(1), 0))),
  rr('movq', (e) => e.vwrite(e.setLane64(zero(e), 0, e.lane64(e.vread(1), 0)))),
  rr('movd', (e) => e.vwrite(lowOf(e, 4)), 4),
  rr('movd', (e) => e.vwrite(lowOf(e, 8))),
  toGpr(4),
  toGpr(8),
  load('loadWord', 2, (e) => e.vwrite(e.setLane16(zero(e), 0, e.read(1, 2)))),
  load('movlps', 8, (e) => e.vwrite(e.setLane64(e.vread(0), 0, e.read(1, 8)))),
  load('movhps', 8, (e) => e.vwrite(e.setLane64(e.vread(0), 1, e.read(1, 8)))),
  store('movhps', 8, (e) => e.write(8, e.lane64(e.vread(1), 1))),
  shuffled('movhlps', 8, [3, 1]),
  rr('pmovmskb', (e) => e.write(4, e.vmask(SIMD.i8x16_bitmask, e.vread(1)))),
  rr('movmskps', (e) => e.write(4, e.vmask(SIMD.i32x4_bitmask, e.vread(1)))),
  rr('movmskpd', (e) => e.write(4, e.vmask(SIMD.i64x2_bitmask, e.vread(1)))),
];

// --- lanes ---------------------------------------------------------------------------------------------------------

/** A lane moved to the bottom by the immediate (in units of 1 << log bytes). */
const laneByImm = (e: Sem, log: number): Vec => {
  const n = e.let(e.shl(e.and(e.imm8(), e.c((16 >> log) - 1)), e.c(log)));
  return e.v2(SIMD.i8x16_swizzle, e.vread(1), offsets(e, SIMD.i8x16_add, n));
};
/** dst with the low 1 << log bytes of src in the lane the immediate names. */
function insertByImm(e: Sem, log: number): void {
  const size = (1 << log) as 1 | 2 | 4 | 8;
  const at = e.let(e.shl(e.and(e.imm8(), e.c((16 >> log) - 1)), e.c(log)));
  // byte numbers relative to the lane: those below its size are taken from the value
  const rel = e.vlet(offsets(e, SIMD.i8x16_sub, at));
  const mask = e.vlet(e.v2(SIMD.i8x16_lt_u, e.vget(rel), repeat8(e, e.c(size))));
  const value = e.vlet(e.v2(SIMD.i8x16_swizzle, e.splat64(e.read(1, size)), e.vget(rel)));
  const old = e.vlet(e.vread(0));
  e.vwrite(e.bitselect(value, old, mask));
}

const sse2: VectorSemantics[] = [
  ...pairs({
    pcmpgtb: SIMD.i8x16_gt_s, pcmpgtw: SIMD.i16x8_gt_s, pcmpgtd: SIMD.i32x4_gt_s,
    pcmpeqb: SIMD.i8x16_eq, pcmpeqw: SIMD.i16x8_eq, pcmpeqd: SIMD.i32x4_eq,
    packsswb: SIMD.i8x16_narrow_i16x8_s, packuswb: SIMD.i8x16_narrow_i16x8_u, packssdw: SIMD.i16x8_narrow_i32x4_s,
    paddb: SIMD.i8x16_add, paddw: SIMD.i16x8_add, paddd: SIMD.i32x4_add, paddq: SIMD.i64x2_add,
    psubb: SIMD.i8x16_sub, psubw: SIMD.i16x8_sub, psubd: SIMD.i32x4_sub, psubq: SIMD.i64x2_sub,
    paddsb: SIMD.i8x16_add_sat_s, paddsw: SIMD.i16x8_add_sat_s,
    paddusb: SIMD.i8x16_add_sat_u, paddusw: SIMD.i16x8_add_sat_u,
    psubsb: SIMD.i8x16_sub_sat_s, psubsw: SIMD.i16x8_sub_sat_s,
    psubusb: SIMD.i8x16_sub_sat_u, psubusw: SIMD.i16x8_sub_sat_u,
    pminub: SIMD.i8x16_min_u, pmaxub: SIMD.i8x16_max_u, pminsw: SIMD.i16x8_min_s, pmaxsw: SIMD.i16x8_max_s,
    pavgb: SIMD.i8x16_avgr_u, pavgw: SIMD.i16x8_avgr_u,
    pmullw: SIMD.i16x8_mul, pmaddwd: SIMD.i32x4_dot_i16x8_s,
    pand: SIMD.v128_and, por: SIMD.v128_or, pxor: SIMD.v128_xor,
  }),
  rr('pandn', (e) => e.vwrite(e.v2(SIMD.v128_andnot, e.vread(1), e.vread(0)))),
  ...(['punpcklbw', 'punpcklwd', 'punpckldq', 'punpcklqdq'] as const).map((n, i) => interleave(n, 1 << i, false)),
  ...(['punpckhbw', 'punpckhwd', 'punpckhdq', 'punpckhqdq'] as const).map((n, i) => interleave(n, 1 << i, true)),
  rr('pmulhw', mulHigh(SIMD.i32x4_extmul_low_i16x8_s, SIMD.i32x4_extmul_high_i16x8_s)),
  rr('pmulhuw', mulHigh(SIMD.i32x4_extmul_low_i16x8_u, SIMD.i32x4_extmul_high_i16x8_u)),
  rr('pmuludq', mulEven(SIMD.i64x2_extmul_low_i32x4_u)),
  rr('psadbw', psadbw),
  ...shift('psrlw', SIMD.i16x8_shr_u, 16, logical),
  ...shift('psllw', SIMD.i16x8_shl, 16, logical),
  ...shift('psraw', SIMD.i16x8_shr_s, 16, arithmetic),
  ...shift('psrld', SIMD.i32x4_shr_u, 32, logical),
  ...shift('pslld', SIMD.i32x4_shl, 32, logical),
  ...shift('psrad', SIMD.i32x4_shr_s, 32, arithmetic),
  ...shift('psrlq', SIMD.i64x2_shr_u, 64, logical),
  ...shift('psllq', SIMD.i64x2_shl, 64, logical),
  byteShift('psrldq', SIMD.i8x16_add),
  byteShift('pslldq', SIMD.i8x16_sub),
  rri('pshufd', permute),
  rri('shufps', permute2),
  rri('pextrw', (e) => e.write(4, e.lane16(laneByImm(e, 1), 0))),
  rri('pinsrw', (e) => insertByImm(e, 1)),
];

/** Elements from the even and the odd places of both operands, made into one by `op`. */
const horizontal = (name: string, size: 2 | 4, op: number): VectorSemantics => {
  const n = 16 / size;
  const places = (odd: number): number[] => lanes(size, Array.from({ length: n }, (_, i) => 2 * i + odd));
  return rr(
    name,
    both((e, a, b) => {
      const even = e.vlet(e.shuffle(places(0), a, b));
      const odd = e.vlet(e.shuffle(places(1), a, b));
      return e.v2(op, even, odd);
    }),
  );
};
/** dst negated, zeroed or kept as src is negative, zero or positive. */
const sign = (name: string, less: number, sub: number, unequal: number): VectorSemantics =>
  rr(
    name,
    both((e, a, b) => {
      const negative = e.vlet(e.v2(less, e.vget(b), zero(e)));
      const value = e.v2(sub, e.v2(SIMD.v128_xor, a, negative), negative);
      return e.v2(SIMD.v128_and, value, e.v2(unequal, e.vget(b), zero(e)));
    }),
  );
/** The rounded high part of a product, which wraps where Wasm's saturates. */
const pmulhrsw: Fn = both((e, a, b) => {
  const least = 0x8000_8000_8000_8000n;
  const high = e.v2(SIMD.i16x8_q15mulr_sat_s, a, b);
  const x = e.v2(SIMD.i16x8_eq, e.vget(a), e.vconst(least, least));
  const y = e.v2(SIMD.i16x8_eq, e.vget(b), e.vconst(least, least));
  return e.v2(SIMD.v128_xor, high, e.v2(SIMD.v128_and, x, y));
});
/** Unsigned bytes by signed ones, neighbours added with saturation. */
const pmaddubsw: Fn = both((e, a, b) => {
  const low = 0x00ff_00ff_00ff_00ffn;
  const even = e.vshift(SIMD.i16x8_shr_s, e.vshift(SIMD.i16x8_shl, e.vget(b), e.c(8)), e.c(8));
  const x = e.vlet(e.v2(SIMD.i16x8_mul, even, e.v2(SIMD.v128_and, e.vget(a), e.vconst(low, low))));
  const odd = e.vshift(SIMD.i16x8_shr_s, e.vget(b), e.c(8));
  const y = e.v2(SIMD.i16x8_mul, odd, e.vshift(SIMD.i16x8_shr_u, e.vget(a), e.c(8)));
  return e.v2(SIMD.i16x8_add_sat_s, y, x);
});
const palignr: Fn = (e) => {
  const n = e.let(capped(e, e.imm8(), 32));
  const above = e.let(e.and(e.sub(e.c(16), n), e.c(255)));
  const low = e.v2(SIMD.i8x16_swizzle, e.vread(1), offsets(e, SIMD.i8x16_add, n));
  e.vwrite(e.v2(SIMD.v128_or, low, e.v2(SIMD.i8x16_swizzle, e.vread(0), offsets(e, SIMD.i8x16_sub, above))));
};
/** PMOVSX and PMOVZX: the low elements widened step by step. */
const widening = (name: string, ...ops: readonly number[]): VectorSemantics =>
  rr(name, (e) => e.vwrite(ops.reduce((v, op) => e.v1(op, v), e.vread(1))));
/** Blends by the sign bits in XMM0. */
const blend = (name: string, shift: number, by: number): VectorSemantics =>
  rr(name, (e) => {
    const a = e.vlet(e.vread(0));
    const b = e.vlet(e.vread(1));
    const mask = e.vlet(e.vshift(shift, e.vreg(0), e.c(by)));
    e.vwrite(e.bitselect(b, a, mask));
  });
const ptest: Fn = (e) => {
  const a = e.vlet(e.vread(0));
  const b = e.vlet(e.vread(1));
  const common = e.shl(e.vmask(SIMD.v128_any_true, e.v2(SIMD.v128_and, a, b)), e.c(8));
  const cf = e.shl(e.xor(e.vmask(SIMD.v128_any_true, e.v2(SIMD.v128_andnot, b, a)), e.c(1)), e.c(62));
  // a result of 0 or 0x100, odd parity, a carry that is no overflow
  e.setFlags(common, e.or(e.mul(cf, e.c(3)), e.c(0x100)));
};

const later: VectorSemantics[] = [
  shuffled('movddup', 8, [2, 2]),
  shuffled('movsldup', 4, [4, 4, 6, 6]),
  shuffled('movshdup', 4, [5, 5, 7, 7]),
  rr('pshufb', (e) => {
    const bits = 0x8f8f_8f8f_8f8f_8f8fn;
    e.vwrite(e.v2(SIMD.i8x16_swizzle, e.vread(0), e.v2(SIMD.v128_and, e.vread(1), e.vconst(bits, bits))));
  }),
  one('pabsb', SIMD.i8x16_abs),
  one('pabsw', SIMD.i16x8_abs),
  one('pabsd', SIMD.i32x4_abs),
  sign('psignb', SIMD.i8x16_lt_s, SIMD.i8x16_sub, SIMD.i8x16_ne),
  sign('psignw', SIMD.i16x8_lt_s, SIMD.i16x8_sub, SIMD.i16x8_ne),
  sign('psignd', SIMD.i32x4_lt_s, SIMD.i32x4_sub, SIMD.i32x4_ne),
  horizontal('phaddw', 2, SIMD.i16x8_add),
  horizontal('phaddd', 4, SIMD.i32x4_add),
  horizontal('phaddsw', 2, SIMD.i16x8_add_sat_s),
  horizontal('phsubw', 2, SIMD.i16x8_sub),
  horizontal('phsubd', 4, SIMD.i32x4_sub),
  horizontal('phsubsw', 2, SIMD.i16x8_sub_sat_s),
  rr('pmulhrsw', pmulhrsw),
  rr('pmaddubsw', pmaddubsw),
  rri('palignr', palignr),
  ...pairs({
    pminsb: SIMD.i8x16_min_s, pmaxsb: SIMD.i8x16_max_s, pminuw: SIMD.i16x8_min_u, pmaxuw: SIMD.i16x8_max_u,
    pminsd: SIMD.i32x4_min_s, pmaxsd: SIMD.i32x4_max_s, pminud: SIMD.i32x4_min_u, pmaxud: SIMD.i32x4_max_u,
    pmulld: SIMD.i32x4_mul, packusdw: SIMD.i16x8_narrow_i32x4_u, pcmpeqq: SIMD.i64x2_eq, pcmpgtq: SIMD.i64x2_gt_s,
  }),
  rr('pmuldq', mulEven(SIMD.i64x2_extmul_low_i32x4_s)),
  ...([['s', 'low_i8x16_s', 'low_i16x8_s', 'low_i32x4_s'], ['z', 'low_i8x16_u', 'low_i16x8_u', 'low_i32x4_u']] as const).flatMap(
    ([kind, b, w, d]) => {
      const [bw, wd, dq] = [SIMD[`i16x8_extend_${b}`], SIMD[`i32x4_extend_${w}`], SIMD[`i64x2_extend_${d}`]];
      return [
        widening(`pmov${kind}xbw`, bw), widening(`pmov${kind}xbd`, bw, wd), widening(`pmov${kind}xbq`, bw, wd, dq),
        widening(`pmov${kind}xwd`, wd), widening(`pmov${kind}xwq`, wd, dq), widening(`pmov${kind}xdq`, dq),
      ];
    },
  ),
  rri('pblendw', choose),
  blend('pblendvb', SIMD.i8x16_shr_s, 7),
  blend('blendvps', SIMD.i32x4_shr_s, 31),
  blend('blendvpd', SIMD.i64x2_shr_s, 63),
  rr('ptest', ptest),
  rri('pinsrb', (e) => insertByImm(e, 0)),
  rri('pinsrd', (e) => insertByImm(e, 2), 4),
  rri('pinsrd', (e) => insertByImm(e, 3)),
  rri('pextrb', (e) => e.write(4, e.and(e.lane16(laneByImm(e, 0), 0), e.c(0xff)))),
  rri('pextrd', (e) => e.write(4, e.lane32(laneByImm(e, 2), 0)), 4),
  rri('pextrd', (e) => e.write(8, e.lane64(laneByImm(e, 3), 0))),
  rri('extractps', (e) => e.write(4, e.lane32(laneByImm(e, 2), 0))),
];

export const VECTOR: readonly VectorSemantics[] = [
  ...moves,
  ...sse2,
  ...fromMemory(sse2, 16, 'pcmpeqb', 'pxor', 'pand', 'por', 'paddd', 'paddq'),
  ...later,
  ...VECTOR_FLOAT,
];

/** What does the same as another row: by name, by name and form, or also by operand size. */
const ALIAS: Readonly<Record<string, string>> = {
  movupd: 'movups', movdqu: 'movups', lddqu: 'movups', 'movaps/rr': 'movups',
  movapd: 'movaps', movdqa: 'movaps', movntdqa: 'movaps', movntps: 'movaps', movntpd: 'movaps', movntdq: 'movaps',
  'movq/rm': 'movsd', 'movq/mr': 'movsd', 'movlps/mr': 'movsd',
  'movd/rm/4': 'movss', 'movd/mr/4': 'movss', 'movd/rm/8': 'movsd', 'movd/mr/8': 'movsd',
  movlpd: 'movlps', movhpd: 'movhps', movlhps: 'punpcklqdq',
  andps: 'pand', andpd: 'pand', andnps: 'pandn', andnpd: 'pandn', orps: 'por', orpd: 'por', xorps: 'pxor', xorpd: 'pxor',
  unpcklps: 'punpckldq', unpckhps: 'punpckhdq', unpcklpd: 'punpcklqdq', unpckhpd: 'punpckhqdq',
  comiss: 'ucomiss', comisd: 'ucomisd',
  pshuflw: 'pshufd', pshufhw: 'pshufd', shufpd: 'shufps', blendps: 'pblendw', blendpd: 'pblendw',
};
/** These have a general destination: with a memory source no operand shows that they are SSE. */
const TO_GENERAL = new Set([X.cvtss2si, X.cvttss2si, X.cvtsd2si, X.cvttsd2si]);
/** An instruction that needs the SSE state enabled. */
export function usesXmm(i: Insn): boolean {
  return TO_GENERAL.has(i.op) || i.operands.some((o) => o.kind === OPK.xmm);
}
/** The row that does an instruction, undefined where none does. */
export function vectorRow(name: string, form: string, z: number): VectorSemantics | undefined {
  const own = VECTOR.find((v) => v.name === name && v.form === form && (v.z === z || v.z === 8));
  if (own) return VECTOR.find((v) => v.name === name && v.form === form && v.z === z) ?? own;
  const other = ALIAS[`${name}/${form}/${z}`] ?? ALIAS[`${name}/${form}`] ?? ALIAS[name];
  return other === undefined ? undefined : vectorRow(other, form, z);
}
