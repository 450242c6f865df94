/**
 * What is known of addresses within straight code: how registers differ from each other by constants, and which pages
 * have been found in the TLB. Accesses near one that was translated need no look at the TLB if they are on its page,
 * since nothing empties a TLB while a region runs but what `forget` is called for.
 */
import type { Mem } from '../../base/mem.ts';
import type { CodeSize } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import { SYSTEM } from '../emit/system.ts';
import type { Handler } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';

/** Offset of RSP in the vCPU's state. */
export const RSP = 32;

/** A register: an unknown value, and what it is more than that. */
interface Sum {
  readonly root: number;
  readonly add: number;
}
/** An access that was translated: its machine address is in a place for such. */
export interface Anchor {
  /** Less than ANCHORS. */
  readonly place: number;
  /** What its address is more than the unknown part of it. */
  readonly at: number;
  readonly size: number;
  readonly write: boolean;
}
/** The address of a memory operand. */
export interface Address {
  /** Names the sum of unknown values. */
  readonly key: string;
  readonly add: number;
}
export interface KnownAddresses {
  readonly sums: ReadonlyMap<number, Sum>;
  readonly anchors: ReadonlyMap<string, Anchor>;
}

const RIP_BASE = cpuState.ripBase.offset;
const ZERO = cpuState.zero.offset;
/** Constants beyond this are no use, and must not grow without end. */
const FAR = 1 << 28;
/** Accesses that are remembered at a time. */
const ANCHORS = 4;

export class Addresses {
  /** Sums wrap as addresses of the code do: of so many bytes, to which they are masked. */
  readonly size: 4 | 8;
  readonly mask: bigint;
  private readonly mem: Mem;
  private sums = new Map<number, Sum>();
  private anchors = new Map<string, Anchor>();
  private lastRoot = 0;
  private turn = 0;

  constructor(mem: Mem, codeSize: CodeSize) {
    this.mem = mem;
    this.size = codeSize === 32 ? 4 : 8;
    this.mask = codeSize === 32 ? 0xffff_ffffn : -1n;
  }

  // --- registers, by their offset in the vCPU's state ------------------------------------------------------------------

  sum(register: number): Sum {
    const known = this.sums.get(register);
    return known ?? this.change(register);
  }
  /** It has a value that nothing is known of. */
  change(register: number): Sum {
    const sum = { root: ++this.lastRoot, add: 0 };
    this.sums.set(register, sum);
    return sum;
  }
  /** It is another one's value (which may be what it was itself) and a constant. */
  become(register: number, from: Sum, by: number): void {
    const add = from.add + by;
    if (Math.abs(add) > FAR) this.change(register);
    else this.sums.set(register, { root: from.root, add });
  }

  // --- memory ------------------------------------------------------------------------------------------------------

  /** The address of a record's operand, on a page; undefined where it is not just a sum of whole registers. */
  of(record: number, page: number): Address | undefined {
    const { mem } = this;
    if (mem.s64(record + REC.mask) !== this.mask) return undefined;
    const index = mem.u16(record + REC.index);
    const base = this.part(mem.u16(record + REC.base), page);
    const seg = mem.u8(record + REC.seg);
    if (index === ZERO) return { key: `${seg}+${base.root}`, add: base.add + mem.s32(record + REC.disp) };
    const scale = mem.u8(record + REC.scale);
    const other = this.part(index, page);
    const add = base.add + other.add * (1 << scale) + mem.s32(record + REC.disp);
    return { key: `${seg}+${base.root}+${other.root}<<${scale}`, add };
  }
  private part(register: number, page: number): Sum {
    if (register === RIP_BASE) return { root: -1, add: page * 4096 };
    return register === ZERO ? { root: 0, add: 0 } : this.sum(register);
  }

  /** An access that was translated, for writing if that is wanted, on whose page one of `size` bytes here may be too. */
  near({ key, add }: Address, size: number, write: boolean): Anchor | undefined {
    const a = this.anchors.get(key);
    if (!a || (write && !a.write) || Math.abs(add - a.at) >= 4096) return undefined;
    // neither of both ends of it is known to be on the page
    return add < a.at && add + size > a.at + a.size ? undefined : a;
  }
  /** The access is being translated; answers the place where its machine address is to be. */
  remember({ key, add }: Address, size: number, write: boolean): number {
    const place = this.turn;
    this.turn = (place + 1) % ANCHORS;
    for (const [k, a] of this.anchors) if (a.place === place) this.anchors.delete(k);
    this.anchors.set(key, { place, at: add, size, write });
    return place;
  }

  // --- ways --------------------------------------------------------------------------------------------------------

  save(): KnownAddresses {
    return { sums: new Map(this.sums), anchors: new Map(this.anchors) };
  }
  restore(known: KnownAddresses): void {
    this.sums = new Map(known.sums);
    this.anchors = new Map(known.anchors);
  }
  /** Several ways meet here, or something was done that TLBs are not the same after. */
  forget(): void {
    this.sums.clear();
    this.anchors.clear();
  }
}

const DISPLACED: Readonly<Record<string, 1 | -1>> = { add: 1, sub: -1 };

/** The register that a record makes a sum of a register as it was before and a constant, if it does. */
export function constantChange(
  mem: Mem,
  record: number,
  h: Handler,
  addresses: Addresses,
): { register: number; from: Sum; by: number } | undefined {
  if (h.z !== addresses.size) return undefined;
  const register = mem.u16(record + REC.r1);
  const sign = DISPLACED[h.name];
  const masked = mem.s64(record + REC.mask) === addresses.mask;
  if (sign && h.form === 'ri')
    return { register, from: addresses.sum(register), by: sign * mem.s32(record + REC.imm) };
  if (h.name === 'mov' && h.form === 'rr')
    return { register, from: addresses.sum(mem.u16(record + REC.r2)), by: 0 };
  if (h.name === 'lea' && mem.u16(record + REC.index) === ZERO && masked) {
    const base = mem.u16(record + REC.base);
    if (base !== ZERO && base !== RIP_BASE)
      return { register, from: addresses.sum(base), by: mem.s32(record + REC.disp) };
  }
  if (h.name === 'ret' && masked)
    return { register: RSP, from: addresses.sum(RSP), by: h.z + mem.s32(record + REC.imm) };
  return undefined;
}

/** Whether TLBs are the same after a record. */
export const keepsTlb = (h: Handler): boolean => !(h.name in SYSTEM) && h.name !== 'popf';
