/** Where the memory operands of instructions lie in their segments, how long they are and what they are aligned to. */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import type { Core } from './core.ts';

const RBX = 3;
const RSP = 4;
const ALL = 0xffff_ffff;

const ops = (names: string): Set<number> => new Set(names.split(' ').map((n) => X[n as keyof typeof X]));

/** A far pointer is as wide as its offset, an 80-bit number as its mantissa. */
const UNITS = new Map<number, number>([
  [2, 2],
  [4, 4],
  [6, 4],
  [8, 8],
  [10, 8],
]);
/** All others with 16 bytes have #GP for it. */
const ANY_16 = ops('movups movupd movdqu lddqu');
const BIT_OPS = ops('bt bts btr btc');
const X87_STATE = ops('fldenv fnstenv frstor fnsave');
const FAR_POINTERS = ops('callf jmpf les lds lss lfs lgs');
const UNCHECKED = ops('sgdt sidt sldt str smsw');

/** Saved states, which are looked at in an order of their own: see areas.ts. */
export const AREAS = new Set([...X87_STATE, ...ops('fxsave fxrstor xsave xsavec xsaveopt xrstor')]);

export const xlatOffset = (c: Core, i: Insn): number =>
  ((c.gpr32(RBX) + (c.gpr32(0) & 0xff)) & (i.addrSize === 2 ? 0xffff : ALL)) >>> 0;

/**
 * Where the memory operand is in its segment: a bit's number may lead away from where it begins, and POP has moved the stack
 * pointer.
 */
export function operandOffset(c: Core, i: Insn): number {
  let offset = c.offsetOf(i);
  if (i.op === X.pop && i.base === RSP) offset = BigInt.asUintN(8 * i.addrSize, offset + BigInt(i.opSize));
  const [, bit] = i.operands;
  if (!BIT_OPS.has(i.op) || bit.kind !== OPK.gpr) return Number(offset);
  const word = BigInt.asIntN(8 * i.opSize, c.gpr(bit.reg)) >> BigInt(3 + Math.log2(i.opSize));
  return Number(BigInt.asUintN(8 * i.addrSize, offset + word * BigInt(i.opSize)));
}

/** What an instruction's memory operand of `size` bytes is aligned to where ring 3 asks for it, in bytes. */
export function unitOf(i: Insn, size: number): number {
  if (UNCHECKED.has(i.op)) return 1;
  if (ANY_16.has(i.op)) return 16;
  return X87_STATE.has(i.op) ? 4 : (UNITS.get(size) ?? 1);
}

/** Bytes of the accesses that a memory operand of `size` bytes is made of. */
export function partsOf(i: Insn, size: number): readonly number[] {
  if (i.op === X.bound) return [i.opSize, i.opSize];
  if (FAR_POINTERS.has(i.op)) return [i.opSize, 2];
  return size === 10 ? [8, 2] : [size || 1];
}
