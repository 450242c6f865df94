/** Arithmetic on normal 80-bit numbers and zeros, rounded to nearest. A result has 64 bits more below, `rest`. */
import type { Sem, V64, Var } from './sem.ts';
import { BIAS, EXPONENT, type Num, SIGN, TOP_BIT, type Unit, type UnitSem } from './x87-unit.ts';

const MAX_NORMAL = EXPONENT - 1;
/** An exponent that is no normal number's. */
export const slowUnlessNormal = (e: Sem, exp: Var): void =>
  e.slowIf(e.notBool(e.ltu(e.sub(e.get(exp), e.c(1)), e.c(MAX_NORMAL))));
export const exponent = (e: Sem, n: Num): V64 => e.and(e.get(n.se), e.c(EXPONENT));
export const isZero = (e: Sem, n: Num): V64 => e.bool(e.eqz(e.or(exponent(e, n), n.sig)));

export const isNormal = (e: Sem, n: Num): V64 =>
  e.and(e.bool(e.ltu(e.sub(exponent(e, n), e.c(1)), e.c(MAX_NORMAL))), e.shru(e.get(n.sig), e.c(63)));
/** Neither normal nor zero: for the helper. */
export const slowUnlessPlain = (e: Sem, n: Num): void => e.slowIf(e.eqz(e.or(isNormal(e, n), isZero(e, n))));

/** 1 if the magnitude above `rest` is to be rounded up, to nearest even. */
export const roundsUp = (e: Sem, sig: Var, rest: Var): V64 => {
  const above = e.let(e.bool(e.gtu(e.get(rest), e.big(TOP_BIT))));
  const tie = e.bool(e.eq(e.get(rest), e.big(TOP_BIT)));
  return e.or(e.and(e.and(tie, sig), e.c(1)), above);
};

/** Rounds sig.rest * 2^exp with a sign in place into a register, which ends the arithmetic. */
export function round(u: Unit, to: Var, sign: Var, exp: Var, sig: Var, rest: Var): void {
  const { e } = u;
  const up = e.let(roundsUp(e, sig, rest));
  e.set(sig, e.add(e.get(sig), e.get(up)));
  // all ones became 2^64
  const carried = e.let(e.bool(e.eqz(sig)));
  e.set(sig, e.or(e.get(sig), e.shl(e.get(carried), e.c(63))));
  e.set(exp, e.add(e.get(exp), e.get(carried)));
  slowUnlessNormal(e, exp);
  u.inexact(rest, up);
  e.setRegister(to, { se: e.let(e.or(sign, exp)), sig });
}

/** Two values that are one each of others, as a condition (0 or 1) says. */
const pick = (e: Sem, ifOne: Var, ifZero: Var, c: Var): Var =>
  e.let(e.select(ifOne, ifZero, e.ne(e.get(c), e.c(0))));

/** a + b. */
export function add(u: Unit, to: Var, a: Num, b: Num): void {
  const { e } = u;
  const zeroA = e.let(isZero(e, a));
  const zeroB = e.let(isZero(e, b));
  e.if(
    e.ne(e.or(zeroA, zeroB), e.c(0)),
    () => {
      // two zeros have their sign if it is the same
      const both = e.let(e.and(a.se, b.se));
      const other = pick(e, b.se, a.se, zeroA);
      const se = pick(e, both, other, e.let(e.and(zeroA, zeroB)));
      e.setRegister(to, { se, sig: pick(e, b.sig, a.sig, zeroA) });
    },
    () => addNormal(u, to, a, b),
  );
}
function addNormal(u: Unit, to: Var, a: Num, b: Num): void {
  const { e } = u;
  const ea = e.let(exponent(e, a));
  const eb = e.let(exponent(e, b));
  const less = e.and(e.bool(e.eq(ea, eb)), e.bool(e.ltu(a.sig, b.sig)));
  const swap = e.let(e.or(less, e.bool(e.ltu(ea, eb))));
  const large = pick(e, b.sig, a.sig, swap);
  const small = pick(e, a.sig, b.sig, swap);
  const sign = e.let(e.and(e.get(pick(e, b.se, a.se, swap)), e.c(SIGN)));
  const exp = pick(e, eb, ea, swap);
  const distance = e.let(e.sub(e.get(exp), e.get(pick(e, ea, eb, swap))));
  const high = e.let(e.c(0));
  const rest = e.let(e.c(0));
  shiftDown(e, small, distance, high, rest);
  const differ = e.let(e.and(e.xor(a.se, b.se), e.c(SIGN)));
  const sig = e.let(e.get(large));
  const put = (): void => round(u, to, sign, exp, sig, rest);
  e.if(
    e.eqz(differ),
    () => {
      e.set(sig, e.add(sig, high));
      e.if(e.ltu(sig, large), () => {
        e.set(rest, e.or(sticky(e, rest), e.shl(e.get(sig), e.c(63))));
        e.set(sig, e.or(e.shru(e.get(sig), e.c(1)), e.big(TOP_BIT)));
        e.set(exp, e.add(e.get(exp), e.c(1)));
      });
      put();
    },
    () => {
      e.set(sig, e.sub(e.sub(sig, high), e.bool(e.ne(e.get(rest), e.c(0)))));
      e.set(rest, e.sub(e.c(0), rest));
      const nothing = e.eqz(e.or(sig, rest));
      e.if(
        nothing,
        () => {
          const none = e.let(e.c(0));
          e.setRegister(to, { se: none, sig: none });
        },
        () => {
          normalise(e, sig, rest, exp);
          put();
        },
      );
    },
  );
}
/** Half of a rest, its lowest bit kept in sight. */
const sticky = (e: Sem, rest: Var): V64 => e.or(e.shru(e.get(rest), e.c(1)), e.and(e.get(rest), e.c(1)));
/** v shifted down `by` bits into high.rest; what falls out below leaves a bit. */
function shiftDown(e: Sem, v: Var, by: Var, high: Var, rest: Var): void {
  /** The lower bits that a shift by n (below 64) drops, on top. */
  const dropped = (n: Var): V64 => e.shl(e.shl(e.get(v), e.c(1)), e.sub(e.c(63), n));
  e.if(
    e.ltu(e.get(by), e.c(64)),
    () => {
      e.set(high, e.shru(v, by));
      e.set(rest, dropped(by));
    },
    () => {
      const n = e.let(e.sub(e.get(by), e.c(64)));
      const most = e.let(e.c(63));
      e.set(n, e.select(n, most, e.ltu(n, most)));
      e.set(rest, e.or(e.shru(v, n), e.bool(e.ne(dropped(n), e.c(0)))));
    },
  );
}
function normalise(e: Sem, sig: Var, rest: Var, exp: Var): void {
  e.if(e.eqz(sig), () => {
    e.set(sig, e.get(rest));
    e.set(rest, e.c(0));
    e.set(exp, e.sub(e.get(exp), e.c(64)));
  });
  const n = e.let(e.clz(sig));
  const moved = e.shru(e.shru(e.get(rest), e.c(1)), e.sub(e.c(63), n));
  e.set(sig, e.or(moved, e.let(e.shl(sig, n))));
  e.set(rest, e.shl(rest, n));
  e.set(exp, e.sub(exp, n));
}

const low = (e: Sem, v: Var): Var => e.let(e.zx(v, 4));
const high = (e: Sem, v: Var): Var => e.let(e.shru(e.get(v), e.c(32)));
const signOf = (e: Sem, a: Num, b: Num): Var => e.let(e.and(e.xor(a.se, b.se), e.c(SIGN)));

/** a * b. */
export function multiply(u: Unit, to: Var, a: Num, b: Num): void {
  const { e } = u;
  const sign = signOf(e, a, b);
  e.if(
    e.ne(e.or(isZero(e, a), isZero(e, b)), e.c(0)),
    () => e.setRegister(to, { se: sign, sig: e.let(e.c(0)) }),
    () => {
      const exp = e.let(e.sub(e.add(exponent(e, a), exponent(e, b)), e.c(BIAS - 1)));
      const sig = e.let(e.c(0));
      const rest = e.let(e.c(0));
      product(e, a.sig, b.sig, sig, rest);
      normalise(e, sig, rest, exp);
      round(u, to, sign, exp, sig, rest);
    },
  );
}
/** 128 bits from four products of halves. */
function product(e: Sem, a: Var, b: Var, top: Var, bottom: Var): void {
  const [al, ah, bl, bh] = [low(e, a), high(e, a), low(e, b), high(e, b)] as const;
  const first = e.let(e.mul(al, bl));
  const cross = e.let(e.mul(al, bh));
  const other = e.let(e.mul(ah, bl));
  const middle = e.let(e.add(e.add(e.shru(e.get(first), e.c(32)), e.zx(cross, 4)), e.zx(other, 4)));
  e.set(bottom, e.or(e.shl(e.get(middle), e.c(32)), e.zx(first, 4)));
  const upper = e.add(e.mul(ah, bh), e.shru(e.get(cross), e.c(32)));
  e.set(top, e.add(e.add(upper, e.shru(e.get(other), e.c(32))), e.shru(e.get(middle), e.c(32))));
}

/** a / b; what is divided by zero is for the helper. */
export function divide(u: Unit, to: Var, a: Num, b: Num): void {
  const { e } = u;
  const sign = signOf(e, a, b);
  e.slowIf(e.ne(isZero(e, b), e.c(0)));
  e.if(
    e.ne(isZero(e, a), e.c(0)),
    () => e.setRegister(to, { se: sign, sig: e.let(e.c(0)) }),
    () => {
      const atLeast = e.let(e.bool(e.notBool(e.ltu(a.sig, b.sig))));
      const exp = e.let(e.add(e.add(e.sub(exponent(e, a), exponent(e, b)), e.c(BIAS - 1)), e.get(atLeast)));
      const rest = e.let(e.shl(e.and(a.sig, atLeast), e.c(63)));
      const sig = e.let(e.shru(a.sig, atLeast));
      quotient(e, sig, rest, b.sig);
      round(u, to, sign, exp, sig, rest);
    },
  );
}
/**
 * sig.rest divided by d, whose top bit is set and which is more than sig: the quotient, and in `sig` what is left. In two
 * digits of 32 bits. @spec Knuth, TAOCP 2, 4.3.1 D
 */
export function divideLong(e: Sem, sig: Var, rest: Var, d: Var): V64 {
  const [dl, dh] = [low(e, d), high(e, d)] as const;
  const digit = (next: Var): Var => {
    const q = e.let(e.divu(sig, dh));
    const left = e.let(e.sub(e.get(sig), e.mul(q, dh)));
    const correct = (again: () => void): void => {
      const wide = e.let(e.shru(e.get(q), e.c(32)));
      const over = e.bool(e.gtu(e.mul(q, dl), e.or(e.shl(e.get(left), e.c(32)), next)));
      e.if(e.ne(e.or(over, wide), e.c(0)), () => {
        e.set(q, e.sub(e.get(q), e.c(1)));
        e.set(left, e.add(left, dh));
        again();
      });
    };
    correct(() => e.if(e.eqz(e.shru(e.get(left), e.c(32))), () => correct(() => {})));
    e.set(sig, e.sub(e.or(e.shl(e.get(sig), e.c(32)), next), e.let(e.mul(q, d))));
    return q;
  };
  const top = digit(high(e, rest));
  const bottom = digit(low(e, rest));
  return e.or(e.shl(e.get(top), e.c(32)), bottom);
}
/** The same with the quotient in `sig`, and in `rest` how what is left compares with half of d. */
function quotient(e: Sem, sig: Var, rest: Var, d: Var): void {
  const q = e.let(divideLong(e, sig, rest, d));
  const other = e.let(e.sub(d, sig));
  const more = e.let(e.bool(e.gtu(sig, other)));
  const half = e.let(e.bool(e.notBool(e.ltu(sig, other))));
  const some = e.let(e.bool(e.ne(e.get(sig), e.c(0))));
  e.set(rest, e.or(e.shl(e.get(half), e.c(63)), e.or(e.get(more), e.and(e.xor(e.get(half), e.c(1)), some))));
  e.set(sig, e.get(q));
}

/** -1, 0 or 1 as a is less than b, equal or greater. */
export function compare(e: UnitSem, a: Num, b: Num): Var {
  const order = e.let(e.c(0));
  const zeros = e.let(e.and(isZero(e, a), isZero(e, b)));
  e.if(e.eqz(zeros), () => {
    const ea = e.let(exponent(e, a));
    const eb = e.let(exponent(e, b));
    const less = e.or(e.bool(e.ltu(ea, eb)), e.and(e.bool(e.eq(ea, eb)), e.bool(e.ltu(a.sig, b.sig))));
    const below = e.let(less);
    const same = e.let(e.and(e.bool(e.eq(ea, eb)), e.bool(e.eq(a.sig, b.sig))));
    const negative = e.let(e.shru(e.get(a.se), e.c(15)));
    const differ = e.let(e.xor(e.get(negative), e.shru(e.get(b.se), e.c(15))));
    // magnitudes decide under equal signs, turned over below zero
    const down = e.let(e.xor(below, negative));
    const isLess = pick(e, negative, down, differ);
    e.set(order, e.sub(e.c(1), e.shl(e.get(isLess), e.c(1))));
    const equal = e.and(e.get(same), e.xor(e.get(differ), e.c(1)));
    const nothing = e.let(e.c(0));
    e.set(order, e.select(nothing, order, e.ne(equal, e.c(0))));
  });
  return order;
}
