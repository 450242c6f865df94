/** Loading segment registers in every mode, and what follows from their new values. @spec SDM 3A 3.4, 5 */

import { cpuState, SEG } from '../cpu-state.ts';
import { EFER_LMA } from '../mmu.ts';
import { ATTR_D, ATTR_L, ATTR_P, ATTR_S, type Core, EXC, HIGH } from './core.ts';

export interface Descriptor {
  lo: number;
  hi: number;
  /** Bits 63:32 of a 16-byte system descriptor's base. */
  upper: number;
  /** Linear address it was read from. */
  at: number;
}
const d: Descriptor = { lo: 0, hi: 0, upper: 0, at: 0 };

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
export function readDescriptor(c: Core, sel: number, vector: number = EXC.GP): Descriptor {
  const ldt = (sel & 4) !== 0;
  const base = ldt ? c.segBase(SEG.ldtr) : c.lin(cpuState.gdtBase);
  const limit = ldt
    ? c.segAttr(SEG.ldtr) & ATTR_P
      ? c.m.u32(c.seg(SEG.ldtr) + 4)
      : -1
    : c.get32(cpuState.gdtLimit);
  const offset = sel & 0xfff8;
  if (offset + 7 > limit) c.fault(vector, sel & 0xfffc);
  const at = base + offset;
  d.lo = c.read32(at, false);
  d.hi = c.read32(at + 4, false);
  d.upper = 0;
  d.at = at;
  return d;
}
/** The second half of a 64-bit TSS or LDT descriptor. */
export function readUpper(c: Core, x: Descriptor): void {
  x.upper = c.read32(x.at + 8, false);
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
    c.setSeg(s, sel, c.vm86 ? 0xf3 : 0x93, 0xffff, sel << 4);
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
export function systemBase(c: Core, x: Descriptor): number {
  if (!c.longMode) return descBase(x);
  readUpper(c, x);
  return (x.upper | 0) * HIGH + descBase(x);
}
