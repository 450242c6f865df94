/** PAUSE of a guest: the monitor is told only of many in a row. @spec APM 2 15.14.4 */
import type { Core } from '../core.ts';
import { controls, svmState } from './state.ts';
import { vmcbControl } from './vmcb.ts';

/** One more PAUSE; whether it is one too many. `tsc` is the time. */
export function pauseRunsOut(c: Core, tsc: () => bigint): boolean {
  const { m, cpu } = c;
  const count = vmcbControl.pauseCount.get(m, controls(c));
  const threshold = vmcbControl.pauseThreshold.get(m, controls(c));
  if (threshold !== 0) {
    const now = Number(tsc());
    if (now - svmState.pausedAt.get(m, cpu) > threshold) c.set32(svmState.pausesLeft, count);
    svmState.pausedAt.set(m, cpu, now);
  }
  const left = c.get32(svmState.pausesLeft);
  if (left === 0) return true;
  c.set32(svmState.pausesLeft, left - 1);
  return false;
}
