/** Domctls on a domain as a whole. Each works on its structure at `u` in the caller's scratch memory. */
import * as d from '../../abi/domctl.ts';
import {
  XEN_EACCES,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_EOPNOTSUPP,
  XEN_ERESTART,
  XEN_ESRCH,
} from '../../abi/errno.ts';
import { NR_VIRQS } from '../../abi/xen.ts';
import { P2M, P2M_FRAMES, p2mType } from '../../machine/p2m.ts';
import { anyRunning, destroyDomain, domainPause, domainUnpause, forEachVcpu } from '../domain/domain.ts';
import { fillDomainInfo } from '../domain/info.ts';
import { vcpuReconsider } from '../domain/vcpu.ts';
import { writeHypercallPage } from '../hvm/hypercall-page.ts';
import { frameWritten } from '../mm/code.ts';
import { gfnToMfn, physmapEntry } from '../mm/physmap.ts';
import { domainRecord, rootRecord } from '../records.ts';
import { setCap } from '../sched/cap.ts';
import { TSC_KHZ, updateWallclock } from '../time.ts';
import { putBitmap } from './bitmap.ts';
import type { DomctlOp } from './domctl.ts';

/** Operations whose effect this machine has no use for: there is nothing to permit, to debug or to place. */
export const accept: DomctlOp = () => 0;

export const destroydomain: DomctlOp = (c, dom) => (dom === c.dom ? -XEN_EINVAL : destroyDomain(c.hv, dom));

/** Answers only when no vCPU of the domain runs any more. */
export const pausedomain: DomctlOp = (c, dom) => {
  if (dom === c.dom) return -XEN_EINVAL;
  if (!c.restarted) {
    domainRecord.controllerPaused.set(c.mem, dom, domainRecord.controllerPaused.get(c.mem, dom) + 1);
    domainPause(c.hv, dom);
  }
  return anyRunning(c.hv, dom) ? -XEN_ERESTART : 0;
};

export const unpausedomain: DomctlOp = (c, dom) => {
  const paused = domainRecord.controllerPaused.get(c.mem, dom);
  if (paused === 0) return -XEN_EINVAL;
  domainRecord.controllerPaused.set(c.mem, dom, paused - 1);
  domainRecord.started.set(c.mem, dom, 1);
  domainUnpause(c.hv, dom);
  return 0;
};

export const getdomaininfo: DomctlOp = (c, dom, u) => {
  c.scratch.fill(u, d.xen_domctl_getdomaininfo.$.size);
  fillDomainInfo(c.hv, dom, c.scratch, u);
  return 0;
};

/** Lets a domain that shut down (to be suspended) run on. */
export const resumedomain: DomctlOp = (c, dom) => {
  if (dom === c.dom) return -XEN_EINVAL;
  domainRecord.shutdown.set(c.mem, dom, 0);
  domainRecord.shutdownCode.set(c.mem, dom, 0);
  forEachVcpu(c.hv, dom, (v) => vcpuReconsider(c.hv, v));
  return 0;
};

export const max_mem: DomctlOp = (c, dom, u) => {
  const pages = Math.floor(d.xen_domctl_max_mem.max_memkb.get(c.scratch, u) / 4);
  domainRecord.maxPages.set(c.mem, dom, Math.min(pages, 0xffff_ffff));
  return 0;
};

export const setdomainhandle: DomctlOp = (c, dom, u) => {
  c.mem.write(
    domainRecord.handle.addr(dom),
    c.scratch.slice(d.xen_domctl_setdomainhandle.handle.addr(u), 16),
  );
  return 0;
};

export const settimeoffset: DomctlOp = (c, dom, u) => {
  const sec = d.xen_domctl_settimeoffset.time_offset_seconds.get(c.scratch, u);
  if (sec !== (sec | 0)) return -XEN_EINVAL;
  domainRecord.timeOffsetSec.set(c.mem, dom, sec);
  updateWallclock(c.hv, dom);
  return 0;
};

export const gettscinfo: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_tsc_info;
  s.tsc_mode.set(c.scratch, u, domainRecord.tscMode.get(c.mem, dom));
  s.gtsc_khz.set(c.scratch, u, TSC_KHZ);
  s.incarnation.set(c.scratch, u, domainRecord.tscIncarnation.get(c.mem, dom));
  s.elapsed_nsec.set(c.scratch, u, Math.max(0, c.hv.now() - domainRecord.createdNs.get(c.mem, dom)));
  return 0;
};

/** The frequency is fixed, so every mode behaves alike; mode and incarnation are kept to be told. */
export const settscinfo: DomctlOp = (c, dom, u) => {
  if (dom === c.dom) return -XEN_EINVAL;
  const s = d.xen_domctl_tsc_info;
  domainRecord.tscMode.set(c.mem, dom, s.tsc_mode.get(c.scratch, u));
  domainRecord.tscIncarnation.set(c.mem, dom, s.incarnation.get(c.scratch, u));
  return 0;
};

export const scheduler_op: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_scheduler_op;
  const { mem, scratch } = c;
  if (s.sched_id.get(scratch, u) !== d.XEN_SCHEDULER_CREDIT2) return -XEN_EINVAL;
  switch (s.cmd.get(scratch, u)) {
    case d.XEN_DOMCTL_SCHEDOP_putinfo: {
      const weight = s.credit2_weight.get(scratch, u);
      const cap = s.credit2_cap.get(scratch, u);
      if (weight !== 0) domainRecord.cpuWeight.set(mem, dom, weight);
      if (cap > 100 * domainRecord.maxVcpus.get(mem, dom)) return -XEN_EINVAL;
      setCap(c.hv, dom, cap);
      return 0;
    }
    case d.XEN_DOMCTL_SCHEDOP_getinfo:
      s.credit2_weight.set(scratch, u, domainRecord.cpuWeight.get(mem, dom));
      s.credit2_cap.set(scratch, u, domainRecord.cpuCap.get(mem, dom));
      return 0;
    default:
      return -XEN_EINVAL;
  }
};

/** Xen sets aside memory for its tables per domain; here the machine's own is used, and the figure is only kept. */
export const set_paging_mempool_size: DomctlOp = (c, dom, u) => {
  const size = d.xen_domctl_paging_mempool.size.get(c.scratch, u);
  if (size % 4096 !== 0) return -XEN_EINVAL;
  domainRecord.pagingPool.set(c.mem, dom, size);
  return 0;
};

export const get_paging_mempool_size: DomctlOp = (c, dom, u) => {
  d.xen_domctl_paging_mempool.size.set(c.scratch, u, domainRecord.pagingPool.get(c.mem, dom));
  return 0;
};

const MIB = 1 << 20;

export const shadow_op: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_shadow_op;
  switch (s.op.get(c.scratch, u)) {
    case d.XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
      s.mb.set(c.scratch, u, Math.ceil(domainRecord.pagingPool.get(c.mem, dom) / MIB));
      return 0;
    case d.XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
      domainRecord.pagingPool.set(c.mem, dom, s.mb.get(c.scratch, u) * MIB);
      return 0;
    case d.XEN_DOMCTL_SHADOW_OP_OFF:
      return 0;
    default:
      return -XEN_EOPNOTSUPP;
  }
};

export const hypercall_init: DomctlOp = (c, dom, u) => {
  const gfn = d.xen_domctl_hypercall_init.gmfn.get(c.scratch, u);
  const mfn = gfn < P2M_FRAMES ? gfnToMfn(c.hv, dom, gfn) : -1;
  if (mfn < 0) return -XEN_EACCES;
  writeHypercallPage(c.mem, mfn * 4096);
  frameWritten(c.hv, mfn);
  return 0;
};

export const get_address_size: DomctlOp = (c, _dom, u) => {
  d.xen_domctl_address_size.size.set(c.scratch, u, 64);
  return 0;
};

/** For HVM-type domains: is there a page of RAM at each frame number. */
export const getpageframeinfo3: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_getpageframeinfo3;
  const count = s.num.get(c.scratch, u);
  const list = s.array.get(c.scratch, u);
  if (count > 1024) return -XEN_EINVAL;
  const at = c.copyIn(list, count * 8);
  if (at < 0) return -XEN_EFAULT;
  for (let i = 0; i < count; i++) {
    const gfn = c.scratch.n64(at + i * 8);
    const type = gfn < P2M_FRAMES ? p2mType(physmapEntry(c.hv, dom, gfn)) : P2M.none;
    const present = type === P2M.ram || type === P2M.ramRo;
    c.scratch.setN64(at + i * 8, present ? d.XEN_DOMCTL_PFINFO_NOTAB : d.XEN_DOMCTL_PFINFO_XTAB);
  }
  return c.copyOut(list, at, count * 8) ? 0 : -XEN_EFAULT;
};

/** Gives a global VIRQ to this domain. */
export const set_virq_handler: DomctlOp = (c, dom, u) => {
  const virq = d.xen_domctl_set_virq_handler.virq.get(c.scratch, u);
  if (virq >= NR_VIRQS) return -XEN_EINVAL;
  c.mem.setU16(rootRecord.globalVirqDomain.addr(c.hv.root, virq), domainRecord.domid.get(c.mem, dom));
  return 0;
};

export const set_target: DomctlOp = (c, dom, u) => {
  const target = d.xen_domctl_set_target.target.get(c.scratch, u);
  if (c.hv.domain(target) === 0) return -XEN_ESRCH;
  domainRecord.target.set(c.mem, dom, target);
  return 0;
};

export const getnodeaffinity: DomctlOp = (c, _dom, u) =>
  putBitmap(c, d.xen_domctl_nodeaffinity.nodemap.addr(u), 1, 1) ? 0 : -XEN_EFAULT;
