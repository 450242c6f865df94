/** CPU policies as domctl and sysctl tell and take them. @abi public/domctl.h xen_domctl_cpu_policy */
import { xen_cpuid_leaf, xen_msr_entry } from '../../abi/arch_x86.ts';
import { xen_domctl_cpu_policy } from '../../abi/domctl.ts';
import {
  XEN_E2BIG,
  XEN_EEXIST,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOBUFS,
  XEN_ENOMEM,
  XEN_ERANGE,
} from '../../abi/errno.ts';
import * as s from '../../abi/sysctl.ts';
import type { Caller } from '../guest-copy.ts';
import type { Policy } from '../hvm/cpu-features.ts';
import {
  defaultPolicy,
  domainPolicy,
  MAX_POLICY_LEAVES,
  maxPolicy,
  readLeaves,
  setDomainPolicy,
  unknownLeaf,
  writeLeaves,
} from '../hvm/cpu-policy.ts';
import { domainRecord } from '../records.ts';
import type { DomctlOp } from './domctl.ts';

/** MSRs of a policy: platform information and architectural capabilities. All of them are 0 here. */
const MSRS = [0xce, 0x10a];
const NONE = 0xffff_ffff;

/** Copies a policy out as far as the buffers reach: 0 with both counts set, or -errno. */
function tell(
  c: Caller,
  policy: Policy,
  leaves: number,
  msrs: number,
  room: { leaves: number; msrs: number },
): number {
  if (leaves !== 0) {
    if (room.leaves < policy.length) return -XEN_ENOBUFS;
    const at = c.alloc(policy.length * xen_cpuid_leaf.$.size);
    writeLeaves(c.scratch, at, policy);
    if (!c.copyOut(leaves, at, policy.length * xen_cpuid_leaf.$.size)) return -XEN_EFAULT;
  }
  if (msrs === 0) return 0;
  if (room.msrs < MSRS.length) return -XEN_ENOBUFS;
  const { size } = xen_msr_entry.$;
  const at = c.alloc(MSRS.length * size);
  MSRS.forEach((msr, i) => {
    xen_msr_entry.idx.set(c.scratch, at + i * size, msr);
  });
  return c.copyOut(msrs, at, MSRS.length * size) ? 0 : -XEN_EFAULT;
}

/** The machine has one CPU: raw and host are all of it, PV's and HVM's are the same. */
export function sysctlCpuPolicy(c: Caller, u: number): number {
  const o = s.xen_sysctl_cpu_policy;
  const index = o.index.get(c.scratch, u);
  if (index > s.XEN_SYSCTL_cpu_policy_hvm_default) return -XEN_EINVAL;
  const policy = index < s.XEN_SYSCTL_cpu_policy_pv_default ? maxPolicy() : defaultPolicy();
  const room = { leaves: o.nr_leaves.get(c.scratch, u), msrs: o.nr_msrs.get(c.scratch, u) };
  const result = tell(c, policy, o.leaves.get(c.scratch, u), o.msrs.get(c.scratch, u), room);
  o.nr_leaves.set(c.scratch, u, policy.length);
  o.nr_msrs.set(c.scratch, u, MSRS.length);
  return result;
}

export const get_cpu_policy: DomctlOp = (c, dom, u) => {
  const o = xen_domctl_cpu_policy;
  const policy = domainPolicy(c.mem, dom);
  const room = { leaves: o.nr_leaves.get(c.scratch, u), msrs: o.nr_msrs.get(c.scratch, u) };
  const result = tell(c, policy, o.leaves.get(c.scratch, u), o.msrs.get(c.scratch, u), room);
  o.nr_leaves.set(c.scratch, u, policy.length);
  o.nr_msrs.set(c.scratch, u, MSRS.length);
  return result;
};

/** Before the domain first runs. Leaves that are not given stay as they are. */
export const set_cpu_policy: DomctlOp = (c, dom, u) => {
  const o = xen_domctl_cpu_policy;
  const { scratch } = c;
  if (dom === c.dom) return -XEN_EINVAL;
  if (domainRecord.started.get(c.mem, dom) !== 0) return -XEN_EEXIST;
  const count = o.nr_leaves.get(scratch, u);
  const msrs = o.nr_msrs.get(scratch, u);
  if (count > MAX_POLICY_LEAVES || msrs > MSRS.length) return -XEN_E2BIG;
  for (const field of [o.err_leaf, o.err_subleaf, o.err_msr]) field.set(scratch, u, NONE);
  const list = c.copyIn(o.leaves.get(scratch, u), count * xen_cpuid_leaf.$.size);
  const entries = c.copyIn(o.msrs.get(scratch, u), msrs * xen_msr_entry.$.size);
  if (list < 0 || entries < 0) return -XEN_EFAULT;
  const leaves = readLeaves(scratch, list, count);
  const unknown = unknownLeaf(leaves);
  if (unknown) {
    o.err_leaf.set(scratch, u, unknown.leaf);
    o.err_subleaf.set(scratch, u, unknown.subleaf);
    return -XEN_ERANGE;
  }
  for (let i = 0; i < msrs; i++) {
    const entry = entries + i * xen_msr_entry.$.size;
    const index = xen_msr_entry.idx.get(scratch, entry);
    const error =
      xen_msr_entry.flags.get(scratch, entry) !== 0 ? XEN_EINVAL : MSRS.includes(index) ? 0 : XEN_ERANGE;
    if (error === 0) continue;
    o.err_msr.set(scratch, u, index);
    return -error;
  }
  return setDomainPolicy(c.hv, dom, leaves) ? 0 : -XEN_ENOMEM;
};
