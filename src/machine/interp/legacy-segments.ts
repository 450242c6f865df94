/** Flat segments of 32-bit code: what a routine asks of those that are in place, and of descriptors it loads them from. */
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, type SEG } from '../cpu-state.ts';
import { flatSegment } from '../emit/system.ts';
import { CR0_PE, EFER_LMA } from '../mmu.ts';
import { loadAt, translated } from './function.ts';
import { KIND_READ } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** Attributes of flat segments for 32 bits, of code and data in rings 0 and 3. */
export const FLAT32 = {
  kernelCode: 0xc9b,
  kernelData: 0xc93,
  userCode: 0xcfb,
  userData: 0xcf3,
} as const;
/** Of a register's word with attributes and limit, so without the selector. */
const WITHOUT_SELECTOR = -0x1_0000n;
/** Where a ring is in attributes, and those in a register's word and in a descriptor. */
const DPL = 5;
const WORD_ATTR = 16;
const DESCRIPTOR_ATTR = 40;

export const slowUnlessZero = (e: RoutineEmitter, v: V64): void => e.slowIf(e.ne(v, e.c(0)));
export const slowUnless = (e: RoutineEmitter, v: V64): void => e.slowIf(e.eqz(v));

/** Leaves unless in protected mode, and not in long mode. */
export function slowUnlessLegacy(e: RoutineEmitter): void {
  slowUnless(e, e.and(e.state32(cpuState.cr0.offset), e.c(CR0_PE)));
  slowUnlessZero(e, e.and(e.state32(cpuState.efer.offset), e.c(EFER_LMA)));
}
/** Leaves unless a register's segment has no limit, and these attributes; those of `ring` if that is given. */
export function slowUnlessFlat(e: RoutineEmitter, s: number, attr: number, ring?: Var): void {
  const is = e.let(e.and(e.state64(cpuState.seg.addr(0, s)), e.big(WITHOUT_SELECTOR)));
  const wanted = e.let(e.big((-1n << 32n) | BigInt(attr << WORD_ATTR)));
  if (ring) e.set(wanted, e.or(e.shl(e.get(ring), e.c(DPL + WORD_ATTR)), wanted));
  e.slowIf(e.ne(is, wanted));
}

/** An 8-byte word of one of the CPU's tables. */
export function tableWord(e: RoutineEmitter, linear: V64): Var {
  const at = e.let(linear);
  e.slowIf(e.gtu(e.and(e.get(at), e.c(4095)), e.c(4096 - 8)));
  return e.let(loadAt(e, translated(e, at, KIND_READ), 8));
}
/** The GDT's descriptor for a selector. */
export function gdtDescriptor(e: RoutineEmitter, selector: Var): Var {
  slowUnlessZero(e, e.and(e.get(selector), e.c(4)));
  e.slowIf(e.gtu(e.or(e.get(selector), e.c(7)), e.let(e.state32(cpuState.gdtLimit.offset))));
  const offset = e.let(e.and(e.get(selector), e.c(0xfff8)));
  return tableWord(e, e.add(e.state64(cpuState.gdtBase.offset), offset));
}
/** Leaves unless the selector is of a flat segment, accessed, with these attributes; those of `ring` if that is given. */
export function slowUnlessFlatDescriptor(e: RoutineEmitter, selector: Var, attr: number, ring?: Var): void {
  slowUnless(e, e.and(e.get(selector), e.c(0xfff8)));
  const high = ((attr & 0xf00) << 12) | ((attr & 0xff) << 8) | 0xf_0000;
  const wanted = e.let(e.big((BigInt(high) << 32n) | 0xffffn));
  if (ring) e.set(wanted, e.or(e.shl(e.get(ring), e.c(DPL + DESCRIPTOR_ATTR)), wanted));
  e.slowIf(e.ne(gdtDescriptor(e, selector), wanted));
}
/** Loads CS or SS with a flat segment. */
export function loadFlat(e: RoutineEmitter, s: typeof SEG.cs | typeof SEG.ss, sel: Var, attr: number): void {
  flatSegment(e, s, sel, attr);
  e.setState64(cpuState.segBase.addr(0, s), e.c(0));
}
