/** What the families of integer semantics share. */
import { packCarry } from '../flags.ts';
import type { Sem, Size, V64, Var } from './sem.ts';

export type Access = 'r' | 'w' | 'rw' | 'none';
export interface Semantics {
  /** Access to operand 0; operand 1 and later are read. */
  readonly dst: Access;
  /** z: operand size; s: source size where it differs (MOVZX) or the condition code. */
  readonly fn: (e: Sem, z: Size, s: number) => void;
}
export type Fn = Semantics['fn'];
export const sem = (dst: Access, fn: Fn): Semantics => ({ dst, fn });

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

const TOP2 = -0x4000_0000_0000_0000n;

/** Only CF and OF change. */
export function setCarryOverflow(e: Sem, cf: Var, of: Var): void {
  const kept = e.and(e.flagVec(), e.big(~TOP2));
  const vec = e.let(e.or(kept, packCarry(e, cf, of)));
  e.setFlags(e.flagRes(), e.get(vec));
}

export const msb = (e: Sem, v: Var, z: Size): V64 => e.and(e.shru(e.get(v), e.c(8 * z - 1)), e.c(1));
