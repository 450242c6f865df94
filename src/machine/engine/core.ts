/**
 * What helpers see of the vCPU that is running: its registers, and memory with faults. The interpreter never comes this
 * way for what runs often.
 */
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import type { DeliveryFunction } from '../interp/delivery.ts';
import type { Machine } from '../machine.ts';
import { ACCESS, FAULT, MMIO, Mmu, SMAP, type SmapRule } from '../mmu.ts';
import type { Platform } from '../platform.ts';
import { ATTR_D, EXC, Registers } from './registers.ts';
import type { VmExit } from './svm/vm-exit.ts';

/** Who wants to know what an instruction accesses: see debug.ts. */
export interface Watch {
  data(linear: number, size: number, write: boolean): void;
  port(port: number, size: number): void;
}

export const crosses = (linear: number, size: number): boolean => ((linear >>> 0) & 4095) + size > 4096;

export class Core extends Registers {
  readonly machine: Machine;
  readonly mmu: Mmu;
  readonly platform: Platform;
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
  /** Forgets code translated from bytes that were just written. */
  codeWritten: (mfn: number) => void = () => {};
  /** Forgets all translations of this vCPU. */
  flushTlb: () => void = () => {};
  /** See interp/delivery.ts. */
  plainDelivery: DeliveryFunction['deliver'] = () => 1;
  /** Goes back to the monitor of the guest that runs. */
  leaveGuest: (exit: VmExit) => void = () => {};

  constructor(machine: Machine, platform: Platform) {
    super(machine.mem);
    this.machine = machine;
    this.mmu = new Mmu(machine);
    this.platform = platform;
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
