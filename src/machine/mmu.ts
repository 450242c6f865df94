/**
 * Linear to machine addresses: the guest's page tables, then the nested table. @spec SDM 3A 4
 *
 * Linear addresses are numbers: canonical ones as signed 48-bit values, legacy ones 0 to 2^32 - 1.
 */
import type { Mem } from '../base/mem.ts';
import { AC } from '../x86/flags.ts';
import { cpuState } from './cpu-state.ts';
import { NestedPaging } from './engine/svm/nested-paging.ts';
import { svmState } from './engine/svm/state.ts';
import { frameInfo, type Machine } from './machine.ts';
import { P2M, p2mGet, p2mMfn, p2mType, p2mWritable } from './p2m.ts';
import { ACCESS, type AccessKind } from './page-access.ts';

export const CR0_PE = 1;
export const CR0_MP = 2;
export const CR0_EM = 4;
export const CR0_TS = 8;
export const CR0_WP = 0x1_0000;
export const CR0_PG = 0x8000_0000;
export const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
export const CR4_PGE = 0x80;
export const CR4_PCIDE = 0x2_0000;
export const CR4_SMEP = 0x10_0000;
export const CR4_SMAP = 0x20_0000;
export const EFER_LMA = 0x400;
export const EFER_NX = 0x800;

export { ACCESS, type AccessKind } from './page-access.ts';

/** Bits of an entry. Reserved: physical addresses have 40 bits. */
export const PTE = {
  present: 1,
  writable: 2,
  user: 4,
  accessed: 0x20,
  dirty: 0x40,
  large: 0x80,
  global: 0x100,
  reserved: 0x000f_ff00_0000_0000n,
  /** Besides, outside long mode; and all that is in a page-directory-pointer entry of legacy PAE. */
  reservedLegacy: 0x7ff0_0000_0000_0000n,
  reservedPdpte: 0xffff_ff00_0000_01e6n,
} as const;
const { present: P, writable: RW, user: US, accessed: A, dirty: D, large: PS, global: G } = PTE;
/** Reserved in the high word of an entry, and besides it (below NX) in legacy modes only. */
const RSVD_HI = Number(PTE.reserved >> 32n);
const RSVD_HI_LEGACY = Number(PTE.reservedLegacy >> 32n);
/** Reserved in a page-directory-pointer entry of legacy PAE. */
const RSVD_PDPTE_LO = Number(PTE.reservedPdpte & 0xffff_ffffn);
/** Reserved in a 4 MB page's entry: bits 20:13 are address bits 39:32 (PSE-36). */
const RSVD_4M = 1 << 21;
/** Page-fault error code bits. */
export const PF = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;
const { present: PF_P, write: PF_W, user: PF_U, reserved: PF_RSVD, fetch: PF_I } = PF;

/**
 * What SMAP says of a supervisor's access to a user page: EFLAGS.AC decides, or (system structures) it is forbidden in
 * any case, or (the hypervisor's own) it does not matter.
 */
export const SMAP = { byFlag: 0, always: 1, never: 2 } as const;
export type SmapRule = (typeof SMAP)[keyof typeof SMAP];

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
  /** After a translation: it outlives a change of address space. */
  global = false;
  /** After a translation: user code may use the page. */
  userPage = false;
  private writable = false;
  private noExec = false;
  /** For guests of a guest. */
  private readonly second: NestedPaging;

  constructor(machine: Machine) {
    this.machine = machine;
    this.m = machine.mem;
    this.second = new NestedPaging(this.m, (cpu, at) => this.nested(cpu, at, true));
  }

  /** Machine address of a linear one, MMIO (see `gpa`) or FAULT (see `errorCode`). Sets accessed and dirty bits. */
  translate(
    cpu: number,
    linear: number,
    access: AccessKind,
    user: boolean,
    smap: SmapRule = SMAP.byFlag,
  ): number {
    if (!this.check(cpu, linear, access, user, smap)) return FAULT;
    if (this.leafAddr !== 0) this.markUsed(access);
    return this.nested(cpu, this.gpa, access === ACCESS.write);
  }

  /** Whether the access would do; if so `gpa` tells where it is. The page's own accessed and dirty bits stay as they are. */
  check(cpu: number, linear: number, access: AccessKind, user: boolean, smap: SmapRule): boolean {
    const cr0 = this.m.u32(cpu + cpuState.cr0.offset);
    this.large = false;
    this.global = false;
    this.userPage = false;
    if (cr0 & CR0_PG) {
      if (!this.walk(cpu, linear, access, user, smap, cr0)) return false;
    } else {
      this.leafAddr = 0;
      this.gpa = linear >>> 0;
    }
    if (this.nests(cpu)) this.gpa = this.second.translate(cpu, this.gpa, access, false);
    return true;
  }

  private nests(cpu: number): boolean {
    return this.m.u32(cpu + svmState.paging.offset) !== 0;
  }
  /**
   * Machine address of a table's entry; negative where there is no memory that can be written: the entry is marked, and
   * a frame that is not the guest's to write must not be. @spec APM 2 15.25.5: such an access counts as a write
   */
  private tableEntry(cpu: number, at: number): number {
    const physical = this.nests(cpu) ? this.second.translate(cpu, at, ACCESS.write, true) : at;
    return this.nested(cpu, physical, true);
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

  private walk(
    cpu: number,
    linear: number,
    access: AccessKind,
    user: boolean,
    smap: SmapRule,
    cr0: number,
  ): boolean {
    const { m } = this;
    const cr4 = m.u32(cpu + cpuState.cr4.offset);
    const efer = m.u32(cpu + cpuState.efer.offset);
    const pae = (cr4 & CR4_PAE) !== 0;
    const tellsFetch = access === ACCESS.exec && ((pae && efer & EFER_NX) || cr4 & CR4_SMEP);
    this.errorCode = (access === ACCESS.write ? PF_W : 0) | (user ? PF_U : 0) | (tellsFetch ? PF_I : 0);
    this.writable = true;
    this.userPage = true;
    this.noExec = false;
    if (!(pae ? this.walkPae(cpu, linear, efer) : this.walk32(cpu, linear, cr4))) return false;
    this.errorCode |= PF_P;
    this.global = (this.leafLo & G) !== 0 && (cr4 & CR4_PGE) !== 0;
    if (access === ACCESS.exec)
      return !this.noExec && (user ? this.userPage : !(this.userPage && cr4 & CR4_SMEP));
    if (user) return this.userPage && (access === ACCESS.read || this.writable);
    if (this.userPage && cr4 & CR4_SMAP && this.smapForbids(cpu, smap)) return false;
    return access === ACCESS.read || this.writable || (cr0 & CR0_WP) === 0;
  }

  private smapForbids(cpu: number, rule: SmapRule): boolean {
    if (rule !== SMAP.byFlag) return rule === SMAP.always;
    return (this.m.u32(cpu + cpuState.flagsRest.offset) & AC) === 0;
  }

  /** The entry that maps the page, whose machine address is kept for its accessed and dirty bits; 0 without paging. */
  private leafAddr = 0;
  private leafLo = 0;

  /** Sets the accessed bit of the page's entry, and the dirty one for a write. */
  private markUsed(access: AccessKind): void {
    const want = access === ACCESS.write ? A | D : A;
    if ((this.leafLo & want) !== want) this.m.setU32(this.leafAddr, this.leafLo | want);
  }

  /** The page's entry was found at a machine address; `base` is the page's, `size` how much it maps. */
  private found(at: number, lo: number, linear: number, base: number, size: number): true {
    this.large = size > 4096;
    this.gpa = base + (linear % size);
    this.leafAddr = at;
    this.leafLo = lo;
    return true;
  }

  /** PAE and 4-level: 8-byte entries. False for a fault. */
  private walkPae(cpu: number, linear: number, efer: number): boolean {
    const { m } = this;
    const long = (efer & EFER_LMA) !== 0;
    const lo32 = linear >>> 0;
    const hi32 = Math.floor(linear / HIGH) >>> 0;
    const reservedHi = (long ? RSVD_HI : RSVD_HI | RSVD_HI_LEGACY) | (efer & EFER_NX ? 0 : 0x8000_0000);
    let table = Math.floor(m.n64(cpu + cpuState.cr3.offset) / 4096) * 4096;
    if (!long) {
      const pdpte = this.pdpte(cpu, lo32 >>> 30, (m.u32(cpu + cpuState.cr3.offset) & ~31) >>> 0);
      if (pdpte < 0 || (m.u32(pdpte) & P) === 0) return false;
      if (isReservedPdpte(m.u32(pdpte), m.u32(pdpte + 4))) return this.reserved();
      table = addressIn(m.u32(pdpte), m.u32(pdpte + 4));
    }
    for (let level = long ? 4 : 2; ; level--) {
      const index =
        level === 4
          ? hi32 >>> 7
          : level === 3
            ? (hi32 << 2) | (lo32 >>> 30)
            : level === 2
              ? lo32 >>> 21
              : lo32 >>> 12;
      const at = this.tableEntry(cpu, table + (index & 511) * 8);
      if (at < 0) return false;
      const lo = m.u32(at);
      const hi = m.u32(at + 4);
      if ((lo & P) === 0) return false;
      if (hi & reservedHi) return this.reserved();
      if ((lo & RW) === 0) this.writable = false;
      if ((lo & US) === 0) this.userPage = false;
      if (hi & 0x8000_0000) this.noExec = true;
      const base = addressIn(lo, hi);
      if (level === 1) return this.found(at, lo, lo32, base, 4096);
      if (lo & PS) {
        if (level === 4) return this.reserved();
        const size = level === 3 ? 0x4000_0000 : 0x20_0000;
        // bit 12 is PAT
        if ((base % size) & ~0x1000) return this.reserved();
        return this.found(at, lo, lo32, base - (base % size), size);
      }
      if ((lo & A) === 0) m.setU32(at, lo | A);
      table = base;
    }
  }

  /**
   * Loads the four entries that legacy PAE keeps in registers, as a write of CR3 does. False, and nothing is changed, if
   * one has reserved bits. Under nested paging they stay in memory.
   */
  loadPdptes(cpu: number, cr3: number): boolean {
    const { m } = this;
    if (this.nests(cpu)) return true;
    const table = (cr3 >>> 0) - (cr3 % 32);
    const at = [0, 8, 16, 24].map((k) => this.nested(cpu, table + k, false));
    const words = at.map((a) => (a < 0 ? [0, 0] : [m.u32(a), m.u32(a + 4)]) as [number, number]);
    if (words.some(([lo, hi]) => isReservedPdpte(lo, hi))) return false;
    words.forEach(([lo, hi], k) => {
      m.setU32(cpuState.pdpte.addr(cpu, k), lo);
      m.setU32(cpuState.pdpte.addr(cpu, k) + 4, hi);
    });
    return true;
  }

  /** Machine address of a page-directory-pointer entry of legacy PAE. @spec APM 2 15.25.10 */
  private pdpte(cpu: number, index: number, cr3: number): number {
    if (!this.nests(cpu)) return cpuState.pdpte.addr(cpu, index);
    return this.tableEntry(cpu, cr3 + index * 8);
  }

  /** Tables of two levels: 4-byte entries. False for a fault. */
  private walk32(cpu: number, linear: number, cr4: number): boolean {
    const { m } = this;
    let table = (m.u32(cpu + cpuState.cr3.offset) & 0xffff_f000) >>> 0;
    for (let level = 2; ; level--) {
      const index = level === 2 ? linear >>> 22 : (linear >>> 12) & 1023;
      const at = this.tableEntry(cpu, table + index * 4);
      if (at < 0) return false;
      const e = m.u32(at);
      if ((e & P) === 0) return false;
      if ((e & RW) === 0) this.writable = false;
      if ((e & US) === 0) this.userPage = false;
      if (level === 1) return this.found(at, e, linear, (e & 0xffff_f000) >>> 0, 4096);
      if (e & PS && cr4 & CR4_PSE) {
        if (e & RSVD_4M) return this.reserved();
        return this.found(at, e, linear, ((e & 0xffc0_0000) >>> 0) + ((e >>> 13) & 0xff) * HIGH, 0x40_0000);
      }
      if ((e & A) === 0) m.setU32(at, e | A);
      table = (e & 0xffff_f000) >>> 0;
    }
  }

  private reserved(): false {
    this.errorCode |= PF_P | PF_RSVD;
    return false;
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

const isReservedPdpte = (lo: number, hi: number): boolean =>
  (lo & P) !== 0 && ((lo & RSVD_PDPTE_LO) !== 0 || (hi & ~0xff) !== 0);
/** The physical address in an 8-byte entry. */
const addressIn = (lo: number, hi: number): number => (hi & 0xff) * HIGH + ((lo & 0xffff_f000) >>> 0);
