/**
 * Bit manipulation: BMI1, BMI2 and ADX. PDEP and PEXT are helpers. @spec SDM 2 ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI,
 * MULX, RORX, SARX, ADCX, ADOX; operands are in the order of the manual, undefined flags as the simplest form gives them
 */
import { carry, flagsFrom, flagsLogic, setCarry } from '../flags.ts';
import { OP as X } from '../ops.ts';
import { type Fn, msb, RDX, type Semantics, sem, setCarryOverflow } from './common.ts';
import { mulHigh } from './multiply.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

/** Encoded with VEX, which real and virtual-8086 mode do not have. */
export const VEX_OPS: ReadonlySet<number> = new Set([
  X.andn,
  X.bextr,
  X.blsi,
  X.blsmsk,
  X.blsr,
  X.bzhi,
  X.mulx,
  X.pdep,
  X.pext,
  X.rorx,
  X.sarx,
  X.shlx,
  X.shrx,
]);
/** Their size is their operands', whatever prefixes say. */
export const SIZED_BY_OPERAND: ReadonlySet<number> = new Set([...VEX_OPS, X.adcx, X.adox]);

/** The n lowest bits set; all of them for 64 and more. */
function lowBits(e: Sem, n: Var): V64 {
  const some = e.let(e.sub(e.shl(e.c(1), n), e.c(1)));
  const all = e.let(e.c(-1));
  return e.select(some, all, e.ltu(e.get(n), e.c(64)));
}
const byteOf = (e: Sem, v: Var, at: number): Var => e.let(e.and(e.shru(e.get(v), e.c(at)), e.c(0xff)));

const andn: Fn = (e, z) => {
  const r = e.let(e.and(e.not(e.read(1, z)), e.let(e.read(2, z))));
  e.write(z, r);
  flagsLogic(e, z, r);
};

const bextr: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const control = e.let(e.read(2, z));
  const start = byteOf(e, control, 0);
  const mask = e.let(lowBits(e, byteOf(e, control, 8)));
  const shifted = e.let(e.shru(a, start));
  const none = e.let(e.c(0));
  const from = e.select(shifted, none, e.ltu(e.get(start), e.c(64)));
  const r = e.let(e.and(from, mask));
  e.write(z, r);
  flagsLogic(e, 8, r);
};

const bzhi: Fn = (e, z) => {
  const a = e.let(e.read(1, z));
  const n = byteOf(e, e.let(e.read(2, z)), 0);
  const mask = e.let(lowBits(e, n));
  const r = e.let(e.sx(e.and(a, mask), z));
  e.write(z, r);
  flagsFrom(e, r, e.let(e.bool(e.gtu(e.get(n), e.c(8 * z - 1)))), e.let(e.c(0)));
};

/** Operations on the lowest set bit; CF tells a source of 0, or for BLSI any other. */
function lowest(compute: (e: Sem, a: Var) => V64, carryIfZero: boolean): Fn {
  return (e, z) => {
    const a = e.let(e.read(1, z));
    const r = e.let(e.sx(compute(e, a), z));
    e.write(z, r);
    const cf = e.let(e.bool(carryIfZero ? e.eqz(a) : e.ne(e.get(a), e.c(0))));
    flagsFrom(e, r, cf, e.let(e.c(0)));
  };
}
const minusOne = (e: Sem, a: Var): V64 => e.sub(e.get(a), e.c(1));

/** The high half is written last: it stays where both go to one register. */
const mulx: Fn = (e, z) => {
  const a = e.let(e.zx(e.reg(RDX, z), z));
  const b = e.let(e.zx(e.read(2, z), z));
  const lo = e.let(e.mul(a, b));
  const hi = e.let(z === 8 ? mulHigh(e, a, b) : e.shru(e.get(lo), e.c(8 * z)));
  e.writeSrc(z, lo);
  e.write(z, hi);
};

const rorx: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const n = e.let(e.and(e.read(2, 1), e.c(8 * z - 1)));
  const down = e.let(e.shru(a, n));
  const up = e.let(e.and(e.sub(e.c(8 * z), n), e.c(8 * z - 1)));
  e.write(z, e.or(e.shl(a, up), down));
};

function shift(compute: (e: Sem, z: Size, n: Var) => V64): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(2, z), e.c(8 * z - 1)));
    e.write(z, compute(e, z, n));
  };
}

function addCarry(flag: 'CF' | 'OF'): Fn {
  return (e, z) => {
    const cf = e.let(carry(e));
    const of = e.let(e.xor(e.shru(e.shl(e.flagVec(), e.c(1)), e.c(63)), cf));
    const a = e.let(e.read(0, z));
    const b = e.let(e.read(1, z));
    const r = e.let(e.add(e.add(a, b), flag === 'CF' ? cf : of));
    e.write(z, r);
    const out = e.let(e.or(e.and(a, b), e.and(e.or(a, b), e.not(r))));
    const bit = e.let(msb(e, out, z));
    if (flag === 'CF') setCarry(e, bit);
    else setCarryOverflow(e, cf, bit);
  };
}

export const BMI: Readonly<Record<string, Semantics>> = {
  andn: sem('w', andn),
  bextr: sem('w', bextr),
  bzhi: sem('w', bzhi),
  blsi: sem(
    'w',
    lowest((e, a) => e.and(e.get(a), e.let(e.sub(e.c(0), a))), false),
  ),
  blsmsk: sem(
    'w',
    lowest((e, a) => e.xor(minusOne(e, a), a), true),
  ),
  blsr: sem(
    'w',
    lowest((e, a) => e.and(minusOne(e, a), a), true),
  ),
  mulx: sem('w', mulx),
  rorx: sem('w', rorx),
  shlx: sem(
    'w',
    shift((e, z, n) => e.shl(e.read(1, z), n)),
  ),
  shrx: sem(
    'w',
    shift((e, z, n) => e.shru(e.zx(e.read(1, z), z), n)),
  ),
  sarx: sem(
    'w',
    shift((e, z, n) => e.shrs(e.read(1, z), n)),
  ),
  adcx: sem('rw', addCarry('CF')),
  adox: sem('rw', addCarry('OF')),
};
