/** The line that MONITOR watches: whether it was written is found by its sum, in which a change of one word always shows. */
import type { Mem } from '../base/mem.ts';
import { cpuState } from './cpu-state.ts';

export const LINE_BYTES = 64;
const PRIME = 0x0100_0193;

function lineSum(m: Mem, at: number): number {
  let sum = 0;
  for (let k = 0; k < LINE_BYTES; k += 4) sum = Math.imul(sum ^ m.u32(at + k), PRIME);
  return sum >>> 0;
}

/** Watches the line around a machine address from now on. */
export function armMonitor(m: Mem, cpu: number, at: number): void {
  const line = at - (at % LINE_BYTES);
  cpuState.monitorAt.set(m, cpu, line);
  cpuState.monitorSum.set(m, cpu, lineSum(m, line));
}

export const disarmMonitor = (m: Mem, cpu: number): void => cpuState.monitorAt.set(m, cpu, 0);

/** Whether the line is watched and still as it was. */
export function monitorHolds(m: Mem, cpu: number): boolean {
  const line = cpuState.monitorAt.get(m, cpu);
  return line !== 0 && lineSum(m, line) === cpuState.monitorSum.get(m, cpu);
}
