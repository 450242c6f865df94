/** The earliest deadline of all timers, which is when a CPU that sleeps must wake. */
import type { Hypervisor } from './hypervisor.ts';
import { pcpuRecord, rootRecord } from './records.ts';

/** System time of the earliest timer, Number.MAX_SAFE_INTEGER when there is none. Only a hint without the lock. */
export const nextDeadline = (hv: Hypervisor): number => rootRecord.nextDeadline.get(hv.mem, hv.root);

/** A deadline was set: the CPUs must wake by then. Called with the lock held. */
export function noteDeadline(hv: Hypervisor, deadline: number): void {
  const { mem } = hv;
  if (deadline >= nextDeadline(hv)) return;
  rootRecord.nextDeadline.set(mem, hv.root, deadline);
  if (hv.pcpu >= 0) return; // this CPU looks before it sleeps
  for (let id = 0; id < hv.pcpuCount; id++) {
    if (pcpuRecord.idle.get(mem, hv.pcpuAt(id)) === 0) continue;
    hv.kickPcpu(id);
    return;
  }
}
