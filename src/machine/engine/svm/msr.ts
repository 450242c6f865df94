/** SVM's MSRs: there where CPUID has SVM, else the platform's. @spec APM 2 15.30 */
import { cpuState } from '../../cpu-state.ts';
import type { Core } from '../core.ts';
import { svmOffered } from '../offered.ts';
import { PHYSICAL_END } from './checks.ts';
import { SVM, svmState } from './state.ts';

const VM_CR = 0xc001_0114;
const VM_HSAVE_PA = 0xc001_0117;
/** VM_CR: the bits there are, LOCK, and SVMDIS, which LOCK holds. */
const DEFINED = 0x1fn;
const LOCK = 8n;
const SVMDIS = 0x10n;
const EFER_SVME = 0x1000;

const isOurs = (c: Core, index: number): boolean =>
  (index === VM_CR || index === VM_HSAVE_PA) && svmOffered(c);

export function readSvmMsr(c: Core, index: number): bigint | undefined {
  if (!isOurs(c, index)) return undefined;
  return c.get(index === VM_CR ? svmState.vmCr : svmState.vmHsavePa);
}

/** False: not one of these. */
export function writeSvmMsr(c: Core, index: number, v: bigint): boolean {
  if (!isOurs(c, index)) return false;
  if (index === VM_CR) writeVmCr(c, v);
  else {
    if (v & 0xfffn || v >= BigInt(PHYSICAL_END)) c.gp();
    c.set(svmState.vmHsavePa, v);
  }
  return true;
}

function writeVmCr(c: Core, v: bigint): void {
  if (v & ~DEFINED) c.gp();
  const old = c.get(svmState.vmCr);
  const held = LOCK | SVMDIS;
  const next = old & LOCK ? (v & ~held) | (old & held) : v;
  if (next & SVMDIS && c.get32(cpuState.efer) & EFER_SVME) c.gp();
  c.set(svmState.vmCr, next);
}

/** EFER.SVME is about to change: #GP where VM_CR forbids SVM; GIF is set without it. */
export function svmeChanges(c: Core, on: boolean): void {
  if (on && c.get(svmState.vmCr) & SVMDIS) c.gp();
  if (!on) c.set32(svmState.flags, c.get32(svmState.flags) & ~SVM.gifClear);
}
