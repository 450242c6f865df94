/** Exceptions and interrupts of a guest: which of them leave it, and how EXITINTINFO tells of one. @spec APM 2 15.7, 15.12 */
import { RF } from '../../../x86/flags.ts';
import { cpuState } from '../../cpu-state.ts';
import type { Core } from '../core.ts';
import type { Cause } from '../exceptions.ts';
import { EXC } from '../registers.ts';
import type { SwitchCause } from '../task.ts';
import { controls, inGuest, intercepts, svmState } from './state.ts';
import { VmExit } from './vm-exit.ts';
import { EVENT, EVENT_TYPE, VMEXIT, vmcbControl } from './vmcb.ts';

/** An event as EVENTINJ and EXITINTINFO have it. */
export function eventInfo(c: Core, vector: number, errorCode: number, cause: Cause): bigint {
  const type = typeOf(c, vector, cause);
  const low = (EVENT.valid | (type << EVENT.typeShift) | vector) >>> 0;
  if (errorCode < 0) return BigInt(low);
  return (BigInt(errorCode >>> 0) << 32n) | BigInt((low | EVENT.errorValid) >>> 0);
}

function typeOf(c: Core, vector: number, cause: Cause): number {
  if (cause === 'external') return vector === EXC.NMI ? EVENT_TYPE.nmi : EVENT_TYPE.external;
  // INT3 and INTO are exceptions
  return cause === 'software' && c.get32(svmState.intN) ? EVENT_TYPE.software : EVENT_TYPE.exception;
}

/**
 * An exception is about to be delivered; leaves the guest for it if its monitor wants that. `ip` is where a trap goes on,
 * `during` the event whose delivery it came of.
 */
export function interceptException(
  c: Core,
  vector: number,
  errorCode: number,
  cause: Cause,
  ip: number,
  during: bigint,
): void {
  if (cause !== 'fault' && cause !== 'trap') return;
  const address = vector === EXC.PF ? c.get(cpuState.cr2) : 0n;
  // the event that the monitor injects is not asked about, faults on its way are
  const injected = during === 0n && c.get32(svmState.injecting) !== 0;
  if (injected || ((vmcbControl.exceptions.get(c.m, controls(c)) >>> vector) & 1) === 0) {
    if (vector === EXC.PF) c.set(svmState.cr2, address);
    return;
  }
  // a page fault that is intercepted leaves CR2 as it was
  if (vector === EXC.PF) c.set(cpuState.cr2, c.get(svmState.cr2));
  if (cause === 'trap') c.setLin(cpuState.rip, ip);
  const error = errorCode < 0 ? 0n : BigInt(errorCode >>> 0);
  const nextRip = vector === EXC.BR ? BigInt.asUintN(64, BigInt(c.nextIp)) : 0n;
  throw new VmExit(VMEXIT.exception + vector, error, address, nextRip, during);
}

/** A triple fault: leaves the guest if its monitor wants that, or answers false. */
export function interceptShutdown(c: Core): false {
  if (inGuest(c) && intercepts(c, VMEXIT.shutdown)) throw new VmExit(VMEXIT.shutdown);
  return false;
}

/** A task switch, whose target is in order. */
export function interceptTaskSwitch(c: Core, sel: number, cause: SwitchCause, errorCode: number): void {
  if (!inGuest(c) || !intercepts(c, VMEXIT.taskSwitch)) return;
  let info = errorCode < 0 ? 0n : BigInt(errorCode >>> 0) | (1n << 44n);
  if (cause === 'iret') info |= 1n << 36n;
  if (cause === 'jump') info |= 1n << 38n;
  if (c.flags & RF) info |= 1n << 48n;
  throw new VmExit(VMEXIT.taskSwitch, BigInt(sel), info);
}

/** An x87 instruction that would wait for the outside to tell of an error (CR0.NE is clear). */
export function interceptFreeze(c: Core): void {
  if (inGuest(c) && intercepts(c, VMEXIT.ferrFreeze)) throw new VmExit(VMEXIT.ferrFreeze);
}
