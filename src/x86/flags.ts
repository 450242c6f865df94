/**
 * Lazy status flags: two 64-bit words, from which each flag is a few instructions away without knowing what set them.
 *
 *   res   the result, sign-extended from the operand size
 *   vec   63: carry out (CF) | 62: carry out of the next lower bit, so OF = bit 63 ^ bit 62 | 3: carry out of bit 3 (AF)
 *         15:8 xored into the low byte of res before its parity is taken | 16 xored into the sign of res
 *
 * An addition's carry vector is maj(a, b, ~r); that of r = a - b is the one of r + b = a. The last two fields are for
 * flags that no result could give (POPF, UCOMISD). @spec SDM 1 3.4.3
 */
import type { FlagSource, Sem, Size, V32, V64, Var } from './sem/sem.ts';

export const CF = 1;
export const PF = 4;
export const AF = 0x10;
export const ZF = 0x40;
export const SF = 0x80;
export const OF = 0x800;
export const STATUS = CF | PF | AF | ZF | SF | OF;
export const TF = 0x100;
export const IF = 0x200;
export const DF = 0x400;
export const IOPL = 0x3000;
export const NT = 0x4000;
export const RF = 0x1_0000;
export const VM = 0x2_0000;
export const AC = 0x4_0000;
export const VIF = 0x8_0000;
export const VIP = 0x10_0000;
export const ID = 0x20_0000;

const TOP2 = -0x4000_0000_0000_0000n;
const KEEP64 = BigInt.asIntN(64, 0xc000_0000_0000_0008n);

/** Bits 63, 62 and 3 of the carry vector of x + y = sum, each sign-extended from z bytes. */
function carryVector(e: Sem, z: Size, x: Var, y: Var, sum: Var): V64 {
  const c = e.let(e.or(e.and(x, y), e.and(e.or(x, y), e.not(sum))));
  if (z === 8) return e.and(e.get(c), e.big(KEEP64));
  const top = e.and(e.shl(e.get(c), e.c(64 - 8 * z)), e.big(TOP2));
  return e.or(top, e.and(e.get(c), e.c(8)));
}

/** Flags that are computed now, or when they are wanted. */
export function putFlags(
  e: Sem,
  uses: readonly Var[],
  compute: () => void,
  from?: FlagSource,
  keeps = false,
): void {
  if (!e.deferFlags?.(uses, keeps, compute, from)) compute();
}

/** Flags of r = x + y (+ carry). */
export function flagsAdd(e: Sem, z: Size, x: Var, y: Var, r: Var): void {
  const compute = (): void => e.setFlags(e.get(r), carryVector(e, z, x, y, r));
  putFlags(e, [x, y, r], compute, { kind: 'add', z, x, y, r });
}
/** Flags of r = x - y. */
export function flagsSub(e: Sem, z: Size, x: Var, y: Var, r: Var): void {
  const compute = (): void => e.setFlags(e.get(r), carryVector(e, z, r, y, x));
  putFlags(e, [x, y, r], compute, { kind: 'sub', z, x, y, r });
}
/** Flags of r = x - y - borrow. */
export function flagsBorrow(e: Sem, z: Size, x: Var, y: Var, r: Var): void {
  const compute = (): void => e.setFlags(e.get(r), carryVector(e, z, r, y, x));
  putFlags(e, [x, y, r], compute, { kind: 'borrow', z, x, y, r });
}
export function flagsLogic(e: Sem, z: Size, r: Var): void {
  putFlags(e, [r], () => e.setFlags(e.get(r), e.c(0)), { kind: 'logic', z, r });
}
/** INC and DEC: like ADD and SUB of 1, but CF stays. */
export function flagsKeepCarry(e: Sem, z: Size, x: Var, one: Var, r: Var, subtract: boolean): void {
  const compute = (): void => {
    const vec = e.let(subtract ? carryVector(e, z, r, one, x) : carryVector(e, z, x, one, r));
    const old = e.let(e.flagVec());
    const differ = e.shrs(e.xor(vec, old), e.c(63));
    const flip = e.let(e.and(differ, e.big(TOP2)));
    e.setFlags(e.get(r), e.xor(vec, flip));
  };
  putFlags(e, [x, one, r], compute, { kind: 'result', z, r }, true);
}
/** Flags from a result, a carry (0 or 1) and an overflow (0 or 1); AF cleared. */
export function flagsFrom(e: Sem, r: Var, cf: Var, of: Var): void {
  e.setFlags(e.get(r), packCarry(e, cf, of));
}
export function packCarry(e: Sem, cf: Var, of: Var): V64 {
  return e.or(e.shl(e.get(cf), e.c(63)), e.shl(e.xor(cf, of), e.c(62)));
}
/** CF alone changes: OF must survive, so bit 62 follows. */
export function setCarry(e: Sem, cf: Var): void {
  const old = e.let(e.flagVec());
  const of = e.let(e.and(e.xor(e.get(old), e.shl(e.get(old), e.c(1))), e.big(-0x8000_0000_0000_0000n)));
  const top = e.let(e.shl(e.get(cf), e.c(63)));
  const next = e.let(e.or(e.get(top), e.shru(e.xor(top, of), e.c(1))));
  const kept = e.and(e.get(old), e.big(0x3fff_ffff_ffff_ffffn));
  const res = e.let(e.or(kept, next));
  e.setFlags(e.flagRes(), e.get(res));
}

export function carry(e: Sem): V64 {
  const known = e.conditionOf?.(2);
  return known ? e.bool(known) : e.shru(e.flagVec(), e.c(63));
}
const zero = (e: Sem): V32 => e.eqz(e.flagRes());
const signBits = (e: Sem): V64 => e.xor(e.flagRes(), e.shl(e.flagVec(), e.c(47)));
const overflowBits = (e: Sem): V64 => e.xor(e.flagVec(), e.shl(e.flagVec(), e.c(1)));
const negative = (e: Sem, v: V64): V32 => e.lts(v, e.c(0));
function parity(e: Sem): V64 {
  const low = e.and(e.xor(e.flagRes(), e.shru(e.flagVec(), e.c(8))), e.c(255));
  return e.and(e.popcnt(low), e.c(1)); // 1 = odd = PF clear
}

/** Condition code cc (0-15) as in Jcc. */
export function condition(e: Sem, cc: number): V32 {
  const base = e.conditionOf?.(cc & ~1) ?? baseCondition(e, cc >> 1);
  return cc & 1 ? e.notBool(base) : base;
}

function baseCondition(e: Sem, kind: number): V32 {
  switch (kind) {
    case 0:
      return negative(e, overflowBits(e));
    case 1:
      return negative(e, e.flagVec());
    case 2:
      return zero(e);
    case 3:
      return e.orBool(negative(e, e.flagVec()), zero(e));
    case 4:
      return negative(e, signBits(e));
    case 5:
      return e.eqz(parity(e));
    case 6:
      return negative(e, e.xor(signBits(e), overflowBits(e)));
    default:
      return e.orBool(negative(e, e.xor(signBits(e), overflowBits(e))), zero(e));
  }
}

/** The six status flags in their RFLAGS places. */
export function packStatus(e: Sem): V64 {
  const cf = e.let(carry(e));
  const pf = e.let(e.shl(e.xor(parity(e), e.c(1)), e.c(2)));
  const af = e.let(e.shl(e.and(e.flagVec(), e.c(8)), e.c(1)));
  const zf = e.let(e.shl(e.bool(zero(e)), e.c(6)));
  const sf = e.let(e.shl(e.shru(signBits(e), e.c(63)), e.c(7)));
  const of = e.let(e.shl(e.shru(overflowBits(e), e.c(63)), e.c(11)));
  return e.or(e.or(e.or(e.or(e.or(e.get(cf), pf), af), zf), sf), of);
}

/** Sets all six from a value with RFLAGS' layout. */
export function unpackStatus(e: Sem, flags: Var): void {
  const one = (shift: number): V64 => e.and(e.shru(e.get(flags), e.c(shift)), e.c(1));
  const cf = e.let(one(0));
  const of = e.let(one(11));
  let vec = e.or(packCarry(e, cf, of), e.shl(one(4), e.c(3)));
  vec = e.or(vec, e.shl(e.xor(one(2), e.c(1)), e.c(8)));
  vec = e.or(vec, e.shl(one(7), e.c(16)));
  const v = e.let(vec);
  // a result of 0 or 0x100: even parity, sign clear
  e.setFlags(e.xor(e.shl(one(6), e.c(8)), e.c(0x100)), e.get(v));
}

/** The status flags of (res, vec) given as unsigned halves; for code outside the engines. */
export function statusOf(resLo: number, resHi: number, vecLo: number, vecHi: number): number {
  let p = (resLo ^ (vecLo >>> 8)) & 0xff;
  p ^= p >> 4;
  p ^= p >> 2;
  p ^= p >> 1;
  const sign = (resHi >>> 31) ^ ((vecLo >>> 16) & 1);
  const cf = vecHi >>> 31;
  return (
    cf |
    (p & 1 ? 0 : PF) |
    (vecLo & 8 ? AF : 0) |
    ((resLo | resHi) === 0 ? ZF : 0) |
    (sign ? SF : 0) |
    (cf ^ ((vecHi >>> 30) & 1) ? OF : 0)
  );
}

/** The inverse: [resLo, resHi, vecLo, vecHi] for given status flags. */
export function lazyOf(flags: number): [number, number, number, number] {
  const cf = flags & CF;
  const of = (flags & OF) >>> 11;
  const vecLo = (flags & AF ? 8 : 0) | (flags & PF ? 0 : 0x100) | (flags & SF ? 0x1_0000 : 0);
  return [flags & ZF ? 0 : 0x100, 0, vecLo, ((cf << 31) | ((cf ^ of) << 30)) >>> 0];
}
