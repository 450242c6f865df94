/** How much a domain with a cap may run: see sched/cap.ts. */
import type { Mem } from '../../base/mem.ts';
import { domainRecord } from '../records.ts';

export const CAP_PERIOD_NS = 10_000_000;

/** Nanoseconds that a domain with a cap may run in a period. */
export const capBudget = (m: Mem, dom: number): number =>
  (CAP_PERIOD_NS / 100) * domainRecord.cpuCap.get(m, dom);

/** What is left of that; no end where there is no cap. */
export function budgetLeft(m: Mem, dom: number): number {
  if (domainRecord.cpuCap.get(m, dom) === 0) return Number.POSITIVE_INFINITY;
  return capBudget(m, dom) - domainRecord.capSpent.get(m, dom);
}
