/**
 * Timers of vCPUs and domains, all in system time. The deadlines live in the records; the root keeps the earliest of all
 * (`nextDeadline`), and whichever CPU finds it passed runs what is due.
 */
import { SHUTDOWN_watchdog } from '../abi/sched.ts';
import { VIRQ_TIMER } from '../abi/xen.ts';
import { nextDeadline } from './deadline.ts';
import { domainShutdown } from './domain/domain.ts';
import { noteDue, vcpuSetIrq, vcpuUnblock } from './domain/vcpu.ts';
import { raiseVirq } from './evtchn/index.ts';
import { runHpet } from './hvm/hpet.ts';
import { runStimers } from './hvm/viridian-time.ts';
import { lapicTimerFired } from './hvm/vlapic.ts';
import type { Hypervisor } from './hypervisor.ts';
import { domainRecord, rootRecord, vcpuRecord } from './records.ts';
import { refillBudget } from './sched/cap.ts';

const NEVER = Number.MAX_SAFE_INTEGER;
const MAX_WATCHDOGS = 2;

/** Runs every timer that is due and recomputes the next deadline. Called with the lock held. */
export function runTimers(hv: Hypervisor): void {
  const { mem } = hv;
  const now = hv.now();
  rootRecord.nextDeadline.set(mem, hv.root, NEVER);
  let next = NEVER;
  for (let v = rootRecord.vcpuList.get(mem, hv.root); v !== 0; v = vcpuRecord.next.get(mem, v)) {
    next = Math.min(next, runVcpuTimers(hv, v, now));
    if (vcpuRecord.id.get(mem, v) === 0) {
      const dom = vcpuRecord.domain.get(mem, v);
      next = Math.min(next, runWatchdogs(hv, dom, now), refillBudget(hv, dom, now), runHpet(hv, dom, now));
    }
  }
  const dom0 = hv.domain(0);
  const first = dom0 === 0 ? 0 : hv.vcpu(dom0, 0);
  if (first !== 0) next = Math.min(next, runVcpuTimers(hv, first, now));
  rootRecord.nextDeadline.set(mem, hv.root, Math.min(next, nextDeadline(hv)));
}

/** The timers of one vCPU; answers its next deadline. */
function runVcpuTimers(hv: Hypervisor, v: number, now: number): number {
  const { mem } = hv;
  let next = NEVER;
  const pending = (deadline: number): boolean => {
    if (deadline === 0) return false;
    if (deadline <= now) return true;
    next = Math.min(next, deadline);
    return false;
  };
  if (pending(vcpuRecord.singleshot.get(mem, v))) {
    const due = vcpuRecord.singleshot.get(mem, v);
    vcpuRecord.singleshot.set(mem, v, 0);
    raiseVirq(hv, v, VIRQ_TIMER);
    noteDue(hv, v, due, now);
  }
  if (pending(vcpuRecord.periodicNext.get(mem, v))) {
    const period = vcpuRecord.periodicPeriod.get(mem, v);
    const due = vcpuRecord.periodicNext.get(mem, v);
    const after = due + (Math.floor((now - due) / period) + 1) * period;
    vcpuRecord.periodicNext.set(mem, v, after);
    next = Math.min(next, after);
    raiseVirq(hv, v, VIRQ_TIMER);
    noteDue(hv, v, due, now);
  }
  if (pending(vcpuRecord.pollDeadline.get(mem, v))) vcpuUnblock(hv, v);
  const due = vcpuRecord.lapicDeadline.get(mem, v);
  if (pending(due)) {
    const vector = lapicTimerFired(mem, v, now);
    const again = vcpuRecord.lapicDeadline.get(mem, v);
    if (again !== 0) next = Math.min(next, again);
    if (vector >= 0) vcpuSetIrq(hv, v, vector);
    noteDue(hv, v, due, now);
  }
  return Math.min(next, runStimers(hv, v, now));
}

function runWatchdogs(hv: Hypervisor, dom: number, now: number): number {
  const { mem } = hv;
  let next = NEVER;
  for (let i = 0; i < MAX_WATCHDOGS; i++) {
    const at = domainRecord.watchdogs.addr(dom, i);
    const deadline = mem.n64(at);
    if (deadline === 0) continue;
    if (deadline > now) {
      next = Math.min(next, deadline);
      continue;
    }
    mem.setN64(at, 0);
    hv.print(`Watchdog timer ${i} fired for domain ${domainRecord.domid.get(mem, dom)}`, 'warn');
    domainShutdown(hv, dom, SHUTDOWN_watchdog);
  }
  return next;
}
