/** x87 instructions that compute from ST0, some with ST1, as routines for their plain cases. @spec SDM 2 */
import { type Routine, routine } from './routine.ts';
import type { V64, Var } from './sem.ts';
import { fromInteger } from './x87.ts';
import { divideLong, exponent, round, slowUnlessNormal, slowUnlessPlain } from './x87-number.ts';
import { BIAS, CODE, type Num, SIGN, TOP_BIT, Unit, type UnitSem } from './x87-unit.ts';
import { toWhole } from './x87-whole.ts';

/** What a register holds, if it is plain. */
function plain(u: Unit, r: Var): Num {
  u.slowIfEmpty(r);
  const n = u.get(r);
  slowUnlessPlain(u.e, n);
  return n;
}
const signOf = (e: UnitSem, n: Num): V64 => e.and(e.get(n.se), e.c(SIGN));

/** FSQRT. Zeros are their own roots; negative numbers have none. */
function fsqrt(e: UnitSem): void {
  const u = new Unit(e);
  u.slowUnlessUsual();
  const n = plain(u, u.top);
  e.if(e.ne(e.get(n.sig), e.c(0)), () => {
    e.slowIf(e.ne(signOf(e, n), e.c(0)));
    const exp = e.let(e.shru(e.add(e.get(n.se), e.c(BIAS)), e.c(1)));
    const sig = e.let(e.c(0));
    const rest = e.let(e.c(0));
    root(e, n.sig, e.let(e.and(e.get(n.se), e.c(1))), sig, rest);
    round(u, u.top, e.let(e.c(0)), exp, sig, rest);
  });
  u.end();
}
/** The root of at most v, as many bits as half of it has: of 64, whose upper two are not both clear. */
function rootOfWord(e: UnitSem, v: Var): Var {
  const float = e.flet(e.ffrom('f64_convert_i64_u', v), 8);
  const estimate = e.let(e.fto('i64_trunc_f64_u', e.flet(e.fop('f64_sqrt', float), 8)));
  const most = e.let(e.big(0xffff_ffffn));
  const r = e.let(e.select(estimate, most, e.ltu(estimate, most)));
  // what was rounded up on the way made it at most one too large
  return e.let(e.sub(e.get(r), e.bool(e.gtu(e.mul(r, r), v))));
}
/**
 * The root, of 64 bits, of v with 64 zeros behind it, of one less where `lowered` is 1; in `rest` how what is left
 * compares with half of the root's last bit. The root of the upper half gives the upper half of the root, a division by
 * twice that the lower, at most one too large. @spec Zimmermann, Karatsuba Square Root
 */
function root(e: UnitSem, v: Var, lowered: Var, sig: Var, rest: Var): void {
  const upper = e.let(e.shru(v, lowered));
  const next = e.let(e.shl(e.and(v, lowered), e.c(30)));
  const high = rootOfWord(e, upper);
  const left = e.let(e.sub(e.get(upper), e.mul(high, high)));
  const dividend = e.let(e.or(e.shl(e.get(left), e.c(31)), next));
  const low = e.let(e.divu(dividend, high));
  const over = e.let(e.sub(e.get(dividend), e.mul(low, high)));
  e.set(sig, e.add(e.shl(e.get(high), e.c(32)), low));
  // what is left is above * 2^64 + below
  const square = e.let(e.mul(low, low));
  const shifted = e.let(e.shl(e.get(over), e.c(33)));
  const below = e.let(e.sub(shifted, square));
  const borrow = e.let(e.bool(e.ltu(shifted, square)));
  const above = e.let(e.sub(e.sub(e.shru(e.get(over), e.c(31)), e.shru(e.get(low), e.c(32))), borrow));
  const some = e.let(e.bool(e.ne(e.or(above, below), e.c(0))));
  const more = e.let(e.or(e.get(above), e.bool(e.gtu(below, sig))));
  e.if(e.lts(e.get(above), e.c(0)), () => {
    e.set(more, e.bool(e.gtu(e.get(below), e.sub(e.c(0), sig))));
    e.set(sig, e.sub(e.get(sig), e.c(1)));
  });
  e.set(rest, e.or(e.shl(e.get(more), e.c(63)), some));
}

function frndint(e: UnitSem): void {
  const u = new Unit(e);
  u.slowUnlessMasked();
  const n = plain(u, u.top);
  const by = e.let(e.sub(e.c(BIAS + 63), e.let(exponent(e, n))));
  e.if(e.lts(e.c(0), by), () => {
    const whole = toWhole(u, n, by, e.let(e.c(0)));
    const zeros = e.let(e.clz(whole));
    const exp = e.mul(e.sub(e.c(BIAS + 63), zeros), e.bool(e.ne(e.get(whole), e.c(0))));
    e.setRegister(u.top, { se: e.let(e.or(exp, e.let(signOf(e, n)))), sig: e.let(e.shl(whole, zeros)) });
  });
  u.end();
}

/** ST0 times two to the power of ST1, cut off to an integer, where that is a normal number. */
function fscale(e: UnitSem): void {
  const u = new Unit(e);
  const n = plain(u, u.top);
  const power = plain(u, u.second());
  e.if(e.ne(e.get(n.sig), e.c(0)), () => {
    const by = e.let(e.sub(e.c(BIAS + 63), e.let(exponent(e, power))));
    e.slowIf(e.lts(e.get(by), e.c(48)));
    const whole = e.let(e.shru(power.sig, by));
    const none = e.let(e.c(0));
    const size = e.let(e.select(whole, none, e.ltu(e.get(by), e.c(64))));
    const minus = e.let(e.sub(e.c(0), size));
    const change = e.select(minus, size, e.ne(signOf(e, power), e.c(0)));
    const exp = e.let(e.add(change, e.let(exponent(e, n))));
    slowUnlessNormal(e, exp);
    e.setRegister(u.top, { se: e.let(e.or(exp, e.let(signOf(e, n)))), sig: n.sig });
  });
  u.end();
}

/**
 * FPREM: what a division of ST0 by ST1 leaves, and the quotient's lowest bits. Exponents 64 or more apart are brought
 * closer as the helper does it.
 */
function fprem(e: UnitSem): void {
  const u = new Unit(e);
  const n = plain(u, u.top);
  const d = plain(u, u.second());
  e.slowIf(e.eqz(d.sig));
  const codes = e.let(e.c(0));
  const distance = e.let(e.sub(e.let(exponent(e, n)), e.let(exponent(e, d))));
  e.if(e.lts(e.c(-1), distance), () => {
    const partial = e.let(e.bool(e.ltu(e.c(63), distance)));
    const part = e.let(e.or(e.and(e.get(distance), e.c(31)), e.c(32)));
    const by = e.let(e.select(part, distance, e.ne(e.get(partial), e.c(0))));
    const fits = e.let(e.bool(e.notBool(e.ltu(n.sig, d.sig))));
    const left = e.let(e.sub(n.sig, e.let(e.mul(fits, d.sig))));
    const sig = e.let(e.shru(e.shru(e.get(left), e.c(1)), e.sub(e.c(63), by)));
    const quotient = divideLong(e, sig, e.let(e.shl(left, by)), d.sig);
    const q = e.let(e.add(quotient, e.shl(fits, by)));
    setRemainder(u, n, e.let(e.sub(e.let(exponent(e, n)), by)), sig);
    const bits = e.or(
      e.mul(e.and(e.shru(e.get(q), e.c(2)), e.c(1)), e.c(CODE.c0)),
      e.mul(e.and(e.shru(e.get(q), e.c(1)), e.c(1)), e.c(CODE.c3)),
    );
    const whole = e.let(bits);
    const cut = e.let(e.c(CODE.c2));
    e.set(codes, e.select(cut, whole, e.ne(e.get(partial), e.c(0))));
    u.setC1(e.and(q, e.let(e.xor(e.get(partial), e.c(1)))));
  });
  u.setCodes(codes);
  u.end();
}
/** sig * 2^exp, with the sign of n, in ST0. */
function setRemainder(u: Unit, n: Num, exp: Var, sig: Var): void {
  const { e } = u;
  const sign = e.let(signOf(e, n));
  const zeros = e.let(e.clz(sig));
  const some = e.let(e.bool(e.ne(e.get(sig), e.c(0))));
  e.set(exp, e.mul(e.sub(exp, zeros), some));
  e.slowIf(e.lts(exp, some));
  e.setRegister(u.top, { se: e.let(e.or(sign, exp)), sig: e.let(e.shl(sig, zeros)) });
}

/** ST0's exponent in its place, and its significand above. */
function fxtract(e: UnitSem): void {
  const u = new Unit(e);
  const n = plain(u, u.top);
  e.slowIf(e.eqz(n.sig));
  const value: Num = { se: e.let(e.c(0)), sig: e.let(e.c(0)) };
  fromInteger(e, e.sub(exponent(e, n), e.c(BIAS)), value);
  const at = e.let(e.get(u.top));
  const to = u.push();
  e.setRegister(at, value);
  e.setRegister(to, { se: e.let(e.or(signOf(e, n), e.c(BIAS))), sig: n.sig });
  u.end();
}

/** Against zero. */
function ftst(e: UnitSem): void {
  const u = new Unit(e);
  const n = plain(u, u.top);
  const zero = e.let(e.c(CODE.c3));
  const other = e.let(e.shru(signOf(e, n), e.c(7)));
  u.setCodes(e.let(e.select(zero, other, e.eqz(n.sig))));
  u.end();
}
/** The class of ST0, whatever it is, and its sign. */
function fxam(e: UnitSem): void {
  const u = new Unit(e);
  const n = u.get(u.top);
  const codes = e.let(e.c(CODE.c2));
  const when = (c: V64, bits: number): void => e.if(e.ne(c, e.c(0)), () => e.set(codes, e.c(bits)));
  const is = (v: V64, w: V64): Var => e.let(e.bool(e.eq(v, w)));
  const least = is(exponent(e, n), e.c(0));
  const most = is(exponent(e, n), e.c(0x7fff));
  when(e.get(most), CODE.c0);
  when(e.and(most, is(e.get(n.sig), e.big(TOP_BIT))), CODE.c2 | CODE.c0);
  when(e.bool(e.notBool(e.lts(e.get(n.sig), e.c(0)))), 0);
  when(e.get(least), CODE.c3 | CODE.c2);
  when(e.and(least, is(e.get(n.sig), e.c(0))), CODE.c3);
  when(e.xor(e.and(e.shru(u.used, u.top), e.c(1)), e.c(1)), CODE.c3 | CODE.c0);
  u.setCodes(codes);
  u.setC1(e.shru(signOf(e, n), e.c(15)));
  u.end();
}

export const X87_UNARY: readonly Routine[] = [
  routine('fsqrt', fsqrt),
  routine('frndint', frndint),
  routine('fscale', fscale),
  routine('fprem', fprem),
  routine('fxtract', fxtract),
  routine('ftst', ftst),
  routine('fxam', fxam),
];
