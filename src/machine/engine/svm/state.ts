/**
 * What SVM adds to a vCPU: registers of its own, the present guest's control block, and the monitor's state meanwhile.
 *
 * It lies in the vCPU's first page behind `cpuState`, and is addressed from the same start. All zeroes is a CPU that
 * does not use SVM; the one word looked at elsewhere is `flags`.
 */
import { array, at, block, n64, struct, u32, u64 } from '../../../base/layout.ts';
import type { Core } from '../core.ts';
import { VIRTUAL, vmcbControl, vmcbSave } from './vmcb.ts';

export const SVM = {
  /** A guest runs. */
  guest: 1,
  /** The global interrupt flag is clear. */
  gifClear: 2,
} as const;
/** Bits of cpuState.irqWindow: what waits. */
export const WAITS = { interrupt: 1, nmi: 2, virtual: 4 } as const;
/** In `paging`: nested page tables are in use, and the monitor's form of them. */
export const PAGING = { on: 1, pae: 2, long: 4, nx: 8, pse: 16 } as const;

export const svmState = struct('svm_state', {
  flags: at(2560, u32),
  /** 0: no nested paging. */
  paging: u32,
  nestedCr3: n64,
  /** The guest's VMCB: a physical address. */
  vmcb: n64,
  vmCr: u64,
  vmHsavePa: u64,
  /** The instruction in hand is in the shadow of STI or of a load of SS. */
  shadow: u32,
  /** EVENTINJ is on its way. */
  injecting: u32,
  /** The software interrupt on its way is INT n's. */
  intN: u32,
  /** PAUSE instructions before the next one is intercepted, and when the last one was. */
  pausesLeft: u32,
  pausedAt: n64,
  /** The guest's CR2 before the page fault that is perhaps on its way. */
  cr2: u64,
  /** The monitor's state, as VMRUN found it. */
  hostSeg: array(block(16, 8), 4),
  hostGdtBase: u64,
  hostIdtBase: u64,
  hostGdtLimit: u32,
  hostIdtLimit: u32,
  hostEfer: u64,
  hostCr0: u64,
  hostCr3: u64,
  hostCr4: u64,
  hostPat: u64,
  hostFlags: u64,
  hostRip: u64,
  hostRsp: u64,
  hostRax: u64,
  /** Copies of the VMCB's areas, as VMRUN found them. */
  control: block(vmcbControl.$.size, 8),
  save: block(vmcbSave.$.size, 8),
});

const CONTROL = svmState.control.offset;

export const inGuest = (c: Core): boolean => (c.get32(svmState.flags) & SVM.guest) !== 0;
export const gifClear = (c: Core): boolean => (c.get32(svmState.flags) & SVM.gifClear) !== 0;
/** Address of the copy of the running guest's controls. */
export const controls = (c: Core): number => c.cpu + CONTROL;

/** What a guest's TSC has on its monitor's. */
export const guestTscOffset = (c: Core): bigint =>
  inGuest(c) ? vmcbControl.tscOffset.get(c.m, controls(c)) : 0n;

/** Whether the running guest is left for an exit code from 0x60 on. */
export function intercepts(c: Core, code: number): boolean {
  const word = vmcbControl.intercepts.addr(controls(c), (code - 0x60) >> 5);
  return ((c.m.u32(word) >>> (code & 31)) & 1) !== 0;
}

/** V_TPR and its neighbours. */
export const virtual = (c: Core): number => vmcbControl.virtual.get(c.m, controls(c));
/** A guest's interrupt flag and task priority are its own. */
export const masksInterrupts = (c: Core): boolean => inGuest(c) && (virtual(c) & VIRTUAL.masking) !== 0;
/** CR8 of a guest, beside the monitor's or instead of it. */
export const virtualTpr = (c: Core): number => virtual(c) & VIRTUAL.priority;
export function setVirtualTpr(c: Core, tpr: number): void {
  vmcbControl.virtual.set(c.m, controls(c), (virtual(c) & ~VIRTUAL.tpr) | tpr);
}
