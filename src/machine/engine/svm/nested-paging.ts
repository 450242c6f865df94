/**
 * Nested paging: the monitor's page tables, which say where its guest's physical memory is. @spec APM 2 15.25
 *
 * They have the form that the monitor's own had at VMRUN. Every access counts as a user's, those to the guest's page
 * tables as writes; what is not allowed leaves the guest.
 */
import type { Mem } from '../../../base/mem.ts';
import { ACCESS, type AccessKind } from '../../page-access.ts';
import { PAGING, svmState } from './state.ts';
import { VmExit } from './vm-exit.ts';
import { NPF, VMEXIT } from './vmcb.ts';

const P = 1;
const RW = 2;
const US = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
const NX_HI = 0x8000_0000;
/** Physical addresses have 40 bits. */
const RSVD_HI = 0x000f_ff00;
const RSVD_HI_LEGACY = 0x7ff0_0000;
const RSVD_4M = 1 << 21;
/** As in a page fault's error code. */
const ERROR = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;
const HIGH = 0x1_0000_0000;

/** An entry on the way: its machine address, and what the ones before it allow. */
interface Entry {
  at: number;
  lo: number;
  hi: number;
}

export class NestedPaging {
  private readonly m: Mem;
  /** Machine address behind a physical one of the monitor's, negative where there is no memory that can be written. */
  private readonly physical: (cpu: number, at: number) => number;
  private readonly entry: Entry = { at: 0, lo: 0, hi: 0 };
  private gpa = 0;
  /** What the fault would say, but for what the tables make of it. */
  private error = 0;
  private table = false;
  private forms = 0;

  constructor(m: Mem, physical: (cpu: number, at: number) => number) {
    this.m = m;
    this.physical = physical;
  }

  /** The monitor's physical address behind a guest's; leaves the guest if there is none. `table`: on a walk. */
  translate(cpu: number, gpa: number, access: AccessKind, table: boolean): number {
    this.forms = this.m.u32(cpu + svmState.paging.offset);
    this.gpa = gpa;
    this.table = table;
    const fetch = access === ACCESS.exec && (this.forms & PAGING.nx) !== 0;
    this.error = ERROR.user | (access === ACCESS.write ? ERROR.write : 0) | (fetch ? ERROR.fetch : 0);
    if (!(this.forms & PAGING.long) && gpa >= HIGH) this.fault(0);
    const root = this.m.n64(cpu + svmState.nestedCr3.offset);
    return this.forms & PAGING.pae ? this.walkPae(cpu, root, access) : this.walk32(cpu, root, access);
  }

  private fault(more: number): never {
    const how = this.table ? NPF.table : NPF.final;
    throw new VmExit(VMEXIT.npf, BigInt(this.error | more) | how, BigInt(this.gpa));
  }

  private read(cpu: number, at: number, wide: boolean): Entry {
    const { entry: e, m } = this;
    e.at = this.physical(cpu, at);
    e.lo = e.at < 0 ? 0 : m.u32(e.at);
    e.hi = wide && e.at >= 0 ? m.u32(e.at + 4) : 0;
    if (!(e.lo & P)) this.fault(0);
    return e;
  }

  /** Whether an entry lets the access through. */
  private allows(e: Entry, access: AccessKind): boolean {
    if (!(e.lo & US)) return false;
    return access === ACCESS.write ? (e.lo & RW) !== 0 : access !== ACCESS.exec || (e.hi & NX_HI) === 0;
  }
  private markUsed(e: Entry, bits: number): void {
    if ((e.lo & bits) !== bits) this.m.setU32(e.at, e.lo | bits);
  }
  /** The entry of the page itself; `allowed` by it and all before it. */
  private found(e: Entry, access: AccessKind, allowed: boolean): void {
    if (!allowed) this.fault(ERROR.present);
    this.markUsed(e, access === ACCESS.write ? A | D : A);
  }
  private reserved(): never {
    return this.fault(ERROR.present | ERROR.reserved);
  }

  private walkPae(cpu: number, root: number, access: AccessKind): number {
    const long = (this.forms & PAGING.long) !== 0;
    const reserved = (long ? RSVD_HI : RSVD_HI | RSVD_HI_LEGACY) | (this.forms & PAGING.nx ? 0 : NX_HI);
    let table = long ? root - (root % 4096) : root - (root % 32);
    let allowed = true;
    for (let level = long ? 4 : 3; ; level--) {
      const size = 2 ** (3 + 9 * level);
      const e = this.read(cpu, table + (Math.floor(this.gpa / size) % 512) * 8, true);
      if (e.hi & reserved) this.reserved();
      const base = (e.hi & 0xff) * HIGH + ((e.lo & 0xffff_f000) >>> 0);
      // a page-directory pointer of legacy PAE has no rights
      const pointer = level === 3 && !long;
      if (!pointer) allowed = this.allows(e, access) && allowed;
      if (level === 1 || (!pointer && e.lo & PS)) {
        // bit 12 of a large page's entry is PAT
        if (level === 4 || (level > 1 && (base % size) & ~0x1000)) this.reserved();
        this.found(e, access, allowed);
        return base - (base % size) + (this.gpa % size);
      }
      if (!pointer) this.markUsed(e, A);
      table = base;
    }
  }

  private walk32(cpu: number, root: number, access: AccessKind): number {
    const directory = this.read(cpu, ((root & 0xffff_f000) >>> 0) + (this.gpa >>> 22) * 4, false);
    const { lo } = directory;
    const allowed = this.allows(directory, access);
    if (lo & PS && this.forms & PAGING.pse) {
      if (lo & RSVD_4M) this.reserved();
      this.found(directory, access, allowed);
      return ((lo & 0xffc0_0000) >>> 0) + ((lo >>> 13) & 0xff) * HIGH + (this.gpa % 0x40_0000);
    }
    this.markUsed(directory, A);
    const page = this.read(cpu, ((lo & 0xffff_f000) >>> 0) + ((this.gpa >>> 12) & 1023) * 4, false);
    this.found(page, access, this.allows(page, access) && allowed);
    return ((page.lo & 0xffff_f000) >>> 0) + (this.gpa % 4096);
  }
}
