/** HYPERVISOR_memory_op: reservations and memory maps; what changes the physmap alone is in physmap-op.ts. */
import {
  XEN_EBUSY,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOMEM,
  XEN_ENOSYS,
  XEN_EOPNOTSUPP,
  XEN_EPERM,
  XEN_ERESTART,
} from '../../abi/errno.ts';
import { e820entry } from '../../abi/hvm_e820.ts';
import * as m from '../../abi/memory.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';
import { populatePages, removePage } from '../mm/physmap.ts';
import { domainRecord, rootRecord } from '../records.ts';
import { acquireResource, addToPhysmap, addToPhysmapBatch, removeFromPhysmap } from './physmap-op.ts';
import { targetDomain } from './target.ts';

/** Extents an unprivileged domain may ask for in one piece: 2 MiB, as in Xen. */
const MAX_ORDER_DOMU = 9;
const MAX_ORDER = 18;
/** Pages handled before the lock is let go of. */
const PAGES_PER_HOLD = 4096;
const E820_MAX = Math.floor(4096 / e820entry.$.size);

export function doMemoryOp(c: Caller, cmd: number, arg: number): number {
  const start = (cmd >>> 0) >>> m.MEMOP_EXTENT_SHIFT;
  switch (cmd & m.MEMOP_CMD_MASK) {
    case m.XENMEM_increase_reservation:
    case m.XENMEM_decrease_reservation:
    case m.XENMEM_populate_physmap:
      return reservation(c, cmd & m.MEMOP_CMD_MASK, arg, start);
    case m.XENMEM_maximum_ram_page:
      return c.hv.machine.totalFrames - 1;
    case m.XENMEM_current_reservation:
      return query(c, arg, (dom) => domainRecord.totPages.get(c.mem, dom));
    case m.XENMEM_maximum_reservation:
      return query(c, arg, (dom) => domainRecord.maxPages.get(c.mem, dom));
    case m.XENMEM_maximum_gpfn:
      return query(c, arg, (dom) => domainRecord.maxGfn.get(c.mem, dom));
    case m.XENMEM_add_to_physmap:
      return addToPhysmap(c, arg);
    case m.XENMEM_add_to_physmap_batch:
      return addToPhysmapBatch(c, arg);
    case m.XENMEM_remove_from_physmap:
      return removeFromPhysmap(c, arg);
    case m.XENMEM_memory_map:
      return memoryMap(c, arg);
    case m.XENMEM_set_memory_map:
      return setMemoryMap(c, arg);
    case m.XENMEM_machine_memory_map:
      return c.privileged ? machineMemoryMap(c, arg) : -XEN_EPERM;
    case m.XENMEM_claim_pages:
      return claimPages(c, arg);
    case m.XENMEM_acquire_resource:
      return acquireResource(c, arg);
    case m.XENMEM_get_sharing_freed_pages:
    case m.XENMEM_get_sharing_shared_pages:
      return 0;
    case m.XENMEM_get_vnumainfo:
      return -XEN_EOPNOTSUPP;
    case m.XENMEM_reserved_device_memory_map:
      return 0;
    default:
      return -XEN_ENOSYS;
  }
}

function query(c: Caller, arg: number, value: (dom: number) => number): number {
  const at = c.copyIn(arg, m.xen_memory_domain.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, m.xen_memory_domain.domid.get(c.scratch, at));
  return dom < 0 ? dom : value(dom);
}

/** Populate, increase or decrease: answers how many extents are done, which is fewer than asked where it fails. */
function reservation(c: Caller, op: number, arg: number, start: number): number {
  const layout = c.layout(m.xen_memory_reservation, m.xen_memory_reservation_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return Math.max(start, c.progress);
  const count = layout.nr_extents.get(c.scratch, at);
  const order = layout.extent_order.get(c.scratch, at);
  const list = layout.extent_start.get(c.scratch, at);
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0 || order > (c.privileged ? MAX_ORDER : MAX_ORDER_DOMU)) return Math.max(start, c.progress);
  if (layout.mem_flags.get(c.scratch, at) & m.XENMEMF_populate_on_demand) return start;
  const pages = 2 ** order;
  const word = c.wide ? 8 : 4;
  const first = Math.max(start, c.progress);
  const hold = Math.max(1, Math.floor(PAGES_PER_HOLD / pages));
  for (let i = first; i < count; i++) {
    if (i - first >= hold) {
      c.progress = i;
      return -XEN_ERESTART;
    }
    if (op === m.XENMEM_increase_reservation) return i; // pages without a place in the physmap: not for HVM
    const mark = c.mark();
    const one = c.copyIn(list + i * word, word);
    if (one < 0) return i;
    const gfn = c.wide ? c.scratch.n64(one) : c.scratch.u32(one);
    c.release(mark);
    const done =
      op === m.XENMEM_populate_physmap ? populate(c, dom, gfn, pages) : decrease(c, dom, gfn, pages);
    if (!done) return i;
  }
  return count;
}

/** One extent, all of it or nothing. */
function populate(c: Caller, dom: number, gfn: number, pages: number): boolean {
  const { mem, hv } = c;
  const max = domainRecord.maxPages.get(mem, dom);
  if (domainRecord.totPages.get(mem, dom) + pages > max || hv.machine.freeFrames < pages) {
    hv.print(
      `d${domainRecord.domid.get(mem, dom)} could not allocate ${pages} pages at gfn ${gfn}: ` +
        `has ${domainRecord.totPages.get(mem, dom)} of ${max}, ${hv.machine.freeFrames} free`,
      'warn',
    );
    return false;
  }
  if (populatePages(hv, dom, gfn, pages) !== 0) return false;
  const claimed = domainRecord.claimed.get(mem, dom);
  if (claimed > 0) setClaim(c, dom, Math.max(0, claimed - pages));
  return true;
}

function decrease(c: Caller, dom: number, gfn: number, pages: number): boolean {
  for (let i = 0; i < pages; i++) {
    if (removePage(c.hv, dom, gfn + i) !== 0) return false;
  }
  return true;
}

/** A domain's own map, as the toolstack set it. */
function memoryMap(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_memory_map, m.xen_memory_map_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const have = domainRecord.e820Count.get(c.mem, c.dom);
  if (have === 0) return -XEN_ENOSYS;
  const count = Math.min(layout.nr_entries.get(c.scratch, at), have);
  const bytes = count * e820entry.$.size;
  const copy = c.alloc(bytes);
  c.scratch.write(copy, c.mem.slice(domainRecord.e820.get(c.mem, c.dom), bytes));
  if (!c.copyOut(layout.buffer.get(c.scratch, at), copy, bytes)) return -XEN_EFAULT;
  layout.nr_entries.set(c.scratch, at, count);
  return c.copyOut(arg, at, layout.$.size) ? 0 : -XEN_EFAULT;
}

function setMemoryMap(c: Caller, arg: number): number {
  const { mem } = c;
  const layout = c.layout(m.xen_foreign_memory_map, m.xen_foreign_memory_map_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const count = layout.map_nr_entries.get(c.scratch, at);
  if (count > E820_MAX) return -XEN_EINVAL;
  if (!c.privileged) return -XEN_EPERM;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  const bytes = count * e820entry.$.size;
  const copy = c.copyIn(layout.map_buffer.get(c.scratch, at), bytes);
  if (copy < 0) return -XEN_EFAULT;
  let table = domainRecord.e820.get(mem, dom);
  if (table === 0) {
    const mfn = c.hv.machine.allocFrame();
    if (mfn < 0) return -XEN_ENOMEM;
    table = mfn * 4096;
    domainRecord.e820.set(mem, dom, table);
  }
  mem.write(table, c.scratch.slice(copy, bytes));
  domainRecord.e820Count.set(mem, dom, count);
  return 0;
}

/** The host's map: one piece of RAM, from 0 to the machine's end. */
function machineMemoryMap(c: Caller, arg: number): number {
  const layout = c.layout(m.xen_memory_map, m.xen_memory_map_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (layout.nr_entries.get(c.scratch, at) < 1) return -XEN_EINVAL;
  const entry = c.alloc(e820entry.$.size);
  e820entry.size.set(c.scratch, entry, c.hv.machine.size);
  e820entry.type.set(c.scratch, entry, 1);
  if (!c.copyOut(layout.buffer.get(c.scratch, at), entry, e820entry.$.size)) return -XEN_EFAULT;
  layout.nr_entries.set(c.scratch, at, 1);
  return c.copyOut(arg, at, layout.$.size) ? 0 : -XEN_EFAULT;
}

function setClaim(c: Caller, dom: number, pages: number): void {
  const total = rootRecord.claimedPages.get(c.mem, c.hv.root) - domainRecord.claimed.get(c.mem, dom) + pages;
  rootRecord.claimedPages.set(c.mem, c.hv.root, total);
  domainRecord.claimed.set(c.mem, dom, pages);
}

/** Promises a domain memory before it is built: `nr_extents` pages in all, 0 to take the promise back. */
function claimPages(c: Caller, arg: number): number {
  const { mem } = c;
  const layout = c.layout(m.xen_memory_reservation, m.xen_memory_reservation_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (!c.privileged) return -XEN_EPERM;
  const bad = layout.extent_start.get(c.scratch, at) !== 0 || layout.extent_order.get(c.scratch, at) !== 0;
  if (bad || layout.mem_flags.get(c.scratch, at) !== 0) return -XEN_EINVAL;
  const domid = layout.domid.get(c.scratch, at);
  const dom = domid === DOMID_SELF ? c.dom : targetDomain(c, domid);
  if (dom < 0) return dom;
  const pages = layout.nr_extents.get(c.scratch, at);
  if (pages === 0) {
    setClaim(c, dom, 0);
    return 0;
  }
  if (domainRecord.claimed.get(mem, dom) !== 0) return -XEN_EBUSY;
  const have = domainRecord.totPages.get(mem, dom);
  if (pages <= have || pages > domainRecord.maxPages.get(mem, dom)) return -XEN_EINVAL;
  const free = c.hv.machine.freeFrames - rootRecord.claimedPages.get(mem, c.hv.root);
  if (pages - have > free) return -XEN_ENOMEM;
  setClaim(c, dom, pages - have);
  return 0;
}
