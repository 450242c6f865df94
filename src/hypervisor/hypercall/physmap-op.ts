/** The operations of memory_op that put pages into a physmap, or take them out. @abi public/memory.h */
import {
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOMEM,
  XEN_ENOSYS,
  XEN_EOPNOTSUPP,
  XEN_EPERM,
} from '../../abi/errno.ts';
import * as m from '../../abi/memory.ts';
import { P2M, P2M_FRAMES, p2mMfn, p2mType } from '../../machine/p2m.ts';
import { grantFrame } from '../gnttab/index.ts';
import type { Caller } from '../guest-copy.ts';
import { getFrame, isDomainRam, putFrame, setSharedMappedAt, sharedMappedAt } from '../mm/frames.ts';
import { physmapEntry, placePage, removePage, setPhysmap } from '../mm/physmap.ts';
import { domainRecord } from '../records.ts';
import { targetDomain } from './target.ts';

export function addToPhysmap(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_add_to_physmap, m.xen_add_to_physmap_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  const space = layout.space.get(c.scratch, at);
  const idx = layout.idx.get(c.scratch, at);
  const gfn = layout.gpfn.get(c.scratch, at);
  if (space === m.XENMAPSPACE_gmfn_foreign) return -XEN_ENOSYS;
  if (space !== m.XENMAPSPACE_gmfn_range) return addOne(c, dom, space, idx, gfn);
  const size = layout.size.get(c.scratch, at);
  for (let i = 0; i < size; i++) {
    const bad = addOne(c, dom, m.XENMAPSPACE_gmfn, idx + i, gfn + i);
    if (bad !== 0) return bad;
  }
  return 0;
}

function addOne(c: Caller, dom: number, space: number, idx: number, gfn: number): number {
  if (gfn >= P2M_FRAMES) return -XEN_EINVAL;
  switch (space) {
    case m.XENMAPSPACE_shared_info:
      if (idx !== 0) return -XEN_EINVAL;
      return addShared(c, dom, domainRecord.sharedInfo.get(c.mem, dom) / 4096, gfn);
    case m.XENMAPSPACE_grant_table: {
      const status = idx % 2 ** 32 >= m.XENMAPIDX_grant_table_status;
      const mfn = grantFrame(c.hv, dom, idx % m.XENMAPIDX_grant_table_status, status);
      return mfn < 0 ? -XEN_EINVAL : addShared(c, dom, mfn, gfn);
    }
    case m.XENMAPSPACE_gmfn:
      return move(c, dom, idx, gfn);
    default:
      return -XEN_EINVAL;
  }
}

/** A page of the hypervisor's that the domain sees in one place at a time. */
function addShared(c: Caller, dom: number, mfn: number, gfn: number): number {
  const { hv } = c;
  const before = sharedMappedAt(hv, mfn);
  if (before === gfn) return 0;
  if (before >= 0) removePage(hv, dom, before);
  const bad = placePage(hv, dom, gfn, mfn, P2M.ram);
  if (bad === 0) setSharedMappedAt(hv, mfn, gfn);
  return bad;
}

/** Moves a page of the domain's RAM from one gfn to another. */
function move(c: Caller, dom: number, from: number, to: number): number {
  const { hv } = c;
  const entry = physmapEntry(hv, dom, from);
  const mfn = p2mMfn(entry);
  if (p2mType(entry) !== P2M.ram || !isDomainRam(hv, dom, mfn)) return -XEN_EINVAL;
  if (from === to) return 0;
  getFrame(hv, mfn);
  const bad = placePage(hv, dom, to, mfn, P2M.ram);
  if (bad === 0) setPhysmap(hv, dom, from, 0);
  putFrame(hv, mfn);
  return bad;
}

/** Maps a page of another domain; the entry holds a reference to it. */
function addForeign(c: Caller, dom: number, foreign: number, idx: number, gfn: number): number {
  const { hv } = c;
  if (gfn >= P2M_FRAMES) return -XEN_EINVAL;
  const entry = physmapEntry(hv, foreign, idx);
  const type = p2mType(entry);
  if (type !== P2M.ram && type !== P2M.ramRo) return -XEN_EINVAL;
  const mfn = p2mMfn(entry);
  getFrame(hv, mfn);
  const bad = placePage(hv, dom, gfn, mfn, P2M.foreign);
  if (bad !== 0) putFrame(hv, mfn);
  return bad;
}

export function addToPhysmapBatch(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_add_to_physmap_batch, m.xen_add_to_physmap_batch_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  const space = layout.space.get(c.scratch, at);
  const count = layout.size.get(c.scratch, at);
  let foreign = 0;
  if (space === m.XENMAPSPACE_gmfn_foreign) {
    foreign = targetDomain(c, layout.foreign_domid.get(c.scratch, at));
    if (foreign < 0) return foreign;
    if (!c.privileged) return -XEN_EPERM;
    if (foreign === dom) return -XEN_EINVAL;
  } else if (space === m.XENMAPSPACE_gmfn_range || layout.foreign_domid.get(c.scratch, at) !== 0) {
    return -XEN_EINVAL;
  }
  const word = c.wide ? 8 : 4;
  const errs = layout.errs.get(c.scratch, at);
  for (let i = 0; i < count; i++) {
    const mark = c.mark();
    const idx = c.copyIn(layout.idxs.get(c.scratch, at) + i * word, word);
    const gfn = c.copyIn(layout.gpfns.get(c.scratch, at) + i * word, word);
    if (idx < 0 || gfn < 0) return -XEN_EFAULT;
    const [from, to] = c.wide
      ? [c.scratch.n64(idx), c.scratch.n64(gfn)]
      : [c.scratch.u32(idx), c.scratch.u32(gfn)];
    const result = foreign ? addForeign(c, dom, foreign, from, to) : addOne(c, dom, space, from, to);
    const err = c.alloc(4);
    c.scratch.setU32(err, result >>> 0);
    if (!c.copyOut(errs + i * 4, err, 4)) return -XEN_EFAULT;
    c.release(mark);
  }
  return 0;
}

export function removeFromPhysmap(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_remove_from_physmap, m.xen_remove_from_physmap_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  const gfn = layout.gpfn.get(c.scratch, at);
  return gfn >= P2M_FRAMES ? -XEN_EINVAL : removePage(c.hv, dom, gfn);
}

/** Maps grant-table frames of a domain into the caller's physmap, at the gfns it names. */
export function acquireResource(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_mem_acquire_resource, m.xen_mem_acquire_resource_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (layout.pad.get(c.scratch, at) !== 0) return -XEN_EINVAL;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  if (!c.privileged) return -XEN_EPERM;
  if (layout.type.get(c.scratch, at) !== m.XENMEM_resource_grant_table) return -XEN_EOPNOTSUPP;
  const id = layout.id.get(c.scratch, at);
  if (id > m.XENMEM_resource_grant_table_id_status) return -XEN_EINVAL;
  const list = layout.frame_list.get(c.scratch, at);
  const count = layout.nr_frames.get(c.scratch, at);
  if (list === 0) {
    if (count !== 0) return -XEN_EINVAL;
    layout.nr_frames.set(c.scratch, at, domainRecord.maxGrantFrames.get(c.mem, dom));
    return c.copyOut(arg, at, layout.$.size) ? 0 : -XEN_EFAULT;
  }
  const first = layout.frame.get(c.scratch, at);
  const word = c.wide ? 8 : 4;
  for (let i = 0; i < count; i++) {
    const mark = c.mark();
    const one = c.copyIn(list + i * word, word);
    if (one < 0) return -XEN_EFAULT;
    const gfn = c.wide ? c.scratch.n64(one) : c.scratch.u32(one);
    c.release(mark);
    const mfn = grantFrame(c.hv, dom, first + i, id === m.XENMEM_resource_grant_table_id_status);
    if (mfn < 0) return -XEN_EINVAL;
    getFrame(c.hv, mfn);
    const bad = gfn >= P2M_FRAMES ? -XEN_EINVAL : placePage(c.hv, c.dom, gfn, mfn, P2M.foreign);
    if (bad !== 0) {
      putFrame(c.hv, mfn);
      return bad === -XEN_ENOMEM ? bad : -XEN_EINVAL;
    }
  }
  return 0;
}
