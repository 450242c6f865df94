/**
 * MONITOR and MWAIT. The wait itself is the hypervisor's, which may end it at any time. Without the feature, and in user
 * code, they are #UD. @spec SDM 2B MONITOR, MWAIT; APM 3
 */
import type { Insn } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import { ACCESS, MMIO } from '../mmu.ts';
import { armMonitor, disarmMonitor, monitorHolds } from '../monitor.ts';
import type { Core } from './core.ts';
import { monitorOffered } from './offered.ts';

/** MWAIT's ECX: interrupts end the wait even while they are masked. */
const BREAK_ON_INTERRUPT = 1;

export function requireMonitor(c: Core): void {
  if (c.cpl !== 0 || !monitorOffered(c)) c.ud();
}

export function monitor(c: Core, i: Insn): void {
  requireMonitor(c);
  if (c.gpr32(1) !== 0) c.gp();
  const base = BigInt(c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) }));
  const linear = c.linearOf(BigInt.asUintN(8 * i.addrSize, c.gpr(0)) + base, i.seg);
  c.load(linear, 1);
  const at = c.mmu.translate(c.cpu, linear, ACCESS.read, false);
  if (at === MMIO) disarmMonitor(c.m, c.cpu);
  else armMonitor(c.m, c.cpu, at);
}

/** True when there is something to wait for. */
export function mwait(c: Core): boolean {
  requireMonitor(c);
  if (c.gpr32(1) & ~BREAK_ON_INTERRUPT) c.gp();
  return monitorHolds(c.m, c.cpu);
}
