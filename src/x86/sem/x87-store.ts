/**
 * FST, FIST and their like to memory, in three steps: a routine makes the bits, they are stored, and when that has not
 * faulted another routine does the rest. @spec SDM 2
 */
import { type Routine, routine } from './routine.ts';
import type { V64 } from './sem.ts';
import { exponent, roundsUp, slowUnlessPlain } from './x87-number.ts';
import { BIAS, FIELD, field, type Num, SIGN, slowUnlessInPage, Unit, type UnitSem } from './x87-unit.ts';
import { CHOP, toWhole } from './x87-whole.ts';

/** The bits of ST0 in operand 0; behind them what was raised. Operand 1 is the offset they go to. */
const bitsOf =
  (convert: (u: Unit, n: Num) => V64) =>
  (e: UnitSem): void => {
    const u = new Unit(e);
    u.slowIfEmpty(u.top);
    const n = u.get(u.top);
    const out = e.let(convert(u, n));
    e.writeAt(0, 8, e.get(out));
    e.writeAt(8, 8, e.get(u.raised));
  };
/** All of it, where the ten bytes are in one page: then both stores fault, or none. */
function allBits(u: Unit, n: Num): V64 {
  const { e } = u;
  slowUnlessInPage(e, 10);
  e.set(u.raised, e.get(n.se));
  return e.get(n.sig);
}
/** Rounded to a format with `fraction` bits, where its exponent is a normal one there. */
const narrowed =
  (fraction: number, bias: number) =>
  (u: Unit, n: Num): V64 => {
    const { e } = u;
    u.slowUnlessUsual();
    slowUnlessPlain(e, n);
    const sign = e.let(e.shl(e.shru(e.get(n.se), e.c(15)), e.c(fraction === 52 ? 63 : 31)));
    const out = e.let(e.get(sign));
    e.if(e.ne(e.get(n.sig), e.c(0)), () => {
      const exp = e.let(e.sub(exponent(e, n), e.c(BIAS - bias)));
      e.slowIf(e.notBool(e.ltu(e.sub(e.get(exp), e.c(1)), e.c(2 * bias - 1))));
      const kept = e.let(e.shru(e.get(n.sig), e.c(63 - fraction)));
      const rest = e.let(e.shl(e.get(n.sig), e.c(fraction + 1)));
      const up = e.let(roundsUp(e, kept, rest));
      u.inexact(rest, up);
      // the significand's top bit adds one to the exponent
      const above = e.shl(e.sub(e.get(exp), e.c(1)), e.c(fraction));
      e.set(out, e.or(e.add(e.add(above, kept), e.get(up)), sign));
    });
    return e.get(out);
  };
/** Rounded as the control word says, or by FISTTP towards zero; to what surely fits in `bits`. */
const integral =
  (bits: number) =>
  (u: Unit, n: Num): V64 => {
    const { e } = u;
    slowUnlessPlain(e, n);
    u.slowUnlessMasked();
    const by = e.let(e.sub(e.c(BIAS + 63), e.let(exponent(e, n))));
    e.slowIf(e.lts(e.get(by), e.c(65 - bits)));
    const whole = toWhole(u, n, by, e.let(e.mul(e.bool(field(e, FIELD.first)), e.c(CHOP))));
    e.slowIf(e.ne(e.shru(e.get(whole), e.c(bits - 1)), e.c(0)));
    const minus = e.let(e.sub(e.c(0), whole));
    return e.select(minus, whole, e.ne(e.and(e.get(n.se), e.c(SIGN)), e.c(0)));
  };
/** After the store: operand 0 is where the bits were, operand 1 the offset. */
function stored(e: UnitSem): void {
  const u = new Unit(e);
  e.set(u.raised, e.read(0, 8));
  u.popIf(FIELD.pop);
  u.end();
  e.setLastOperand(e.readAt(0, 8));
}

export const X87_STORES: readonly Routine[] = [
  routine('bits32', bitsOf(narrowed(23, 127))),
  routine('bits64', bitsOf(narrowed(52, 1023))),
  routine('bits80', bitsOf(allBits)),
  routine('integer16', bitsOf(integral(16))),
  routine('integer32', bitsOf(integral(32))),
  routine('integer64', bitsOf(integral(64))),
  routine('stored', stored),
];
