/** Multiplication and division. What may fault or needs 128 bits is left to the helper. @spec SDM 2 MUL, IMUL, DIV, IDIV */
import { type Fn, RAX, RDX, setCarryOverflow } from './common.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

/** High 64 bits of an unsigned product, from four 32-bit ones. */
export function mulHigh(e: Sem, a: Var, b: Var): V64 {
  const lo32 = (v: Var): V64 => e.zx(v, 4);
  const hi32 = (v: Var): V64 => e.shru(e.get(v), e.c(32));
  const a0 = e.let(lo32(a));
  const a1 = e.let(hi32(a));
  const b0 = e.let(lo32(b));
  const b1 = e.let(hi32(b));
  const mid = e.let(e.add(e.mul(a1, b0), e.shru(e.mul(a0, b0), e.c(32))));
  const mid2 = e.let(e.add(e.mul(a0, b1), e.zx(mid, 4)));
  return e.add(e.add(e.mul(a1, b1), e.shru(e.get(mid), e.c(32))), e.shru(e.get(mid2), e.c(32)));
}
export function mulHighSigned(e: Sem, a: Var, b: Var): V64 {
  const h = mulHigh(e, a, b);
  return e.sub(e.sub(h, e.and(e.shrs(e.get(a), e.c(63)), b)), e.and(e.shrs(e.get(b), e.c(63)), a));
}

/** One-operand MUL and IMUL. */
export function mulAcc(signed: boolean): Fn {
  return (e, z) => {
    const ext = (v: V64): V64 => (signed ? v : e.zx(v, z));
    const b = e.let(ext(e.read(0, z)));
    const a = e.let(ext(e.reg(RAX, z)));
    const lo = e.let(e.mul(a, b));
    if (z === 8) {
      const hi = e.let(signed ? mulHighSigned(e, a, b) : mulHigh(e, a, b));
      e.setReg(RAX, 8, lo);
      e.setReg(RDX, 8, hi);
      const sign = signed ? e.shrs(e.get(lo), e.c(63)) : e.c(0);
      const o = e.let(e.bool(e.ne(sign, hi)));
      return setCarryOverflow(e, o, o);
    }
    if (z === 1) e.setReg(RAX, 2, lo);
    else {
      e.setReg(RAX, z, lo);
      e.setReg(RDX, z, e.shru(e.get(lo), e.c(8 * z)));
    }
    const fits = signed ? e.sx(lo, z) : e.zx(lo, z);
    const o = e.let(e.bool(e.ne(fits, lo)));
    setCarryOverflow(e, o, o);
  };
}

/** IMUL r, r/m and IMUL r, r/m, imm: factors are operands x and y. */
export function imul(x: number, y: number): Fn {
  return (e, z) => {
    const a = e.let(e.read(x, z));
    const b = e.let(e.read(y, z));
    const p = e.let(e.mul(a, b));
    const o = e.let(
      z === 8
        ? e.bool(e.ne(e.shrs(e.get(p), e.c(63)), e.let(mulHighSigned(e, a, b))))
        : e.bool(e.ne(e.sx(p, z), p)),
    );
    e.write(z, p);
    setCarryOverflow(e, o, o);
  };
}

/** The dividend of an 8-, 16- or 32-bit division. */
export function dividend(e: Sem, z: Size, signed: boolean): Var {
  if (z === 1) return e.let(signed ? e.reg(RAX, 2) : e.zx(e.reg(RAX, 2), 2));
  const wide = e.let(e.or(e.shl(e.zx(e.reg(RDX, z), z), e.c(8 * z)), e.zx(e.reg(RAX, z), z)));
  return z === 2 && signed ? e.let(e.sx(wide, 4)) : wide;
}
export function divide(signed: boolean): Fn {
  return (e, z) => {
    const d = e.let(signed ? e.read(0, z) : e.zx(e.read(0, z), z));
    e.slowIf(e.eqz(d));
    const n = z === 8 ? e.let(e.reg(RAX, 8)) : dividend(e, z, signed);
    if (z === 8) {
      // 128-bit dividends go to the helper
      const high = signed ? e.shrs(e.get(n), e.c(63)) : e.c(0);
      e.slowIf(e.ne(high, e.let(e.reg(RDX, 8))));
    }
    if (signed) e.slowIf(e.eq(e.get(d), e.c(-1)));
    const q = e.let(signed ? e.divs(n, d) : e.divu(n, d));
    if (z !== 8) e.slowIf(e.ne(signed ? e.sx(q, z) : e.zx(q, z), q));
    const r = e.let(signed ? e.rems(n, d) : e.remu(n, d));
    if (z === 1) {
      e.setReg(RAX, 2, e.or(e.zx(q, 1), e.shl(e.get(r), e.c(8))));
    } else {
      e.setReg(RAX, z, q);
      e.setReg(RDX, z, r);
    }
  };
}
