/**
 * Mapping other domains' pages. For a caller with a physmap `host_addr` is a guest-physical address, where the frame
 * appears as a grant entry; the map holds a reference to the frame, so the page outlives even its owner.
 */
import * as abi from '../../abi/grant_table.ts';
import { P2M, P2M_FRAMES, p2mEntry, p2mMfn, p2mType } from '../../machine/p2m.ts';
import type { Caller } from '../guest-copy.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { getFrame, putFrame } from '../mm/frames.ts';
import { physmapEntry, setPhysmap } from '../mm/physmap.ts';
import { DOMAIN_TYPE, domainRecord, MAX_DOMAINS } from '../records.ts';
import { acquire, release } from './entry.ts';
import { allocHandle, eachMap, freeHandle, maptrackEntry, useHandle } from './maptrack.ts';
import { activeRecord, maptrackRecord } from './record.ts';

const PV_ONLY = abi.GNTMAP_device_map | abi.GNTMAP_application_map | abi.GNTMAP_contains_pte;

/** GNTTABOP_map_grant_ref; the argument is at `a` in scratch memory. A GNTST status. */
export function mapGrantRef(c: Caller, a: number): number {
  const s = c.layout(abi.gnttab_map_grant_ref, abi.gnttab_map_grant_ref_32);
  const { hv, scratch, mem } = c;
  const flags = s.flags.get(scratch, a);
  if ((flags & (abi.GNTMAP_device_map | abi.GNTMAP_host_map)) === 0) return abi.GNTST_bad_gntref;
  if (domainRecord.type.get(mem, c.dom) === DOMAIN_TYPE.pv) return abi.GNTST_general_error;
  if ((flags & PV_ONLY) !== 0) return abi.GNTST_general_error;
  const domid = s.dom.get(scratch, a);
  const remote = hv.domain(domid);
  if (remote === 0) return abi.GNTST_bad_domain;
  const gfn = Math.floor(s.host_addr.get(scratch, a) / 4096);
  if (!freeForMap(hv, c.dom, gfn)) return abi.GNTST_general_error;

  const gt = domainRecord.grantTable.get(mem, c.dom);
  const handle = gt === 0 ? -1 : allocHandle(hv, gt);
  if (handle < 0) return abi.GNTST_no_device_space;
  const ref = s.ref.get(scratch, a);
  const readonly = (flags & abi.GNTMAP_readonly) !== 0;
  const act = acquire(hv, remote, ref, { domid: c.domid, readonly, forMap: true });
  if (act < 0) {
    freeHandle(hv, gt, handle);
    return act;
  }
  const mfn = activeRecord.mfn.get(mem, act);
  if (!setPhysmap(hv, c.dom, gfn, p2mEntry(mfn, readonly ? P2M.grantRo : P2M.grantRw))) {
    release(hv, remote, ref, readonly);
    freeHandle(hv, gt, handle);
    return abi.GNTST_general_error;
  }
  getFrame(hv, mfn);
  const kept = flags & (abi.GNTMAP_host_map | abi.GNTMAP_readonly);
  useHandle(hv, gt, handle, { domid, ref, flags: kept, mfn, gfn });
  s.handle.set(scratch, a, handle);
  s.dev_bus_addr.set(scratch, a, mfn * 4096);
  return abi.GNTST_okay;
}

/** DIVERGES: Xen lets a map bury whatever the caller had at that address; here it must be a hole. */
const freeForMap = (hv: Hypervisor, dom: number, gfn: number): boolean =>
  gfn >= 0 && gfn < P2M_FRAMES && p2mType(physmapEntry(hv, dom, gfn)) === P2M.none;

/** GNTTABOP_unmap_grant_ref. A GNTST status. */
export function unmapGrantRef(c: Caller, a: number): number {
  const s = c.layout(abi.gnttab_unmap_grant_ref, abi.gnttab_unmap_grant_ref_32);
  const { hv, scratch, mem } = c;
  const gt = domainRecord.grantTable.get(mem, c.dom);
  const handle = s.handle.get(scratch, a);
  const entry = gt === 0 ? 0 : maptrackEntry(hv, gt, handle);
  if (entry === 0) return abi.GNTST_bad_handle;
  const addr = s.host_addr.get(scratch, a);
  if (addr === 0) return abi.GNTST_okay;
  if (Math.floor(addr / 4096) !== maptrackRecord.gfn.get(mem, entry)) return abi.GNTST_general_error;
  dropMap(hv, c.dom, gt, handle, entry);
  return abi.GNTST_okay;
}

/** Ends a map: the physmap entry, the granter's count and marks, the frame's reference, the handle. */
function dropMap(hv: Hypervisor, dom: number, gt: number, handle: number, entry: number): void {
  const { mem } = hv;
  const m = maptrackRecord;
  const gfn = m.gfn.get(mem, entry);
  const mfn = m.mfn.get(mem, entry);
  const there = physmapEntry(hv, dom, gfn);
  const grant = p2mType(there) === P2M.grantRw || p2mType(there) === P2M.grantRo;
  if (grant && p2mMfn(there) === mfn) setPhysmap(hv, dom, gfn, 0);
  if (m.orphan.get(mem, entry) === 0) {
    const readonly = (m.flags.get(mem, entry) & abi.GNTMAP_readonly) !== 0;
    release(hv, hv.domain(m.domid.get(mem, entry)), m.ref.get(mem, entry), readonly);
  }
  putFrame(hv, mfn);
  freeHandle(hv, gt, handle);
}

/** A dying domain gives up its maps. */
export function dropAllMaps(hv: Hypervisor, dom: number, gt: number): void {
  eachMap(hv, gt, (handle, entry) => dropMap(hv, dom, gt, handle, entry));
}

/** The table of `domid` goes away: maps of its entries, in whatever domain, have no entry to release any more. */
export function orphanMaps(hv: Hypervisor, domid: number): void {
  for (let d = 0; d < MAX_DOMAINS; d++) {
    const dom = hv.domain(d);
    const gt = dom === 0 ? 0 : domainRecord.grantTable.get(hv.mem, dom);
    if (gt === 0) continue;
    eachMap(hv, gt, (_handle, entry) => {
      if (maptrackRecord.domid.get(hv.mem, entry) === domid) maptrackRecord.orphan.set(hv.mem, entry, 1);
    });
  }
}
