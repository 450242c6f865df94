/**
 * The grant entries as the granting domain writes them, and their use: `acquire` checks an entry, marks it as being
 * read or written, and counts the user; `release` undoes that. The marks are what tells the granter that it must not
 * take the page back yet, so they are made by compare-and-exchange against what was checked.
 *
 *   v1: u16 flags | u16 domid | u32 frame, the marks in the flags
 *   v2: u16 flags | u16 domid | by type, the marks in a u16 status word of a page of their own
 */
import * as abi from '../../abi/grant_table.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import { ownPage } from './page.ts';
import {
  activeEntry,
  activeEntryOrNew,
  activeRecord,
  ENTRIES_PER_FRAME,
  entryCount,
  grantTableRecord,
  pins,
} from './record.ts';

const v1 = abi.grant_entry_v1;
const v2 = abi.grant_entry_v2;

/** A use of an entry: by whom, what for. Sub-page and transitive entries can be copied from but not mapped. */
export interface Use {
  domid: number;
  readonly: boolean;
  forMap: boolean;
}

export const isV2 = (hv: Hypervisor, gt: number): boolean => grantTableRecord.version.get(hv.mem, gt) === 2;

/** Machine address of a shared entry below `entryCount`. */
export function sharedEntry(hv: Hypervisor, gt: number, ref: number): number {
  const two = isV2(hv, gt);
  const perFrame = two ? ENTRIES_PER_FRAME / 2 : ENTRIES_PER_FRAME;
  const mfn = hv.mem.u32(grantTableRecord.shared.get(hv.mem, gt) + Math.floor(ref / perFrame) * 4);
  return mfn * 4096 + (ref % perFrame) * (two ? v2.$.size : v1.$.size);
}

/** The 32-bit word that holds a v2 entry's status word, and by how much that is shifted in it. */
function statusWord(hv: Hypervisor, gt: number, ref: number): number {
  const mfn = hv.mem.u32(grantTableRecord.status.get(hv.mem, gt) + Math.floor(ref / 2048) * 4);
  return mfn * 4096 + ((ref % 2048) >> 1) * 4;
}
const statusShift = (ref: number): number => (ref & 1) * 16;

/** Marks the entry as in use by `domid`. Answers the flags that were found good, or a GNTST status below 0. */
function mark(hv: Hypervisor, gt: number, ref: number, use: Use): number {
  return isV2(hv, gt) ? markV2(hv, gt, ref, use) : markV1(hv, gt, ref, use);
}

function markV1(hv: Hypervisor, gt: number, ref: number, use: Use): number {
  const word = sharedEntry(hv, gt, ref);
  for (let tries = 0; tries < 5; tries++) {
    const was = hv.mem.atomicLoad(word);
    if (!allows(was, abi.GTF_type_mask, use)) return abi.GNTST_general_error;
    const now = (was | marks(use)) >>> 0;
    if (hv.mem.atomicCmpxchg(word, was, now) === was) return was & 0xffff;
  }
  return abi.GNTST_general_error;
}

/** Marked first, then checked again: the granter revokes the other way round. */
function markV2(hv: Hypervisor, gt: number, ref: number, use: Use): number {
  const word = sharedEntry(hv, gt, ref);
  const mask = abi.GTF_type_mask | (use.forMap ? abi.GTF_sub_page : 0);
  if (!allows(hv.mem.atomicLoad(word), mask, use)) return abi.GNTST_general_error;
  const had = hv.mem.atomicOr(statusWord(hv, gt, ref), marks(use) << statusShift(ref));
  const header = hv.mem.atomicLoad(word);
  if (allows(header, mask, use)) return header & 0xffff;
  unmark(hv, gt, ref, marks(use) & ~(had >>> statusShift(ref)));
  return abi.GNTST_general_error;
}

const marks = (use: Use): number => abi.GTF_reading | (use.readonly ? 0 : abi.GTF_writing);

/** The entry's first word (flags and domid) permits this use. `mask`: the flags that must say plain access. */
function allows(header: number, mask: number, use: Use): boolean {
  const type = header & mask;
  const access = type === abi.GTF_permit_access || (!use.forMap && type === abi.GTF_transitive);
  return access && header >>> 16 === use.domid && (use.readonly || (header & abi.GTF_readonly) === 0);
}

function unmark(hv: Hypervisor, gt: number, ref: number, bits: number): void {
  if (bits === 0) return;
  if (isV2(hv, gt)) hv.mem.atomicAnd(statusWord(hv, gt, ref), ~(bits << statusShift(ref)));
  else hv.mem.atomicAnd(sharedEntry(hv, gt, ref), ~bits);
}

/**
 * Takes entry `ref` of `dom` into use. Answers the address of its active record, or a GNTST status below 0. Once in use,
 * the entry means what it meant when its first user came, whatever the granter writes there.
 */
export function acquire(hv: Hypervisor, dom: number, ref: number, use: Use): number {
  const { mem } = hv;
  const a = activeRecord;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (gt === 0) return abi.GNTST_bad_domain;
  if (ref >= entryCount(hv, gt)) return abi.GNTST_bad_gntref;
  const act = activeEntryOrNew(hv, gt, ref);
  if (act === 0) return abi.GNTST_general_error;
  const writers = a.writers.get(mem, act);
  const pinned = a.readers.get(mem, act) + writers > 0;
  const taken = pinned ? join(hv, gt, ref, act, use) : begin(hv, dom, gt, ref, act, use);
  if (taken < 0) return taken;
  const count = use.readonly ? a.readers : a.writers;
  count.set(mem, act, count.get(mem, act) + 1);
  return act;
}

/** One more user of an entry in use. */
function join(hv: Hypervisor, gt: number, ref: number, act: number, use: Use): number {
  const { mem } = hv;
  const a = activeRecord;
  const partial = a.subPage.get(mem, act) !== 0 || a.transitive.get(mem, act) !== 0;
  if (a.domid.get(mem, act) !== use.domid || (use.forMap && partial)) return abi.GNTST_general_error;
  if (use.readonly || a.writers.get(mem, act) > 0) return abi.GNTST_okay;
  if (a.writable.get(mem, act) === 0) return abi.GNTST_general_error;
  return Math.min(mark(hv, gt, ref, use), abi.GNTST_okay);
}

/** The first user: the entry is read into the active record. */
function begin(hv: Hypervisor, dom: number, gt: number, ref: number, act: number, use: Use): number {
  const flags = mark(hv, gt, ref, use);
  if (flags < 0) return flags;
  activeRecord.domid.set(hv.mem, act, use.domid);
  const transitive = (flags & abi.GTF_type_mask) === abi.GTF_transitive;
  const status = transitive ? readTransitive(hv, gt, ref, act) : readPage(hv, dom, gt, ref, act, flags, use);
  if (status < 0) unmark(hv, gt, ref, marks(use));
  return status;
}

function readTransitive(hv: Hypervisor, gt: number, ref: number, act: number): number {
  const e = sharedEntry(hv, gt, ref);
  activeRecord.transitive.set(hv.mem, act, 1);
  activeRecord.transDomid.set(hv.mem, act, v2.transitive_trans_domid.get(hv.mem, e));
  activeRecord.transRef.set(hv.mem, act, v2.transitive_gref.get(hv.mem, e));
  activeRecord.writable.set(hv.mem, act, 1);
  return abi.GNTST_okay;
}

function readPage(
  hv: Hypervisor,
  dom: number,
  gt: number,
  ref: number,
  act: number,
  flags: number,
  use: Use,
): number {
  const { mem } = hv;
  const a = activeRecord;
  const e = sharedEntry(hv, gt, ref);
  const subPage = isV2(hv, gt) && (flags & abi.GTF_sub_page) !== 0;
  const start = subPage ? v2.sub_page_page_off.get(mem, e) : 0;
  const length = subPage ? v2.sub_page_length.get(mem, e) : 4096;
  // The frame of a full page and of a part of one are at the same place.
  const frame = isV2(hv, gt) ? v2.full_page_frame.get(mem, e) : v1.frame.get(mem, e);
  const mfn = ownPage(hv, dom, frame, false);
  if (mfn < 0 || start + length > 4096) return abi.GNTST_bad_page;
  const writable = ownPage(hv, dom, frame, true) === mfn;
  if (!writable && !use.readonly) return abi.GNTST_general_error;
  a.mfn.set(mem, act, mfn);
  a.start.set(mem, act, start);
  a.length.set(mem, act, length);
  a.subPage.set(mem, act, subPage ? 1 : 0);
  a.writable.set(mem, act, writable ? 1 : 0);
  a.transitive.set(mem, act, 0);
  return abi.GNTST_okay;
}

/** Puts the marks of an entry in use where its version has them, after a change of version. */
export function markAgain(hv: Hypervisor, gt: number, ref: number): void {
  const { mem } = hv;
  if (pins(hv, gt, ref) === 0) return;
  const written = activeRecord.writers.get(mem, activeEntry(hv, gt, ref)) > 0;
  const bits = abi.GTF_reading | (written ? abi.GTF_writing : 0);
  if (isV2(hv, gt)) mem.atomicOr(statusWord(hv, gt, ref), bits << statusShift(ref));
  else mem.atomicOr(sharedEntry(hv, gt, ref), bits);
}

/** Ends one use that `acquire` began with the same `readonly`. */
export function release(hv: Hypervisor, dom: number, ref: number, readonly: boolean): void {
  const { mem } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  const act = activeEntry(hv, gt, ref);
  const count = readonly ? activeRecord.readers : activeRecord.writers;
  count.set(mem, act, count.get(mem, act) - 1);
  const writers = activeRecord.writers.get(mem, act);
  let bits = !readonly && writers === 0 ? abi.GTF_writing : 0;
  if (writers + activeRecord.readers.get(mem, act) === 0) bits |= abi.GTF_reading;
  unmark(hv, gt, ref, bits);
}
