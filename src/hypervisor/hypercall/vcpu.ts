/** HYPERVISOR_vcpu_op. @abi public/vcpu.h */
import { XEN_EEXIST, XEN_EFAULT, XEN_EINVAL, XEN_ENOENT, XEN_ENOSYS, XEN_ETIME } from '../../abi/errno.ts';
import { SHUTDOWN_poweroff } from '../../abi/sched.ts';
import * as a from '../../abi/vcpu.ts';
import { vcpu_info, vcpu_info_32 } from '../../abi/xen.ts';
import { P2M, P2M_FRAMES, p2mMfn, p2mType } from '../../machine/p2m.ts';
import { noteDeadline } from '../deadline.ts';
import { domainShutdown, forEachVcpu } from '../domain/domain.ts';
import { vcpuKick, vcpuReconsider } from '../domain/vcpu.ts';
import { recheckPending } from '../evtchn/index.ts';
import type { Caller } from '../guest-copy.ts';
import { initialiseVcpu } from '../hvm/initialise.ts';
import { getFrame } from '../mm/frames.ts';
import { physmapEntry } from '../mm/physmap.ts';
import { DOMAIN_TYPE, domainRecord, vcpuRecord } from '../records.ts';
import { fillRunstate, publishRunstate, publishTime, publishTimeArea } from '../time.ts';

const MIN_PERIOD_NS = 1_000_000;
/** About 24 days, as in Xen: what a signed count of milliseconds holds. */
const MAX_PERIOD_NS = 2 ** 31 * 1_000_000;

export function doVcpuOp(c: Caller, cmd: number, id: number, arg: number): number {
  const v = c.hv.vcpu(c.dom, id >>> 0);
  if (v === 0) return -XEN_ENOENT;
  switch (cmd >>> 0) {
    case a.VCPUOP_initialise:
      return initialise(c, v, arg);
    case a.VCPUOP_up:
      return up(c, v);
    case a.VCPUOP_down:
      return down(c, v);
    case a.VCPUOP_is_up:
      return vcpuRecord.online.get(c.mem, v);
    case a.VCPUOP_get_runstate_info:
      return getRunstate(c, v, arg);
    case a.VCPUOP_register_runstate_memory_area:
      return registerRunstate(c, v, arg);
    case a.VCPUOP_set_periodic_timer:
      return setPeriodic(c, v, arg);
    case a.VCPUOP_stop_periodic_timer:
      vcpuRecord.periodicNext.set(c.mem, v, 0);
      vcpuRecord.periodicPeriod.set(c.mem, v, 0);
      return 0;
    case a.VCPUOP_set_singleshot_timer:
      return setSingleshot(c, v, arg);
    case a.VCPUOP_stop_singleshot_timer:
      if (v !== c.vcpu) return -XEN_EINVAL;
      vcpuRecord.singleshot.set(c.mem, v, 0);
      return 0;
    case a.VCPUOP_register_vcpu_info:
      return registerVcpuInfo(c, v, arg);
    case a.VCPUOP_send_nmi:
      vcpuRecord.nmiPending.set(c.mem, v, 1);
      vcpuKick(c.hv, v);
      return 0;
    case a.VCPUOP_get_physid:
      return -XEN_EINVAL; // no vCPU is pinned for good
    case a.VCPUOP_register_vcpu_time_memory_area:
      return registerTimeArea(c, v, arg);
    default:
      return -XEN_ENOSYS;
  }
}

function initialise(c: Caller, v: number, arg: number): number {
  if (c.cpu === 0) return -XEN_ENOSYS;
  if (vcpuRecord.vcpuInfo.get(c.mem, v) === 0) return -XEN_EINVAL;
  if (vcpuRecord.initialised.get(c.mem, v) !== 0) return -XEN_EEXIST;
  return initialiseVcpu(c, v, arg);
}

function up(c: Caller, v: number): number {
  if (vcpuRecord.initialised.get(c.mem, v) === 0) return -XEN_EINVAL;
  vcpuRecord.online.set(c.mem, v, 1);
  vcpuReconsider(c.hv, v);
  return 0;
}

/** The last vCPU to go down takes the domain with it. */
function down(c: Caller, v: number): number {
  let others = false;
  forEachVcpu(c.hv, c.dom, (w) => {
    others ||= w !== v && vcpuRecord.online.get(c.mem, w) !== 0;
  });
  if (!others) {
    domainShutdown(c.hv, c.dom, SHUTDOWN_poweroff);
    return 0;
  }
  vcpuRecord.online.set(c.mem, v, 0);
  vcpuReconsider(c.hv, v);
  return 0;
}

function getRunstate(c: Caller, v: number, arg: number): number {
  const { size } = c.layout(a.vcpu_runstate_info, a.vcpu_runstate_info_32).$;
  const at = c.alloc(size);
  fillRunstate(c.hv, v, c.scratch, at, c.wide);
  return c.copyOut(arg, at, size) ? 0 : -XEN_EFAULT;
}

/** The linear address in an area's registration: eight bytes, of which a 32-bit caller uses four. */
function areaAddress(c: Caller, arg: number): bigint {
  const at = c.copyIn(arg, 8);
  if (at < 0) return -1n;
  return c.wide ? c.scratch.u64(at) : BigInt(c.scratch.u32(at));
}

function registerRunstate(c: Caller, v: number, arg: number): number {
  const va = areaAddress(c, arg);
  if (va < 0n) return -XEN_EFAULT;
  vcpuRecord.runstateAreaVa.set(c.mem, v, va);
  if (v === c.vcpu && c.cpu !== 0) publishRunstate(c.hv, v);
  return 0;
}

function registerTimeArea(c: Caller, v: number, arg: number): number {
  const va = areaAddress(c, arg);
  if (va < 0n) return -XEN_EFAULT;
  vcpuRecord.timeAreaVa.set(c.mem, v, va);
  vcpuRecord.timeValid.set(c.mem, v, 0);
  if (v === c.vcpu && c.cpu !== 0) publishTimeArea(c.hv, v);
  return 0;
}

function setPeriodic(c: Caller, v: number, arg: number): number {
  const layout = c.layout(a.vcpu_set_periodic_timer, a.vcpu_set_periodic_timer_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const period = layout.period_ns.get(c.scratch, at);
  if (period < MIN_PERIOD_NS || period > MAX_PERIOD_NS) return -XEN_EINVAL;
  const next = c.hv.now() + period;
  vcpuRecord.periodicPeriod.set(c.mem, v, period);
  vcpuRecord.periodicNext.set(c.mem, v, next);
  noteDeadline(c.hv, next);
  return 0;
}

function setSingleshot(c: Caller, v: number, arg: number): number {
  if (v !== c.vcpu) return -XEN_EINVAL;
  const layout = c.layout(a.vcpu_set_singleshot_timer, a.vcpu_set_singleshot_timer_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const when = layout.timeout_abs_ns.get(c.scratch, at);
  const future = (layout.flags.get(c.scratch, at) & a.VCPU_SSHOTTMR_future) !== 0;
  if (future && when < c.hv.now()) return -XEN_ETIME;
  const deadline = Math.max(1, Math.min(when, Number.MAX_SAFE_INTEGER - 1));
  vcpuRecord.singleshot.set(c.mem, v, deadline);
  noteDeadline(c.hv, deadline);
  return 0;
}

/** Moves vcpu_info into the guest's own memory, once. What is pending is looked at again. */
function registerVcpuInfo(c: Caller, v: number, arg: number): number {
  const { mem } = c;
  const layout = c.layout(a.vcpu_register_vcpu_info, a.vcpu_register_vcpu_info_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const gfn = layout.mfn.get(c.scratch, at);
  const offset = layout.offset.get(c.scratch, at);
  const { size } = c.layout(vcpu_info, vcpu_info_32).$;
  if (offset > 4096 - size || offset % 4 !== 0 || gfn >= P2M_FRAMES) return -XEN_EINVAL;
  if (vcpuRecord.vcpuInfoRegistered.get(mem, v) !== 0) return -XEN_EINVAL;
  if (v !== c.vcpu && vcpuRecord.online.get(mem, v) !== 0) return -XEN_EINVAL;
  const entry = physmapEntry(c.hv, c.dom, gfn);
  if (p2mType(entry) !== P2M.ram) return -XEN_EINVAL;
  const mfn = p2mMfn(entry);
  getFrame(c.hv, mfn);
  const to = mfn * 4096 + offset;
  const from = vcpuRecord.vcpuInfo.get(mem, v);
  if (from === 0) mem.fill(to, size);
  else mem.move(to, from, size);
  vcpuRecord.vcpuInfo.set(mem, v, to);
  vcpuRecord.vcpuInfoRegistered.set(mem, v, 1);
  if (domainRecord.type.get(mem, c.dom) !== DOMAIN_TYPE.dom0) publishTime(c.hv, v);
  recheckPending(c.hv, v);
  return 0;
}
