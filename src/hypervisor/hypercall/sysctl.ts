/** HYPERVISOR_sysctl: the host as the toolstack sees it. @abi public/sysctl.h */
import { XEN_SCHEDULER_CREDIT2, xen_domctl_getdomaininfo } from '../../abi/domctl.ts';
import {
  XEN_EACCES,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOENT,
  XEN_ENOSYS,
  XEN_EOPNOTSUPP,
  XEN_EPERM,
} from '../../abi/errno.ts';
import * as s from '../../abi/sysctl.ts';
import { featureWords } from '../../x86/cpuid.ts';
import { CON_RING_BYTES, consoleByte } from '../console.ts';
import { fillDomainInfo } from '../domain/info.ts';
import type { Caller } from '../guest-copy.ts';
import { MAX_DOMAINS, pcpuRecord, rootRecord } from '../records.ts';
import { TSC_KHZ } from '../time.ts';
import { putBitmap } from './bitmap.ts';
import { sysctlCpuPolicy } from './cpu-policy.ts';

/** `u` is the scratch address of the operation's structure, changed in place and copied back. 0 or -errno. */
type SysctlOp = (c: Caller, u: number) => number;

const OPS: Readonly<Record<number, SysctlOp>> = {
  [s.XEN_SYSCTL_readconsole]: readconsole,
  [s.XEN_SYSCTL_physinfo]: physinfo,
  [s.XEN_SYSCTL_sched_id]: sched_id,
  [s.XEN_SYSCTL_getdomaininfolist]: getdomaininfolist,
  [s.XEN_SYSCTL_getcpuinfo]: getcpuinfo,
  [s.XEN_SYSCTL_availheap]: availheap,
  [s.XEN_SYSCTL_cputopoinfo]: cputopoinfo,
  [s.XEN_SYSCTL_numainfo]: numainfo,
  [s.XEN_SYSCTL_cpupool_op]: cpupool_op,
  [s.XEN_SYSCTL_scheduler_op]: scheduler_op,
  [s.XEN_SYSCTL_get_cpu_featureset]: get_cpu_featureset,
  [s.XEN_SYSCTL_get_cpu_policy]: sysctlCpuPolicy,
  [s.XEN_SYSCTL_debug_keys]: debug_keys,
  [s.XEN_SYSCTL_get_pmstat]: () => -XEN_ENOSYS,
  [s.XEN_SYSCTL_livepatch_op]: () => -XEN_EOPNOTSUPP,
};

export function doSysctl(c: Caller, arg: number): number {
  const at = c.copyIn(arg, s.xen_sysctl.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (s.xen_sysctl.interface_version.get(c.scratch, at) !== s.XEN_SYSCTL_INTERFACE_VERSION)
    return -XEN_EACCES;
  if (!c.privileged) return -XEN_EPERM;
  const op = OPS[s.xen_sysctl.cmd.get(c.scratch, at)];
  if (op === undefined) return -XEN_ENOSYS;
  const result = op(c, s.xen_sysctl.u.addr(at));
  if (result < 0) return result;
  return c.copyOut(arg, at, s.xen_sysctl.$.size) ? result : -XEN_EFAULT;
}

function readconsole(c: Caller, u: number): number {
  const o = s.xen_sysctl_readconsole;
  const { mem, scratch } = c;
  const { root } = c.hv;
  const prod = rootRecord.conRingProd.get(mem, root);
  let from = rootRecord.conRingCons.get(mem, root);
  if (o.incremental.get(scratch, u)) {
    const asked = o.index.get(scratch, u);
    if ((prod - asked) >>> 0 <= (prod - from) >>> 0) from = asked;
  }
  const count = Math.min((prod - from) >>> 0, o.count.get(scratch, u), CON_RING_BYTES);
  const at = c.alloc(count);
  for (let i = 0; i < count; i++) scratch.setU8(at + i, consoleByte(mem, root, from + i));
  if (!c.copyOut(o.buffer.get(scratch, u), at, count)) return -XEN_EFAULT;
  if (o.clear.get(scratch, u)) rootRecord.conRingCons.set(mem, root, prod);
  o.index.set(scratch, u, (from + count) >>> 0);
  o.count.set(scratch, u, count);
  return 0;
}

function physinfo(c: Caller, u: number): number {
  const o = s.xen_sysctl_physinfo;
  const { scratch, hv } = c;
  scratch.fill(u, o.$.size);
  o.threads_per_core.set(scratch, u, 1);
  o.cores_per_socket.set(scratch, u, hv.pcpuCount);
  o.nr_cpus.set(scratch, u, hv.pcpuCount);
  o.max_cpu_id.set(scratch, u, hv.pcpuCount - 1);
  o.nr_nodes.set(scratch, u, 1);
  o.cpu_khz.set(scratch, u, TSC_KHZ);
  const caps =
    s.XEN_SYSCTL_PHYSCAP_hvm |
    s.XEN_SYSCTL_PHYSCAP_hap |
    s.XEN_SYSCTL_PHYSCAP_gnttab_v1 |
    s.XEN_SYSCTL_PHYSCAP_gnttab_v2;
  o.capabilities.set(scratch, u, caps);
  o.total_pages.set(scratch, u, hv.machine.totalFrames);
  o.free_pages.set(scratch, u, hv.machine.freeFrames);
  o.outstanding_pages.set(scratch, u, rootRecord.claimedPages.get(c.mem, hv.root));
  o.max_mfn.set(scratch, u, hv.machine.totalFrames - 1);
  featureWords()
    .slice(0, 8)
    .forEach((word, i) => {
      scratch.setU32(o.hw_cap.addr(u, i), word);
    });
  return 0;
}

function sched_id(c: Caller, u: number): number {
  s.xen_sysctl_sched_id.sched_id.set(c.scratch, u, XEN_SCHEDULER_CREDIT2);
  return 0;
}

function getdomaininfolist(c: Caller, u: number): number {
  const o = s.xen_sysctl_getdomaininfolist;
  const { size } = xen_domctl_getdomaininfo.$;
  const buffer = o.buffer.get(c.scratch, u);
  const max = o.max_domains.get(c.scratch, u);
  let count = 0;
  for (let domid = o.first_domain.get(c.scratch, u); domid < MAX_DOMAINS && count < max; domid++) {
    const dom = c.hv.domain(domid);
    if (dom === 0) continue;
    const mark = c.mark();
    const at = c.alloc(size);
    fillDomainInfo(c.hv, dom, c.scratch, at);
    if (!c.copyOut(buffer + count * size, at, size)) return -XEN_EFAULT;
    c.release(mark);
    count++;
  }
  o.num_domains.set(c.scratch, u, count);
  return 0;
}

function getcpuinfo(c: Caller, u: number): number {
  const o = s.xen_sysctl_getcpuinfo;
  const count = Math.min(o.max_cpus.get(c.scratch, u), c.hv.pcpuCount);
  const at = c.alloc(count * 8);
  for (let id = 0; id < count; id++) {
    s.xen_sysctl_cpuinfo.idletime.set(c.scratch, at + id * 8, pcpuRecord.idleNs.get(c.mem, c.hv.pcpuAt(id)));
  }
  if (!c.copyOut(o.info.get(c.scratch, u), at, count * 8)) return -XEN_EFAULT;
  o.nr_cpus.set(c.scratch, u, count);
  return 0;
}

function availheap(c: Caller, u: number): number {
  const o = s.xen_sysctl_availheap;
  const node = o.node.get(c.scratch, u);
  if (node > 0) return -XEN_EINVAL;
  o.avail_bytes.set(c.scratch, u, c.hv.machine.freeFrames * 4096);
  return 0;
}

/** One socket on one node, a core for each CPU. */
function cputopoinfo(c: Caller, u: number): number {
  const o = s.xen_sysctl_cputopoinfo;
  const list = o.cputopo.get(c.scratch, u);
  const { size } = s.xen_sysctl_cputopo.$;
  const room = o.num_cpus.get(c.scratch, u);
  o.num_cpus.set(c.scratch, u, c.hv.pcpuCount);
  if (list === 0) return 0;
  const count = Math.min(room, c.hv.pcpuCount);
  const at = c.alloc(count * size);
  for (let id = 0; id < count; id++) s.xen_sysctl_cputopo.core.set(c.scratch, at + id * size, id);
  return c.copyOut(list, at, count * size) ? 0 : -XEN_EFAULT;
}

const LOCAL_DISTANCE = 10;

function numainfo(c: Caller, u: number): number {
  const o = s.xen_sysctl_numainfo;
  const meminfo = o.meminfo.get(c.scratch, u);
  const distance = o.distance.get(c.scratch, u);
  const room = o.num_nodes.get(c.scratch, u);
  o.num_nodes.set(c.scratch, u, 1);
  if (room === 0) return 0;
  const m = s.xen_sysctl_meminfo;
  const at = c.alloc(m.$.size);
  m.memsize.set(c.scratch, at, c.hv.machine.size);
  m.memfree.set(c.scratch, at, c.hv.machine.freeFrames * 4096);
  if (meminfo !== 0 && !c.copyOut(meminfo, at, m.$.size)) return -XEN_EFAULT;
  const d = c.alloc(4);
  c.scratch.setU32(d, LOCAL_DISTANCE);
  return distance === 0 || c.copyOut(distance, d, 4) ? 0 : -XEN_EFAULT;
}

/** There is one pool, 0, with every CPU and domain in it. */
function cpupool_op(c: Caller, u: number): number {
  const o = s.xen_sysctl_cpupool_op;
  const pool = o.cpupool_id.get(c.scratch, u);
  const mask = 2 ** c.hv.pcpuCount - 1;
  switch (o.op.get(c.scratch, u)) {
    case s.XEN_SYSCTL_CPUPOOL_OP_INFO: {
      if (pool !== 0) return -XEN_ENOENT; // asked for this pool or the next one above
      let domains = 0;
      for (let domid = 0; domid < MAX_DOMAINS; domid++) if (c.hv.domain(domid) !== 0) domains++;
      o.sched_id.set(c.scratch, u, XEN_SCHEDULER_CREDIT2);
      o.n_dom.set(c.scratch, u, domains);
      return putBitmap(c, o.cpumap.addr(u), mask, c.hv.pcpuCount) ? 0 : -XEN_EFAULT;
    }
    case s.XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
      return putBitmap(c, o.cpumap.addr(u), 0, c.hv.pcpuCount) ? 0 : -XEN_EFAULT;
    default:
      return -XEN_EOPNOTSUPP;
  }
}

const RATELIMIT_US = 1000;

function scheduler_op(c: Caller, u: number): number {
  const o = s.xen_sysctl_scheduler_op;
  if (o.cpupool_id.get(c.scratch, u) !== 0) return -XEN_ENOENT;
  if (o.sched_id.get(c.scratch, u) !== XEN_SCHEDULER_CREDIT2) return -XEN_EINVAL;
  if (o.cmd.get(c.scratch, u) === s.XEN_SYSCTL_SCHEDOP_getinfo) {
    o.sched_credit2_ratelimit_us.set(c.scratch, u, RATELIMIT_US);
  }
  return 0;
}

/** The same CPU for everyone: raw, host, PV and HVM sets are one. */
function get_cpu_featureset(c: Caller, u: number): number {
  const o = s.xen_sysctl_cpu_featureset;
  const words = featureWords();
  const list = o.features.get(c.scratch, u);
  const room = o.nr_features.get(c.scratch, u);
  if (o.index.get(c.scratch, u) > s.XEN_SYSCTL_cpu_featureset_hvm_max) return -XEN_EINVAL;
  o.nr_features.set(c.scratch, u, words.length);
  if (list === 0) return 0;
  const count = Math.min(room, words.length);
  const at = c.alloc(words.length * 4);
  words.forEach((word, i) => {
    c.scratch.setU32(at + i * 4, word);
  });
  return c.copyOut(list, at, count * 4) ? 0 : -XEN_EFAULT;
}

/** Keys ask Xen to print its state; what is printed here is the list of domains. */
function debug_keys(c: Caller): number {
  for (let domid = 0; domid < MAX_DOMAINS; domid++) {
    if (c.hv.domain(domid) !== 0) c.hv.print(`General information for domain ${domid}`);
  }
  return 0;
}
