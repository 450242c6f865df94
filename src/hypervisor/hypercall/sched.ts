/** HYPERVISOR_sched_op and HYPERVISOR_set_timer_op. @abi public/sched.h */
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOSPC, XEN_ENOSYS } from '../../abi/errno.ts';
import * as s from '../../abi/sched.ts';
import { vcpu_info } from '../../abi/xen.ts';
import { noteDeadline } from '../deadline.ts';
import { domainShutdown } from '../domain/domain.ts';
import { vcpuUnblock } from '../domain/vcpu.ts';
import { evtchnPendingForPoll } from '../evtchn/index.ts';
import type { Caller } from '../guest-copy.ts';
import { hasPending } from '../hvm/irq.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { targetDomain } from './target.ts';

const MAX_POLL_PORTS = 128;
const MAX_WATCHDOGS = 2;

export function doSchedOp(c: Caller, cmd: number, arg: number): number {
  switch (cmd >>> 0) {
    case s.SCHEDOP_yield:
      c.hv.yielded = true;
      return 0;
    case s.SCHEDOP_block:
      return block(c);
    case s.SCHEDOP_shutdown:
      return shutdown(c, arg);
    case s.SCHEDOP_poll:
      return poll(c, arg);
    case s.SCHEDOP_remote_shutdown:
      return remoteShutdown(c, arg);
    case s.SCHEDOP_shutdown_code:
      return shutdownCode(c, arg);
    case s.SCHEDOP_watchdog:
      return watchdog(c, arg);
    default:
      return -XEN_ENOSYS;
  }
}

/** Waits for an event. Domain 0's thread cannot wait here: for it, events are always about to come. */
function block(c: Caller): number {
  if (c.cpu === 0) return 0;
  const info = vcpuRecord.vcpuInfo.get(c.mem, c.vcpu);
  if (info !== 0) vcpu_info.evtchn_upcall_mask.set(c.mem, info, 0);
  if (!hasPending(c.mem, c.vcpu)) vcpuRecord.blocked.set(c.mem, c.vcpu, 1);
  return 0;
}

function shutdown(c: Caller, arg: number): number {
  const at = c.copyIn(arg, s.sched_shutdown.$.size);
  if (at < 0) return -XEN_EFAULT;
  domainShutdown(c.hv, c.dom, s.sched_shutdown.reason.get(c.scratch, at) & 0xff);
  return 0;
}

function shutdownCode(c: Caller, arg: number): number {
  const at = c.copyIn(arg, s.sched_shutdown.$.size);
  if (at < 0) return -XEN_EFAULT;
  domainRecord.shutdownCode.set(c.mem, c.dom, s.sched_shutdown.reason.get(c.scratch, at) & 0xff);
  return 0;
}

function remoteShutdown(c: Caller, arg: number): number {
  const layout = s.sched_remote_shutdown;
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const dom = targetDomain(c, layout.domain_id.get(c.scratch, at));
  if (dom < 0) return dom;
  domainShutdown(c.hv, dom, layout.reason.get(c.scratch, at) & 0xff);
  return 0;
}

function poll(c: Caller, arg: number): number {
  const layout = c.layout(s.sched_poll, s.sched_poll_32);
  const at = c.copyIn(arg, layout.$.size);
  if (at < 0) return -XEN_EFAULT;
  const count = layout.nr_ports.get(c.scratch, at);
  if (count > MAX_POLL_PORTS) return -XEN_EINVAL;
  const ports = c.copyIn(layout.ports.get(c.scratch, at), count * 4);
  if (ports < 0) return -XEN_EFAULT;
  for (let i = 0; i < count; i++) {
    const port = c.scratch.u32(ports + i * 4);
    if (port > domainRecord.evtchnMax.get(c.mem, c.dom)) return -XEN_EINVAL;
    if (evtchnPendingForPoll(c.hv, c.dom, port)) return 0;
  }
  if (c.cpu === 0 || hasPending(c.mem, c.vcpu)) return 0;
  const timeout = layout.timeout.get(c.scratch, at);
  vcpuRecord.blocked.set(c.mem, c.vcpu, 1);
  vcpuRecord.pollPorts.set(c.mem, c.vcpu, Math.max(1, count));
  vcpuRecord.pollDeadline.set(c.mem, c.vcpu, timeout);
  if (timeout === 0) return 0;
  if (timeout <= c.hv.now()) vcpuUnblock(c.hv, c.vcpu);
  else noteDeadline(c.hv, timeout);
  return 0;
}

/** Two timers per domain, numbered from 1; id 0 asks for a new one. */
function watchdog(c: Caller, arg: number): number {
  const at = c.copyIn(arg, s.sched_watchdog.$.size);
  if (at < 0) return -XEN_EFAULT;
  const id = s.sched_watchdog.id.get(c.scratch, at);
  const seconds = s.sched_watchdog.timeout.get(c.scratch, at);
  const timer = (n: number): number => domainRecord.watchdogs.addr(c.dom, n - 1);
  const arm = (n: number): void => {
    const deadline = c.hv.now() + seconds * 1e9;
    c.mem.setN64(timer(n), deadline);
    noteDeadline(c.hv, deadline);
  };
  if (id > MAX_WATCHDOGS) return -XEN_EINVAL;
  if (id === 0) {
    if (seconds === 0) return -XEN_EINVAL;
    for (let n = 1; n <= MAX_WATCHDOGS; n++) {
      if (c.mem.n64(timer(n)) !== 0) continue;
      arm(n);
      return n;
    }
    return -XEN_ENOSPC;
  }
  if (c.mem.n64(timer(id)) === 0) return -XEN_EINVAL;
  if (seconds === 0) c.mem.setN64(timer(id), 0);
  else arm(id);
  return 0;
}

const FAR_FUTURE_NS = 2 ** 50;
const SOON_NS = 100e6;

/** The vCPU's one-shot timer: absolute system time, 0 to stop it. */
export function doSetTimerOp(c: Caller, lo: number, hi: number): number {
  const when = c.wide ? lo : lo + hi * 2 ** 32;
  if (when === 0) {
    vcpuRecord.singleshot.set(c.mem, c.vcpu, 0);
    return 0;
  }
  const now = c.hv.now();
  // A wrapped time of an old Linux lies in the past or far ahead: it wants to be called soon.
  const deadline = when < 0 || when - now >= FAR_FUTURE_NS ? now + SOON_NS : when;
  vcpuRecord.singleshot.set(c.mem, c.vcpu, Math.max(1, deadline));
  noteDeadline(c.hv, deadline);
  return 0;
}
