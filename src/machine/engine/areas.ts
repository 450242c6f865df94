/**
 * Saved states in memory, x87's and larger ones: longer than an access can be, so that some bytes are looked at before the
 * rest. That shows in the fault of one that is not all there; what comes first is as AMD's CPUs have it (docs/VECTORS.md).
 */
import type { Insn } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { checkAligned, checkLimit } from './limits.ts';

export interface Area {
  readonly size: number;
  readonly write: boolean;
  /** Its first bytes, which must be the segment's, and aligned, before anything is accessed. */
  readonly word: number;
  readonly aligned?: number;
  /** What is accessed before the rest: where, and how many bytes. */
  readonly first: readonly (readonly [at: number, size: number])[];
}

/** Offset in the segment of a byte of the memory operand: 64 KiB of 16-bit addresses wrap. */
const offsetAt = (c: Core, i: Insn, at: number): bigint =>
  BigInt.asUintN(8 * i.addrSize, c.offsetOf(i) + BigInt(at));

/** Faults unless an area can be read or written; its address. */
export function areaAt(c: Core, i: Insn, { size, write, word, aligned = 1, first }: Area): number {
  const start = offsetAt(c, i, 0);
  checkLimit(c, i.seg, Number(start), word, write);
  c.ea(i);
  if (aligned > 1) checkAligned(c, i, aligned);
  const base = BigInt(c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) }));
  for (const [at, bytes] of first) {
    const offset = offsetAt(c, i, at);
    checkLimit(c, i.seg, Number(offset), bytes, write);
    c.probe(c.linearOf(offset + base, i.seg), bytes, write);
  }
  checkLimit(c, i.seg, Number(start), size, write);
  return c.ea(i);
}
