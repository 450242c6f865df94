/**
 * FNSTENV and FLDENV in 64-bit code as routines around the loads and stores: C libraries have them in floorl and the like.
 * The environment's seven words go through two vectors, the first four and the last four. @spec SDM 1 figure 8-9
 */
import { type Routine, routine } from './routine.ts';
import type { V64, Var } from './sem.ts';
import { isNormal, isZero } from './x87-number.ts';
import { slowUnlessInPage, Unit, type UnitSem, usable } from './x87-unit.ts';

const SIZE = 28;
/** Above words of 16 bits. */
const ONES = 0xffff_0000n;

/** Two words side by side. */
const pair = (e: UnitSem, low: Var, high: Var): V64 => e.or(e.shl(e.get(high), e.c(32)), low);
const padded = (e: UnitSem, word: V64): Var => e.let(e.or(word, e.big(ONES)));
const upper = (e: UnitSem, v: Var): Var => e.let(e.shru(e.get(v), e.c(32)));

/** Two bits for each register, from the first: 0 normal, 1 zero, 2 special, 3 empty. */
function tags(e: UnitSem): Var {
  const used = e.let(e.used());
  const out = e.let(e.c(0));
  const r = e.let(e.c(8));
  e.loop(() => {
    e.set(r, e.sub(e.get(r), e.c(1)));
    const n = { se: e.let(e.signExponent(r)), sig: e.let(e.significand(r)) };
    const plain = e.let(e.or(e.shl(isNormal(e, n), e.c(1)), isZero(e, n)));
    const tag = e.let(e.sub(e.c(2), plain));
    const empty = e.let(e.c(3));
    const it = e.let(e.select(tag, empty, e.ne(e.and(e.shru(used, r), e.c(1)), e.c(0))));
    e.set(out, e.or(e.shl(e.get(out), e.c(2)), it));
    return e.ne(e.get(r), e.c(0));
  });
  return out;
}
/** The first four words in operand 0; operand 1 is the offset that all go to. */
function environment(e: UnitSem): void {
  usable(e);
  slowUnlessInPage(e, SIZE);
  const control = padded(e, e.controlWord());
  const status = padded(e, e.statusWord());
  const tag = padded(e, e.get(tags(e)));
  e.writeAt(0, 8, pair(e, control, status));
  const offset = e.let(e.lastOffset());
  e.writeAt(8, 8, pair(e, tag, offset));
}
/** The last four. */
function environmentEnd(e: UnitSem): void {
  const offset = e.let(e.zx(e.lastOffset(), 4));
  const opcode = e.let(e.shl(e.lastOpcode(), e.c(16)));
  e.writeAt(0, 8, pair(e, offset, opcode));
  const operand = e.let(e.zx(e.lastOperand(), 4));
  const last = padded(e, e.c(0));
  e.writeAt(8, 8, pair(e, operand, last));
}
/** After FNSTENV's stores: all exceptions are masked. */
function masked(e: UnitSem): void {
  e.setControlWord(e.or(e.and(e.controlWord(), e.c(0x1f3f)), e.c(0x7f)));
  e.setStatusWord(e.and(e.statusWord(), e.c(0x7f7f)));
}

/** Before FLDENV's loads: operand 1 is the offset they come from. */
function inPage(e: UnitSem): void {
  new Unit(e);
  slowUnlessInPage(e, SIZE);
}
/** The first four words are in operand 1, the last in operand 0. What is pending with them is for the helper. */
function takeEnvironment(e: UnitSem): void {
  const first = e.let(e.lane64(e.vread(1), 0));
  const second = e.let(e.lane64(e.vread(1), 1));
  const third = e.let(e.lane64(e.vread(0), 0));
  const status = upper(e, first);
  e.slowIf(e.ne(e.and(e.and(e.get(status), e.not(first)), e.c(0x3f)), e.c(0)));
  e.setControlWord(e.or(e.and(e.get(first), e.c(0x1f3f)), e.c(0x40)));
  e.setStatusWord(e.and(e.get(status), e.c(0x7f7f)));
  const bits = e.let(e.not(e.and(e.get(second), e.shru(e.get(second), e.c(1)))));
  // every other bit
  for (const [by, kept] of [
    [0, 0x5555],
    [1, 0x3333],
    [2, 0x0f0f],
    [4, 0x00ff],
  ] as const)
    e.set(bits, e.and(e.or(e.shru(e.get(bits), e.c(by)), bits), e.c(kept)));
  e.setUsed(e.get(bits));
  e.setLastOpcode(e.and(e.shru(e.get(third), e.c(48)), e.c(0x7ff)));
  e.setLastOffset(e.zx(third, 4));
  e.setLastOperand(e.zx(e.lane64(e.vread(0), 1), 4));
}

export const X87_ENVIRONMENT: readonly Routine[] = [
  routine('environment', environment),
  routine('environmentEnd', environmentEnd),
  routine('masked', masked),
  routine('inPage', inPage),
  routine('takeEnvironment', takeEnvironment),
];
