/**
 * Who runs next. As in credit2, time is charged by weight, and the vCPU that has had least of it goes first; here one
 * run queue serves all physical CPUs. Called with the hypervisor lock held.
 */

import { DEFAULT_WEIGHT } from '../domain/domain.ts';
import { isRunnable, isRunning } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, rootRecord, vcpuRecord } from '../records.ts';
import { spendBudget } from './cap.ts';

/** Longest time that a vCPU runs while others wait. */
export const SLICE_NS = 5_000_000;

/** Charges time that a vCPU ran. */
export function chargeVcpu(hv: Hypervisor, v: number, ran: number): void {
  const { mem } = hv;
  const dom = vcpuRecord.domain.get(mem, v);
  const weight = domainRecord.cpuWeight.get(mem, dom) || DEFAULT_WEIGHT;
  spendBudget(hv, dom, ran);
  const cost = Math.max(0, Math.round((ran * DEFAULT_WEIGHT) / weight));
  vcpuRecord.credit.set(mem, v, vcpuRecord.credit.get(mem, v) + cost);
}

/**
 * The vCPU that CPU `id` should run: the one of least virtual time that waits, or `current` if it has less; 0 for none.
 * A `current` that gave way is chosen only when nobody else waits.
 */
export function pickVcpu(hv: Hypervisor, id: number, current: number, gaveWay: boolean): number {
  const { mem } = hv;
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let v = rootRecord.vcpuList.get(mem, hv.root); v !== 0; v = vcpuRecord.next.get(mem, v)) {
    if (v === current || isRunning(hv, v) || !isRunnable(hv, v)) continue;
    if ((vcpuRecord.hardAffinity.get(mem, v) & (1 << id)) === 0) continue;
    const credit = vcpuRecord.credit.get(mem, v);
    if (credit >= least) continue;
    least = credit;
    best = v;
  }
  const stays =
    current !== 0 &&
    isRunnable(hv, current) &&
    (vcpuRecord.hardAffinity.get(mem, current) & (1 << id)) !== 0 &&
    (best === 0 || (!gaveWay && vcpuRecord.credit.get(mem, current) <= least));
  const chosen = stays ? current : best;
  if (chosen !== 0) raiseFloor(hv, vcpuRecord.credit.get(mem, chosen));
  return chosen;
}

/** Virtual time never goes back: what wakes later starts from about here. */
function raiseFloor(hv: Hypervisor, least: number): void {
  if (least > rootRecord.minVirtual.get(hv.mem, hv.root)) rootRecord.minVirtual.set(hv.mem, hv.root, least);
}
