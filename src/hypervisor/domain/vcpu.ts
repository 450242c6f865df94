/**
 * vCPUs as the scheduler sees them: runnable or not, run-state accounting, waking and kicking. All of it under the
 * hypervisor lock.
 */

import { hasPending, upcallPending } from '../hvm/irq.ts';
import { lapicSetIrq } from '../hvm/vlapic.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, pcpuRecord, RUNSTATE, rootRecord, vcpuRecord } from '../records.ts';
import { budgetLeft } from './cap.ts';

/** How far behind the others a vCPU that slept may come back, ns of weighted time. */
const SLEEPER_CREDIT_NS = 5_000_000;

export function isRunnable(hv: Hypervisor, v: number): boolean {
  const { mem } = hv;
  if (vcpuRecord.blocked.get(mem, v) !== 0) return false;
  if (vcpuRecord.online.get(mem, v) === 0 || vcpuRecord.pauseCount.get(mem, v) !== 0) return false;
  const dom = vcpuRecord.domain.get(mem, v);
  return (
    domainRecord.pauseCount.get(mem, dom) === 0 &&
    budgetLeft(mem, dom) > 0 &&
    domainRecord.shutdown.get(mem, dom) === 0 &&
    domainRecord.dying.get(mem, dom) === 0
  );
}

export const isRunning = (hv: Hypervisor, v: number): boolean =>
  vcpuRecord.runstate.get(hv.mem, v) === RUNSTATE.running;

/** Enters a run state, charging the time since the last change to the old one. */
export function setRunstate(hv: Hypervisor, v: number, state: number): void {
  const { mem } = hv;
  const now = hv.now();
  const old = vcpuRecord.runstate.get(mem, v);
  const spent = vcpuRecord.runstateTime.addr(v, old);
  mem.setN64(spent, mem.n64(spent) + Math.max(0, now - vcpuRecord.runstateSince.get(mem, v)));
  vcpuRecord.runstate.set(mem, v, state);
  vcpuRecord.runstateSince.set(mem, v, now);
}

/** The run state of a vCPU that is not running: what keeps it from it. */
export function idleState(hv: Hypervisor, v: number): number {
  if (isRunnable(hv, v)) return RUNSTATE.runnable;
  return vcpuRecord.blocked.get(hv.mem, v) !== 0 ? RUNSTATE.blocked : RUNSTATE.offline;
}

/** Nanoseconds that the vCPU has run. Domain 0's are what its thread reports, see `Dom0Gate.charge`. */
export function cpuTime(hv: Hypervisor, v: number): number {
  const { mem } = hv;
  const ran = mem.n64(vcpuRecord.runstateTime.addr(v, RUNSTATE.running));
  if (vcpuRecord.cpu.get(mem, v) === 0) return ran;
  return isRunning(hv, v) ? ran + Math.max(0, hv.now() - vcpuRecord.runstateSince.get(mem, v)) : ran;
}

/** Something that decides whether the vCPU can run has changed: finds it a CPU, or takes it off its own. */
export function vcpuReconsider(hv: Hypervisor, v: number): void {
  if (vcpuRecord.cpu.get(hv.mem, v) === 0) return; // domain 0's runs by itself
  if (isRunning(hv, v)) {
    hv.kickPcpu(vcpuRecord.pcpu.get(hv.mem, v));
    return;
  }
  const state = idleState(hv, v);
  if (state !== vcpuRecord.runstate.get(hv.mem, v)) setRunstate(hv, v, state);
  if (state === RUNSTATE.runnable) tickle(hv, v);
}

/** A vCPU became runnable: kicks an idle CPU, or the one that runs what is furthest ahead of it. */
function tickle(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const floor = rootRecord.minVirtual.get(mem, hv.root) - SLEEPER_CREDIT_NS;
  if (vcpuRecord.credit.get(mem, v) < floor) vcpuRecord.credit.set(mem, v, floor);
  const affinity = vcpuRecord.hardAffinity.get(mem, v);
  let victim = -1;
  let idle = -1;
  let most = vcpuRecord.credit.get(mem, v);
  for (let id = 0; id < hv.pcpuCount; id++) {
    if ((affinity & (1 << id)) === 0) continue;
    const current = pcpuRecord.current.get(mem, hv.pcpuAt(id));
    if (current === 0) {
      // One that was kicked already has work to find.
      if (idle < 0 || pcpuRecord.kick.get(mem, hv.pcpuAt(idle)) !== 0) idle = id;
      continue;
    }
    const credit = vcpuRecord.credit.get(mem, current);
    if (credit > most) {
      most = credit;
      victim = id;
    }
  }
  if (idle >= 0) hv.kickPcpu(idle);
  else if (victim >= 0) hv.kickPcpu(victim);
}

/** Ends a wait: HLT, SCHEDOP_block or poll. */
export function vcpuUnblock(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  if (vcpuRecord.blocked.get(mem, v) === 0) return;
  vcpuRecord.blocked.set(mem, v, 0);
  vcpuRecord.pollPorts.set(mem, v, 0);
  vcpuRecord.pollDeadline.set(mem, v, 0);
  vcpuReconsider(hv, v);
}

/** For a profile: the vCPU has an interrupt to take since now. */
function noteWait(hv: Hypervisor, v: number): void {
  const since = vcpuRecord.waitsSince;
  if (since.get(hv.mem, v) === 0 && hasPending(hv.mem, v)) since.set(hv.mem, v, hv.now());
}
/** What was raised at `now` or later was due before. */
export function noteDue(hv: Hypervisor, v: number, due: number, now: number): void {
  if (vcpuRecord.waitsSince.get(hv.mem, v) >= now) vcpuRecord.waitsSince.set(hv.mem, v, due);
}

/** An interrupt may have become pending: wakes the vCPU if it waits for one, or makes its CPU look. */
export function vcpuKick(hv: Hypervisor, v: number): void {
  if (rootRecord.profiling.get(hv.mem, hv.root) !== 0) noteWait(hv, v);
  if (vcpuRecord.blocked.get(hv.mem, v) !== 0) {
    if (hasPending(hv.mem, v)) vcpuUnblock(hv, v);
  } else if (isRunning(hv, v) && vcpuRecord.pcpu.get(hv.mem, v) !== hv.pcpu) {
    hv.kickPcpu(vcpuRecord.pcpu.get(hv.mem, v));
  }
}

export function vcpuSetIrq(hv: Hypervisor, v: number, vector: number): void {
  if (lapicSetIrq(hv.mem, v, vector)) vcpuKick(hv, v);
}

/**
 * An event is pending for the vCPU (evtchn_upcall_pending was set by the caller), or it polls and should look again.
 * Domain 0 is told by its doorbell.
 */
export function vcpuKickEvent(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  if (vcpuRecord.cpu.get(mem, v) === 0) {
    vcpuRecord.blocked.set(mem, v, 0);
    hv.ringDue = true;
    return;
  }
  if (vcpuRecord.pollPorts.get(mem, v) !== 0) vcpuUnblock(hv, v);
  const vector = vcpuRecord.upcallVector.get(mem, v);
  if (vector !== 0 && upcallPending(mem, v)) lapicSetIrq(mem, v, vector);
  vcpuKick(hv, v);
}
