/** Loading segment registers in every mode, and what follows from their new values. @spec SDM 3A 3.4, 5 */

import { cpuState, SEG } from '../cpu-state.ts';
import { EFER_LMA } from '../mmu.ts';
import type { Core } from './core.ts';
import { limitOf } from './limits.ts';
import { ATTR_D, ATTR_L, ATTR_P, ATTR_S, EXC, HIGH } from './registers.ts';

export interface Descriptor {
  lo: number;
  hi: number;
  /** Linear address it was read from. */
  at: number;
}
const d: Descriptor = { lo: 0, hi: 0, at: 0 };

export const descBase = (x: Descriptor): number =>
  ((x.lo >>> 16) | ((x.hi & 0xff) << 16) | (x.hi & 0xff00_0000)) >>> 0;
export function descLimit(x: Descriptor): number {
  const limit = (x.lo & 0xffff) | (x.hi & 0xf_0000);
  return (x.hi & 0x80_0000 ? limit * 4096 + 4095 : limit) >>> 0;
}
export const descAttr = (x: Descriptor): number => ((x.hi >>> 8) & 0xff) | ((x.hi >>> 12) & 0xf00);
export const descDpl = (x: Descriptor): number => (x.hi >>> 13) & 3;
export const isCode = (attr: number): boolean => (attr & (ATTR_S | 8)) === (ATTR_S | 8);
export const isConforming = (attr: number): boolean => (attr & 0x1c) === 0x1c;

/** Reads the descriptor a selector names; `vector` with the selector as error code if it lies outside its table. */
export function readDescriptor(c: Core, sel: number, vector: number = EXC.GP, ext = 0): Descriptor {
  const base = sel & 4 ? c.segBase(SEG.ldtr) : c.lin(cpuState.gdtBase);
  const offset = sel & 0xfff8;
  if (offset + 7 > tableLimit(c, sel)) c.fault(vector, (sel & 0xfffc) | ext);
  const at = base + offset;
  d.lo = c.read32(at, false);
  d.hi = c.read32(at + 4, false);
  d.at = at;
  return d;
}
/** Limit of the table that a selector is of; -1: there is none. */
export function tableLimit(c: Core, sel: number): number {
  if ((sel & 4) === 0) return c.get32(cpuState.gdtLimit);
  return c.segAttr(SEG.ldtr) & ATTR_P ? limitOf(c, SEG.ldtr) : -1;
}
/** The second half of a 64-bit TSS, LDT or call gate: its low word. That it has no type tells it from another's first half. */
export function readUpper(c: Core, x: Descriptor, sel: number): number {
  if ((sel & 0xfff8) + 15 > tableLimit(c, sel) || c.read32(x.at + 12, false) & 0x1f00) c.gp(sel & 0xfffc);
  return c.read32(x.at + 8, false);
}

/** Sets the accessed bit if it is clear. */
function markAccessed(c: Core, x: Descriptor): void {
  if (x.hi & 0x100) return;
  x.hi |= 0x100;
  c.write(x.at + 4, 4, BigInt(x.hi >>> 0), false);
}

/** MOV or POP to ES, SS, DS, FS, GS. */
export function loadSegment(c: Core, s: number, sel: number): void {
  if (!c.protectedMode || c.vm86) {
    // real mode loads the base alone: a limit of before stays ("unreal mode")
    const keep = !c.vm86 && c.segAttr(s) & ATTR_P;
    c.setSeg(s, sel, keep ? c.segAttr(s) : c.vm86 ? 0xf3 : 0x93, keep ? limitOf(c, s) : 0xffff, sel << 4);
    return;
  }
  if ((sel & 0xfffc) === 0) {
    if (s === SEG.ss && (!c.code64 || c.cpl === 3 || (sel & 3) !== c.cpl)) c.gp();
    // a null selector keeps FS and GS bases clear and forbids use outside 64-bit code
    c.setSeg(s, sel, s === SEG.ss ? 0x40 | (c.cpl << 5) : 0, 0, 0);
    return;
  }
  const x = readDescriptor(c, sel);
  const attr = descAttr(x);
  const dpl = descDpl(x);
  const rpl = sel & 3;
  const err = sel & 0xfffc;
  if (s === SEG.ss) {
    if ((attr & 0x1a) !== 0x12 || rpl !== c.cpl || dpl !== c.cpl) c.gp(err);
    if (!(attr & ATTR_P)) c.fault(EXC.SS, err);
  } else {
    if (!(attr & ATTR_S) || (attr & 0xa) === 8) c.gp(err);
    if (!isConforming(attr) && (rpl > dpl || c.cpl > dpl)) c.gp(err);
    if (!(attr & ATTR_P)) c.fault(EXC.NP, err);
  }
  markAccessed(c, x);
  c.setSeg(s, sel, attr | 1, descLimit(x), descBase(x));
  if (s === SEG.ss) modeChanged(c);
}

/** Whether code can go on at an offset of the segment; `ext` is the EXT bit of the error code. */
export function checkTarget(c: Core, x: Descriptor, ip: bigint, ext = 0): void {
  const long = c.longMode && (descAttr(x) & ATTR_L) !== 0;
  if (long ? BigInt.asUintN(64, BigInt.asIntN(48, ip)) !== ip : ip > BigInt(descLimit(x))) c.gp(ext);
}

/** Puts a checked code segment in place with a new privilege level; mode and bases follow. */
export function setCodeSegment(c: Core, sel: number, x: Descriptor, cpl: number): void {
  markAccessed(c, x);
  c.setSeg(SEG.cs, (sel & 0xfffc) | cpl, descAttr(x) | 1, descLimit(x), descBase(x));
  c.m.setU32(c.cpu + cpuState.cpl.offset, cpl);
  modeChanged(c);
}

/** The engine's: which code size and TLB context apply now. Filled in by the engine, since its caches depend on it. */
export function modeChanged(c: Core): void {
  const attr = c.segAttr(SEG.cs);
  const long = (c.get32(cpuState.efer) & EFER_LMA) !== 0;
  const mode = long && attr & ATTR_L && !c.vm86 ? 64 : attr & ATTR_D ? 32 : 16;
  c.m.setU32(c.cpu + cpuState.mode.offset, mode);
  c.m.setU32(c.cpu + cpuState.linMask.offset, 0xffff_ffff);
  c.m.setU32(c.cpu + cpuState.linMask.offset + 4, mode === 64 ? 0xffff_ffff : 0);
  for (let s = 0; s < 6; s++) c.effectiveBase(s);
  setContext(c);
}

/** TLB tags are of the present generation and privilege. */
export function setContext(c: Core): void {
  const gen = c.get32(cpuState.generation) || 1;
  c.m.setU32(c.cpu + cpuState.tlbCtx.offset, ((gen * 2 + (c.cpl === 3 ? 1 : 0)) << 4) | 0);
}

/** 64-bit base of a system descriptor. */
export function systemBase(c: Core, x: Descriptor, sel: number): number {
  if (!c.longMode) return descBase(x);
  const base = (readUpper(c, x, sel) | 0) * HIGH + descBase(x);
  if (base >= 2 ** 47 || base < -(2 ** 47)) c.gp(sel & 0xfffc);
  return base;
}
