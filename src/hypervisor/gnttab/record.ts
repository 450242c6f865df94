/**
 * A domain's grant table as records in machine memory: one run of frames that holds the record below and directories of
 * the frames that come as they are needed.
 *
 *   shared    frames of grant entries, which the domain writes       status    the same for v2 status words
 *   active    what is in use of each entry, and by whom              maptrack  the domain's own maps of others' entries
 *
 * Everything here is guarded by the hypervisor lock.
 */
import { XEN_ENOMEM } from '../../abi/errno.ts';
import { struct, u8, u16, u32 } from '../../base/layout.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';

export const grantTableRecord = struct('hv_grant_table', {
  version: u32,
  maxVersion: u32,
  frameCount: u32,
  maxFrames: u32,
  statusCount: u32,
  /** Addresses of the directories. */
  shared: u32,
  status: u32,
  active: u32,
  maptrack: u32,
  maptrackCount: u32,
  maxMaptrack: u32,
  /** First free handle + 1, 0 when there is none. */
  maptrackFree: u32,
  /** Frames of the run that holds all this. */
  runFrames: u32,
});

/** An entry in use: counted maps (and a copy in progress), the frame, and the part of it that is granted. */
export const activeRecord = struct(
  'hv_grant_active',
  {
    readers: u32,
    writers: u32,
    mfn: u32,
    domid: u16,
    start: u16,
    /** Bytes, up to 4096. */
    length: u16,
    /** 1: less than the page may be granted, so it cannot be mapped. */
    subPage: u8,
    /** 1: the granter itself may write the frame. */
    writable: u8,
    /** 1: passes on what another domain granted; then there is no frame, but an entry of that domain. */
    transitive: u8,
    transDomid: u16,
    transRef: u32,
  },
  32,
);

/** One map, found by its handle. */
export const maptrackRecord = struct(
  'hv_maptrack',
  {
    domid: u16,
    /** GNTMAP_* of the map; 0 for a free handle. */
    flags: u16,
    ref: u32,
    mfn: u32,
    /** Where it is mapped; in a free handle the next free one + 1. */
    gfn: u32,
    /** 1: the granter is gone, and its entry with it. */
    orphan: u8,
  },
  32,
);

export const ACTIVE_PER_PAGE = 4096 / activeRecord.$.size;
export const MAPTRACK_PER_PAGE = 4096 / maptrackRecord.$.size;
/** v1 entries in a frame; v2 has half as many. */
export const ENTRIES_PER_FRAME = 512;

/** What a creator who names no limit gets. */
const DEFAULT_FRAMES = 64;
const DEFAULT_MAPTRACK = 1024;
const FRAMES_LIMIT = 4096;
const MAPTRACK_LIMIT = 65536;
/** A limit is in frames of Xen's maptrack entries, which are half the size of ours. */
const MAPTRACK_SCALE = 4096 / 16 / MAPTRACK_PER_PAGE;
const DIR_PER_PAGE = 1024;
const pages = (entries: number): number => Math.ceil(entries / DIR_PER_PAGE);

export const statusFramesFor = (frames: number): number => Math.ceil(frames / 8);

/** Makes the record and its empty directories; a negative limit is the default. 0 or -errno. */
export function allocTable(
  hv: Hypervisor,
  dom: number,
  maxFrames: number,
  maxMaptrack: number,
  maxVersion: number,
): number {
  const { mem } = hv;
  const frames = Math.min(maxFrames < 0 ? DEFAULT_FRAMES : maxFrames, FRAMES_LIMIT);
  const maptrack = Math.min(maxMaptrack < 0 ? DEFAULT_MAPTRACK : maxMaptrack, MAPTRACK_LIMIT);
  const sizes = [
    pages(frames),
    pages(statusFramesFor(frames)),
    pages((frames * ENTRIES_PER_FRAME) / ACTIVE_PER_PAGE),
    pages(maptrack * MAPTRACK_SCALE),
  ];
  const run = 1 + sizes.reduce((sum, n) => sum + n, 0);
  const first = hv.machine.allocFrames(run);
  if (first < 0) return -XEN_ENOMEM;
  const gt = first * 4096;
  const g = grantTableRecord;
  let at = gt + 4096;
  [g.shared, g.status, g.active, g.maptrack].forEach((field, i) => {
    field.set(mem, gt, at);
    at += sizes[i]! * 4096;
  });
  g.version.set(mem, gt, 1);
  g.maxVersion.set(mem, gt, maxVersion);
  g.maxFrames.set(mem, gt, frames);
  g.maxMaptrack.set(mem, gt, maptrack * MAPTRACK_SCALE);
  g.runFrames.set(mem, gt, run);
  domainRecord.grantTable.set(mem, dom, gt);
  return 0;
}

/** The number of entries that the table has room for now. */
export function entryCount(hv: Hypervisor, gt: number): number {
  const frames = grantTableRecord.frameCount.get(hv.mem, gt);
  return (frames * ENTRIES_PER_FRAME) / (grantTableRecord.version.get(hv.mem, gt) === 2 ? 2 : 1);
}

/** The active record of an entry below `entryCount`, 0 while its page does not exist. */
export function activeEntry(hv: Hypervisor, gt: number, ref: number): number {
  const page = hv.mem.u32(grantTableRecord.active.get(hv.mem, gt) + Math.floor(ref / ACTIVE_PER_PAGE) * 4);
  return page === 0 ? 0 : page + (ref % ACTIVE_PER_PAGE) * activeRecord.$.size;
}

/** The same, its page made if need be; 0 when there is no frame for that. */
export function activeEntryOrNew(hv: Hypervisor, gt: number, ref: number): number {
  const act = activeEntry(hv, gt, ref);
  if (act !== 0) return act;
  const frame = hv.machine.allocFrame();
  if (frame < 0) return 0;
  hv.mem.setU32(
    grantTableRecord.active.get(hv.mem, gt) + Math.floor(ref / ACTIVE_PER_PAGE) * 4,
    frame * 4096,
  );
  return activeEntry(hv, gt, ref);
}

/** Maps and copies now made through an entry. */
export function pins(hv: Hypervisor, gt: number, ref: number): number {
  const act = activeEntry(hv, gt, ref);
  return act === 0 ? 0 : activeRecord.readers.get(hv.mem, act) + activeRecord.writers.get(hv.mem, act);
}
