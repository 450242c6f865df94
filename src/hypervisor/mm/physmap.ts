/**
 * A domain's physmap: what is mapped at each guest frame. An entry of the domain's own RAM holds the frame's first
 * reference; a foreign entry holds one of its own; entries of grants belong to the grant table.
 */
import { XEN_EBUSY, XEN_EINVAL, XEN_ENOMEM } from '../../abi/errno.ts';
import {
  P2M,
  P2M_FRAMES,
  P2M_ROOT_PAGES,
  type P2mType,
  p2mEntry,
  p2mGet,
  p2mMfn,
  p2mReserve,
  p2mSet,
  p2mSetRun,
  p2mType,
} from '../../machine/p2m.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import {
  allocDomainPages,
  isDomainRam,
  p2mChanged,
  putFrame,
  releaseDomainPage,
  setSharedMappedAt,
} from './frames.ts';

export const physmapEntry = (hv: Hypervisor, dom: number, gfn: number): number =>
  p2mGet(hv.mem, domainRecord.p2mRoot.get(hv.mem, dom), gfn);

/** The frame behind a gfn that is memory of any kind, -1 for a hole or device memory. */
export function gfnToMfn(hv: Hypervisor, dom: number, gfn: number): number {
  const e = physmapEntry(hv, dom, gfn);
  const type = p2mType(e);
  return type === P2M.none || type === P2M.mmio ? -1 : p2mMfn(e);
}

const allocLeaf = (hv: Hypervisor): number => Math.max(0, hv.machine.allocFrame()) * 4096;

/** Writes an entry, whatever was there before; false when there is no memory for the table. */
export function setPhysmap(hv: Hypervisor, dom: number, gfn: number, entry: number): boolean {
  const { mem } = hv;
  const root = domainRecord.p2mRoot.get(mem, dom);
  const old = p2mGet(mem, root, gfn);
  if (!p2mSet(mem, root, gfn, entry, () => allocLeaf(hv))) return false;
  if (p2mType(old) !== P2M.none) p2mChanged(hv, dom);
  if (entry !== 0 && gfn > domainRecord.maxGfn.get(mem, dom)) domainRecord.maxGfn.set(mem, dom, gfn);
  return true;
}

/** Empties a gfn and drops what the entry held. 0 or -errno. */
export function removePage(hv: Hypervisor, dom: number, gfn: number): number {
  const e = physmapEntry(hv, dom, gfn);
  switch (p2mType(e)) {
    case P2M.none:
      return -XEN_EINVAL;
    case P2M.grantRw:
    case P2M.grantRo:
      return -XEN_EBUSY;
    default:
      setPhysmap(hv, dom, gfn, 0);
      dropEntry(hv, dom, e);
      return 0;
  }
}

/** Gives up what an entry held that is gone; not one of a grant. */
function dropEntry(hv: Hypervisor, dom: number, e: number): void {
  const type = p2mType(e);
  const mfn = p2mMfn(e);
  if (type === P2M.mmio) return;
  if (type === P2M.foreign) putFrame(hv, mfn);
  else if (isDomainRam(hv, dom, mfn)) releaseDomainPage(hv, dom, mfn);
  else setSharedMappedAt(hv, mfn, -1);
}

/** Maps a frame at a gfn in place of what was there. The caller has taken the reference that the entry holds. */
export function placePage(hv: Hypervisor, dom: number, gfn: number, mfn: number, type: P2mType): number {
  if (gfn >= P2M_FRAMES) return -XEN_EINVAL;
  const old = physmapEntry(hv, dom, gfn);
  if (p2mType(old) !== P2M.none) {
    const bad = removePage(hv, dom, gfn);
    if (bad !== 0) return bad;
  }
  return setPhysmap(hv, dom, gfn, p2mEntry(mfn, type)) ? 0 : -XEN_ENOMEM;
}

/** A fresh page of RAM at a gfn that is empty. 0 or -errno. */
export function populatePage(hv: Hypervisor, dom: number, gfn: number): number {
  if (gfn >= P2M_FRAMES) return -XEN_EINVAL;
  const mfn = allocDomainPages(hv, dom, 1);
  if (mfn < 0) return -XEN_ENOMEM;
  const bad = placePage(hv, dom, gfn, mfn, P2M.ram);
  if (bad !== 0) releaseDomainPage(hv, dom, mfn);
  return bad;
}

/** Fresh pages of RAM at consecutive gfns, all or none; contiguous frames if the gfns are empty. 0 or -errno. */
export function populatePages(hv: Hypervisor, dom: number, gfn: number, count: number): number {
  const { mem } = hv;
  if (gfn + count > P2M_FRAMES) return -XEN_EINVAL;
  const root = domainRecord.p2mRoot.get(mem, dom);
  const free = p2mReserve(mem, root, gfn, count, () => allocLeaf(hv));
  const mfn = free ? allocDomainPages(hv, dom, count) : -1;
  if (mfn < 0) return populateSingly(hv, dom, gfn, count);
  p2mSetRun(mem, root, gfn, p2mEntry(mfn, P2M.ram), count);
  domainRecord.maxGfn.set(mem, dom, Math.max(domainRecord.maxGfn.get(mem, dom), gfn + count - 1));
  return 0;
}

function populateSingly(hv: Hypervisor, dom: number, gfn: number, count: number): number {
  for (let i = 0; i < count; i++) {
    const bad = populatePage(hv, dom, gfn + i);
    if (bad === 0) continue;
    for (let k = 0; k < i; k++) removePage(hv, dom, gfn + k);
    return bad;
  }
  return 0;
}

/** The root of an empty physmap; 0 when there is no memory. */
export function makePhysmap(hv: Hypervisor): number {
  const mfn = hv.machine.allocFrames(P2M_ROOT_PAGES);
  return mfn < 0 ? 0 : mfn * 4096;
}

/** Empties and frees a dying domain's physmap. Its vCPUs run no more, and its grant maps are gone. */
export function destroyPhysmap(hv: Hypervisor, dom: number): void {
  const { mem, machine } = hv;
  const root = domainRecord.p2mRoot.get(mem, dom);
  if (root === 0) return;
  for (let i = 0; i < P2M_ROOT_PAGES * 1024; i++) {
    const leaf = mem.u32(root + i * 4);
    if (leaf === 0) continue;
    for (let j = 0; j < 1024; j++) {
      const e = mem.u32(leaf + j * 4);
      const type = p2mType(e);
      if (type === P2M.ram || type === P2M.ramRo || type === P2M.foreign) dropEntry(hv, dom, e);
    }
    machine.freeFrameRun(leaf / 4096);
  }
  machine.freeFrameRun(root / 4096, P2M_ROOT_PAGES);
  domainRecord.p2mRoot.set(mem, dom, 0);
}
