/** Domctls on the vCPUs of a domain. */
import * as d from '../../abi/domctl.ts';
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOSYS, XEN_ESRCH } from '../../abi/errno.ts';
import { createVcpu } from '../domain/domain.ts';
import { cpuTime, isRunning, vcpuKick, vcpuReconsider } from '../domain/vcpu.ts';
import type { Caller } from '../guest-copy.ts';
import { domainRecord, MAX_VCPUS, vcpuRecord } from '../records.ts';
import { getBitmap, putBitmap } from './bitmap.ts';
import type { DomctlOp } from './domctl.ts';

/** Makes the vCPUs that createdomain announced. */
export const max_vcpus: DomctlOp = (c, dom, u) => {
  const max = d.xen_domctl_max_vcpus.max.get(c.scratch, u);
  if (dom === c.dom || max !== domainRecord.maxVcpus.get(c.mem, dom)) return -XEN_EINVAL;
  for (let id = 0; id < max; id++) {
    if (c.hv.vcpu(dom, id) !== 0) continue;
    const v = createVcpu(c.hv, dom, id);
    if (v < 0) return v;
  }
  return 0;
};

const vcpuOf = (c: Caller, dom: number, id: number): number => (id < MAX_VCPUS ? c.hv.vcpu(dom, id) : 0);

export const getvcpuinfo: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_getvcpuinfo;
  const id = s.vcpu.get(c.scratch, u);
  if (id >= domainRecord.maxVcpus.get(c.mem, dom)) return -XEN_EINVAL;
  const v = vcpuOf(c, dom, id);
  if (v === 0) return -XEN_ESRCH;
  s.online.set(c.scratch, u, vcpuRecord.online.get(c.mem, v));
  s.blocked.set(c.scratch, u, vcpuRecord.blocked.get(c.mem, v));
  s.running.set(c.scratch, u, isRunning(c.hv, v) ? 1 : 0);
  s.cpu_time.set(c.scratch, u, cpuTime(c.hv, v));
  s.cpu.set(c.scratch, u, vcpuRecord.pcpu.get(c.mem, v));
  return 0;
};

const cpuMask = (c: Caller): number => 2 ** c.hv.pcpuCount - 1;

/** Hard affinity binds the scheduler; soft is kept to be told. Both come back as what is in effect. */
export const setvcpuaffinity: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_vcpuaffinity;
  const flags = s.flags.get(c.scratch, u);
  if ((flags & (d.XEN_VCPUAFFINITY_HARD | d.XEN_VCPUAFFINITY_SOFT)) === 0) return -XEN_EINVAL;
  const v = vcpuOf(c, dom, s.vcpu.get(c.scratch, u));
  if (v === 0) return -XEN_ESRCH;
  const parts = [
    [d.XEN_VCPUAFFINITY_HARD, s.cpumap_hard, vcpuRecord.hardAffinity],
    [d.XEN_VCPUAFFINITY_SOFT, s.cpumap_soft, vcpuRecord.softAffinity],
  ] as const;
  for (const [flag, map, field] of parts) {
    if ((flags & flag) === 0) continue;
    const mask = getBitmap(c, map.addr(u));
    if (mask < 0) return -XEN_EFAULT;
    const effective = mask & cpuMask(c);
    if (flag === d.XEN_VCPUAFFINITY_HARD && effective === 0) return -XEN_EINVAL;
    field.set(c.mem, v, mask);
    if (!putBitmap(c, map.addr(u), effective, c.hv.pcpuCount)) return -XEN_EFAULT;
  }
  vcpuReconsider(c.hv, v);
  return 0;
};

export const getvcpuaffinity: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_vcpuaffinity;
  const flags = s.flags.get(c.scratch, u);
  if ((flags & (d.XEN_VCPUAFFINITY_HARD | d.XEN_VCPUAFFINITY_SOFT)) === 0) return -XEN_EINVAL;
  const v = vcpuOf(c, dom, s.vcpu.get(c.scratch, u));
  if (v === 0) return -XEN_ESRCH;
  const put = (map: { addr(a: number): number }, mask: number): boolean =>
    putBitmap(c, map.addr(u), mask & cpuMask(c), c.hv.pcpuCount);
  if (flags & d.XEN_VCPUAFFINITY_HARD && !put(s.cpumap_hard, vcpuRecord.hardAffinity.get(c.mem, v))) {
    return -XEN_EFAULT;
  }
  if (flags & d.XEN_VCPUAFFINITY_SOFT && !put(s.cpumap_soft, vcpuRecord.softAffinity.get(c.mem, v))) {
    return -XEN_EFAULT;
  }
  return 0;
};

/** NMI is the one trigger that a domain without ACPI hardware can take. */
export const sendtrigger: DomctlOp = (c, dom, u) => {
  const s = d.xen_domctl_sendtrigger;
  const v = vcpuOf(c, dom, s.vcpu.get(c.scratch, u));
  if (v === 0) return -XEN_ESRCH;
  if (s.trigger.get(c.scratch, u) !== d.XEN_DOMCTL_SENDTRIGGER_NMI) return -XEN_ENOSYS;
  vcpuRecord.nmiPending.set(c.mem, v, 1);
  vcpuKick(c.hv, v);
  return 0;
};
