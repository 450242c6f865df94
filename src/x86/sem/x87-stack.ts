/** x87 instructions that load constants, move registers, or mind the unit itself, as routines. @spec SDM 2 */
import { type Routine, routine } from './routine.ts';
import { FIELD, field, type Num, Unit, type UnitSem, usable } from './x87-unit.ts';

/** Sign and exponent, and significand rounded to nearest, of what `FIELD.constant` counts. @spec SDM 1 8.3.4 */
const CONSTANTS: readonly (readonly [number, bigint])[] = [
  [0x4000, 0xd49a_784b_cd1b_8afen], // the logarithm to the base of 2 of 10
  [0x3fff, 0xb8aa_3b29_5c17_f0bcn], // that of e
  [0x4000, 0xc90f_daa2_2168_c235n], // pi
  [0x3ffd, 0x9a20_9a84_fbcf_f799n], // the logarithm to the base of 10 of 2
  [0x3ffe, 0xb172_17f7_d1cf_79acn], // that to the base of e
];
const ROUNDING = 0xc00;

function constant(e: UnitSem): void {
  const u = new Unit(e);
  e.slowIf(e.ne(e.and(e.controlWord(), e.c(ROUNDING)), e.c(0)));
  const which = e.let(e.shru(e.imm(), e.c(FIELD.constant)));
  const n: Num = { se: e.let(e.c(0)), sig: e.let(e.c(0)) };
  for (const [k, [se, sig]] of CONSTANTS.entries())
    e.if(e.eq(e.get(which), e.c(k)), () => {
      e.set(n.se, e.c(se));
      e.set(n.sig, e.big(BigInt.asIntN(64, sig)));
    });
  e.setRegister(u.push(), n);
  u.end();
}
/** FCMOVcc, whose condition is in operand 1. */
function fcmov(e: UnitSem): void {
  const u = new Unit(e);
  u.slowIfEmpty(u.top);
  u.slowIfEmpty(u.named);
  e.if(e.ne(e.readAt(0, 1), e.c(0)), () => e.setRegister(u.top, u.get(u.named)));
  u.end(true);
}
/** FINCSTP and, by the first bit, FDECSTP. */
function turn(e: UnitSem): void {
  const u = new Unit(e);
  const by = e.sub(e.c(1), e.shl(e.bool(field(e, FIELD.first)), e.c(1)));
  e.set(u.top, e.and(e.add(by, u.top), e.c(7)));
  u.end();
}
/** FFREE and FFREEP. */
function free(e: UnitSem): void {
  const u = new Unit(e);
  u.empty(u.named);
  u.popIf(FIELD.pop);
  u.end();
}

/** A control word that unmasks something pending is for the helper. */
function fldcw(e: UnitSem): void {
  const u = new Unit(e);
  const v = e.let(e.readAt(0, 2));
  e.slowIf(e.ne(e.and(e.and(e.get(u.status), e.not(v)), e.c(0x3f)), e.c(0)));
  e.setControlWord(e.or(e.and(e.get(v), e.c(0x1f3f)), e.c(0x40)));
}
function fnstcw(e: UnitSem): void {
  usable(e);
  e.writeAt(0, 8, e.controlWord());
}
function fnstsw(e: UnitSem): void {
  usable(e);
  e.writeAt(0, 8, e.statusWord());
}
/** What it looks for is what others look for first. */
function fwait(e: UnitSem): void {
  new Unit(e);
}
function fnclex(e: UnitSem): void {
  usable(e);
  e.setStatusWord(e.and(e.statusWord(), e.c(0x7f00)));
}

export const X87_STACK: readonly Routine[] = [
  routine('constant', constant),
  routine('fcmov', fcmov),
  routine('turn', turn),
  routine('free', free),
  routine('fldcw', fldcw),
  routine('fnstcw', fnstcw),
  routine('fnstsw', fnstsw),
  routine('fwait', fwait),
  routine('fnclex', fnclex),
];
