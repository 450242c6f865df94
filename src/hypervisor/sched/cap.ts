/**
 * credit2's cap: in every period of 10 ms a domain may run for so many percent of one CPU's time. What it took too much
 * is missing in the next period. A vCPU of a domain that has used up its time is not runnable until then.
 *
 * DIVERGES: Xen deals the budget out to the vCPUs in parts; here it is the domain's, and who has run least goes first.
 */
import { noteDeadline } from '../deadline.ts';
import { budgetLeft, CAP_PERIOD_NS, capBudget } from '../domain/cap.ts';
import { forEachVcpu } from '../domain/domain.ts';
import { vcpuReconsider } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';

/** Percent of one CPU, 0 for no cap. A new period begins. */
export function setCap(hv: Hypervisor, dom: number, cap: number): void {
  domainRecord.cpuCap.set(hv.mem, dom, cap);
  domainRecord.capSpent.set(hv.mem, dom, 0);
  domainRecord.capRefill.set(hv.mem, dom, 0);
  forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
}

/** A vCPU of the domain ran. The first to do so starts the period. */
export function spendBudget(hv: Hypervisor, dom: number, ran: number): void {
  const { mem } = hv;
  if (domainRecord.cpuCap.get(mem, dom) === 0 || !(ran > 0)) return;
  domainRecord.capSpent.set(mem, dom, domainRecord.capSpent.get(mem, dom) + Math.round(ran));
  if (domainRecord.capRefill.get(mem, dom) !== 0) return;
  const refill = Math.round(hv.now() - ran) + CAP_PERIOD_NS;
  domainRecord.capRefill.set(mem, dom, refill);
  noteDeadline(hv, refill);
}

/**
 * Gives the domain the budget of the periods that have begun since; when the next does, Infinity for not before it runs
 * again: a period in which it did not run is the last.
 */
export function refillBudget(hv: Hypervisor, dom: number, now: number): number {
  const { mem } = hv;
  const refill = domainRecord.capRefill.get(mem, dom);
  if (refill === 0) return Number.POSITIVE_INFINITY;
  if (refill > now) return refill;
  const periods = Math.floor((now - refill) / CAP_PERIOD_NS) + 1;
  const spent = domainRecord.capSpent.get(mem, dom);
  const waited = budgetLeft(mem, dom) <= 0;
  const next = spent === 0 ? 0 : refill + periods * CAP_PERIOD_NS;
  domainRecord.capSpent.set(mem, dom, Math.max(0, spent - periods * capBudget(mem, dom)));
  domainRecord.capRefill.set(mem, dom, next);
  if (waited) forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
  return next === 0 ? Number.POSITIVE_INFINITY : next;
}
