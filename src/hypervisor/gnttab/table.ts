/** A grant table from the domain's creation to its end: growth, versions, reserved entries. */
import { XEN_EBUSY, XEN_EINVAL, XEN_ENOMEM, XEN_ENOSYS, XEN_ERANGE } from '../../abi/errno.ts';
import * as abi from '../../abi/grant_table.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { allocSharedPage, putFrame, sharedMappedAt } from '../mm/frames.ts';
import { removePage } from '../mm/physmap.ts';
import { domainRecord } from '../records.ts';
import { isV2, markAgain, sharedEntry } from './entry.ts';
import { dropAllMaps, orphanMaps } from './map.ts';
import {
  ACTIVE_PER_PAGE,
  allocTable,
  ENTRIES_PER_FRAME,
  entryCount,
  grantTableRecord as g,
  pins,
  statusFramesFor,
} from './record.ts';

/** Prepares a new domain's grant table. 0 or -errno. */
export function initGrants(
  hv: Hypervisor,
  dom: number,
  maxFrames: number,
  maxMaptrack: number,
  maxVersion: number,
): number {
  const bad = allocTable(hv, dom, maxFrames, maxMaptrack, maxVersion);
  if (bad !== 0 || maxFrames === 0) return bad;
  if (grow(hv, dom, 1)) return 0;
  destroyGrants(hv, dom);
  return -XEN_ENOMEM;
}

/** Makes the table at least `frames` long, with status frames to match; false when that cannot be. */
export function grow(hv: Hypervisor, dom: number, frames: number): boolean {
  const { mem } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (frames > g.maxFrames.get(mem, gt)) return false;
  if (isV2(hv, gt) && !growStatus(hv, dom, gt, statusFramesFor(frames))) return false;
  for (let i = g.frameCount.get(mem, gt); i < frames; i++) {
    const mfn = allocSharedPage(hv, domainRecord.domid.get(mem, dom));
    if (mfn < 0) return false;
    mem.setU32(g.shared.get(mem, gt) + i * 4, mfn);
    g.frameCount.set(mem, gt, i + 1);
  }
  return true;
}

function growStatus(hv: Hypervisor, dom: number, gt: number, frames: number): boolean {
  const { mem } = hv;
  for (let i = g.statusCount.get(mem, gt); i < frames; i++) {
    const mfn = allocSharedPage(hv, domainRecord.domid.get(mem, dom));
    if (mfn < 0) return false;
    mem.setU32(g.status.get(mem, gt) + i * 4, mfn);
    g.statusCount.set(mem, gt, i + 1);
  }
  return true;
}

/** The frame of the table (or of the v2 status words) at `idx`, which makes the table grow; -1 when there is none. */
export function grantFrame(hv: Hypervisor, dom: number, idx: number, status: boolean): number {
  const { mem } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (gt === 0 || (status && !isV2(hv, gt))) return -1;
  const max = g.maxFrames.get(mem, gt);
  if (idx >= (status ? statusFramesFor(max) : max)) return -1;
  if (!grow(hv, dom, status ? Math.min(max, idx * 8 + 1) : idx + 1)) return -1;
  return mem.u32((status ? g.status : g.shared).get(mem, gt) + idx * 4);
}

/** What the caller is told about a table frame's place: the mfn for a PV domain, else its gfn, -1 while unmapped. */
export const frameForGuest = (hv: Hypervisor, mfn: number, pv: boolean): number =>
  pv ? mfn : sharedMappedAt(hv, mfn);

/** The hypervisor's page leaves the domain's physmap and the table. */
function dropSharedPage(hv: Hypervisor, dom: number, mfn: number): void {
  const gfn = sharedMappedAt(hv, mfn);
  if (gfn >= 0) removePage(hv, dom, gfn);
  putFrame(hv, mfn);
}

/** Ends the domain's maps, makes others' maps of its pages stand on their own, and frees the tables. */
export function destroyGrants(hv: Hypervisor, dom: number): void {
  const { mem, machine } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (gt === 0) return;
  dropAllMaps(hv, dom, gt);
  orphanMaps(hv, domainRecord.domid.get(mem, dom));
  for (let i = 0; i < g.frameCount.get(mem, gt); i++)
    dropSharedPage(hv, dom, mem.u32(g.shared.get(mem, gt) + i * 4));
  dropStatus(hv, dom, gt);
  const activePages = (g.maxFrames.get(mem, gt) * ENTRIES_PER_FRAME) / ACTIVE_PER_PAGE;
  freeListed(hv, g.active.get(mem, gt), activePages);
  freeListed(hv, g.maptrack.get(mem, gt), g.maptrackCount.get(mem, gt));
  domainRecord.grantTable.set(mem, dom, 0);
  machine.freeFrameRun(gt / 4096, g.runFrames.get(mem, gt));
}

function dropStatus(hv: Hypervisor, dom: number, gt: number): void {
  const { mem } = hv;
  for (let i = 0; i < g.statusCount.get(mem, gt); i++)
    dropSharedPage(hv, dom, mem.u32(g.status.get(mem, gt) + i * 4));
  g.statusCount.set(mem, gt, 0);
}

function freeListed(hv: Hypervisor, dir: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const page = hv.mem.u32(dir + i * 4);
    if (page !== 0) hv.machine.freeFrameRun(page / 4096);
  }
}

/** GNTTABOP_set_version: all entries but the reserved ones, which may be in use, are cleared. 0 or -errno. */
export function setVersion(hv: Hypervisor, dom: number, version: number): number {
  const { mem } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (version !== 1 && version !== 2) return -XEN_EINVAL;
  if (version > g.maxVersion.get(mem, gt)) return -XEN_ENOSYS;
  if (version === g.version.get(mem, gt)) return 0;
  const entries = entryCount(hv, gt);
  for (let ref = abi.GNTTAB_NR_RESERVED_ENTRIES; ref < entries; ref++) {
    if (pins(hv, gt, ref) > 0) return -XEN_EBUSY;
  }
  const kept = readReserved(hv, gt);
  if (kept === undefined) return -XEN_ERANGE;
  const frames = g.frameCount.get(mem, gt);
  if (version === 2 && !growStatus(hv, dom, gt, statusFramesFor(frames))) return -XEN_ENOMEM;
  if (version === 1) dropStatus(hv, dom, gt);
  g.version.set(mem, gt, version);
  for (let i = 0; i < frames; i++) mem.fill(mem.u32(g.shared.get(mem, gt) + i * 4) * 4096, 4096);
  if (frames > 0)
    kept.forEach((entry, ref) => {
      writeReserved(hv, gt, ref, entry);
    });
  return 0;
}

interface Reserved {
  flags: number;
  domid: number;
  frame: number;
}

/** The entries that survive; undefined when one of them cannot be said in the other version. */
function readReserved(hv: Hypervisor, gt: number): Reserved[] | undefined {
  const { mem } = hv;
  const kept: Reserved[] = [];
  if (g.frameCount.get(mem, gt) === 0) return kept;
  for (let ref = 0; ref < abi.GNTTAB_NR_RESERVED_ENTRIES; ref++) {
    const e = sharedEntry(hv, gt, ref);
    const flags = mem.u16(e);
    const frame = isV2(hv, gt)
      ? abi.grant_entry_v2.full_page_frame.get(mem, e)
      : abi.grant_entry_v1.frame.get(mem, e);
    const type = flags & abi.GTF_type_mask;
    const plain =
      type === abi.GTF_invalid || (type === abi.GTF_permit_access && (flags & abi.GTF_sub_page) === 0);
    if (isV2(hv, gt) && (!plain || frame > 0xffff_ffff)) return undefined;
    kept.push({ flags: flags & ~(abi.GTF_reading | abi.GTF_writing), domid: mem.u16(e + 2), frame });
  }
  return kept;
}

function writeReserved(hv: Hypervisor, gt: number, ref: number, entry: Reserved): void {
  const { mem } = hv;
  const e = sharedEntry(hv, gt, ref);
  if (isV2(hv, gt)) abi.grant_entry_v2.full_page_frame.set(mem, e, entry.frame);
  else abi.grant_entry_v1.frame.set(mem, e, entry.frame);
  mem.setU16(e + 2, entry.domid);
  mem.setU16(e, entry.flags);
  markAgain(hv, gt, ref);
}

/** GNTTABOP_swap_grant_ref. A GNTST status. */
export function swapGrantRefs(hv: Hypervisor, dom: number, refA: number, refB: number): number {
  const { mem } = hv;
  const gt = domainRecord.grantTable.get(mem, dom);
  if (gt === 0) return abi.GNTST_bad_gntref;
  const entries = entryCount(hv, gt);
  if (refA >= entries || refB >= entries) return abi.GNTST_bad_gntref;
  if (refA === refB) return abi.GNTST_okay;
  if (pins(hv, gt, refA) + pins(hv, gt, refB) > 0) return abi.GNTST_eagain;
  const size = isV2(hv, gt) ? abi.grant_entry_v2.$.size : abi.grant_entry_v1.$.size;
  const a = sharedEntry(hv, gt, refA);
  const b = sharedEntry(hv, gt, refB);
  const saved = mem.copy(a, size);
  mem.move(a, b, size);
  mem.write(b, saved);
  return abi.GNTST_okay;
}
