/** Handles: a domain's maps of other domains' grant entries. */
import type { Hypervisor } from '../hypervisor.ts';
import { grantTableRecord, MAPTRACK_PER_PAGE, maptrackRecord } from './record.ts';

/** The record of a handle in use, 0 for one that is not. */
export function maptrackEntry(hv: Hypervisor, gt: number, handle: number): number {
  const { mem } = hv;
  if (handle >= grantTableRecord.maptrackCount.get(mem, gt) * MAPTRACK_PER_PAGE) return 0;
  const entry = slot(hv, gt, handle);
  return maptrackRecord.flags.get(mem, entry) === 0 ? 0 : entry;
}

function slot(hv: Hypervisor, gt: number, handle: number): number {
  const dir = grantTableRecord.maptrack.get(hv.mem, gt);
  const page = hv.mem.u32(dir + Math.floor(handle / MAPTRACK_PER_PAGE) * 4);
  return page + (handle % MAPTRACK_PER_PAGE) * maptrackRecord.$.size;
}

/** A free handle, to be put to use by `useHandle`; -1 when the domain's limit is reached or memory is short. */
export function allocHandle(hv: Hypervisor, gt: number): number {
  const { mem } = hv;
  if (grantTableRecord.maptrackFree.get(mem, gt) === 0 && !growMaptrack(hv, gt)) return -1;
  const handle = grantTableRecord.maptrackFree.get(mem, gt) - 1;
  grantTableRecord.maptrackFree.set(mem, gt, maptrackRecord.gfn.get(mem, slot(hv, gt, handle)));
  return handle;
}

function growMaptrack(hv: Hypervisor, gt: number): boolean {
  const { mem } = hv;
  const count = grantTableRecord.maptrackCount.get(mem, gt);
  if (count >= grantTableRecord.maxMaptrack.get(mem, gt)) return false;
  const frame = hv.machine.allocFrame();
  if (frame < 0) return false;
  mem.setU32(grantTableRecord.maptrack.get(mem, gt) + count * 4, frame * 4096);
  grantTableRecord.maptrackCount.set(mem, gt, count + 1);
  for (let i = MAPTRACK_PER_PAGE - 1; i >= 0; i--) freeHandle(hv, gt, count * MAPTRACK_PER_PAGE + i);
  return true;
}

export function useHandle(
  hv: Hypervisor,
  gt: number,
  handle: number,
  map: { domid: number; ref: number; flags: number; mfn: number; gfn: number },
): void {
  const { mem } = hv;
  const entry = slot(hv, gt, handle);
  maptrackRecord.domid.set(mem, entry, map.domid);
  maptrackRecord.ref.set(mem, entry, map.ref);
  maptrackRecord.flags.set(mem, entry, map.flags);
  maptrackRecord.mfn.set(mem, entry, map.mfn);
  maptrackRecord.gfn.set(mem, entry, map.gfn);
  maptrackRecord.orphan.set(mem, entry, 0);
}

export function freeHandle(hv: Hypervisor, gt: number, handle: number): void {
  const { mem } = hv;
  const entry = slot(hv, gt, handle);
  maptrackRecord.flags.set(mem, entry, 0);
  maptrackRecord.gfn.set(mem, entry, grantTableRecord.maptrackFree.get(mem, gt));
  grantTableRecord.maptrackFree.set(mem, gt, handle + 1);
}

/** Calls `visit` for each handle in use. */
export function eachMap(hv: Hypervisor, gt: number, visit: (handle: number, entry: number) => void): void {
  const count = grantTableRecord.maptrackCount.get(hv.mem, gt) * MAPTRACK_PER_PAGE;
  for (let handle = 0; handle < count; handle++) {
    const entry = maptrackEntry(hv, gt, handle);
    if (entry !== 0) visit(handle, entry);
  }
}
