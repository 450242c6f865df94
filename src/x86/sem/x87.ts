/** x87 instructions' plain cases as routines; which stands for what is in interp/lower-x87.ts. @spec SDM 2, SDM 1 8 */
import { CF, unpackStatus, ZF } from '../flags.ts';
import { type Routine, routine } from './routine.ts';
import type { V64, Var } from './sem.ts';
import { add, compare, divide, multiply, slowUnlessPlain } from './x87-number.ts';
import {
  BIAS,
  CODE,
  EXPONENT,
  FIELD,
  field,
  KIND,
  kindOf,
  type Num,
  SIGN,
  TOP_BIT,
  Unit,
  type UnitSem,
} from './x87-unit.ts';

// --- from memory ---------------------------------------------------------------------------------------------------------

/** Widens a format with `fraction` bits; infinities, NaNs and denormals are for the helper. */
function widen(e: UnitSem, bits: V64, fraction: number, bias: number, n: Num): void {
  const v = e.let(bits);
  const exp = e.let(e.and(e.shru(e.get(v), e.c(fraction)), e.c(2 * bias + 1)));
  const magnitude = e.let(e.shl(e.get(v), e.c(64 - fraction)));
  const sign = e.let(e.and(e.shru(e.get(v), e.c(fraction === 52 ? 48 : 16)), e.c(SIGN)));
  e.set(n.se, e.get(sign));
  e.set(n.sig, e.get(magnitude));
  e.if(e.ne(e.or(exp, magnitude), e.c(0)), () => {
    e.slowIf(e.notBool(e.ltu(e.sub(e.get(exp), e.c(1)), e.c(2 * bias))));
    e.set(n.se, e.or(e.add(e.get(exp), e.c(BIAS - bias)), sign));
    e.set(n.sig, e.or(e.shru(e.get(magnitude), e.c(1)), e.big(TOP_BIT)));
  });
}
export function fromInteger(e: UnitSem, value: V64, n: Num): void {
  const v = e.let(value);
  const sign = e.let(e.shru(e.get(v), e.c(63)));
  const minus = e.let(e.sub(e.c(0), v));
  const size = e.let(e.select(minus, v, e.ne(e.get(sign), e.c(0))));
  e.set(n.se, e.c(0));
  e.set(n.sig, e.get(size));
  e.if(e.ne(e.get(size), e.c(0)), () => {
    const zeros = e.let(e.clz(size));
    e.set(n.sig, e.shl(size, zeros));
    e.set(n.se, e.or(e.sub(e.c(BIAS + 63), zeros), e.shl(e.get(sign), e.c(15))));
  });
}
/** What the source of an instruction holds. */
function source(u: Unit, st: Var): Num {
  const { e } = u;
  const n: Num = { se: e.let(e.c(0)), sig: e.let(e.c(0)) };
  const kind = e.let(kindOf(e));
  const inRegister = (): void => {
    u.slowIfEmpty(st);
    e.set(n.se, e.signExponent(st));
    e.set(n.sig, e.significand(st));
  };
  e.if(e.eqz(kind), inRegister, () => notInRegister(e, kind, n));
  return n;
}
function notInRegister(e: UnitSem, kind: Var, n: Num): void {
  const when = (k: number, run: () => void): void => e.if(e.eq(e.get(kind), e.c(k)), run);
  when(KIND.f32, () => widen(e, e.readAt(0, 4), 23, 127, n));
  when(KIND.f64, () => widen(e, e.readAt(0, 8), 52, 1023, n));
  when(KIND.f80, () => {
    e.set(n.sig, e.readAt(0, 8));
    e.set(n.se, e.zx(e.readAt(8, 2), 2));
  });
  when(KIND.i16, () => fromInteger(e, e.readAt(0, 2), n));
  when(KIND.i32, () => fromInteger(e, e.readAt(0, 4), n));
  when(KIND.i64, () => fromInteger(e, e.readAt(0, 8), n));
  when(KIND.constant, () => {
    const one = e.let(e.and(e.shru(e.imm(), e.c(Math.log2(FIELD.first))), e.c(1)));
    e.set(n.se, e.mul(e.get(one), e.c(BIAS)));
    e.set(n.sig, e.shl(e.get(one), e.c(63)));
  });
}
function fld(e: UnitSem): void {
  const u = new Unit(e);
  const n = source(u, u.named);
  const to = u.push();
  e.setRegister(to, n);
  u.endWithSource();
}

// --- arithmetic ----------------------------------------------------------------------------------------------------------

type Operation = (u: Unit, to: Var, a: Num, b: Num) => void;
/** Destination and source, both plain, in the order in which `order` wants them. */
const binary =
  (operation: Operation, order: (u: Unit, a: Num, b: Num) => readonly [Num, Num]) =>
  (e: UnitSem): void => {
    const u = new Unit(e);
    u.slowUnlessUsual();
    const to = e.let(e.select(u.named, u.top, field(e, FIELD.toRegister)));
    const from = e.let(e.select(u.top, u.named, field(e, FIELD.toRegister)));
    u.slowIfEmpty(to);
    const d = u.get(to);
    const s = source(u, from);
    slowUnlessPlain(e, d);
    slowUnlessPlain(e, s);
    const [a, b] = order(u, d, s);
    operation(u, to, a, b);
    u.popIf(FIELD.pop);
    u.endWithSource();
  };
/** SUB turns the source's sign over, SUBR the destination's. */
function signed({ e }: Unit, d: Num, s: Num): readonly [Num, Num] {
  const turned = (n: Num, bit: number): Num => {
    const turn = e.mul(e.bool(field(e, bit)), e.c(SIGN));
    return { se: e.let(e.xor(turn, n.se)), sig: n.sig };
  };
  return [turned(d, FIELD.first), turned(s, FIELD.second)];
}
/** DIVR swaps them. */
function ordered({ e }: Unit, d: Num, s: Num): readonly [Num, Num] {
  const pick = (x: Num, y: Num): Num => ({
    se: e.let(e.select(x.se, y.se, field(e, FIELD.first))),
    sig: e.let(e.select(x.sig, y.sig, field(e, FIELD.first))),
  });
  return [pick(s, d), pick(d, s)];
}

/** To condition codes, or to EFLAGS; what is not a plain number is for the helper. */
const comparison =
  (toFlags: boolean) =>
  (e: UnitSem): void => {
    const u = new Unit(e);
    u.slowIfEmpty(u.top);
    const a = u.get(u.top);
    const b = source(u, u.named);
    slowUnlessPlain(e, a);
    slowUnlessPlain(e, b);
    const order = compare(e, a, b);
    const less = e.bool(e.lts(e.get(order), e.c(0)));
    const codes = e.let(
      e.or(
        e.mul(less, e.c(toFlags ? CF : CODE.c0)),
        e.mul(e.bool(e.eqz(order)), e.c(toFlags ? ZF : CODE.c3)),
      ),
    );
    if (toFlags) unpackStatus(e, codes);
    else u.setCodes(codes);
    u.popIf(FIELD.pop);
    if (!toFlags) u.popIf(FIELD.popTwice);
    u.endWithSource(toFlags);
  };

// --- the rest ------------------------------------------------------------------------------------------------------------

/** FST and FSTP to a register. */
function fst(e: UnitSem): void {
  const u = new Unit(e);
  u.slowIfEmpty(u.top);
  e.setRegister(u.named, u.get(u.top));
  u.mark(u.named);
  u.popIf(FIELD.pop);
  u.end();
}
function fxch(e: UnitSem): void {
  const u = new Unit(e);
  u.slowIfEmpty(u.top);
  u.slowIfEmpty(u.named);
  const a = u.get(u.top);
  const b = u.get(u.named);
  e.setRegister(u.top, b);
  e.setRegister(u.named, a);
  u.end();
}
/** FCHS, and FABS by the first bit. */
function sign(e: UnitSem): void {
  const u = new Unit(e);
  u.slowIfEmpty(u.top);
  const n = u.get(u.top);
  const turned = e.let(e.xor(e.get(n.se), e.c(SIGN)));
  const cleared = e.let(e.and(e.get(n.se), e.c(EXPONENT)));
  e.setRegister(u.top, { se: e.let(e.select(cleared, turned, field(e, FIELD.first))), sig: n.sig });
  u.end();
}

export const X87_ROUTINES: readonly Routine[] = [
  routine('fld', fld),
  routine('fadd', binary(add, signed)),
  routine(
    'fmul',
    binary(multiply, (_u, d, s) => [d, s]),
  ),
  routine('fdiv', binary(divide, ordered)),
  routine('fcom', comparison(false)),
  routine('fcomi', comparison(true)),
  routine('fst', fst),
  routine('fxch', fxch),
  routine('sign', sign),
];
