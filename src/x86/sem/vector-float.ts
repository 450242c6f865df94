/**
 * Scalar SSE floating point where Wasm's result is x86's and no exception flag changes; all else is left to the helper.
 *
 * Results agree when operands and result are normal numbers or plain zeros. Rounding, the masks and the sticky precision
 * flag then decide whether a rounded result may be stored without more: `usual` MXCSR says so, and compiled programs
 * have it after their first inexact operation. Until then exact results are recognised where that is cheap.
 * @spec SDM 1 11.5
 */
import type { FltSize, FltVar, Sem, V32, V64, Var } from './sem.ts';
import { type Fn, fromMemory, rr, rri, type VectorSemantics } from './vector-rows.ts';

/** Rounding, masks, PE; to nearest, all masked, PE set. FTZ and DAZ make no difference where no number is denormal. */
const MODES = 0x7fa0;
const USUAL = 0x1fa0;
/** The same before anything was inexact. */
const FRESH = 0x1f80;

export interface Format {
  readonly f: FltSize;
  /** Left shift that leaves exponent and fraction at the top of 64 bits. */
  readonly up: number;
  /** The least normal number and infinity, shifted so. */
  readonly normal: bigint;
  readonly infinity: bigint;
  readonly suffix: 's' | 'd';
  readonly abs: string;
  readonly min: number;
  readonly max: number;
}
// biome-ignore format: a table
export const S: Format = {
  f: 4, up: 33, normal: 1n << 56n, infinity: 0xff00_0000n << 32n, suffix: 's', abs: 'f32x4_abs',
  min: 2 ** -126, max: (2 - 2 ** -23) * 2 ** 127,
};
// biome-ignore format: a table
export const D: Format = {
  f: 8, up: 1, normal: 1n << 53n, infinity: 0xffe0n << 48n, suffix: 'd', abs: 'f64x2_abs',
  min: 2 ** -1022, max: Number.MAX_VALUE,
};
const signed = (v: bigint): bigint => BigInt.asIntN(64, v);

export const notUsual = (e: Sem): V32 => e.ne(e.and(e.mxcsr(), e.c(MODES)), e.c(USUAL));

/** A number and its magnitude's bits at the top of a word. */
interface Scalar {
  readonly x: FltVar;
  readonly m: Var;
}
const magnitude = (e: Sem, x: FltVar, t: Format): Var => e.let(e.shl(e.fbits(x), e.c(t.up)));
/** Operand i; a denormal is left to the helper. */
function operand(e: Sem, i: number, t: Format): Scalar {
  const x = e.flet(e.fread(i, t.f), t.f);
  const m = magnitude(e, x, t);
  e.slowIf(e.ltu(e.sub(e.get(m), e.c(1)), e.big(t.normal - 1n)));
  return { x, m };
}

/** Leaves results other than zero that are not above the least normal number and finite; and zero ones unless `zero`. */
function checkResult(e: Sem, r: FltVar, t: Format, zero?: () => V32): void {
  const m = magnitude(e, r, t);
  const least = t.normal + 1n;
  e.if(e.notBool(e.ltu(e.sub(e.get(m), e.big(least)), e.big(signed(t.infinity - least)))), () => {
    e.slowIf(e.ne(e.get(m), e.c(0)));
    if (zero) e.slowIf(e.notBool(zero()));
  });
}

/** Unusual MXCSR: only a fresh one with an exact result is taken here. */
function checkPrecision(e: Sem, inexact: (() => V32) | undefined): void {
  const modes = e.let(e.and(e.mxcsr(), e.c(MODES)));
  e.if(e.ne(e.get(modes), e.c(USUAL)), () => {
    e.slowIf(e.ne(e.get(modes), e.c(inexact ? FRESH : USUAL)));
    if (inexact) e.slowIf(inexact());
  });
}

// biome-ignore format: a table
const ARITHMETIC = {
  s: { add: 'f32_add', sub: 'f32_sub', mul: 'f32_mul', div: 'f32_div', sqrt: 'f32_sqrt', ne: 'f32_ne', lt: 'f32_lt', ge: 'f32_ge', eq: 'f32_eq' },
  d: { add: 'f64_add', sub: 'f64_sub', mul: 'f64_mul', div: 'f64_div', sqrt: 'f64_sqrt', ne: 'f64_ne', lt: 'f64_lt', ge: 'f64_ge', eq: 'f64_eq' },
} as const;

/** Whether the rounding error of s = a + b (or a - b) is other than 0, by Knuth's two-sum. */
function sumInexact(e: Sem, t: Format, a: FltVar, b: FltVar, s: FltVar, subtract: boolean): V32 {
  const o = ARITHMETIC[t.suffix];
  const put = (v: ReturnType<Sem['fop']>): FltVar => e.flet(v, t.f);
  // of a - b = s: b' = a - s, err = (b' - b) + (a - (s + b'))
  const part = put(subtract ? e.fop(o.sub, a, s) : e.fop(o.sub, s, a));
  const left = put(subtract ? e.fop(o.add, s, part) : e.fop(o.sub, s, part));
  // what is left of a, and of b: exact iff both are whole
  return e.orBool(e.fcmp(o.ne, left, a), e.fcmp(o.ne, part, b));
}
/** Whether a product may not fit: together the factors have more significant bits than the format. */
function productInexact(e: Sem, t: Format, a: Var, b: Var): V32 {
  // trailing zeros of the fractions, shifted up with the rest
  const zeros = (m: Var): V64 => e.ctz(e.or(e.get(m), e.big(t.normal)));
  const sum = e.add(zeros(a), zeros(b));
  return e.ltu(sum, e.c(2 * t.up + (t.f === 4 ? 24 : 53)));
}

function addScalar(t: Format, subtract: boolean): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const r = e.flet(e.fop(subtract ? o.sub : o.add, a, b), t.f);
    checkResult(e, r, t);
    checkPrecision(e, () => sumInexact(e, t, a, b, r, subtract));
    e.fwrite(r);
  };
}
function mulScalar(t: Format): Fn {
  return (e) => {
    const a = operand(e, 0, t);
    const b = operand(e, 1, t);
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].mul, a.x, b.x), t.f);
    checkResult(e, r, t, () => e.orBool(e.eqz(a.m), e.eqz(b.m)));
    checkPrecision(e, () => productInexact(e, t, a.m, b.m));
    e.fwrite(r);
  };
}
function divScalar(t: Format): Fn {
  return (e) => {
    const a = operand(e, 0, t);
    const b = operand(e, 1, t);
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].div, a.x, b.x), t.f);
    // an infinite divisor may go the long way
    checkResult(e, r, t, () => e.eqz(a.m));
    checkPrecision(e, undefined);
    e.fwrite(r);
  };
}
function sqrtScalar(t: Format): Fn {
  return (e) => {
    const r = e.flet(e.fop(ARITHMETIC[t.suffix].sqrt, operand(e, 1, t).x), t.f);
    checkResult(e, r, t);
    checkPrecision(e, undefined);
    e.fwrite(r);
  };
}
/** MIN and MAX: the second operand unless the first is strictly less (greater). */
function pickScalar(t: Format, greater: boolean): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const [x, y] = greater ? [b, a] : [a, b];
    e.if(e.notBool(e.fcmp(o.lt, x, y)), () => {
      e.slowIf(e.notBool(e.fcmp(o.ge, x, y)));
      e.fwrite(b);
    });
  };
}
/** (U)COMIS: ZF and CF; unordered operands are left to the helper. */
function comi(t: Format): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const less = e.let(e.bool(e.fcmp(o.lt, a, b)));
    e.slowIf(e.notBool(e.orBool(e.ne(e.get(less), e.c(0)), e.fcmp(o.ge, a, b))));
    // PF clear: odd parity; carry out of the top two bits: CF without OF
    const unequal = e.shl(e.bool(e.fcmp(o.ne, a, b)), e.c(8));
    e.setFlags(unequal, e.or(e.shl(e.mul(e.get(less), e.c(3)), e.c(62)), e.c(0x100)));
  };
}
const ones = (e: Sem, bit: V64): Var => {
  const v = e.let(bit);
  return e.let(e.sub(e.c(0), v));
};
/** The predicate in the immediate: whether equality and less-than count, and whether the answer is turned round. */
export function predicate(e: Sem): { eq: Var; lt: Var; not: Var } {
  const p = e.let(e.and(e.imm8(), e.c(7)));
  const bit = (table: number): Var => ones(e, e.and(e.shru(e.c(table), p), e.c(1)));
  return { eq: bit(0b0101_0101), lt: bit(0b0110_0110), not: bit(0b1111_0000) };
}
function compareScalar(t: Format): Fn {
  const o = ARITHMETIC[t.suffix];
  return (e) => {
    const { x: a } = operand(e, 0, t);
    const { x: b } = operand(e, 1, t);
    const p = predicate(e);
    const lt = ones(e, e.bool(e.fcmp(o.lt, a, b)));
    e.slowIf(e.notBool(e.orBool(e.ne(e.get(lt), e.c(0)), e.fcmp(o.ge, a, b))));
    const eq = ones(e, e.bool(e.fcmp(o.eq, a, b)));
    const r = e.let(e.xor(e.or(e.and(eq, p.eq), e.and(lt, p.lt)), p.not));
    e.vwrite(t.f === 4 ? e.setLane32(e.vread(0), 0, e.get(r)) : e.setLane64(e.vread(0), 0, e.get(r)));
  };
}

// --- scalar conversions --------------------------------------------------------------------------------------------

/** CVTSI2SS/SD: exact if the integer has no more bits than the fraction. */
function fromInteger(t: Format, z: 4 | 8): Fn {
  const bits = t.f === 4 ? 24n : 53n;
  const op = t.f === 4 ? 'f32_convert_i64_s' : 'f64_convert_i64_s';
  return (e) => {
    const v = e.let(e.read(1, z));
    const r = e.flet(e.ffrom(op, v), t.f);
    if (t.f === 4 || z === 8) {
      const beyond = (): V32 => e.gtu(e.add(e.get(v), e.big(1n << bits)), e.big(2n << bits));
      checkPrecision(e, beyond);
    }
    e.fwrite(r);
  };
}
/** CVT(T)SS/SD2SI in the integer's range; singles are widened first, which is exact. */
function toInteger(t: Format, z: 4 | 8, truncate: boolean): Fn {
  return (e) => {
    const narrow = e.flet(e.fread(1, t.f), t.f);
    const x = t.f === 4 ? e.flet(e.fop('f64_promote_f32', narrow), 8) : narrow;
    const whole = e.flet(e.fop(truncate ? 'f64_trunc' : 'f64_nearest', x), 8);
    const limit = z === 4 ? 2 ** 31 : 2 ** 63;
    const low = e.flet(e.fconst(-limit, 8), 8);
    const high = e.flet(e.fconst(limit, 8), 8);
    e.slowIf(e.notBool(e.andBool(e.fcmp('f64_ge', whole, low), e.fcmp('f64_lt', whole, high))));
    e.if(e.fcmp('f64_ne', whole, x), () => e.slowIf(notUsual(e)));
    e.write(z, e.fto('i64_trunc_f64_s', whole));
  };
}
const widen: Fn = (e) => {
  const { x } = operand(e, 1, S);
  e.slowIf(e.fcmp('f32_ne', x, x));
  e.fwrite(e.flet(e.fop('f64_promote_f32', x), 8));
};
const narrow: Fn = (e) => {
  const { x, m } = operand(e, 1, D);
  const r = e.flet(e.fop('f32_demote_f64', x), 4);
  checkResult(e, r, S, () => e.eqz(m));
  checkPrecision(e, () => {
    const back = e.flet(e.fop('f64_promote_f32', r), 8);
    return e.fcmp('f64_ne', back, x);
  });
  e.fwrite(r);
};

/** ROUNDSS/SD: mode in the immediate, or with bit 2 MXCSR's; bit 3 keeps inexact quiet. */
export function checkRounding(e: Sem, inexact: Var): Var {
  const imm = e.let(e.imm8());
  const byMxcsr = e.let(e.and(e.shru(e.get(imm), e.c(2)), e.c(1)));
  const rounding = e.let(e.and(e.mxcsr(), e.c(0x6000)));
  e.slowIf(e.ne(e.mul(byMxcsr, rounding), e.c(0)));
  const loud = e.let(e.and(e.get(inexact), e.let(e.bool(e.eqz(e.and(e.get(imm), e.c(8)))))));
  e.if(e.ne(e.get(loud), e.c(0)), () => e.slowIf(notUsual(e)));
  return e.let(e.and(e.get(imm), e.let(e.mul(e.xor(e.get(byMxcsr), e.c(1)), e.c(3)))));
}
/** One of four roundings by a mode known when it runs. */
export function byMode(e: Sem, mode: Var, round: readonly (() => void)[]): void {
  const [nearest, down, up, zero] = round as readonly [() => void, () => void, () => void, () => void];
  const is = (n: number): V32 => e.eq(e.get(mode), e.c(n));
  e.if(is(1), down, () => e.if(is(2), up, () => e.if(is(3), zero, nearest)));
}
function roundScalar(t: Format, ops: readonly [string, string, string, string], unequal: string): Fn {
  return (e) => {
    const { x } = operand(e, 1, t);
    e.slowIf(e.fcmp(unequal, x, x));
    const whole = e.flet(e.fop(ops[3], x), t.f);
    const mode = checkRounding(e, e.let(e.bool(e.fcmp(unequal, whole, x))));
    byMode(
      e,
      mode,
      ops.map((op) => () => e.fwrite(e.flet(e.fop(op, x), t.f))),
    );
  };
}
function arithmetic(t: Format): VectorSemantics[] {
  const s = t.suffix;
  return [
    rr(`adds${s}`, addScalar(t, false)),
    rr(`subs${s}`, addScalar(t, true)),
    rr(`muls${s}`, mulScalar(t)),
    rr(`divs${s}`, divScalar(t)),
    rr(`sqrts${s}`, sqrtScalar(t)),
    rr(`mins${s}`, pickScalar(t, false)),
    rr(`maxs${s}`, pickScalar(t, true)),
    rr(`ucomis${s}`, comi(t)),
    rri(`cmps${s}`, compareScalar(t)),
    ...([4, 8] as const).flatMap((z) => [
      rr(`cvtsi2s${s}`, fromInteger(t, z), z),
      rr(`cvtts${s}2si`, toInteger(t, z, true), z),
      rr(`cvts${s}2si`, toInteger(t, z, false), z),
    ]),
  ];
}

const single = arithmetic(S);
const double = arithmetic(D);

export const VECTOR_FLOAT: readonly VectorSemantics[] = [
  ...single,
  ...fromMemory(single, 4, 'addss', 'subss', 'mulss'),
  ...double,
  ...fromMemory(double, 8, 'addsd', 'subsd', 'mulsd', 'divsd', 'ucomisd'),
  rri('roundss', roundScalar(S, ['f32_nearest', 'f32_floor', 'f32_ceil', 'f32_trunc'], 'f32_ne')),
  rri('roundsd', roundScalar(D, ['f64_nearest', 'f64_floor', 'f64_ceil', 'f64_trunc'], 'f64_ne')),
  rr('cvtss2sd', widen),
  rr('cvtsd2ss', narrow),
];
