/** Arithmetic instructions: operands from the stack and memory, results to the stack. */
import { OPK } from '../../../x86/insn.ts';
import {
  add,
  divide,
  extract,
  multiply,
  type Remainder,
  remainder,
  roundToInteger,
  scale,
  squareRoot,
  subtract,
} from './arith.ts';
import { fromFloat, fromInteger } from './convert.ts';
import { type Context, type F80, FX, INDEFINITE, isNan, kindOf, withSign } from './float80.ts';
import { CC, SW, type Unit } from './unit.ts';

export type Operation = (x: Context, a: F80, b: F80) => F80;
const swapped =
  (f: Operation): Operation =>
  (x, a, b) =>
    f(x, b, a);

/** What the names of the arithmetic families begin with. */
export const BINARY = {
  fadd: add,
  fmul: multiply,
  fsub: subtract,
  fsubr: swapped(subtract),
  fdiv: divide,
  fdivr: swapped(divide),
} as const satisfies Record<string, Operation>;

/** The memory operand as a value; `denormal` if it was one in its own format. */
export function memoryOperand(u: Unit, integer: boolean): { value: F80; denormal: boolean } {
  const { c, i } = u;
  const { size } = i.operands[0];
  const bits = c.read(c.ea(i), size);
  if (integer) return { value: fromInteger(BigInt.asIntN(8 * size, bits)), denormal: false };
  return fromFloat(bits, size as 4 | 8);
}

/** FADD and its like: ST0 with memory, or two registers, popping or not. */
export function binary(u: Unit, f: Operation, integer: boolean, pop: boolean): void {
  const [d, s] = u.i.operands;
  const source = d.kind === OPK.mem ? memoryOperand(u, integer) : undefined;
  const to = source ? 0 : d.reg;
  if (u.lacks(to, to, source ? to : s.reg)) {
    if (pop && u.fcw & FX.IE) u.pop();
    return;
  }
  const v = f(u.x, u.get(to), source ? source.value : u.get(s.reg));
  if (source?.denormal && !isNan(kindOf(v)) && !(u.x.flags & FX.ZE)) u.x.raise(FX.DE);
  if (u.result(to, v) && pop) u.pop();
}

/** Instructions on ST0 alone. */
export function unary(u: Unit, f: (x: Context, a: F80) => F80): void {
  if (!u.lacks(0, 0)) u.result(0, f(u.x, u.get(0)));
}
export const sqrt = (u: Unit): void => unary(u, squareRoot);
export const rndint = (u: Unit): void => unary(u, roundToInteger);
export const changeSign = (u: Unit): void => unary(u, (_x, a) => withSign(a, a.sign ^ 1));
export const absolute = (u: Unit): void => unary(u, (_x, a) => withSign(a, 0));

export function fscale(u: Unit): void {
  if (!u.lacks(0, 0, 1)) u.result(0, scale(u.x, u.get(0), u.get(1)));
}

/** FPREM, FPREM1: the quotient's low bits in C0, C3, C1; C2 when there is more to reduce. */
export function fprem(u: Unit, nearest: boolean): void {
  u.fsw &= ~SW.C2;
  if (u.lacks(0, 0, 1)) return;
  const r: Remainder = remainder(u.x, u.get(0), u.get(1), nearest);
  if (!u.result(0, r.value) || isNan(kindOf(r.value))) return;
  u.fsw &= ~(CC | SW.C1);
  if (r.partial) u.fsw |= SW.C2;
  if (r.quotient & 1) u.fsw |= SW.C1;
  if (r.quotient & 2) u.fsw |= SW.C3;
  if (r.quotient & 4) u.fsw |= SW.C0;
}

/** Replaces ST0 and pushes, or puts the indefinite in both places; false: stack fault. */
export function roomToPush(u: Unit): boolean {
  const under = u.empty(0);
  if (!under && u.empty(-1)) return true;
  if (u.stackFault(!under)) {
    u.set(0, INDEFINITE);
    u.push(INDEFINITE);
  }
  return false;
}

export function fxtract(u: Unit): void {
  if (!roomToPush(u)) return;
  const { exponent, significand } = extract(u.x, u.get(0));
  if (u.result(0, exponent)) u.push(significand);
}
