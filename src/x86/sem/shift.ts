/** Shifts and rotates. @spec SDM 2 SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD */
import { carry, flagsFrom, putFlags } from '../flags.ts';
import { type Fn, msb, setCarryOverflow } from './common.ts';
import type { Sem, Size, Var } from './sem.ts';

/** Runs `then` unless the masked count is 0; a 32-bit destination is written (and so widened) in any case. */
export function shift(body: (e: Sem, z: Size, a: Var, n: Var) => void): Fn {
  return (e, z) => {
    const known = e.known?.(1);
    const mask = z === 8 ? 63 : 31;
    const n = e.let(known === undefined ? e.and(e.low(1, 1), e.c(mask)) : e.c(known & mask));
    const a = e.let(e.zx(e.low(0, z), z));
    const then = (): void => body(e, z, a, n);
    unlessZero(e, z, n, known, then, () => e.write(z, a));
  };
}
/** One or the other, by whether the count is 0; which is known beforehand where the count is. */
function unlessZero(
  e: Sem,
  z: Size,
  n: Var,
  count: number | undefined,
  then: () => void,
  otherwise: () => void,
): void {
  if (count === undefined) e.if(e.ne(e.get(n), e.c(0)), then, otherwise);
  else if ((count & (z === 8 ? 63 : 31)) === 0) otherwise();
  else then();
}

export const shl = shift((e, z, a, n) => {
  const wide = e.let(e.shl(a, n));
  const r = e.let(e.sx(wide, z));
  e.write(z, r);
  const flags = (): void => {
    const cf = e.let(
      z === 8
        ? e.and(e.shru(e.get(a), e.sub(e.c(64), n)), e.c(1))
        : e.and(e.shru(e.get(wide), e.c(8 * z)), e.c(1)),
    );
    const of = e.let(e.xor(msb(e, r, z), cf));
    flagsFrom(e, r, cf, of);
  };
  putFlags(e, [a, n, wide, r], flags, { kind: 'result', z, r });
});
export const shr = shift((e, z, a, n) => {
  const r = e.let(e.sx(e.shru(a, n), z));
  e.write(z, r);
  const flags = (): void => {
    const cf = e.let(e.and(e.shru(e.get(a), e.sub(e.get(n), e.c(1))), e.c(1)));
    const of = e.let(msb(e, a, z));
    flagsFrom(e, r, cf, of);
  };
  putFlags(e, [a, n, r], flags, { kind: 'result', z, r });
});
export const sar = shift((e, z, a, n) => {
  const s = e.let(e.sx(a, z));
  const r = e.let(e.sx(e.shrs(s, n), z));
  e.write(z, r);
  const flags = (): void => {
    const cf = e.let(e.and(e.shrs(e.get(s), e.sub(e.get(n), e.c(1))), e.c(1)));
    const of = e.let(e.c(0));
    flagsFrom(e, r, cf, of);
  };
  putFlags(e, [s, n, r], flags, { kind: 'result', z, r });
});

/** ROL and ROR by n modulo the width; for both OF follows from the result's top bits. */
export function rotate(left: boolean): Fn {
  return shift((e, z, a, n) => {
    const bits = 8 * z;
    const m = e.let(e.and(e.get(n), e.c(bits - 1)));
    const back = e.let(e.and(e.sub(e.c(bits), m), e.c(bits - 1)));
    const up = left ? m : back;
    const down = left ? back : m;
    const r = e.let(z === 4 ? e.rotl32(a, up) : e.or(e.shl(a, up), e.shru(a, down)));
    e.write(z, r);
    const flags = (): void => {
      const top = e.let(msb(e, r, z));
      const low = e.let(e.and(e.get(r), e.c(1)));
      const of = e.let(left ? e.xor(top, low) : e.xor(e.and(e.shru(e.get(r), e.c(bits - 2)), e.c(1)), top));
      setCarryOverflow(e, left ? low : top, of);
    };
    putFlags(e, [r], flags, undefined, true);
  });
}

/** RCL and RCR below 64 bits: a rotation of the 8z+1 bits CF:operand. */
export function rotateCarryNarrow(e: Sem, z: Size, left: boolean, a: Var, n: Var): void {
  const w = 8 * z + 1;
  const m = e.let(e.remu(e.get(n), e.c(w)));
  const v = e.let(e.or(e.get(a), e.shl(carry(e), e.c(8 * z))));
  const back = e.let(e.sub(e.c(w), m));
  const up = left ? m : back;
  const down = left ? back : m;
  const r = e.let(e.and(e.or(e.shl(v, up), e.shru(v, down)), e.big((1n << BigInt(w)) - 1n)));
  e.write(z, r);
  finishRotateCarry(e, z, left, r, e.let(e.shru(e.get(r), e.c(8 * z))));
}
export function rotateCarryWide(e: Sem, left: boolean, a: Var, n: Var): void {
  const back = e.let(e.sub(e.c(64), n));
  const c = e.let(carry(e));
  const less = e.let(e.sub(e.get(n), e.c(1)));
  const cf = left ? e.let(e.and(e.shru(a, back), e.c(1))) : e.let(e.and(e.shru(a, less), e.c(1)));
  const main = left
    ? e.or(e.or(e.shl(a, n), e.shl(c, less)), e.shru(e.shru(e.get(a), e.c(1)), back))
    : e.or(e.or(e.shru(a, n), e.shl(c, back)), e.shl(e.shl(e.get(a), e.c(1)), back));
  const r = e.let(main);
  e.write(8, r);
  finishRotateCarry(e, 8, left, r, cf);
}
export function finishRotateCarry(e: Sem, z: Size, left: boolean, r: Var, cf: Var): void {
  const top = e.let(msb(e, r, z));
  const second = e.and(e.shru(e.get(r), e.c(8 * z - 2)), e.c(1));
  const of = left ? e.let(e.xor(second, top)) : e.let(e.xor(second, top));
  if (left) setCarryOverflow(e, cf, e.let(e.xor(top, cf)));
  else setCarryOverflow(e, cf, of);
}
export const rotateCarry = (left: boolean): Fn =>
  shift((e, z, a, n) => (z === 8 ? rotateCarryWide(e, left, a, n) : rotateCarryNarrow(e, z, left, a, n)));

/** SHLD and SHRD; a count beyond a 16-bit operand has an undefined result, here that of the 48-bit shift. */
export function doubleShift(left: boolean): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.low(2, 1), e.c(z === 8 ? 63 : 31)));
    const a = e.let(e.zx(e.low(0, z), z));
    const b = e.let(e.zx(e.low(1, z), z));
    const bits = 8 * z;
    unlessZero(
      e,
      z,
      n,
      e.known?.(2),
      () => {
        const back = e.let(e.sub(e.c(bits), n));
        const r = e.let(
          e.sx(left ? e.or(e.shl(a, n), e.shru(b, back)) : e.or(e.shru(a, n), e.shl(b, back)), z),
        );
        const out = left ? back : e.let(e.sub(e.get(n), e.c(1)));
        const cf = e.let(e.and(e.shru(a, out), e.c(1)));
        e.write(z, r);
        const of = e.let(e.and(e.shru(e.xor(r, a), e.c(bits - 1)), e.c(1)));
        flagsFrom(e, r, cf, of);
      },
      () => e.write(z, a),
    );
  };
}
