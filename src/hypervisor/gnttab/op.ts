/**
 * HYPERVISOR_grant_table_op. Map, unmap, copy and the like take arrays: the call answers 0 and each element has its own
 * status. The others take one structure.
 *
 * @abi public/grant_table.h
 */
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOSYS, XEN_EPERM, XEN_ERESTART, XEN_ESRCH } from '../../abi/errno.ts';
import * as abi from '../../abi/grant_table.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Field } from '../../base/layout.ts';
import type { Caller } from '../guest-copy.ts';
import { DOMAIN_TYPE, domainRecord } from '../records.ts';
import { grantCopy } from './copy.ts';
import { isV2 } from './entry.ts';
import { mapGrantRef, unmapGrantRef } from './map.ts';
import { grantTableRecord } from './record.ts';
import { frameForGuest, grow, setVersion, swapGrantRefs } from './table.ts';

/** Does one element, at `a` in the caller's scratch memory; a GNTST status. */
type Element = (c: Caller, a: number) => number;
/** Does a single-structure operation; 0 or -errno. */
type Single = (c: Caller, a: number) => number;

interface Shape {
  $: { size: number };
}
interface WithStatus extends Shape {
  status: Field<number>;
}

/** The domain whose table an argument names: its record, or a GNTST status below 0. */
function tableOwner(c: Caller, domid: number): number {
  if (domid === DOMID_SELF || domid === c.domid) return c.dom;
  const dom = c.hv.domain(domid);
  if (dom === 0) return abi.GNTST_bad_domain;
  return c.privileged ? dom : abi.GNTST_permission_denied;
}

/** Elements done before other CPUs get a chance at the hypervisor lock. */
const BATCH = 256;
/** Where this thread's call goes on after -ERESTART. */
let resumeAt = 0;

/** Runs `op` on each element in turn. Guests are told of an element's failure in its status alone. */
function each(c: Caller, addr: number, count: number, shape: WithStatus, op: Element): number {
  const { size } = shape.$;
  const a = c.alloc(size);
  const first = c.restarted && !c.inMulticall ? resumeAt : 0;
  for (let i = first; i < count; i++) {
    if (i - first === BATCH && !c.inMulticall) {
      resumeAt = i;
      return -XEN_ERESTART;
    }
    if (!c.copyInTo(a, addr + i * size, size)) return -XEN_EFAULT;
    shape.status.set(c.scratch, a, op(c, a));
    if (!c.copyOut(addr + i * size, a, size)) return -XEN_EFAULT;
  }
  return 0;
}

function one(c: Caller, addr: number, count: number, shape: Shape, op: Single): number {
  if (count !== 1) return -XEN_EINVAL;
  const a = c.copyIn(addr, shape.$.size);
  if (a < 0) return -XEN_EFAULT;
  const done = op(c, a);
  if (done !== 0) return done;
  return c.copyOut(addr, a, shape.$.size) ? 0 : -XEN_EFAULT;
}

/** Writes frame numbers of table frames to the caller's list, `width` bytes each; false when they do not fit there. */
function listFrames(
  c: Caller,
  dom: number,
  dir: number,
  count: number,
  list: number,
  width: number,
): boolean {
  const pv = domainRecord.type.get(c.mem, dom) === DOMAIN_TYPE.pv;
  const mark = c.mark();
  const at = c.alloc(8);
  for (let i = 0; i < count; i++) {
    const frame = frameForGuest(c.hv, c.mem.u32(dir + i * 4), pv);
    c.scratch.setU64(at, BigInt(frame));
    if (!c.copyOut(list + i * width, at, width)) return false;
  }
  c.release(mark);
  return true;
}

interface FrameList extends WithStatus {
  dom: Field<number>;
  nr_frames: Field<number>;
  frame_list: Field<number>;
}

/** Lists the first frames of a table. `find` answers where they stand, 0 if there are not so many. */
function listTable(
  c: Caller,
  a: number,
  s: FrameList,
  width: number,
  find: (dom: number, gt: number, count: number) => number,
): number {
  const dom = tableOwner(c, s.dom.get(c.scratch, a));
  const count = s.nr_frames.get(c.scratch, a);
  let status = Math.min(dom, 0);
  if (dom > 0) {
    const gt = domainRecord.grantTable.get(c.mem, dom);
    const dir = gt === 0 ? 0 : find(dom, gt, count);
    if (dir === 0) status = abi.GNTST_general_error;
    else if (!listFrames(c, dom, dir, count, s.frame_list.get(c.scratch, a), width)) return -XEN_EFAULT;
  }
  s.status.set(c.scratch, a, status);
  return 0;
}

const setup_table: Single = (c, a) => {
  const s = c.layout(abi.gnttab_setup_table, abi.gnttab_setup_table_32);
  return listTable(c, a, s, c.wide ? 8 : 4, (dom, gt, count) =>
    grow(c.hv, dom, count) ? grantTableRecord.shared.get(c.mem, gt) : 0,
  );
};

const get_status_frames: Single = (c, a) => {
  const s = c.layout(abi.gnttab_get_status_frames, abi.gnttab_get_status_frames_32);
  const { statusCount, status } = grantTableRecord;
  return listTable(c, a, s, 8, (_dom, gt, count) =>
    isV2(c.hv, gt) && count <= statusCount.get(c.mem, gt) ? status.get(c.mem, gt) : 0,
  );
};

const query_size: Single = (c, a) => {
  const s = abi.gnttab_query_size;
  const { scratch, mem } = c;
  const dom = tableOwner(c, s.dom.get(scratch, a));
  const gt = dom < 0 ? 0 : domainRecord.grantTable.get(mem, dom);
  if (gt !== 0) {
    s.nr_frames.set(scratch, a, grantTableRecord.frameCount.get(mem, gt));
    s.max_nr_frames.set(scratch, a, grantTableRecord.maxFrames.get(mem, gt));
  }
  s.status.set(scratch, a, Math.min(dom, 0));
  return 0;
};

const set_version: Single = (c, a) => {
  const s = abi.gnttab_set_version;
  const gt = domainRecord.grantTable.get(c.mem, c.dom);
  if (gt === 0) return -XEN_EINVAL;
  const done = setVersion(c.hv, c.dom, s.version.get(c.scratch, a));
  s.version.set(c.scratch, a, grantTableRecord.version.get(c.mem, gt));
  return done;
};

const get_version: Single = (c, a) => {
  const s = abi.gnttab_get_version;
  const dom = tableOwner(c, s.dom.get(c.scratch, a));
  if (dom < 0) return dom === abi.GNTST_bad_domain ? -XEN_ESRCH : -XEN_EPERM;
  const gt = domainRecord.grantTable.get(c.mem, dom);
  s.version.set(c.scratch, a, gt === 0 ? 0 : grantTableRecord.version.get(c.mem, gt));
  return 0;
};

const swap_grant_ref: Element = (c, a) => {
  const s = abi.gnttab_swap_grant_ref;
  return swapGrantRefs(c.hv, c.dom, s.ref_a.get(c.scratch, a), s.ref_b.get(c.scratch, a));
};

/** Replacing a PTE and giving pages away are for PV guests, whose tables are their own. */
const unmap_and_replace: Element = () => abi.GNTST_general_error;
const transfer: Element = () => abi.GNTST_bad_page;

/** What each operation takes, as a 64-bit and as a 32-bit caller lays it out, and does. */
const ARRAYS: Readonly<Record<number, readonly [WithStatus, WithStatus, Element]>> = {
  [abi.GNTTABOP_map_grant_ref]: [abi.gnttab_map_grant_ref, abi.gnttab_map_grant_ref_32, mapGrantRef],
  [abi.GNTTABOP_unmap_grant_ref]: [abi.gnttab_unmap_grant_ref, abi.gnttab_unmap_grant_ref_32, unmapGrantRef],
  [abi.GNTTABOP_copy]: [abi.gnttab_copy, abi.gnttab_copy_32, grantCopy],
  [abi.GNTTABOP_swap_grant_ref]: [abi.gnttab_swap_grant_ref, abi.gnttab_swap_grant_ref, swap_grant_ref],
  [abi.GNTTABOP_transfer]: [abi.gnttab_transfer, abi.gnttab_transfer_32, transfer],
  [abi.GNTTABOP_unmap_and_replace]: [
    abi.gnttab_unmap_and_replace,
    abi.gnttab_unmap_and_replace_32,
    unmap_and_replace,
  ],
};
const SINGLES: Readonly<Record<number, readonly [Shape, Shape, Single]>> = {
  [abi.GNTTABOP_setup_table]: [abi.gnttab_setup_table, abi.gnttab_setup_table_32, setup_table],
  [abi.GNTTABOP_get_status_frames]: [
    abi.gnttab_get_status_frames,
    abi.gnttab_get_status_frames_32,
    get_status_frames,
  ],
  [abi.GNTTABOP_query_size]: [abi.gnttab_query_size, abi.gnttab_query_size, query_size],
  [abi.GNTTABOP_set_version]: [abi.gnttab_set_version, abi.gnttab_set_version, set_version],
  [abi.GNTTABOP_get_version]: [abi.gnttab_get_version, abi.gnttab_get_version, get_version],
};

/** The command and the count are 32-bit arguments, whatever else is in their registers. */
export function doGrantTableOp(c: Caller, cmd: number, addr: number, count32: number): number {
  const count = count32 >>> 0;
  if (count > 0x7fff_ffff) return -XEN_EINVAL;
  const array = ARRAYS[cmd >>> 0];
  if (array !== undefined) return each(c, addr, count, c.layout(array[0], array[1]), array[2]);
  const single = SINGLES[cmd >>> 0];
  if (single !== undefined) return one(c, addr, count, c.layout(single[0], single[1]), single[2]);
  return -XEN_ENOSYS;
}
