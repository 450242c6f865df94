/** HYPERVISOR_hvm_op. @abi public/hvm/hvm_op.h */
import {
  XEN_EEXIST,
  XEN_EFAULT,
  XEN_EINVAL,
  XEN_ENOENT,
  XEN_ENOSYS,
  XEN_EOPNOTSUPP,
  XEN_EPERM,
} from '../../abi/errno.ts';
import * as h from '../../abi/hvm_op.ts';
import * as p from '../../abi/hvm_params.ts';
import { SHUTDOWN_MAX } from '../../abi/sched.ts';
import { P2M, P2M_FRAMES, p2mType } from '../../machine/p2m.ts';
import { vcpuKickEvent } from '../domain/vcpu.ts';
import type { Caller } from '../guest-copy.ts';
import { latchWidth } from '../hvm/initialise.ts';
import { upcallPending } from '../hvm/irq.ts';
import { VIRIDIAN_FEATURES } from '../hvm/viridian.ts';
import { p2mChanged } from '../mm/frames.ts';
import { physmapEntry } from '../mm/physmap.ts';
import { DOMAIN_TYPE, domainRecord, vcpuRecord } from '../records.ts';
import { updateWallclock } from '../time.ts';
import { targetDomain } from './target.ts';

const HVMOP_altp2m = 25;

/** What a guest may read and set of its own. */
const GUEST_READS = new Set([
  p.HVM_PARAM_CALLBACK_IRQ,
  p.HVM_PARAM_STORE_PFN,
  p.HVM_PARAM_STORE_EVTCHN,
  p.HVM_PARAM_CONSOLE_PFN,
  p.HVM_PARAM_CONSOLE_EVTCHN,
  p.HVM_PARAM_ACPI_IOPORTS_LOCATION,
  p.HVM_PARAM_VM_GENERATION_ID_ADDR,
  p.HVM_PARAM_ALTP2M,
  p.HVM_PARAM_X87_FIP_WIDTH,
  p.HVM_PARAM_VM86_TSS,
  p.HVM_PARAM_VM86_TSS_SIZED,
]);
const GUEST_WRITES = new Set([
  p.HVM_PARAM_CALLBACK_IRQ,
  p.HVM_PARAM_STORE_EVTCHN,
  p.HVM_PARAM_CONSOLE_EVTCHN,
  p.HVM_PARAM_VM86_TSS,
  p.HVM_PARAM_ACPI_IOPORTS_LOCATION,
  p.HVM_PARAM_VM_GENERATION_ID_ADDR,
  p.HVM_PARAM_X87_FIP_WIDTH,
  p.HVM_PARAM_VM86_TSS_SIZED,
]);
const DEPRECATED = new Set([
  p.HVM_PARAM_PAE_ENABLED,
  p.HVM_PARAM_DM_DOMAIN,
  p.HVM_PARAM_MEMORY_EVENT_CR0,
  p.HVM_PARAM_MEMORY_EVENT_CR3,
  p.HVM_PARAM_MEMORY_EVENT_CR4,
  p.HVM_PARAM_MEMORY_EVENT_INT3,
  p.HVM_PARAM_NESTEDHVM,
  p.HVM_PARAM_MEMORY_EVENT_SINGLE_STEP,
  p.HVM_PARAM_BUFIOREQ_EVTCHN,
  p.HVM_PARAM_MEMORY_EVENT_MSR,
]);
/** Parameters that stand once they are not zero. */
const SET_ONCE = new Set([
  p.HVM_PARAM_VIRIDIAN,
  p.HVM_PARAM_IOREQ_SERVER_PFN,
  p.HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  p.HVM_PARAM_ALTP2M,
  p.HVM_PARAM_MCA_CAP,
]);
/** Highest values allowed, where there is such a limit. */
const LIMITS: ReadonlyMap<number, bigint> = new Map([
  [p.HVM_PARAM_TIMER_MODE, BigInt(p.HVMPTM_one_missed_tick_pending)],
  [p.HVM_PARAM_TRIPLE_FAULT_REASON, BigInt(SHUTDOWN_MAX)],
  [p.HVM_PARAM_ALTP2M, BigInt(p.XEN_ALTP2M_limited)],
  [p.HVM_PARAM_HPET_ENABLED, 1n],
]);

export function doHvmOp(c: Caller, op: number, arg: number): number {
  switch (op >>> 0) {
    case h.HVMOP_set_param:
      return setParam(c, arg);
    case h.HVMOP_get_param:
      return getParam(c, arg);
    case h.HVMOP_flush_tlbs:
      if (arg !== 0) return -XEN_EINVAL;
      if (c.cpu !== 0) p2mChanged(c.hv, c.dom);
      return 0;
    case h.HVMOP_pagetable_dying:
      return -XEN_EINVAL; // of use to shadow paging only
    case h.HVMOP_get_time:
      return getTime(c, arg);
    case h.HVMOP_xentrace:
      return 0; // trace buffers are off
    case h.HVMOP_get_mem_type:
      return getMemType(c, arg);
    case h.HVMOP_set_evtchn_upcall_vector:
      return setUpcallVector(c, arg);
    case h.HVMOP_guest_request_vm_event:
      return arg === 0 ? 0 : -XEN_EINVAL;
    case HVMOP_altp2m:
      return -XEN_EOPNOTSUPP;
    default:
      return -XEN_ENOSYS;
  }
}

const isHvm = (c: Caller, dom: number): boolean => {
  const type = domainRecord.type.get(c.mem, dom);
  return type === DOMAIN_TYPE.hvm || type === DOMAIN_TYPE.pvh;
};

interface Param {
  dom: number;
  index: number;
  value: bigint;
  at: number;
}

/** Reads the argument and finds its domain; a number is -errno. */
function paramArgument(c: Caller, arg: number): Param | number {
  const layout = c.layout(h.xen_hvm_param, h.xen_hvm_param_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const index = layout.index.get(c.scratch, at);
  if (index >= p.HVM_NR_PARAMS) return -XEN_EINVAL;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  return isHvm(c, dom) ? { dom, index, value: layout.value.get(c.scratch, at), at } : -XEN_EINVAL;
}

function getParam(c: Caller, arg: number): number {
  const q = paramArgument(c, arg);
  if (typeof q === 'number') return q;
  if (DEPRECATED.has(q.index)) return -XEN_EINVAL;
  if (q.dom === c.dom && !GUEST_READS.has(q.index)) return -XEN_EPERM;
  const layout = c.layout(h.xen_hvm_param, h.xen_hvm_param_32);
  layout.value.set(c.scratch, q.at, c.mem.u64(domainRecord.hvmParams.addr(q.dom, q.index)));
  return c.copyOut(arg, q.at, layout.$.size) ? 0 : -XEN_EFAULT;
}

function setParam(c: Caller, arg: number): number {
  const q = paramArgument(c, arg);
  if (typeof q === 'number') return q;
  const field = domainRecord.hvmParams.addr(q.dom, q.index);
  const old = c.mem.u64(field);
  if (SET_ONCE.has(q.index) && (q.dom === c.dom || (old !== 0n && old !== q.value))) {
    return q.dom === c.dom && q.index !== p.HVM_PARAM_ALTP2M ? -XEN_EPERM : -XEN_EEXIST;
  }
  if (DEPRECATED.has(q.index)) return -XEN_EINVAL;
  if (q.dom === c.dom && !GUEST_WRITES.has(q.index)) return -XEN_EPERM;
  if (q.value > (LIMITS.get(q.index) ?? q.value)) return -XEN_EINVAL;
  if (q.index === p.HVM_PARAM_VIRIDIAN && !viridianAllowed(q.value)) return -XEN_EINVAL;
  if (q.index === p.HVM_PARAM_X87_FIP_WIDTH && q.value !== 0n && q.value !== 4n && q.value !== 8n)
    return -XEN_EINVAL;
  c.mem.setU64(field, q.value);
  if (q.index === p.HVM_PARAM_CALLBACK_IRQ) callbackChanged(c, q.dom);
  return 0;
}

/** Features that there are, and the base of all. */
const viridianAllowed = (mask: bigint): boolean =>
  (mask & ~VIRIDIAN_FEATURES) === 0n && (mask & BigInt(p.HVMPV_base_freq)) !== 0n;

/** The guest's kernel speaks for the first time: its width is that of the shared structures from now on. */
function callbackChanged(c: Caller, dom: number): void {
  if (dom !== c.dom) return;
  if (latchWidth(c.hv, c.vcpu, c.wide)) updateWallclock(c.hv, dom);
}

function getTime(c: Caller, arg: number): number {
  const at = c.alloc(h.xen_hvm_get_time.$.size);
  h.xen_hvm_get_time.now.set(c.scratch, at, c.hv.now());
  return c.copyOut(arg, at, h.xen_hvm_get_time.$.size) ? 0 : -XEN_EFAULT;
}

function getMemType(c: Caller, arg: number): number {
  const layout = c.layout(h.xen_hvm_get_mem_type, h.xen_hvm_get_mem_type_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, layout.domid.get(c.scratch, at));
  if (dom < 0) return dom;
  if (!isHvm(c, dom)) return -XEN_EINVAL;
  const pfn = layout.pfn.get(c.scratch, at);
  const type = pfn < P2M_FRAMES ? p2mType(physmapEntry(c.hv, dom, pfn)) : P2M.none;
  const answer =
    type === P2M.none || type === P2M.mmio
      ? h.HVMMEM_mmio_dm
      : type === P2M.ramRo || type === P2M.grantRo
        ? h.HVMMEM_ram_ro
        : h.HVMMEM_ram_rw;
  layout.mem_type.set(c.scratch, at, answer);
  return c.copyOut(arg, at, layout.$.size) ? 0 : -XEN_EFAULT;
}

function setUpcallVector(c: Caller, arg: number): number {
  const layout = h.xen_hvm_evtchn_upcall_vector;
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (!isHvm(c, c.dom)) return -XEN_EINVAL;
  const vector = layout.vector.get(c.scratch, at);
  const id = layout.vcpu.get(c.scratch, at);
  if (vector < 16) return -XEN_EINVAL;
  const v = c.hv.vcpu(c.dom, id);
  if (v === 0) return -XEN_ENOENT;
  c.hv.print(`d${c.domid}v${id}: upcall vector ${vector.toString(16).padStart(2, '0')}`);
  vcpuRecord.upcallVector.set(c.mem, v, vector);
  if (upcallPending(c.mem, v)) vcpuKickEvent(c.hv, v);
  return 0;
}
