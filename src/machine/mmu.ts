/**
 * Linear to machine addresses: the guest's page tables, then the nested table. @spec SDM 3A 4
 *
 * Linear addresses are numbers: canonical ones as signed 48-bit values, legacy ones 0 to 2^32 - 1.
 */
import type { Mem } from '../base/mem.ts';
import { AC } from '../x86/flags.ts';
import { cpuState } from './cpu-state.ts';
import { frameInfo, type Machine } from './machine.ts';
import { P2M, p2mGet, p2mMfn, p2mType, p2mWritable } from './p2m.ts';

export const CR0_PE = 1;
export const CR0_MP = 2;
export const CR0_EM = 4;
export const CR0_TS = 8;
export const CR0_WP = 0x1_0000;
export const CR0_PG = 0x8000_0000;
export const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
export const CR4_PCIDE = 0x2_0000;
export const CR4_SMEP = 0x10_0000;
export const CR4_SMAP = 0x20_0000;
export const EFER_LMA = 0x400;
export const EFER_NX = 0x800;

export const ACCESS = { read: 0, write: 1, exec: 2 } as const;
export type AccessKind = (typeof ACCESS)[keyof typeof ACCESS];

const P = 1;
const RW = 2;
const US = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
/** Page-fault error code bits. */
const PF_P = 1;
const PF_W = 2;
const PF_U = 4;
const PF_RSVD = 8;
const PF_I = 16;

/** Answers of `translate` that are no machine address. */
export const FAULT = -1;
export const MMIO = -2;

const HIGH = 0x1_0000_0000;

export class Mmu {
  readonly m: Mem;
  readonly machine: Machine;
  /** After FAULT: the page-fault error code. */
  errorCode = 0;
  /** After a translation: the guest-physical address. */
  gpa = 0;
  /** After a translation: it came from a 2 MiB, 4 MiB or 1 GiB page. */
  large = false;
  /** True when the access may not be cached for writing: read-only in the nested table. */
  private writable = false;
  private user = false;
  private noExec = false;

  constructor(machine: Machine) {
    this.machine = machine;
    this.m = machine.mem;
  }

  /** Machine address of a linear one, MMIO (see `gpa`) or FAULT (see `errorCode`). Sets accessed and dirty bits. */
  translate(cpu: number, linear: number, access: AccessKind, user: boolean): number {
    const { m } = this;
    const cr0 = m.u32(cpu + cpuState.cr0.offset);
    this.large = false;
    if ((cr0 & CR0_PG) === 0) {
      this.gpa = linear >>> 0;
    } else if (!this.walk(cpu, linear, access, user, cr0)) return FAULT;
    return this.nested(cpu, this.gpa, access === ACCESS.write);
  }

  /** Machine address behind a guest-physical one, or MMIO. */
  nested(cpu: number, gpa: number, write: boolean): number {
    const root = this.m.u32(cpu + cpuState.p2mRoot.offset);
    if (root === 0) return gpa < this.m.size ? gpa : MMIO;
    const e = p2mGet(this.m, root, Math.floor(gpa / 4096));
    const type = p2mType(e);
    if (e === 0 || type === P2M.mmio || (write && !p2mWritable(type))) return MMIO;
    return p2mMfn(e) * 4096 + (gpa % 4096);
  }

  private walk(cpu: number, linear: number, access: AccessKind, user: boolean, cr0: number): boolean {
    const { m } = this;
    const cr4 = m.u32(cpu + cpuState.cr4.offset);
    const efer = m.u32(cpu + cpuState.efer.offset);
    this.errorCode =
      (access === ACCESS.write ? PF_W : 0) |
      (user ? PF_U : 0) |
      (access === ACCESS.exec && (efer & EFER_NX || cr4 & CR4_SMEP) ? PF_I : 0);
    this.writable = true;
    this.user = true;
    this.noExec = false;
    const pae = (cr4 & CR4_PAE) !== 0;
    const leaf = pae ? this.walkPae(cpu, linear, efer) : this.walk32(cpu, linear, cr4);
    if (leaf < 0) return false;
    if (!this.allowed(cpu, access, user, cr0, cr4)) return false;
    this.markUsed(access);
    return true;
  }

  /** The entry that maps the page, whose machine address is kept for the dirty bit. */
  private leafAddr = 0;
  private leafLo = 0;

  /** Sets the accessed bit of the page's entry, and the dirty one for a write. */
  private markUsed(access: AccessKind): void {
    const want = access === ACCESS.write ? A | D : A;
    if ((this.leafLo & want) !== want) this.m.setU32(this.leafAddr, this.leafLo | want);
  }

  private allowed(cpu: number, access: AccessKind, user: boolean, cr0: number, cr4: number): boolean {
    this.errorCode |= PF_P;
    if (access === ACCESS.exec && this.noExec) return false;
    if (user) return this.user && (access !== ACCESS.write || this.writable);
    if (this.user && access === ACCESS.exec && cr4 & CR4_SMEP) return false;
    if (this.user && access !== ACCESS.exec && cr4 & CR4_SMAP) {
      if ((this.m.u32(cpu + cpuState.flagsRest.offset) & AC) === 0) return false;
    }
    return access !== ACCESS.write || this.writable || (cr0 & CR0_WP) === 0;
  }

  /** PAE and 4-level: 8-byte entries. Answers 0, or -1 for a fault. */
  private walkPae(cpu: number, linear: number, efer: number): number {
    const { m } = this;
    const long = (efer & EFER_LMA) !== 0;
    const lo32 = linear >>> 0;
    const hi32 = Math.floor(linear / HIGH) >>> 0;
    const cr3 = m.n64(cpu + cpuState.cr3.offset);
    let table = long ? Math.floor((cr3 % 0x10_0000_0000_0000) / 4096) * 4096 : cr3 - (cr3 % 32);
    for (let level = long ? 4 : 3; level >= 1; level--) {
      const index =
        level === 4
          ? (hi32 >>> 7) & 511
          : level === 3
            ? ((hi32 << 2) | (lo32 >>> 30)) & (long ? 511 : 3)
            : level === 2
              ? (lo32 >>> 21) & 511
              : (lo32 >>> 12) & 511;
      const at = this.nested(cpu, table + index * 8, false);
      if (at < 0) return -1;
      const lo = m.u32(at);
      const hi = m.u32(at + 4);
      if ((lo & P) === 0) return -1;
      const legacyPdpt = !long && level === 3;
      if (hi & 0x000f_ff00 || (hi & 0x8000_0000 && (efer & EFER_NX) === 0)) return this.reserved();
      if (!legacyPdpt) {
        if ((lo & RW) === 0) this.writable = false;
        if ((lo & US) === 0) this.user = false;
        if (hi & 0x8000_0000) this.noExec = true;
      }
      const base = (hi & 0xf_ffff) * HIGH + ((lo & 0xffff_f000) >>> 0);
      if (level === 1 || (level < 4 && !legacyPdpt && lo & PS)) {
        if (level === 4) return this.reserved();
        const size = level === 3 ? 0x4000_0000 : level === 2 ? 0x20_0000 : 4096;
        if (level > 1 && (((lo & 0xffff_f000) >>> 0) % size) & ~0x1000) return this.reserved();
        this.large = level > 1;
        this.gpa = base - (base % size) + (lo32 % size);
        this.leafAddr = at;
        this.leafLo = lo;
        return 0;
      }
      if (level === 4 && lo & PS) return this.reserved();
      if (!legacyPdpt && (lo & A) === 0) m.setU32(at, lo | A);
      table = base;
    }
    return -1;
  }

  private walk32(cpu: number, linear: number, cr4: number): number {
    const { m } = this;
    let table = (m.u32(cpu + cpuState.cr3.offset) & 0xffff_f000) >>> 0;
    for (let level = 2; level >= 1; level--) {
      const index = level === 2 ? (linear >>> 22) & 1023 : (linear >>> 12) & 1023;
      const at = this.nested(cpu, table + index * 4, false);
      if (at < 0) return -1;
      const e = m.u32(at);
      if ((e & P) === 0) return -1;
      if ((e & RW) === 0) this.writable = false;
      if ((e & US) === 0) this.user = false;
      if (level === 1 || (e & PS && cr4 & CR4_PSE)) {
        this.large = level === 2;
        // PSE-36: bits 20:13 are address bits 39:32
        const base =
          level === 2 ? ((e & 0xffc0_0000) >>> 0) + ((e >>> 13) & 0xff) * HIGH : (e & 0xffff_f000) >>> 0;
        this.gpa = base + (linear & (level === 2 ? 0x3f_ffff : 0xfff));
        this.leafAddr = at;
        this.leafLo = e;
        return 0;
      }
      if ((e & A) === 0) m.setU32(at, e | A);
      table = (e & 0xffff_f000) >>> 0;
    }
    return -1;
  }

  private reserved(): number {
    this.errorCode |= PF_P | PF_RSVD;
    return -1;
  }

  /** True when the frame holds translated code in the bytes [from, from + len) of it. */
  holdsCode(mfn: number, from: number, len: number): boolean {
    const info = this.machine.frame(mfn);
    const lo = this.m.u32(info + frameInfo.codeLo.offset);
    const hi = this.m.u32(info + frameInfo.codeHi.offset);
    if ((lo | hi) === 0) return false;
    for (let line = from >>> 6; line <= (from + len - 1) >>> 6 && line < 64; line++)
      if (line < 32 ? lo & (1 << line) : hi & (1 << (line - 32))) return true;
    return false;
  }
  anyCode(mfn: number): boolean {
    const info = this.machine.frame(mfn);
    return (this.m.u32(info + frameInfo.codeLo.offset) | this.m.u32(info + frameInfo.codeHi.offset)) !== 0;
  }
}
