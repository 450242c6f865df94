/** The vCPU that is running, as helpers see it: registers, flags, mode, segments. Values here may be BigInt. */
import type { Mem } from '../../base/mem.ts';
import { lazyOf, STATUS, statusOf, VM } from '../../x86/flags.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { CR0_PE, EFER_LMA } from '../mmu.ts';

export const HIGH = 0x1_0000_0000;
/** Above the effective base of FS or GS that is limited: no TLB entry has it, see limits.ts. */
export const BEYOND = 0x100;

/** An architectural fault on its way to the IDT: thrown by whatever finds it, before any effect. */
export class GuestFault {
  vector = 0;
  /** -1: none is pushed. */
  errorCode = -1;
}

export const EXC = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  XM: 19,
} as const;

/** Attribute bits of a segment register. */
export const ATTR_S = 0x10;
export const ATTR_P = 0x80;
export const ATTR_L = 0x200;
export const ATTR_D = 0x400;
export const ATTR_G = 0x800;

export const expandsDown = (attr: number): boolean => (attr & 0xc) === 4;
export const writable = (attr: number): boolean => (attr & 0xa) === 2;
export const readable = (attr: number): boolean => (attr & 0xa) !== 8;

export class Registers {
  readonly m: Mem;
  /** Machine address of the vCPU's record. */
  cpu = 0;
  private readonly thrown = new GuestFault();

  constructor(m: Mem) {
    this.m = m;
  }

  fault(vector: number, errorCode = -1): never {
    this.thrown.vector = vector;
    this.thrown.errorCode = errorCode;
    throw this.thrown;
  }
  gp(errorCode = 0): never {
    return this.fault(EXC.GP, errorCode);
  }
  ud(): never {
    return this.fault(EXC.UD);
  }

  // --- registers ---------------------------------------------------------------------------------------------------

  get(f: { offset: number }): bigint {
    return this.m.u64(this.cpu + f.offset);
  }
  set(f: { offset: number }, v: bigint): void {
    this.m.setU64(this.cpu + f.offset, BigInt.asUintN(64, v));
  }
  get32(f: { offset: number }): number {
    return this.m.u32(this.cpu + f.offset);
  }
  set32(f: { offset: number }, v: number): void {
    this.m.setU32(this.cpu + f.offset, v);
  }
  /** A linear address or offset held in 64 bits, as a number; exact for canonical ones. */
  lin(f: { offset: number }): number {
    const a = this.cpu + f.offset;
    return this.m.s32(a + 4) * HIGH + this.m.u32(a);
  }
  setLin(f: { offset: number }, v: number): void {
    const a = this.cpu + f.offset;
    this.m.setU32(a, v >>> 0);
    this.m.setU32(a + 4, Math.floor(v / HIGH) | 0);
  }
  gpr(r: number): bigint {
    return this.m.u64(this.cpu + r * 8);
  }
  gpr32(r: number): number {
    return this.m.u32(this.cpu + r * 8);
  }
  gprLin(r: number): number {
    return this.m.s32(this.cpu + r * 8 + 4) * HIGH + this.m.u32(this.cpu + r * 8);
  }
  /** Writes a register as an instruction of that operand size does. */
  setGpr(r: number, size: number, v: bigint): void {
    const a = this.cpu + (size === 1 && r >= 16 ? (r - 16) * 8 + 1 : r * 8);
    if (size === 8) this.m.setU64(a, BigInt.asUintN(64, v));
    else if (size === 4) this.m.setU64(a, BigInt.asUintN(32, v));
    else if (size === 2) this.m.setU16(a, Number(v & 0xffffn));
    else this.m.setU8(a, Number(v & 0xffn));
  }
  setGpr32(r: number, v: number): void {
    this.m.setU32(this.cpu + r * 8, v);
    this.m.setU32(this.cpu + r * 8 + 4, 0);
  }

  get flags(): number {
    const { m, cpu } = this;
    const r = cpu + cpuState.flagRes.offset;
    const v = cpu + cpuState.flagVec.offset;
    return (
      (m.u32(cpu + cpuState.flagsRest.offset) | statusOf(m.u32(r), m.u32(r + 4), m.u32(v), m.u32(v + 4))) >>>
      0
    );
  }
  set flags(f: number) {
    this.setStatus(f);
    this.m.setU64(this.cpu + cpuState.flagsRest.offset, BigInt(((f & ~STATUS) | 2) >>> 0));
  }
  setStatus(f: number): void {
    const words = lazyOf(f);
    for (let i = 0; i < 4; i++) this.m.setU32(this.cpu + cpuState.flagRes.offset + 4 * i, words[i]!);
  }

  // --- modes -------------------------------------------------------------------------------------------------------

  get cpl(): number {
    return this.m.u32(this.cpu + cpuState.cpl.offset);
  }
  get protectedMode(): boolean {
    return (this.get32(cpuState.cr0) & CR0_PE) !== 0;
  }
  get vm86(): boolean {
    return (this.get32(cpuState.flagsRest) & VM) !== 0;
  }
  get longMode(): boolean {
    return (this.get32(cpuState.efer) & EFER_LMA) !== 0;
  }
  get code64(): boolean {
    return this.get32(cpuState.mode) === 64;
  }
  requireCpl0(): void {
    if (this.cpl !== 0) this.gp();
  }

  seg(s: number): number {
    return cpuState.seg.addr(this.cpu) + s * 16;
  }
  segSel(s: number): number {
    return segment.sel.get(this.m, this.seg(s));
  }
  segAttr(s: number): number {
    return segment.attr.get(this.m, this.seg(s));
  }
  segBase(s: number): number {
    const a = this.seg(s) + segment.base.offset;
    return this.m.s32(a + 4) * HIGH + this.m.u32(a);
  }
  setSeg(s: number, sel: number, attr: number, limit: number, base: number): void {
    const a = this.seg(s);
    segment.sel.set(this.m, a, sel);
    segment.attr.set(this.m, a, attr);
    segment.limit.set(this.m, a, limit >>> 0);
    this.m.setU32(a + segment.base.offset, base >>> 0);
    this.m.setU32(a + segment.base.offset + 4, Math.floor(base / HIGH) | 0);
    this.effectiveBase(s);
  }
  /** Segments have types, and not only limits. */
  get typed(): boolean {
    return this.protectedMode && !this.vm86;
  }
  /** Whether every access goes through a segment that has a type (CS: every one that does not write). */
  unlimited(s: number): boolean {
    const attr = this.segAttr(s);
    const free = s === SEG.cs ? readable(attr) : writable(attr) && !expandsDown(attr);
    return free && (attr & ATTR_P) !== 0 && segment.limit.get(this.m, this.seg(s)) === 0xffff_ffff;
  }
  /** What addresses through this segment are based on: ES, CS, SS and DS count from 0 in 64-bit code. */
  effectiveBase(s: number): void {
    if (s > SEG.gs) return;
    const a = this.cpu + cpuState.segBase.offset + 8 * s;
    const base = this.code64 && s < SEG.fs ? 0 : this.segBase(s);
    const beyond = s >= SEG.fs && !this.code64 && this.typed && !this.unlimited(s);
    this.m.setU32(a, base >>> 0);
    this.m.setU32(a + 4, beyond ? BEYOND : Math.floor(base / HIGH) | 0);
  }
}
