/**
 * Integer instructions. @spec SDM 2; undefined flags are left as the simplest form gives them.
 *
 * Each entry says how operand 0 is accessed, so that the engine makes (and faults) the access first.
 */
import {
  carry,
  condition,
  flagsAdd,
  flagsFrom,
  flagsKeepCarry,
  flagsLogic,
  flagsSub,
  packCarry,
  packStatus,
  setCarry,
  unpackStatus,
} from '../flags.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

export type Access = 'r' | 'w' | 'rw' | 'none';
export interface Semantics {
  /** Access to operand 0; operand 1 and later are read. */
  readonly dst: Access;
  /** z: operand size; s: source size where it differs (MOVZX) or the condition code. */
  readonly fn: (e: Sem, z: Size, s: number) => void;
}

const TOP2 = -0x4000_0000_0000_0000n;
const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;

type Fn = Semantics['fn'];
const sem = (dst: Access, fn: Fn): Semantics => ({ dst, fn });

const binary =
  (
    compute: (e: Sem, a: Var, b: Var) => V64,
    flags: (e: Sem, z: Size, a: Var, b: Var, r: Var) => void,
    keep: boolean,
  ): Fn =>
  (e, z) => {
    const a = e.let(e.read(0, z));
    const b = e.let(e.read(1, z));
    const r = e.let(e.sx(compute(e, a, b), z));
    if (keep) e.write(z, r);
    flags(e, z, a, b, r);
  };
const logic = (e: Sem, _z: Size, _a: Var, _b: Var, r: Var): void => flagsLogic(e, r);

/** Only CF and OF change. */
function setCarryOverflow(e: Sem, cf: Var, of: Var): void {
  const kept = e.and(e.flagVec(), e.big(~TOP2));
  const vec = e.let(e.or(kept, packCarry(e, cf, of)));
  e.setFlags(e.flagRes(), e.get(vec));
}

const msb = (e: Sem, v: Var, z: Size): V64 => e.and(e.shru(e.get(v), e.c(8 * z - 1)), e.c(1));

/** Runs `then` unless the masked count is 0; a 32-bit destination is written (and so widened) in any case. */
function shift(body: (e: Sem, z: Size, a: Var, n: Var) => void): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(1, 1), e.c(z === 8 ? 63 : 31)));
    const a = e.let(e.zx(e.read(0, z), z));
    e.if(
      e.ne(e.get(n), e.c(0)),
      () => body(e, z, a, n),
      () => e.write(z, a),
    );
  };
}

const shl = shift((e, z, a, n) => {
  const wide = e.let(e.shl(a, n));
  const r = e.let(e.sx(wide, z));
  e.write(z, r);
  const cf = e.let(
    z === 8
      ? e.and(e.shru(e.get(a), e.sub(e.c(64), n)), e.c(1))
      : e.and(e.shru(e.get(wide), e.c(8 * z)), e.c(1)),
  );
  const of = e.let(e.xor(msb(e, r, z), cf));
  flagsFrom(e, r, cf, of);
});
const shr = shift((e, z, a, n) => {
  const r = e.let(e.sx(e.shru(a, n), z));
  e.write(z, r);
  const cf = e.let(e.and(e.shru(e.get(a), e.sub(e.get(n), e.c(1))), e.c(1)));
  const of = e.let(msb(e, a, z));
  flagsFrom(e, r, cf, of);
});
const sar = shift((e, z, a, n) => {
  const s = e.let(e.sx(a, z));
  const r = e.let(e.sx(e.shrs(s, n), z));
  e.write(z, r);
  const cf = e.let(e.and(e.shrs(e.get(s), e.sub(e.get(n), e.c(1))), e.c(1)));
  const of = e.let(e.c(0));
  flagsFrom(e, r, cf, of);
});

/** ROL and ROR by n modulo the width; for both OF follows from the result's top bits. */
function rotate(left: boolean): Fn {
  return shift((e, z, a, n) => {
    const bits = 8 * z;
    const m = e.let(e.and(e.get(n), e.c(bits - 1)));
    const back = e.let(e.and(e.sub(e.c(bits), m), e.c(bits - 1)));
    const up = left ? m : back;
    const down = left ? back : m;
    const r = e.let(e.or(e.shl(a, up), e.shru(a, down)));
    e.write(z, r);
    const top = e.let(msb(e, r, z));
    const low = e.let(e.and(e.get(r), e.c(1)));
    const cf = left ? low : top;
    const second = e.and(e.shru(e.get(r), e.c(bits - 2)), e.c(1));
    const of = e.let(e.xor(second, top));
    if (left) setCarryOverflow(e, cf, e.let(e.xor(top, low)));
    else setCarryOverflow(e, cf, of);
  });
}

/** RCL and RCR below 64 bits: a rotation of the 8z+1 bits CF:operand. */
function rotateCarryNarrow(e: Sem, z: Size, left: boolean, a: Var, n: Var): void {
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
function rotateCarryWide(e: Sem, left: boolean, a: Var, n: Var): void {
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
function finishRotateCarry(e: Sem, z: Size, left: boolean, r: Var, cf: Var): void {
  const top = e.let(msb(e, r, z));
  const second = e.and(e.shru(e.get(r), e.c(8 * z - 2)), e.c(1));
  const of = left ? e.let(e.xor(second, top)) : e.let(e.xor(second, top));
  if (left) setCarryOverflow(e, cf, e.let(e.xor(top, cf)));
  else setCarryOverflow(e, cf, of);
}
const rotateCarry = (left: boolean): Fn =>
  shift((e, z, a, n) => (z === 8 ? rotateCarryWide(e, left, a, n) : rotateCarryNarrow(e, z, left, a, n)));

/** SHLD and SHRD; a count beyond a 16-bit operand has an undefined result, here that of the 48-bit shift. */
function doubleShift(left: boolean): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(2, 1), e.c(z === 8 ? 63 : 31)));
    const a = e.let(e.zx(e.read(0, z), z));
    const b = e.let(e.zx(e.read(1, z), z));
    const bits = 8 * z;
    e.if(
      e.ne(e.get(n), e.c(0)),
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

/** High 64 bits of an unsigned product, from four 32-bit ones. */
function mulHigh(e: Sem, a: Var, b: Var): V64 {
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
function mulHighSigned(e: Sem, a: Var, b: Var): V64 {
  const h = mulHigh(e, a, b);
  return e.sub(e.sub(h, e.and(e.shrs(e.get(a), e.c(63)), b)), e.and(e.shrs(e.get(b), e.c(63)), a));
}

/** One-operand MUL and IMUL. */
function mulAcc(signed: boolean): Fn {
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
function imul(x: number, y: number): Fn {
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
function dividend(e: Sem, z: Size, signed: boolean): Var {
  if (z === 1) return e.let(signed ? e.reg(RAX, 2) : e.zx(e.reg(RAX, 2), 2));
  const wide = e.let(e.or(e.shl(e.zx(e.reg(RDX, z), z), e.c(8 * z)), e.zx(e.reg(RAX, z), z)));
  return z === 2 && signed ? e.let(e.sx(wide, 4)) : wide;
}
function divide(signed: boolean): Fn {
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

/** BT and its writing forms; the bit offset is taken modulo the size, the engine has moved the address before. */
function bitOp(change: ((e: Sem, a: Var, bit: Var) => V64) | undefined): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(1, z), e.c(8 * z - 1)));
    const a = e.let(e.read(0, z));
    const cf = e.let(e.and(e.shru(a, n), e.c(1)));
    if (change) {
      const bit = e.let(e.shl(e.c(1), n));
      e.write(z, change(e, a, bit));
    }
    setCarry(e, cf);
  };
}
function lockedBitOp(op: 'or' | 'and' | 'xor'): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(1, z), e.c(8 * z - 1)));
    const bit = e.let(e.shl(e.c(1), n));
    const mask = op === 'and' ? e.let(e.not(bit)) : bit;
    const old = e.let(e.atomic(op, z, mask));
    setCarry(e, e.let(e.and(e.shru(old, n), e.c(1))));
  };
}

const zeroFlagOnly = (e: Sem, r: Var, cf: Var): void => {
  const of = e.let(e.c(0));
  flagsFrom(e, r, cf, of);
};
/** BSF and BSR: a zero source leaves the destination. */
function bitScan(find: (e: Sem, a: Var) => V64): Fn {
  return (e, z) => {
    const a = e.let(e.zx(e.read(1, z), z));
    const none = e.let(e.c(0));
    e.if(e.ne(e.get(a), e.c(0)), () => e.write(z, find(e, a)));
    zeroFlagOnly(e, a, none);
  };
}
const tzcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const guarded = z === 8 ? e.get(a) : e.or(e.get(a), e.big(1n << BigInt(8 * z)));
  const r = e.let(e.ctz(guarded));
  e.write(z, r);
  zeroFlagOnly(e, r, e.let(e.bool(e.eqz(a))));
};
const lzcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const r = e.let(e.sub(e.clz(a), e.c(64 - 8 * z)));
  e.write(z, r);
  zeroFlagOnly(e, r, e.let(e.bool(e.eqz(a))));
};
const popcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  e.write(z, e.popcnt(a));
  const r = e.let(e.bool(e.ne(e.get(a), e.c(0))));
  // all flags but ZF are cleared: PF too, which a result of 0 or 1 cannot say by itself for 0
  e.setFlags(e.get(r), e.shl(e.xor(e.get(r), e.c(1)), e.c(8)));
};

const xadd: Fn = (e, z) => {
  const a = e.let(e.read(0, z));
  const b = e.let(e.read(1, z));
  const r = e.let(e.sx(e.add(a, b), z));
  e.writeSrc(z, a);
  e.write(z, r);
  flagsAdd(e, z, a, b, r);
};
const cmpxchg: Fn = (e, z) => {
  const acc = e.let(e.reg(RAX, z));
  const old = e.let(e.read(0, z));
  const src = e.let(e.read(1, z));
  const r = e.let(e.sx(e.sub(acc, old), z));
  e.if(
    e.eqz(r),
    () => e.write(z, src),
    () => e.setReg(RAX, z, old),
  );
  flagsSub(e, z, acc, old, r);
};
const lockedCmpxchg: Fn = (e, z) => {
  const acc = e.let(e.reg(RAX, z));
  const src = e.let(e.read(1, z));
  const old = e.let(e.atomicCmpxchg(z, acc, src));
  const r = e.let(e.sx(e.sub(acc, old), z));
  e.if(e.ne(e.get(r), e.c(0)), () => e.setReg(RAX, z, old));
  flagsSub(e, z, acc, old, r);
};
/** CMPXCHG8B (z 4) and 16B (z 8): two halves; only ZF changes. */
const cmpxchgPair: Fn = (e, z) => {
  if (z === 8) e.slowIf(e.ne(e.and(e.linearAddress(), e.c(15)), e.c(0)));
  const lo = e.let(e.memRead(0, z));
  const hi = e.let(e.memRead(z, z));
  const same = e.let(
    e.bool(e.andBool(e.eq(e.reg(RAX, z), e.let(e.get(lo))), e.eq(e.reg(RDX, z), e.let(e.get(hi))))),
  );
  e.if(
    e.ne(e.get(same), e.c(0)),
    () => {
      e.memWrite(0, z, e.reg(RBX, z));
      e.memWrite(z, z, e.reg(RCX, z));
    },
    () => {
      e.memWrite(0, z, lo);
      e.memWrite(z, z, hi);
      e.setReg(RAX, z, lo);
      e.setReg(RDX, z, hi);
    },
  );
  const zfBit = e.shl(e.get(same), e.c(6));
  const flags = e.let(e.or(e.and(packStatus(e), e.c(~0x40)), e.let(zfBit)));
  unpackStatus(e, flags);
};

function swapBytes(e: Sem, a: Var, z: Size): V64 {
  const step = (v: Var, mask: bigint, by: number): Var =>
    e.let(e.or(e.shl(e.and(e.get(v), e.big(mask)), e.c(by)), e.and(e.shru(e.get(v), e.c(by)), e.big(mask))));
  const b = step(a, 0x00ff_00ff_00ff_00ffn, 8);
  const w = step(b, 0x0000_ffff_0000_ffffn, 16);
  const all = e.rotl(e.get(w), e.c(32));
  return z === 8 ? all : e.shru(all, e.c(64 - 8 * z));
}

const lockedBinary =
  (op: 'add' | 'sub' | 'and' | 'or' | 'xor'): Fn =>
  (e, z) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.atomic(op, z, b));
    const r = e.let(e.sx(e[op](a, b), z));
    if (op === 'add') flagsAdd(e, z, a, b, r);
    else if (op === 'sub') flagsSub(e, z, a, b, r);
    else flagsLogic(e, r);
  };
const lockedStep =
  (op: 'add' | 'sub'): Fn =>
  (e, z) => {
    const one = e.let(e.c(1));
    const a = e.let(e.atomic(op, z, one));
    const r = e.let(e.sx(e[op](a, one), z));
    flagsKeepCarry(e, z, a, one, r, op === 'sub');
  };
const step =
  (op: 'add' | 'sub'): Fn =>
  (e, z) => {
    const one = e.let(e.c(1));
    const a = e.let(e.read(0, z));
    const r = e.let(e.sx(e[op](a, one), z));
    e.write(z, r);
    flagsKeepCarry(e, z, a, one, r, op === 'sub');
  };

const IF_BIT = 0x200;
const TF_BIT = 0x100;
/** What POPF at CPL 0 may change besides the status flags: TF IF DF IOPL NT AC ID. */
const POPF_MASK = 0x247700;

/** Keyed by mnemonic; `lock.` prefixes the atomic memory form. */
export const INTEGER: Readonly<Record<string, Semantics>> = {
  add: sem(
    'rw',
    binary((e, a, b) => e.add(a, b), flagsAdd, true),
  ),
  adc: sem(
    'rw',
    binary((e, a, b) => e.add(e.add(a, b), e.let(carry(e))), flagsAdd, true),
  ),
  sub: sem(
    'rw',
    binary((e, a, b) => e.sub(a, b), flagsSub, true),
  ),
  sbb: sem(
    'rw',
    binary((e, a, b) => e.sub(e.sub(a, b), e.let(carry(e))), flagsSub, true),
  ),
  cmp: sem(
    'r',
    binary((e, a, b) => e.sub(a, b), flagsSub, false),
  ),
  and: sem(
    'rw',
    binary((e, a, b) => e.and(a, b), logic, true),
  ),
  or: sem(
    'rw',
    binary((e, a, b) => e.or(a, b), logic, true),
  ),
  xor: sem(
    'rw',
    binary((e, a, b) => e.xor(a, b), logic, true),
  ),
  test: sem(
    'r',
    binary((e, a, b) => e.and(a, b), logic, false),
  ),
  mov: sem('w', (e, z) => e.write(z, e.read(1, z))),
  movzx: sem('w', (e, z, s) => e.write(z, e.zx(e.read(1, s as Size), s as Size))),
  movsx: sem('w', (e, z, s) => e.write(z, e.read(1, s as Size))),
  lea: sem('w', (e, z) => e.write(z, e.effectiveAddress())),
  inc: sem('rw', step('add')),
  dec: sem('rw', step('sub')),
  neg: sem('rw', (e, z) => {
    const zero = e.let(e.c(0));
    const a = e.let(e.read(0, z));
    const r = e.let(e.sx(e.sub(zero, a), z));
    e.write(z, r);
    flagsSub(e, z, zero, a, r);
  }),
  not: sem('rw', (e, z) => e.write(z, e.not(e.read(0, z)))),
  shl: sem('rw', shl),
  shr: sem('rw', shr),
  sar: sem('rw', sar),
  rol: sem('rw', rotate(true)),
  ror: sem('rw', rotate(false)),
  rcl: sem('rw', rotateCarry(true)),
  rcr: sem('rw', rotateCarry(false)),
  shld: sem('rw', doubleShift(true)),
  shrd: sem('rw', doubleShift(false)),
  mul: sem('r', mulAcc(false)),
  imul1: sem('r', mulAcc(true)),
  imul2: sem('rw', imul(0, 1)),
  imul3: sem('w', imul(1, 2)),
  div: sem('r', divide(false)),
  idiv: sem('r', divide(true)),
  bt: sem('r', bitOp(undefined)),
  bts: sem(
    'rw',
    bitOp((e, a, bit) => e.or(a, bit)),
  ),
  btr: sem(
    'rw',
    bitOp((e, a, bit) => e.and(a, e.let(e.not(bit)))),
  ),
  btc: sem(
    'rw',
    bitOp((e, a, bit) => e.xor(a, bit)),
  ),
  bsf: sem(
    'rw',
    bitScan((e, a) => e.ctz(a)),
  ),
  bsr: sem(
    'rw',
    bitScan((e, a) => e.sub(e.c(63), e.let(e.clz(a)))),
  ),
  tzcnt: sem('w', tzcnt),
  lzcnt: sem('w', lzcnt),
  popcnt: sem('w', popcnt),
  xchg: sem('rw', (e, z) => {
    const a = e.let(e.read(0, z));
    const b = e.let(e.read(1, z));
    e.writeSrc(z, a);
    e.write(z, b);
  }),
  xadd: sem('rw', xadd),
  cmpxchg: sem('rw', cmpxchg),
  cmpxchgPair: sem('rw', cmpxchgPair),
  bswap: sem('rw', (e, z) => e.write(z, swapBytes(e, e.let(e.read(0, z)), z))),
  'lock.add': sem('rw', lockedBinary('add')),
  'lock.sub': sem('rw', lockedBinary('sub')),
  'lock.and': sem('rw', lockedBinary('and')),
  'lock.or': sem('rw', lockedBinary('or')),
  'lock.xor': sem('rw', lockedBinary('xor')),
  'lock.inc': sem('rw', lockedStep('add')),
  'lock.dec': sem('rw', lockedStep('sub')),
  'lock.bts': sem('rw', lockedBitOp('or')),
  'lock.btr': sem('rw', lockedBitOp('and')),
  'lock.btc': sem('rw', lockedBitOp('xor')),
  'lock.xadd': sem('rw', (e, z) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.atomic('add', z, b));
    const r = e.let(e.sx(e.add(a, b), z));
    e.writeSrc(z, a);
    flagsAdd(e, z, a, b, r);
  }),
  'lock.xchg': sem('rw', (e, z) => e.writeSrc(z, e.let(e.atomic('xchg', z, e.let(e.read(1, z)))))),
  'lock.cmpxchg': sem('rw', lockedCmpxchg),
  setcc: sem('w', (e, _z, cc) => e.write(1, e.bool(condition(e, cc)))),
  cmovcc: sem('rw', (e, z, cc) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.read(0, z));
    e.write(z, e.select(b, a, condition(e, cc)));
  }),
  cbw: sem('none', (e, z) => e.setReg(RAX, z, e.reg(RAX, (z >> 1) as Size))),
  cwd: sem('none', (e, z) => e.setReg(RDX, z, e.shrs(e.reg(RAX, z), e.c(63)))),
  lahf: sem('none', (e) => {
    const f = e.let(e.or(packStatus(e), e.c(2)));
    const low = e.let(e.and(e.reg(RAX, 2), e.c(0xff)));
    e.setReg(RAX, 2, e.or(e.get(low), e.shl(e.get(f), e.c(8))));
  }),
  sahf: sem('none', (e) => {
    const ah = e.let(e.and(e.shru(e.reg(RAX, 2), e.c(8)), e.c(0xd5)));
    const f = e.let(e.or(e.and(packStatus(e), e.c(0x800)), e.let(e.get(ah))));
    unpackStatus(e, f);
  }),
  clc: sem('none', (e) => setCarry(e, e.let(e.c(0)))),
  stc: sem('none', (e) => setCarry(e, e.let(e.c(1)))),
  cmc: sem('none', (e) => setCarry(e, e.let(e.xor(carry(e), e.c(1))))),
  cld: sem('none', (e) => e.setFlagsRest(e.and(e.flagsRest(), e.c(~0x400)))),
  std: sem('none', (e) => e.setFlagsRest(e.or(e.flagsRest(), e.c(0x400)))),
  cli: sem('none', (e) => {
    e.slowIf(e.ne(e.cpl(), e.c(0)));
    e.setFlagsRest(e.and(e.flagsRest(), e.c(~IF_BIT)));
  }),
  sti: sem('none', (e) => {
    e.slowIf(e.ne(e.or(e.cpl(), e.irqWindow()), e.c(0)));
    e.setFlagsRest(e.or(e.flagsRest(), e.c(IF_BIT)));
  }),
  pushf: sem('w', (e, z) => {
    e.slowIf(e.ne(e.and(e.flagsRest(), e.c(0x20000)), e.c(0)));
    const f = e.let(e.and(e.or(e.flagsRest(), packStatus(e)), e.c(0xfcffff)));
    e.stackAdd(z, -z);
    e.write(z, f);
  }),
  popf: sem('r', (e, z) => {
    const f = e.let(e.read(0, z));
    // only the kernel's plain use; another CPL, virtual-8086, single-stepping and a waiting interrupt take the helper
    const window = e.bool(e.andBool(e.ne(e.irqWindow(), e.c(0)), e.ne(e.and(e.get(f), e.c(IF_BIT)), e.c(0))));
    e.slowIf(e.ne(e.or(e.or(e.cpl(), e.let(window)), e.let(e.and(e.get(f), e.c(TF_BIT)))), e.c(0)));
    const mask = z === 2 ? POPF_MASK & 0xffff : POPF_MASK;
    e.stackAdd(z, z);
    e.setFlagsRest(e.or(e.and(e.flagsRest(), e.c(~mask)), e.let(e.and(e.get(f), e.c(mask)))));
    unpackStatus(e, f);
  }),
  push: sem('w', (e, z) => {
    const v = e.let(e.read(1, z));
    e.stackAdd(z, -z);
    e.write(z, v);
  }),
  pop: sem('w', (e, z) => {
    const v = e.let(e.read(1, z));
    e.stackAdd(z, z);
    e.write(z, v);
  }),
  leave: sem('r', (e, z) => {
    const v = e.let(e.read(0, z));
    if (z === 8) e.setReg(RSP, 8, e.reg(RBP, 8));
    else e.setReg(RSP, z, e.reg(RBP, z));
    e.stackAdd(z, z);
    e.setReg(RBP, z, v);
  }),
  jmpRel: sem('none', (e) => e.jumpRel()),
  jmp: sem('r', (e, z) => e.jump(e.read(0, z))),
  jcc: sem('none', (e, _z, cc) => e.if(condition(e, cc), () => e.jumpRel())),
  callRel: sem('w', (e, z) => {
    e.stackAdd(z, -z);
    e.write(z, e.nextRip());
    e.jumpRel();
  }),
  call: sem('w', (e, z) => {
    const target = e.let(e.read(1, z));
    e.stackAdd(z, -z);
    e.write(z, e.nextRip());
    e.jump(target);
  }),
  ret: sem('r', (e, z) => {
    const target = e.let(e.read(0, z));
    const more = e.let(e.add(e.imm(), e.c(z)));
    e.stackAddVar(z, more);
    e.jump(target);
  }),
  nop: sem('none', () => {}),
};
