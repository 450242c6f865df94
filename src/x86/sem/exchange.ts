/** Exchanges, and the locked forms of arithmetic. @spec SDM 2 XADD, CMPXCHG, CMPXCHG8B/16B, LOCK */
import { flagsAdd, flagsKeepCarry, flagsLogic, flagsSub, packStatus, unpackStatus } from '../flags.ts';
import { type Fn, RAX, RBX, RCX, RDX } from './common.ts';

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
/** CMPXCHG8B (z 4) and 16B (z 8): two halves; only ZF changes. */
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

export const lockedBinary =
  (op: 'add' | 'sub' | 'and' | 'or' | 'xor'): Fn =>
  (e, z) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.atomic(op, z, b));
    const r = e.let(e.sx(e[op](a, b), z));
    if (op === 'add') flagsAdd(e, z, a, b, r);
    else if (op === 'sub') flagsSub(e, z, a, b, r);
    else flagsLogic(e, r);
  };
export const lockedStep =
  (op: 'add' | 'sub'): Fn =>
  (e, z) => {
    const one = e.let(e.c(1));
    const a = e.let(e.atomic(op, z, one));
    const r = e.let(e.sx(e[op](a, one), z));
    flagsKeepCarry(e, z, a, one, r, op === 'sub');
  };
