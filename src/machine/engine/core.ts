/**
 * What helpers see of the vCPU that is running: registers, segments, memory with faults. Values here may be BigInt: the
 * interpreter never comes this way for what runs often.
 */
import type { Mem } from '../../base/mem.ts';
import { lazyOf, STATUS, statusOf, VM } from '../../x86/flags.ts';
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from '../../x86/insn.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import type { Machine } from '../machine.ts';
import { ACCESS, CR0_PE, EFER_LMA, FAULT, MMIO, Mmu, SMAP, type SmapRule } from '../mmu.ts';
import type { Platform } from '../platform.ts';

export const HIGH = 0x1_0000_0000;

/** An architectural fault on its way to the IDT: thrown by whatever finds it, before any effect. */
export class GuestFault {
  vector = 0;
  /** -1: none is pushed. */
  errorCode = -1;
}

/** Who wants to know what an instruction accesses: see debug.ts. */
export interface Watch {
  data(linear: number, size: number, write: boolean): void;
  port(port: number, size: number): void;
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

const crosses = (linear: number, size: number): boolean => ((linear >>> 0) & 4095) + size > 4096;

export class Core {
  readonly machine: Machine;
  readonly m: Mem;
  readonly mmu: Mmu;
  readonly platform: Platform;
  cpu = 0;
  /** rip of the instruction in hand and of the one behind it, both as numbers (offsets in CS). */
  ip = 0;
  nextIp = 0;
  /** Exceptions and interrupts delivered so far: whether an instruction raised one. */
  deliveries = 0;
  /** A task switch came past the point of no return: faults are the new task's. */
  taskSwitched = false;
  /** Told of every data access and port while a debug register watches. */
  watch: Watch | undefined = undefined;
  /** Single-stepping: a string instruction ends after one element. */
  stepping = false;
  readonly buf = new DataView(new ArrayBuffer(1024));
  readonly out4 = new Uint32Array(4);
  private readonly thrown = new GuestFault();
  /** Forgets code translated from bytes that were just written. */
  codeWritten: (mfn: number) => void = () => {};
  /** Forgets all translations of this vCPU. */
  flushTlb: () => void = () => {};

  constructor(machine: Machine, platform: Platform) {
    this.machine = machine;
    this.m = machine.mem;
    this.mmu = new Mmu(machine);
    this.platform = platform;
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
  /** What addresses through this segment are based on: ES, CS, SS and DS count from 0 in 64-bit code. */
  effectiveBase(s: number): void {
    if (s > SEG.gs) return;
    const a = this.cpu + cpuState.segBase.offset + 8 * s;
    const base = this.code64 && s < SEG.fs ? 0 : this.segBase(s);
    this.m.setU32(a, base >>> 0);
    this.m.setU32(a + 4, Math.floor(base / HIGH) | 0);
  }

  // --- memory ------------------------------------------------------------------------------------------------------

  /** A canonical linear address as a number, or the fault its use raises (in `seg`). */
  linearOf(v: bigint, seg: number): number {
    if (!this.code64) return Number(BigInt.asUintN(32, v));
    const s = BigInt.asIntN(64, v);
    if (BigInt.asIntN(48, s) !== s) this.fault(seg === SEG.ss ? EXC.SS : EXC.GP, 0);
    return Number(s);
  }
  /** Offset of the memory operand in its segment. */
  offsetOf(i: Insn): bigint {
    let v = BigInt(i.disp);
    if (i.base === BASE_RIP) v += BigInt(this.nextIp);
    else if (i.base !== NO_REG) v += this.gpr(i.base);
    else if (i.addrSize === 8) v = (BigInt(i.dispHi) << 32n) | BigInt(i.disp >>> 0);
    if (i.index !== NO_REG) v += this.gpr(i.index) << BigInt(i.scale);
    return BigInt.asUintN(8 * i.addrSize, v);
  }
  /** Linear address of the memory operand, `plus` bytes on. */
  ea(i: Insn, plus = 0): number {
    const base = BigInt(this.lin({ offset: cpuState.segBase.offset + 8 * this.effectiveSeg(i.seg) }));
    return this.linearOf(this.offsetOf(i) + base + BigInt(plus), i.seg);
  }
  effectiveSeg(s: number): number {
    return this.code64 && s < SEG.fs ? 6 : s;
  }

  private pageFault(linear: number): never {
    this.setLin(cpuState.cr2, linear);
    return this.fault(EXC.PF, this.mmu.errorCode);
  }
  /**
   * Who accesses: the running code, or (false) the supervisor whatever runs, for a system structure, or (true) the user.
   */
  private smapRule(user: boolean | undefined): SmapRule {
    return user === undefined ? SMAP.byFlag : SMAP.always;
  }
  /** Machine address or MMIO for an access within one page; faults. */
  private at(linear: number, write: boolean, user: boolean | undefined): number {
    const kind = write ? ACCESS.write : ACCESS.read;
    const a = this.mmu.translate(this.cpu, linear, kind, user ?? this.cpl === 3, this.smapRule(user));
    return a === FAULT ? this.pageFault(linear) : a;
  }
  /** Faults as an access would, and leaves no trace otherwise. */
  probe(linear: number, size: number, write: boolean, user?: boolean): void {
    const kind = write ? ACCESS.write : ACCESS.read;
    const last = this.wrap(linear + size - 1);
    const pages = crosses(linear, size) ? [linear, last - ((last >>> 0) & 4095)] : [linear];
    for (const page of pages)
      if (!this.mmu.check(this.cpu, page, kind, user ?? this.cpl === 3, this.smapRule(user)))
        this.pageFault(page);
  }
  private wrap(linear: number): number {
    return this.code64 ? linear : linear >>> 0;
  }

  /** Reads `size` bytes into `buf`. */
  load(linear: number, size: number, user?: boolean): void {
    if (crosses(linear, size)) this.probe(linear, size, false, user);
    this.watch?.data(linear, size, false);
    for (let done = 0; done < size; ) {
      const from = this.wrap(linear + done);
      const n = Math.min(size - done, 4096 - ((from >>> 0) & 4095));
      const a = this.at(from, false, user);
      if (a === MMIO) this.loadMmio(done, n);
      else for (let k = 0; k < n; k++) this.buf.setUint8(done + k, this.m.u8(a + k));
      done += n;
    }
  }
  private loadMmio(at: number, n: number): void {
    const gpa = this.mmu.gpa;
    for (let k = 0; k < n; k += 8) {
      const part = Math.min(8, n - k);
      this.platform.mmioRead(this.cpu, gpa + k, part, this.out4);
      for (let b = 0; b < part; b++)
        this.buf.setUint8(at + k + b, (this.out4[b >> 2]! >>> (8 * (b & 3))) & 255);
    }
  }
  /** Checks that `size` bytes can be written; faults if not. */
  probeWrite(linear: number, size: number, user?: boolean): void {
    this.probe(linear, size, true, user);
  }
  /** Writes `size` bytes from `buf`, from `start` in it; all pages are checked first. */
  store(linear: number, size: number, user?: boolean, start = 0): void {
    if (crosses(linear, size)) this.probe(linear, size, true, user);
    this.watch?.data(linear, size, true);
    for (let done = 0; done < size; ) {
      const to = this.wrap(linear + done);
      const n = Math.min(size - done, 4096 - ((to >>> 0) & 4095));
      const a = this.at(to, true, user);
      if (a === MMIO) this.storeMmio(start + done, n);
      else {
        for (let k = 0; k < n; k++) this.m.setU8(a + k, this.buf.getUint8(start + done + k));
        if (this.mmu.holdsCode(Math.floor(a / 4096), a & 4095, n)) this.codeWritten(Math.floor(a / 4096));
      }
      done += n;
    }
  }
  private storeMmio(at: number, n: number): void {
    const gpa = this.mmu.gpa;
    for (let k = 0; k < n; k += 8) {
      const part = Math.min(8, n - k);
      let lo = 0;
      let hi = 0;
      for (let b = 0; b < part; b++) {
        const v = this.buf.getUint8(at + k + b);
        if (b < 4) lo |= v << (8 * b);
        else hi |= v << (8 * (b - 4));
      }
      this.platform.mmioWrite(this.cpu, gpa + k, part, lo >>> 0, hi >>> 0);
    }
  }

  read(linear: number, size: number, user?: boolean): bigint {
    this.load(linear, size, user);
    return this.take(size);
  }
  /** The low `size` (1, 2, 4, 8) bytes of `buf`, unsigned. */
  take(size: number, at = 0): bigint {
    if (size === 8) return this.buf.getBigUint64(at, true);
    if (size === 4) return BigInt(this.buf.getUint32(at, true));
    return BigInt(size === 2 ? this.buf.getUint16(at, true) : this.buf.getUint8(at));
  }
  put(size: number, v: bigint, at = 0): void {
    if (size === 8) this.buf.setBigUint64(at, BigInt.asUintN(64, v), true);
    else if (size === 4) this.buf.setUint32(at, Number(BigInt.asUintN(32, v)), true);
    else if (size === 2) this.buf.setUint16(at, Number(BigInt.asUintN(16, v)), true);
    else this.buf.setUint8(at, Number(BigInt.asUintN(8, v)));
  }
  write(linear: number, size: number, v: bigint, user?: boolean): void {
    this.put(size, v);
    this.store(linear, size, user);
  }
  read32(linear: number, user: boolean): number {
    this.load(linear, 4, user);
    return this.buf.getUint32(0, true);
  }

  /** An explicit operand's value, unsigned. */
  operand(i: Insn, o: Operand, size = o.size): bigint {
    if (o.kind === OPK.mem) return this.read(this.ea(i), size);
    if (o.kind === OPK.imm) return BigInt.asUintN(8 * size, (BigInt(i.immHi) << 32n) | BigInt(i.imm >>> 0));
    const v = o.reg >= 16 ? this.gpr(o.reg - 16) >> 8n : this.gpr(o.reg);
    return BigInt.asUintN(8 * size, v);
  }
  setOperand(i: Insn, o: Operand, size: number, v: bigint): void {
    if (o.kind === OPK.mem) this.write(this.ea(i), size, v);
    else this.setGpr(o.reg, size, v);
  }

  // --- stack -------------------------------------------------------------------------------------------------------

  get stackMask(): number {
    if (this.code64) return -1;
    return this.segAttr(SEG.ss) & ATTR_D ? 0xffff_ffff : 0xffff;
  }
  /** Linear address `by` bytes above the stack pointer (negative: below). */
  stackAt(by: number): number {
    if (this.code64) return this.linearOf(this.gpr(4) + BigInt(by), SEG.ss);
    const mask = this.stackMask;
    return (this.segBase(SEG.ss) + (((this.gpr32(4) + by) & mask) >>> 0)) >>> 0;
  }
  addSp(by: number): void {
    if (this.code64) return this.setGpr(4, 8, this.gpr(4) + BigInt(by));
    const mask = this.stackMask;
    const sp = this.gpr32(4);
    this.m.setU32(this.cpu + 32, (((sp + by) & mask) | (sp & ~mask)) >>> 0);
  }
  push(size: number, v: bigint): void {
    this.write(this.stackAt(-size), size, v);
    this.addSp(-size);
  }
}
