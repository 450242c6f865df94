/**
 * HYPERVISOR_domctl: the operations a toolstack makes and controls domains with. Checks in Xen's order: the argument is
 * there, its version is ours, the domain exists, the caller is privileged.
 *
 * @abi public/domctl.h
 */

import * as d from '../../abi/domctl.ts';
import { XEN_EACCES, XEN_EFAULT, XEN_ENOSYS, XEN_EPERM, XEN_ESRCH } from '../../abi/errno.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';
import { domainRecord } from '../records.ts';
import { get_cpu_policy, set_cpu_policy } from './cpu-policy.ts';
import { gethvmcontext, gethvmcontext_partial, sethvmcontext } from './domctl-context.ts';
import { createdomain } from './domctl-create.ts';
import * as life from './domctl-domain.ts';
import * as vcpus from './domctl-vcpu.ts';

/** One operation: `u` is the scratch address of its structure, changed in place and copied back. 0 or -errno. */
export type DomctlOp = (c: Caller, dom: number, u: number) => number;

const OPS: Readonly<Record<number, DomctlOp>> = {
  [d.XEN_DOMCTL_destroydomain]: life.destroydomain,
  [d.XEN_DOMCTL_pausedomain]: life.pausedomain,
  [d.XEN_DOMCTL_unpausedomain]: life.unpausedomain,
  [d.XEN_DOMCTL_getdomaininfo]: life.getdomaininfo,
  [d.XEN_DOMCTL_resumedomain]: life.resumedomain,
  [d.XEN_DOMCTL_max_mem]: life.max_mem,
  [d.XEN_DOMCTL_setdomainhandle]: life.setdomainhandle,
  [d.XEN_DOMCTL_settimeoffset]: life.settimeoffset,
  [d.XEN_DOMCTL_gettscinfo]: life.gettscinfo,
  [d.XEN_DOMCTL_settscinfo]: life.settscinfo,
  [d.XEN_DOMCTL_scheduler_op]: life.scheduler_op,
  [d.XEN_DOMCTL_set_paging_mempool_size]: life.set_paging_mempool_size,
  [d.XEN_DOMCTL_get_paging_mempool_size]: life.get_paging_mempool_size,
  [d.XEN_DOMCTL_shadow_op]: life.shadow_op,
  [d.XEN_DOMCTL_hypercall_init]: life.hypercall_init,
  [d.XEN_DOMCTL_get_address_size]: life.get_address_size,
  [d.XEN_DOMCTL_getpageframeinfo3]: life.getpageframeinfo3,
  [d.XEN_DOMCTL_set_virq_handler]: life.set_virq_handler,
  [d.XEN_DOMCTL_set_target]: life.set_target,
  [d.XEN_DOMCTL_getnodeaffinity]: life.getnodeaffinity,
  [d.XEN_DOMCTL_setnodeaffinity]: life.accept,
  [d.XEN_DOMCTL_setdebugging]: life.accept,
  [d.XEN_DOMCTL_irq_permission]: life.accept,
  [d.XEN_DOMCTL_iomem_permission]: life.accept,
  [d.XEN_DOMCTL_ioport_permission]: life.accept,
  [d.XEN_DOMCTL_subscribe]: life.accept,
  [d.XEN_DOMCTL_set_access_required]: life.accept,
  [d.XEN_DOMCTL_max_vcpus]: vcpus.max_vcpus,
  [d.XEN_DOMCTL_getvcpuinfo]: vcpus.getvcpuinfo,
  [d.XEN_DOMCTL_setvcpuaffinity]: vcpus.setvcpuaffinity,
  [d.XEN_DOMCTL_getvcpuaffinity]: vcpus.getvcpuaffinity,
  [d.XEN_DOMCTL_sendtrigger]: vcpus.sendtrigger,
  [d.XEN_DOMCTL_gethvmcontext]: gethvmcontext,
  [d.XEN_DOMCTL_gethvmcontext_partial]: gethvmcontext_partial,
  [d.XEN_DOMCTL_sethvmcontext]: sethvmcontext,
  [d.XEN_DOMCTL_get_cpu_policy]: get_cpu_policy,
  [d.XEN_DOMCTL_set_cpu_policy]: set_cpu_policy,
};

export function doDomctl(c: Caller, arg: number): number {
  const s = d.xen_domctl;
  const at = c.copyIn(arg, s.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (s.interface_version.get(c.scratch, at) !== d.XEN_DOMCTL_INTERFACE_VERSION) return -XEN_EACCES;
  const cmd = s.cmd.get(c.scratch, at);
  const u = s.u.addr(at);
  if (cmd === d.XEN_DOMCTL_createdomain) {
    if (!c.privileged) return -XEN_EPERM;
    const domid = createdomain(c, s.domain.get(c.scratch, at), u);
    if (domid < 0) return domid;
    s.domain.set(c.scratch, at, domid);
    return c.copyOut(arg, at, s.$.size) ? 0 : -XEN_EFAULT;
  }
  const domid = s.domain.get(c.scratch, at);
  const dom = domid === DOMID_SELF ? c.dom : c.hv.domain(domid);
  if (dom === 0) return -XEN_ESRCH;
  if (!c.privileged) return -XEN_EPERM;
  const op = OPS[cmd];
  if (op === undefined) return -XEN_ENOSYS;
  s.domain.set(c.scratch, at, domainRecord.domid.get(c.mem, dom));
  const result = op(c, dom, u);
  // what was wrong with a policy is told in the structure
  if (result < 0 && cmd !== d.XEN_DOMCTL_set_cpu_policy) return result;
  return c.copyOut(arg, at, s.$.size) ? result : -XEN_EFAULT;
}
