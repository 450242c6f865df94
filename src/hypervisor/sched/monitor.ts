/**
 * vCPUs that wait in MWAIT. An interrupt wakes them as it does from HLT; writes to the watched line are looked for
 * between the slices of others, and now and then while the CPU has nothing to do.
 */
import { monitorHolds } from '../../machine/monitor.ts';
import { vcpuUnblock } from '../domain/vcpu.ts';
import { hasPending } from '../hvm/irq.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { rootRecord, vcpuRecord } from '../records.ts';

/** How long an idle CPU sleeps between two looks at the lines: at first, and the longest. */
export const MONITOR_POLL_MS = 2;
const MONITOR_POLL_MAX_MS = 32;

/**
 * The same after so many looks that found nothing: while no vCPU runs only domain 0 can write to a line, and what it has to
 * say it says with an event.
 */
export const pollMs = (looks: number): number => Math.min(MONITOR_POLL_MS * 2 ** looks, MONITOR_POLL_MAX_MS);

/** Whether any vCPU waits for a write; without the lock only a hint. */
export const anyMonitor = (hv: Hypervisor): boolean => rootRecord.monitors.get(hv.mem, hv.root) !== 0;

/** The vCPU did MWAIT. Called with the hypervisor lock held. */
export function waitForWrite(hv: Hypervisor, v: number): void {
  const { mem, root } = hv;
  if (hasPending(mem, v)) return;
  vcpuRecord.blocked.set(mem, v, 1);
  vcpuRecord.monitoring.set(mem, v, 1);
  rootRecord.monitors.set(mem, root, rootRecord.monitors.get(mem, root) + 1);
}

/** Wakes those whose line was written. Called with the hypervisor lock held. */
export function wakeMonitors(hv: Hypervisor): void {
  const { mem, root } = hv;
  if (!anyMonitor(hv)) return;
  let waiting = 0;
  for (let v = rootRecord.vcpuList.get(mem, root); v !== 0; v = vcpuRecord.next.get(mem, v)) {
    if (vcpuRecord.monitoring.get(mem, v) === 0) continue;
    const blocked = vcpuRecord.blocked.get(mem, v) !== 0;
    if (blocked && monitorHolds(mem, vcpuRecord.cpu.get(mem, v))) {
      waiting++;
      continue;
    }
    vcpuRecord.monitoring.set(mem, v, 0);
    vcpuUnblock(hv, v);
  }
  rootRecord.monitors.set(mem, root, waiting);
}
