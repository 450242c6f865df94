/** Bit tests, bit scans and counts. @spec SDM 2 BT, BSF, TZCNT, LZCNT, POPCNT, BSWAP */
import { flagsFrom, setCarry } from '../flags.ts';
import type { Fn } from './common.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

/** BT and its writing forms; the bit offset is taken modulo the size, the engine has moved the address before. */
export function bitOp(change: ((e: Sem, a: Var, bit: Var) => V64) | undefined): Fn {
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
export function lockedBitOp(op: 'or' | 'and' | 'xor'): Fn {
  return (e, z) => {
    const n = e.let(e.and(e.read(1, z), e.c(8 * z - 1)));
    const bit = e.let(e.shl(e.c(1), n));
    const mask = op === 'and' ? e.let(e.not(bit)) : bit;
    const old = e.let(e.atomic(op, z, mask));
    setCarry(e, e.let(e.and(e.shru(old, n), e.c(1))));
  };
}

export const zeroFlagOnly = (e: Sem, r: Var, cf: Var): void => {
  const of = e.let(e.c(0));
  flagsFrom(e, r, cf, of);
};
/** BSF and BSR: a zero source leaves the destination. */
export function bitScan(find: (e: Sem, a: Var) => V64): Fn {
  return (e, z) => {
    const a = e.let(e.zx(e.read(1, z), z));
    const none = e.let(e.c(0));
    e.if(e.ne(e.get(a), e.c(0)), () => e.write(z, find(e, a)));
    zeroFlagOnly(e, a, none);
  };
}
export const tzcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const guarded = z === 8 ? e.get(a) : e.or(e.get(a), e.big(1n << BigInt(8 * z)));
  const r = e.let(e.ctz(guarded));
  e.write(z, r);
  zeroFlagOnly(e, r, e.let(e.bool(e.eqz(a))));
};
export const lzcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  const r = e.let(e.sub(e.clz(a), e.c(64 - 8 * z)));
  e.write(z, r);
  zeroFlagOnly(e, r, e.let(e.bool(e.eqz(a))));
};
export const popcnt: Fn = (e, z) => {
  const a = e.let(e.zx(e.read(1, z), z));
  e.write(z, e.popcnt(a));
  const r = e.let(e.bool(e.ne(e.get(a), e.c(0))));
  // all flags but ZF are cleared: PF too, which a result of 0 or 1 cannot say by itself for 0
  e.setFlags(e.get(r), e.shl(e.xor(e.get(r), e.c(1)), e.c(8)));
};

export function swapBytes(e: Sem, a: Var, z: Size): V64 {
  const step = (v: Var, mask: bigint, by: number): Var =>
    e.let(e.or(e.shl(e.and(e.get(v), e.big(mask)), e.c(by)), e.and(e.shru(e.get(v), e.c(by)), e.big(mask))));
  const b = step(a, 0x00ff_00ff_00ff_00ffn, 8);
  const w = step(b, 0x0000_ffff_0000_ffffn, 16);
  const all = e.rotl(e.get(w), e.c(32));
  return z === 8 ? all : e.shru(all, e.c(64 - 8 * z));
}
