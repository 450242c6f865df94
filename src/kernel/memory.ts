/**
 * Domain 0's memory: pages of its own, and other domains' pages mapped above its RAM, by frame number (which takes
 * privilege) or by grant (which takes the owner's consent).
 */

import { errnoName } from '../abi/errno.ts';
import * as gnt from '../abi/grant_table.ts';
import * as xenmem from '../abi/memory.ts';
import { __HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF } from '../abi/xen.ts';
import type { Gate } from './gate.ts';
import { ARG_END_FRAME, type Hypercalls, KernelError } from './hypercall.ts';
import { Mapping } from './mapping.ts';
import { FrameRanges } from './ranges.ts';

/** Entries of one call: an array of them fits in a frame. */
const FOREIGN_BATCH = 512;
const GRANT_BATCH = 64;

const GNTST_NAMES = [
  'GNTST_okay',
  'GNTST_general_error',
  'GNTST_bad_domain',
  'GNTST_bad_gntref',
  'GNTST_bad_handle',
  'GNTST_bad_virt_addr',
  'GNTST_bad_dev_addr',
  'GNTST_no_device_space',
  'GNTST_permission_denied',
  'GNTST_bad_page',
  'GNTST_bad_copy_arg',
  'GNTST_address_too_big',
  'GNTST_eagain',
  'GNTST_no_space',
];
const gntstName = (status: number): string => GNTST_NAMES[-status] ?? `grant status ${status}`;

export class KernelMemory {
  private readonly gate: Gate;
  private readonly calls: Hypercalls;
  private readonly ram: FrameRanges;
  private readonly space: FrameRanges;

  constructor(gate: Gate, calls: Hypercalls) {
    this.gate = gate;
    this.calls = calls;
    this.ram = new FrameRanges(ARG_END_FRAME, gate.ramFrames);
    this.space = new FrameRanges(gate.mapStart, gate.mapEnd);
  }

  /** Pages of domain 0's RAM, zeroed. */
  allocPages(count: number): Mapping {
    const gfn = this.ram.take(count);
    if (gfn < 0) throw new KernelError(`${count} pages of domain 0's memory`, 'ENOMEM');
    const pages = new Mapping(this.gate.mem, gfn, this.resolve(gfn, count, true), () =>
      this.ram.give(gfn, count),
    );
    pages.fill(0, count * 4096);
    return pages;
  }

  /** Maps frames of another domain, in the order given, writable unless `readonly`. */
  mapForeign(domid: number, gfns: readonly number[], readonly = false): Mapping {
    const gfn = this.takeSpace(gfns.length);
    let mapped = 0;
    try {
      for (; mapped < gfns.length; mapped += FOREIGN_BATCH) {
        this.mapForeignBatch(domid, gfns.slice(mapped, mapped + FOREIGN_BATCH), gfn + mapped);
      }
      const frames = this.resolve(gfn, gfns.length, !readonly);
      return new Mapping(this.gate.mem, gfn, frames, () => this.unmapForeign(gfn, gfns.length, gfns.length));
    } catch (e) {
      this.unmapForeign(gfn, Math.min(mapped, gfns.length), gfns.length);
      throw e;
    }
  }

  /** Maps all of a batch or none of it. */
  private mapForeignBatch(domid: number, gfns: readonly number[], at: number): void {
    const s = xenmem.xen_add_to_physmap_batch;
    const { mem } = this.gate;
    const n = gfns.length;
    this.calls.withArgs([s.$.size, n * 8, n * 8, n * 4], (arg, idxs, gpfns, errs) => {
      s.domid.set(mem, arg!.at, DOMID_SELF);
      s.space.set(mem, arg!.at, xenmem.XENMAPSPACE_gmfn_foreign);
      s.size.set(mem, arg!.at, n);
      s.foreign_domid.set(mem, arg!.at, domid);
      s.idxs.set(mem, arg!.at, idxs!.gpa);
      s.gpfns.set(mem, arg!.at, gpfns!.gpa);
      s.errs.set(mem, arg!.at, errs!.gpa);
      gfns.forEach((g, i) => {
        mem.setN64(idxs!.at + i * 8, g);
        mem.setN64(gpfns!.at + i * 8, at + i);
      });
      const what = `mapping ${n} frames of domain ${domid}`;
      this.calls.call(what, __HYPERVISOR_memory_op, xenmem.XENMEM_add_to_physmap_batch, arg!.gpa);
      const bad = gfns.findIndex((_, i) => mem.s32(errs!.at + i * 4) !== 0);
      if (bad < 0) return;
      const error = mem.s32(errs!.at + bad * 4);
      gfns.forEach((_, i) => {
        if (mem.s32(errs!.at + i * 4) === 0) this.removePage(at + i);
      });
      throw new KernelError(`mapping frame ${gfns[bad]} of domain ${domid}`, errnoName(error));
    });
  }

  private unmapForeign(gfn: number, mapped: number, count: number): void {
    for (let i = 0; i < mapped; i++) this.removePage(gfn + i);
    this.space.give(gfn, count);
  }

  private removePage(gfn: number): void {
    const s = xenmem.xen_remove_from_physmap;
    this.calls.withArgs([s.$.size], (arg) => {
      s.domid.set(this.gate.mem, arg!.at, DOMID_SELF);
      s.gpfn.set(this.gate.mem, arg!.at, gfn);
      this.calls.call(
        'unmapping a frame',
        __HYPERVISOR_memory_op,
        xenmem.XENMEM_remove_from_physmap,
        arg!.gpa,
      );
    });
  }

  /** Maps grant entries of another domain as consecutive pages. All or nothing. */
  mapGrants(domid: number, refs: readonly number[], readonly = false): Mapping {
    const gfn = this.takeSpace(refs.length);
    const handles: number[] = [];
    try {
      for (let i = 0; i < refs.length; i += GRANT_BATCH) {
        this.mapGrantBatch(domid, refs.slice(i, i + GRANT_BATCH), gfn + i, readonly, handles);
      }
      const frames = this.resolve(gfn, refs.length, !readonly);
      return new Mapping(this.gate.mem, gfn, frames, () => this.unmapGrants(gfn, handles));
    } catch (e) {
      this.unmapGrants(gfn, handles, refs.length);
      throw e;
    }
  }

  /** Maps in order up to the first failure; what was mapped is in `handles` when it throws. */
  private mapGrantBatch(
    domid: number,
    refs: readonly number[],
    gfn: number,
    readonly: boolean,
    handles: number[],
  ): void {
    const s = gnt.gnttab_map_grant_ref;
    const { mem } = this.gate;
    this.calls.withArgs([refs.length * s.$.size], (arg) => {
      const flags = gnt.GNTMAP_host_map | (readonly ? gnt.GNTMAP_readonly : 0);
      refs.forEach((ref, i) => {
        const at = arg!.at + i * s.$.size;
        s.host_addr.set(mem, at, (gfn + i) * 4096);
        s.flags.set(mem, at, flags);
        s.ref.set(mem, at, ref);
        s.dom.set(mem, at, domid);
      });
      const what = `mapping ${refs.length} grants of domain ${domid}`;
      this.calls.call(what, __HYPERVISOR_grant_table_op, gnt.GNTTABOP_map_grant_ref, arg!.gpa, refs.length);
      const statuses = refs.map((_, i) => s.status.get(mem, arg!.at + i * s.$.size));
      const good = statuses.findIndex((status) => status !== gnt.GNTST_okay);
      const late: { handle: number; gfn: number }[] = [];
      refs.forEach((_, i) => {
        if (statuses[i] !== gnt.GNTST_okay) return;
        const handle = s.handle.get(mem, arg!.at + i * s.$.size);
        if (good < 0 || i < good) handles.push(handle);
        else late.push({ handle, gfn: gfn + i });
      });
      if (good < 0) return;
      for (const l of late) this.unmapGrantBatch(l.gfn, [l.handle]);
      throw new KernelError(`mapping grant ${refs[good]} of domain ${domid}`, gntstName(statuses[good]!));
    });
  }

  private unmapGrants(gfn: number, handles: readonly number[], count = handles.length): void {
    for (let i = 0; i < handles.length; i += GRANT_BATCH) {
      this.unmapGrantBatch(gfn + i, handles.slice(i, i + GRANT_BATCH));
    }
    this.space.give(gfn, count);
  }

  private unmapGrantBatch(gfn: number, handles: readonly number[]): void {
    const s = gnt.gnttab_unmap_grant_ref;
    const { mem } = this.gate;
    this.calls.withArgs([handles.length * s.$.size], (arg) => {
      handles.forEach((handle, i) => {
        const at = arg!.at + i * s.$.size;
        s.host_addr.set(mem, at, (gfn + i) * 4096);
        s.handle.set(mem, at, handle);
      });
      const n = handles.length;
      this.calls.call(
        'unmapping grants',
        __HYPERVISOR_grant_table_op,
        gnt.GNTTABOP_unmap_grant_ref,
        arg!.gpa,
        n,
      );
      for (let i = 0; i < n; i++) {
        const status = s.status.get(mem, arg!.at + i * s.$.size);
        if (status !== gnt.GNTST_okay) throw new KernelError('unmapping a grant', gntstName(status));
      }
    });
  }

  /** The page that the hypervisor shares with domain 0, mapped above its RAM. */
  mapSharedInfo(): Mapping {
    const s = xenmem.xen_add_to_physmap;
    const gfn = this.takeSpace(1);
    this.calls.withArgs([s.$.size], (arg) => {
      s.domid.set(this.gate.mem, arg!.at, DOMID_SELF);
      s.space.set(this.gate.mem, arg!.at, xenmem.XENMAPSPACE_shared_info);
      s.gpfn.set(this.gate.mem, arg!.at, gfn);
      this.calls.call('mapping shared_info', __HYPERVISOR_memory_op, xenmem.XENMEM_add_to_physmap, arg!.gpa);
    });
    return new Mapping(this.gate.mem, gfn, this.resolve(gfn, 1, true), () => this.unmapForeign(gfn, 1, 1));
  }

  /** The first frame of a domain's grant table, mapped above domain 0's RAM. */
  mapGrantTable(domid: number): Mapping {
    const s = xenmem.xen_mem_acquire_resource;
    const { mem } = this.gate;
    const gfn = this.takeSpace(1);
    try {
      this.calls.withArgs([s.$.size, 8], (arg, list) => {
        mem.setN64(list!.at, gfn);
        s.domid.set(mem, arg!.at, domid);
        s.type.set(mem, arg!.at, xenmem.XENMEM_resource_grant_table);
        s.id.set(mem, arg!.at, xenmem.XENMEM_resource_grant_table_id_shared);
        s.nr_frames.set(mem, arg!.at, 1);
        s.frame_list.set(mem, arg!.at, list!.gpa);
        const what = `mapping the grant table of domain ${domid}`;
        this.calls.call(what, __HYPERVISOR_memory_op, xenmem.XENMEM_acquire_resource, arg!.gpa);
      });
    } catch (e) {
      this.space.give(gfn, 1);
      throw e;
    }
    return new Mapping(mem, gfn, this.resolve(gfn, 1, true), () => this.unmapForeign(gfn, 1, 1));
  }

  private takeSpace(count: number): number {
    const gfn = this.space.take(count);
    if (gfn < 0) throw new KernelError(`address space for ${count} pages`, 'ENOMEM');
    return gfn;
  }

  private resolve(gfn: number, count: number, write: boolean): number[] {
    const frames: number[] = [];
    for (let i = 0; i < count; i++) {
      const at = this.gate.resolve(gfn + i, write);
      if (at < 0) throw new KernelError(`guest frame ${gfn + i} of domain 0`, 'EFAULT');
      frames.push(at);
    }
    return frames;
  }
}
