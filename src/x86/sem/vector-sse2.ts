/** SSE and SSE2 moves and integer instructions, as Wasm SIMD gives them. @spec SDM 2 */
import type { Sem, V32, V64, Var, Vec } from './sem.ts';
import {
  both,
  capped,
  type Fn,
  insertByImm,
  laneByImm,
  lanes,
  load,
  mulEven,
  offsets,
  pairs,
  row,
  rr,
  rri,
  shuffled,
  store,
  type VectorSemantics,
  zero,
} from './vector-rows.ts';

/** Elements from..from+n/2 of both operands in turn. */
const interleave = (name: string, size: number, high: boolean): VectorSemantics => {
  const n = 16 / size;
  const from = high ? n / 2 : 0;
  return shuffled(
    name,
    size,
    Array.from({ length: n }, (_, i) => (i & 1 ? n : 0) + from + (i >> 1)),
  );
};

/** All ones where c, else zero. */
const whole = (e: Sem, c: V32): V64 => {
  const bit = e.let(e.bool(c));
  return e.sub(e.c(0), bit);
};
// --- shifts --------------------------------------------------------------------------------------------------------

/** A logical shift of all lanes: none of the bits is left when the count reaches the width. */
function logical(e: Sem, op: string, bits: number, n: Var): Vec {
  const shifted = e.vshift(op, e.vread(0), e.get(n));
  return e.v2('v128_and', shifted, e.splat64(whole(e, e.ltu(e.get(n), e.c(bits)))));
}
function arithmetic(e: Sem, op: string, bits: number, n: Var): Vec {
  const most = e.let(e.c(bits - 1));
  const count = e.let(e.select(n, most, e.ltu(n, most)));
  return e.vshift(op, e.vread(0), e.get(count));
}
const shiftBy =
  (op: string, bits: number, how: typeof logical, count: (e: Sem) => V64): Fn =>
  (e) => {
    const n = e.let(count(e));
    e.vwrite(how(e, op, bits, n));
  };
const shift = (name: string, op: string, bits: number, how: typeof logical): VectorSemantics[] => [
  rr(
    name,
    shiftBy(op, bits, how, (e) => e.lane64(e.vread(1), 0)),
  ),
  row(
    'ri',
    name,
    shiftBy(op, bits, how, (e) => e.imm8()),
  ),
];

const byteShift = (name: string, op: string): VectorSemantics =>
  row('ri', name, (e) => {
    const n = e.let(capped(e, e.imm8(), 16));
    e.vwrite(e.v2('i8x16_swizzle', e.vread(0), offsets(e, op, n)));
  });

// --- shuffles ------------------------------------------------------------------------------------------------------

/** dst = src's bytes as the control says. */
const permute: Fn = (e) => e.vwrite(e.v2('i8x16_swizzle', e.vread(1), e.control()));
/** Low half from dst, high half from src. */
const permute2: Fn = (e) => {
  const control = e.vlet(e.control());
  const low = e.vlet(e.v2('i8x16_swizzle', e.vread(0), e.vget(control)));
  const high = e.vlet(e.v2('i8x16_swizzle', e.vread(1), e.vget(control)));
  e.vwrite(e.shuffle(lanes(8, [0, 3]), low, high));
};
// --- products ------------------------------------------------------------------------------------------------------

const HIGH_WORDS = Array.from({ length: 16 }, (_, i) => (i >> 1) * 4 + 2 + (i & 1));
const mulHigh = (low: string, high: string): Fn =>
  both((e, a, b) => {
    const l = e.vlet(e.v2(low, a, b));
    const h = e.vlet(e.v2(high, a, b));
    return e.shuffle(HIGH_WORDS, l, h);
  });
const psadbw: Fn = both((e, a, b) => {
  const up = e.v2('i8x16_sub_sat_u', a, b);
  const differences = e.v2('v128_or', up, e.vlet(e.v2('i8x16_sub_sat_u', b, a)));
  const words = e.v1('i16x8_extadd_pairwise_i8x16_u', differences);
  const sums = e.vlet(e.v1('i32x4_extadd_pairwise_i16x8_u', words));
  const odd = e.vlet(e.vshift('i64x2_shr_u', e.vget(sums), e.c(32)));
  return e.v2('v128_and', e.v2('i64x2_add', sums, odd), e.vconst(0xffffn, 0xffffn));
});

// --- moves ---------------------------------------------------------------------------------------------------------

/** The low `bytes` of src, zeros above. */
const lowOf = (e: Sem, bytes: number): Vec =>
  bytes === 4 ? e.setLane32(zero(e), 0, e.read(1, 4)) : e.setLane64(zero(e), 0, e.read(1, 8));
const toGpr = (z: 4 | 8): VectorSemantics =>
  rr('movdToGpr', (e) => e.write(z, z === 4 ? e.lane32(e.vread(1), 0) : e.lane64(e.vread(1), 0)), z);

export const MOVES: readonly VectorSemantics[] = [
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
  rr('pmovmskb', (e) => e.write(4, e.vmask('i8x16_bitmask', e.vread(1)))),
  rr('movmskps', (e) => e.write(4, e.vmask('i32x4_bitmask', e.vread(1)))),
  rr('movmskpd', (e) => e.write(4, e.vmask('i64x2_bitmask', e.vread(1)))),
];

export const SSE2: readonly VectorSemantics[] = [
  // biome-ignore format: a table
  ...pairs({
    pcmpgtb: 'i8x16_gt_s', pcmpgtw: 'i16x8_gt_s', pcmpgtd: 'i32x4_gt_s',
    pcmpeqb: 'i8x16_eq', pcmpeqw: 'i16x8_eq', pcmpeqd: 'i32x4_eq',
    packsswb: 'i8x16_narrow_i16x8_s', packuswb: 'i8x16_narrow_i16x8_u', packssdw: 'i16x8_narrow_i32x4_s',
    paddb: 'i8x16_add', paddw: 'i16x8_add', paddd: 'i32x4_add', paddq: 'i64x2_add',
    psubb: 'i8x16_sub', psubw: 'i16x8_sub', psubd: 'i32x4_sub', psubq: 'i64x2_sub',
    paddsb: 'i8x16_add_sat_s', paddsw: 'i16x8_add_sat_s',
    paddusb: 'i8x16_add_sat_u', paddusw: 'i16x8_add_sat_u',
    psubsb: 'i8x16_sub_sat_s', psubsw: 'i16x8_sub_sat_s',
    psubusb: 'i8x16_sub_sat_u', psubusw: 'i16x8_sub_sat_u',
    pminub: 'i8x16_min_u', pmaxub: 'i8x16_max_u', pminsw: 'i16x8_min_s', pmaxsw: 'i16x8_max_s',
    pavgb: 'i8x16_avgr_u', pavgw: 'i16x8_avgr_u',
    pmullw: 'i16x8_mul', pmaddwd: 'i32x4_dot_i16x8_s',
    pand: 'v128_and', por: 'v128_or', pxor: 'v128_xor',
  }),
  rr('pandn', (e) => e.vwrite(e.v2('v128_andnot', e.vread(1), e.vread(0)))),
  ...(['punpcklbw', 'punpcklwd', 'punpckldq', 'punpcklqdq'] as const).map((n, i) =>
    interleave(n, 1 << i, false),
  ),
  ...(['punpckhbw', 'punpckhwd', 'punpckhdq', 'punpckhqdq'] as const).map((n, i) =>
    interleave(n, 1 << i, true),
  ),
  rr('pmulhw', mulHigh('i32x4_extmul_low_i16x8_s', 'i32x4_extmul_high_i16x8_s')),
  rr('pmulhuw', mulHigh('i32x4_extmul_low_i16x8_u', 'i32x4_extmul_high_i16x8_u')),
  rr('pmuludq', mulEven('i64x2_extmul_low_i32x4_u')),
  rr('psadbw', psadbw),
  ...shift('psrlw', 'i16x8_shr_u', 16, logical),
  ...shift('psllw', 'i16x8_shl', 16, logical),
  ...shift('psraw', 'i16x8_shr_s', 16, arithmetic),
  ...shift('psrld', 'i32x4_shr_u', 32, logical),
  ...shift('pslld', 'i32x4_shl', 32, logical),
  ...shift('psrad', 'i32x4_shr_s', 32, arithmetic),
  ...shift('psrlq', 'i64x2_shr_u', 64, logical),
  ...shift('psllq', 'i64x2_shl', 64, logical),
  byteShift('psrldq', 'i8x16_add'),
  byteShift('pslldq', 'i8x16_sub'),
  rri('pshufd', permute),
  rri('shufps', permute2),
  rri('pextrw', (e) => e.write(4, e.lane16(laneByImm(e, 1), 0))),
  rri('pinsrw', (e) => insertByImm(e, 1)),
];
