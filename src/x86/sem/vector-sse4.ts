/** SSE3, SSSE3, SSE4.1 and SSE4.2 on integers and bits. @spec SDM 2 */
import {
  both,
  capped,
  type Fn,
  insertByImm,
  laneByImm,
  lanes,
  mulEven,
  offsets,
  one,
  pairs,
  rr,
  rri,
  shuffled,
  type VectorSemantics,
  zero,
} from './vector-rows.ts';

/** Bytes with a control other than 0 come from src. */
const choose: Fn = (e) => {
  const a = e.vlet(e.vread(0));
  const b = e.vlet(e.vread(1));
  const mask = e.vlet(e.v2('i8x16_ne', e.control(), e.vconst(0n, 0n)));
  e.vwrite(e.bitselect(b, a, mask));
};

/** Elements from the even and the odd places of both operands, made into one by `op`. */
const horizontal = (name: string, size: 2 | 4, op: string): VectorSemantics => {
  const n = 16 / size;
  const places = (odd: number): number[] =>
    lanes(
      size,
      Array.from({ length: n }, (_, i) => 2 * i + odd),
    );
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
const sign = (name: string, less: string, sub: string, unequal: string): VectorSemantics =>
  rr(
    name,
    both((e, a, b) => {
      const negative = e.vlet(e.v2(less, e.vget(b), zero(e)));
      const value = e.v2(sub, e.v2('v128_xor', a, negative), negative);
      return e.v2('v128_and', value, e.v2(unequal, e.vget(b), zero(e)));
    }),
  );
/** The rounded high part of a product, which wraps where Wasm's saturates. */
const pmulhrsw: Fn = both((e, a, b) => {
  const least = 0x8000_8000_8000_8000n;
  const high = e.v2('i16x8_q15mulr_sat_s', a, b);
  const x = e.v2('i16x8_eq', e.vget(a), e.vconst(least, least));
  const y = e.v2('i16x8_eq', e.vget(b), e.vconst(least, least));
  return e.v2('v128_xor', high, e.v2('v128_and', x, y));
});
/** Unsigned bytes by signed ones, neighbours added with saturation. */
const pmaddubsw: Fn = both((e, a, b) => {
  const low = 0x00ff_00ff_00ff_00ffn;
  const even = e.vshift('i16x8_shr_s', e.vshift('i16x8_shl', e.vget(b), e.c(8)), e.c(8));
  const x = e.vlet(e.v2('i16x8_mul', even, e.v2('v128_and', e.vget(a), e.vconst(low, low))));
  const odd = e.vshift('i16x8_shr_s', e.vget(b), e.c(8));
  const y = e.v2('i16x8_mul', odd, e.vshift('i16x8_shr_u', e.vget(a), e.c(8)));
  return e.v2('i16x8_add_sat_s', y, x);
});
const palignr: Fn = (e) => {
  const n = e.let(capped(e, e.imm8(), 32));
  const above = e.let(e.and(e.sub(e.c(16), n), e.c(255)));
  const low = e.v2('i8x16_swizzle', e.vread(1), offsets(e, 'i8x16_add', n));
  e.vwrite(e.v2('v128_or', low, e.v2('i8x16_swizzle', e.vread(0), offsets(e, 'i8x16_sub', above))));
};
/** PMOVSX and PMOVZX: the low elements widened step by step. */
const widening = (name: string, ...ops: readonly string[]): VectorSemantics =>
  rr(name, (e) => e.vwrite(ops.reduce((v, op) => e.v1(op, v), e.vread(1))));
/** Blends by the sign bits in XMM0. */
const blend = (name: string, shift: string, by: number): VectorSemantics =>
  rr(name, (e) => {
    const a = e.vlet(e.vread(0));
    const b = e.vlet(e.vread(1));
    const mask = e.vlet(e.vshift(shift, e.vreg(0), e.c(by)));
    e.vwrite(e.bitselect(b, a, mask));
  });
const ptest: Fn = (e) => {
  const a = e.vlet(e.vread(0));
  const b = e.vlet(e.vread(1));
  const common = e.shl(e.vmask('v128_any_true', e.v2('v128_and', a, b)), e.c(8));
  const cf = e.shl(e.xor(e.vmask('v128_any_true', e.v2('v128_andnot', b, a)), e.c(1)), e.c(62));
  // a result of 0 or 0x100, odd parity, a carry that is no overflow
  e.setFlags(common, e.or(e.mul(cf, e.c(3)), e.c(0x100)));
};

export const SSE4: readonly VectorSemantics[] = [
  shuffled('movddup', 8, [2, 2]),
  shuffled('movsldup', 4, [4, 4, 6, 6]),
  shuffled('movshdup', 4, [5, 5, 7, 7]),
  rr('pshufb', (e) => {
    const bits = 0x8f8f_8f8f_8f8f_8f8fn;
    e.vwrite(e.v2('i8x16_swizzle', e.vread(0), e.v2('v128_and', e.vread(1), e.vconst(bits, bits))));
  }),
  one('pabsb', 'i8x16_abs'),
  one('pabsw', 'i16x8_abs'),
  one('pabsd', 'i32x4_abs'),
  sign('psignb', 'i8x16_lt_s', 'i8x16_sub', 'i8x16_ne'),
  sign('psignw', 'i16x8_lt_s', 'i16x8_sub', 'i16x8_ne'),
  sign('psignd', 'i32x4_lt_s', 'i32x4_sub', 'i32x4_ne'),
  horizontal('phaddw', 2, 'i16x8_add'),
  horizontal('phaddd', 4, 'i32x4_add'),
  horizontal('phaddsw', 2, 'i16x8_add_sat_s'),
  horizontal('phsubw', 2, 'i16x8_sub'),
  horizontal('phsubd', 4, 'i32x4_sub'),
  horizontal('phsubsw', 2, 'i16x8_sub_sat_s'),
  rr('pmulhrsw', pmulhrsw),
  rr('pmaddubsw', pmaddubsw),
  rri('palignr', palignr),
  // biome-ignore format: a table
  ...pairs({
    pminsb: 'i8x16_min_s', pmaxsb: 'i8x16_max_s', pminuw: 'i16x8_min_u', pmaxuw: 'i16x8_max_u',
    pminsd: 'i32x4_min_s', pmaxsd: 'i32x4_max_s', pminud: 'i32x4_min_u', pmaxud: 'i32x4_max_u',
    pmulld: 'i32x4_mul', packusdw: 'i16x8_narrow_i32x4_u', pcmpeqq: 'i64x2_eq', pcmpgtq: 'i64x2_gt_s',
  }),
  rr('pmuldq', mulEven('i64x2_extmul_low_i32x4_s')),
  ...(
    [
      ['s', 'low_i8x16_s', 'low_i16x8_s', 'low_i32x4_s'],
      ['z', 'low_i8x16_u', 'low_i16x8_u', 'low_i32x4_u'],
    ] as const
  ).flatMap(([kind, b, w, d]) => {
    const [bw, wd, dq] = [`i16x8_extend_${b}`, `i32x4_extend_${w}`, `i64x2_extend_${d}`];
    return [
      widening(`pmov${kind}xbw`, bw),
      widening(`pmov${kind}xbd`, bw, wd),
      widening(`pmov${kind}xbq`, bw, wd, dq),
      widening(`pmov${kind}xwd`, wd),
      widening(`pmov${kind}xwq`, wd, dq),
      widening(`pmov${kind}xdq`, dq),
    ];
  }),
  rri('pblendw', choose),
  blend('pblendvb', 'i8x16_shr_s', 7),
  blend('blendvps', 'i32x4_shr_s', 31),
  blend('blendvpd', 'i64x2_shr_s', 63),
  rr('ptest', ptest),
  rri('pinsrb', (e) => insertByImm(e, 0)),
  rri('pinsrd', (e) => insertByImm(e, 2), 4),
  rri('pinsrd', (e) => insertByImm(e, 3)),
  rri('pextrb', (e) => e.write(4, e.and(e.lane16(laneByImm(e, 0), 0), e.c(0xff)))),
  rri('pextrd', (e) => e.write(4, e.lane32(laneByImm(e, 2), 0)), 4),
  rri('pextrd', (e) => e.write(8, e.lane64(laneByImm(e, 3), 0))),
  rri('extractps', (e) => e.write(4, e.lane32(laneByImm(e, 2), 0))),
];
