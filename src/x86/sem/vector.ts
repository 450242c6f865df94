/**
 * SSE instructions on integers and bits, and moves, as Wasm SIMD gives them. Floating point is in vector-float.ts.
 *
 * A row is a register form; memory sources come through a temporary, except where a row of its own says how. An
 * instruction that differs from another only in name is an alias. @spec SDM 2
 */
import { SIMD } from '../../wasm/opcodes.ts';
import type { Access, Semantics } from './integer.ts';
import type { Sem, V32, V64, Var, Vec, VecVar } from './sem.ts';

export interface VectorSemantics extends Semantics {
  readonly name: string;
  /** Operands as in interp/handlers.ts; a general register may stand where the instruction has one. */
  readonly form: 'rr' | 'rm' | 'mr' | 'rri' | 'ri';
  /** Bytes of the memory operand, 0 for register forms. */
  readonly mem: number;
  readonly dst: Access;
  /** Operand size where REX.W tells two forms apart; else 8. */
  readonly z: 4 | 8;
  /** A misaligned memory operand faults. */
  readonly aligned: boolean;
}

type Fn = (e: Sem) => void;
const row = (form: VectorSemantics['form'], name: string, fn: Fn, more: Partial<VectorSemantics> = {}): VectorSemantics => ({
  name, form, mem: 0, dst: 'rw', z: 8, aligned: false, fn, ...more,
});
export const rr = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rr', name, fn, { z });
export const rri = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rri', name, fn, { z });
const load = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics => row('rm', name, fn, { mem, aligned });
const store = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics =>
  row('mr', name, fn, { mem, dst: 'w', aligned });

/** dst = dst op src */
const two = (name: string, op: number): VectorSemantics => rr(name, (e) => e.vwrite(e.v2(op, e.vread(0), e.vread(1))));
const pairs = (list: Readonly<Record<string, number>>): VectorSemantics[] =>
  Object.entries(list).map(([name, op]) => two(name, op));
/** dst = op src */
const one = (name: string, op: number): VectorSemantics => rr(name, (e) => e.vwrite(e.v1(op, e.vread(1))));
/** Both operands put aside: a is the destination. */
export const both =
  (fn: (e: Sem, a: VecVar, b: VecVar) => Vec): Fn =>
  (e) => {
    const a = e.vlet(e.vread(0));
    const b = e.vlet(e.vread(1));
    e.vwrite(fn(e, a, b));
  };

/** The byte lanes of elements of `size` bytes; 0 and up from a, from 16 bytes on from b. */
export const lanes = (size: number, elements: readonly number[]): number[] =>
  elements.flatMap((i) => Array.from({ length: size }, (_, k) => i * size + k));
export const shuffled = (name: string, size: number, elements: readonly number[]): VectorSemantics =>
  rr(
    name,
    both((e, a, b) => e.shuffle(lanes(size, elements), a, b)),
  );
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

export const VECTOR: readonly VectorSemantics[] = [...moves, ...sse2];

/** What does the same as another row: by name, by name and form, or also by operand size. */
const ALIAS: Readonly<Record<string, string>> = {
  movupd: 'movups', movdqu: 'movups', lddqu: 'movups', 'movaps/rr': 'movups',
  movapd: 'movaps', movdqa: 'movaps', movntdqa: 'movaps', movntps: 'movaps', movntpd: 'movaps', movntdq: 'movaps',
  'movq/rm': 'movsd', 'movq/mr': 'movsd', 'movlps/mr': 'movsd',
  'movd/rm/4': 'movss', 'movd/mr/4': 'movss', 'movd/rm/8': 'movsd', 'movd/mr/8': 'movsd',
  movlpd: 'movlps', movhpd: 'movhps', movlhps: 'punpcklqdq',
  andps: 'pand', andpd: 'pand', andnps: 'pandn', andnpd: 'pandn', orps: 'por', orpd: 'por', xorps: 'pxor', xorpd: 'pxor',
  unpcklps: 'punpckldq', unpckhps: 'punpckhdq', unpcklpd: 'punpcklqdq', unpckhpd: 'punpckhqdq',
  pshuflw: 'pshufd', pshufhw: 'pshufd', shufpd: 'shufps',
};
/** The row that does an instruction, undefined where none does. */
export function vectorRow(name: string, form: string, z: number): VectorSemantics | undefined {
  const own = VECTOR.find((v) => v.name === name && v.form === form && (v.z === z || v.z === 8));
  if (own) return VECTOR.find((v) => v.name === name && v.form === form && v.z === z) ?? own;
  const other = ALIAS[`${name}/${form}/${z}`] ?? ALIAS[`${name}/${form}`] ?? ALIAS[name];
  return other === undefined ? undefined : vectorRow(other, form, z);
}
void one;
void choose;
