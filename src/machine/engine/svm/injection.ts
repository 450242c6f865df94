/** What a guest's monitor has delivered to it: the event that VMRUN injects, and virtual interrupts. @spec APM 2 15.20, 15.21 */
import { IF } from '../../../x86/flags.ts';
import { cpuState } from '../../cpu-state.ts';
import type { Core } from '../core.ts';
import { type Cause, deliver } from '../exceptions.ts';
import { EXC } from '../registers.ts';
import {
  controls,
  gifClear,
  inGuest,
  intercepts,
  masksInterrupts,
  SVM,
  svmState,
  virtual,
  WAITS,
} from './state.ts';
import { VmExit } from './vm-exit.ts';
import { EVENT, EVENT_TYPE, VIRTUAL, VMEXIT, vmcbControl } from './vmcb.ts';

/** Whether EVENTINJ says something that VMRUN can do. */
export function injectionLegal(event: bigint): boolean {
  const low = Number(event & 0xffff_ffffn);
  if (!(low & EVENT.valid)) return true;
  const type = (low >>> EVENT.typeShift) & 7;
  const vector = low & 0xff;
  if (type === EVENT_TYPE.exception) return vector < 32 && vector !== EXC.NMI;
  return type === EVENT_TYPE.external || type === EVENT_TYPE.nmi || type === EVENT_TYPE.software;
}

/** Delivers EVENTINJ in the guest that VMRUN has just entered. False: triple fault. */
export function injectEvent(c: Core): boolean {
  const event = vmcbControl.eventInjection.get(c.m, controls(c));
  const low = Number(event & 0xffff_ffffn);
  if (!(low & EVENT.valid)) return true;
  const type = (low >>> EVENT.typeShift) & 7;
  const vector = type === EVENT_TYPE.nmi ? EXC.NMI : low & 0xff;
  const error = low & EVENT.errorValid ? Number(event >> 32n) : -1;
  const rip = c.lin(cpuState.rip);
  const software = type === EVENT_TYPE.software;
  const soft = software || (type === EVENT_TYPE.exception && (vector === EXC.BP || vector === EXC.OF));
  c.set32(svmState.intN, software ? 1 : 0);
  c.set32(svmState.injecting, 1);
  try {
    return deliver(c, vector, error, causeOf(type, vector), soft ? nextRip(c) : rip, rip);
  } finally {
    c.set32(svmState.injecting, 0);
  }
}

/** What a software event returns to. */
const nextRip = (c: Core): number => Number(BigInt.asIntN(64, vmcbControl.nextRip.get(c.m, controls(c))));

function causeOf(type: number, vector: number): Cause {
  if (type === EVENT_TYPE.software) return 'software';
  if (type !== EVENT_TYPE.exception) return 'external';
  return vector === EXC.DB || vector === EXC.BP || vector === EXC.OF ? 'trap' : 'fault';
}

// --- virtual interrupts --------------------------------------------------------------------------------------------------

/** A virtual interrupt that waits is looked at whenever interrupts may have become possible. */
export function armVirtual(c: Core): void {
  if (virtual(c) & VIRTUAL.irq) c.set32(cpuState.irqWindow, c.get32(cpuState.irqWindow) | WAITS.virtual);
}

function virtualPossible(c: Core): boolean {
  const v = virtual(c);
  if (!(v & VIRTUAL.irq) || !(c.get32(cpuState.flagsRest) & IF) || gifClear(c)) return false;
  if (c.get32(svmState.shadow)) return false;
  const priority = (v >>> VIRTUAL.priorityShift) & VIRTUAL.priority;
  return (v & VIRTUAL.ignoreTpr) !== 0 || priority > (v & VIRTUAL.priority);
}

/** Takes the virtual interrupt if the guest can, or leaves the guest for it. False: triple fault. */
export function takeVirtual(c: Core): boolean {
  if (!inGuest(c)) {
    c.set32(cpuState.irqWindow, c.get32(cpuState.irqWindow) & ~WAITS.virtual);
    return true;
  }
  if (!virtualPossible(c)) return true;
  if (intercepts(c, VMEXIT.vintr)) throw new VmExit(VMEXIT.vintr);
  vmcbControl.virtual.set(c.m, controls(c), virtual(c) & ~VIRTUAL.irq);
  c.set32(cpuState.irqWindow, c.get32(cpuState.irqWindow) & ~WAITS.virtual);
  const vector = vmcbControl.virtualVector.get(c.m, controls(c));
  return deliver(c, vector, -1, 'external', c.lin(cpuState.rip));
}

// --- physical interrupts -------------------------------------------------------------------------------------------------

/** What an interrupt asks, beside the shadow: the monitor's IF where V_INTR_MASKING says so, else the present one. */
export function interruptsOn(c: Core): boolean {
  if (gifClear(c)) return false;
  const flags = masksInterrupts(c) ? svmState.hostFlags : cpuState.flagsRest;
  return (c.get32(flags) & IF) !== 0;
}

/** An interrupt or NMI waits that could be taken now: the exit code, if its monitor wants the guest to be left; else 0. */
export function interruptExit(c: Core, nmi: boolean): number {
  if (!(c.get32(svmState.flags) & SVM.guest)) return 0;
  const code = nmi ? VMEXIT.nmi : VMEXIT.intr;
  const possible = nmi ? c.get32(cpuState.nmiBlocked) === 0 : interruptsOn(c);
  return possible && intercepts(c, code) ? code : 0;
}
