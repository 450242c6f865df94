/** Exchanges, and the locked forms of arithmetic. @spec SDM 2 XADD, CMPXCHG, CMPXCHG8B/16B, LOCK */
import { flagsAdd, flagsKeepCarry, flagsLogic, flagsSub, packStatus, unpackStatus } from '../flags.ts';
import { type Fn, RAX, RBX, RCX, RDX } from './common.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

export const xadd: Fn = (e, z) => {
  const a = e.let(e.read(0, z));
  const b = e.let(e.read(1, z));
  const r = e.let(e.sx(e.add(a, b), z));
  e.writeSrc(z, a);
  e.write(z, r);
  flagsAdd(e, z, a, b, r);
};
export const cmpxchg: Fn = (e, z) => {
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
export const lockedCmpxchg: Fn = (e, z) => {
  const acc = e.let(e.reg(RAX, z));
  const src = e.let(e.read(1, z));
  const old = e.let(e.atomicCmpxchg(z, acc, src));
  const r = e.let(e.sx(e.sub(acc, old), z));
  e.if(e.ne(e.get(r), e.c(0)), () => e.setReg(RAX, z, old));
  flagsSub(e, z, acc, old, r);
};
/**
 * CMPXCHG8B (z 4) and 16B (z 8): two halves; only ZF changes.
 *
 * CMPXCHG16B is this with LOCK too: there are no atomic accesses of 16 bytes here. Guests' vCPUs take turns on one
 * thread and cannot see it half-done; domain 0's thread shares no word with them that is this wide.
 */
export const cmpxchgPair: Fn = (e, z) => {
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
      e.setReg(RAX, z, lo);
      e.setReg(RDX, z, hi);
    },
  );
  setZero(e, same);
};
/** CMPXCHG8B with LOCK, as one word of 8 bytes. */
export const lockedCmpxchg8b: Fn = (e) => {
  const expected = e.let(pair(e, RAX, RDX));
  const old = e.let(e.atomicCmpxchg(8, expected, e.let(pair(e, RBX, RCX))));
  const same = e.let(e.bool(e.eq(old, expected)));
  e.if(e.eqz(same), () => {
    e.setReg(RAX, 4, old);
    e.setReg(RDX, 4, e.shru(e.get(old), e.c(32)));
  });
  setZero(e, same);
};
function pair(e: Sem, lo: number, hi: number): V64 {
  const low = e.let(e.zx(e.reg(lo, 4), 4));
  return e.or(e.shl(e.reg(hi, 4), e.c(32)), low);
}
function setZero(e: Sem, zero: Var): void {
  const bit = e.let(e.shl(e.get(zero), e.c(6)));
  const flags = e.let(e.or(e.and(packStatus(e), e.c(~0x40)), bit));
  unpackStatus(e, flags);
}

/** What has no atomic operation of its own: computed and tried until nobody came in between. */
export const lockedLoop =
  (
    operands: 1 | 2,
    compute: (e: Sem, a: Var, b: Var) => V64,
    flags: (e: Sem, z: Size, a: Var, b: Var, r: Var) => void,
  ): Fn =>
  (e, z) => {
    const b = e.let(operands === 2 ? e.read(1, z) : e.c(0));
    const a = e.let(e.read(0, z));
    const seen = e.let(e.get(a));
    const r = e.let(e.c(0));
    e.loop(() => {
      e.set(a, e.get(seen));
      e.set(r, e.sx(compute(e, a, b), z));
      e.set(seen, e.atomicCmpxchg(z, a, r));
      return e.ne(seen, a);
    });
    flags(e, z, a, b, r);
  };
export const lockedBinary =
  (op: 'add' | 'sub' | 'and' | 'or' | 'xor'): Fn =>
  (e, z) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.atomic(op, z, b));
    const r = e.let(e.sx(e[op](a, b), z));
    if (op === 'add') flagsAdd(e, z, a, b, r);
    else if (op === 'sub') flagsSub(e, z, a, b, r);
    else flagsLogic(e, z, r);
  };
export const lockedStep =
  (op: 'add' | 'sub'): Fn =>
  (e, z) => {
    const one = e.let(e.c(1));
    const a = e.let(e.atomic(op, z, one));
    const r = e.let(e.sx(e[op](a, one), z));
    flagsKeepCarry(e, z, a, one, r, op === 'sub');
  };
