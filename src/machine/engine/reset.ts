/** A vCPU's registers at power-on, INIT and start-up. @spec SDM 3A 9.1 */
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { finit, MXCSR_RESET } from './fpu.ts';
import { modeChanged } from './segments.ts';
import { svmState } from './svm/state.ts';

const CR0_RESET = 0x6000_0010n;
const PAT_RESET = 0x0007_0406_0007_0406n;
/** EDX: family and model, as far as anyone looks. */
const SIGNATURE = 0x600;

/** Power-on: real mode at f000:fff0, in a record that is all zeroes. */
export function powerOn(c: Core): void {
  c.set(cpuState.cr0, CR0_RESET);
  c.flags = 2;
  c.set(cpuState.pat, PAT_RESET);
  c.set(cpuState.xcr0, 1n);
  c.m.setU64(cpuState.dr.addr(c.cpu, 6), 0xffff_0ff0n);
  c.m.setU64(cpuState.dr.addr(c.cpu, 7), 0x400n);
  finit(c);
  c.set32(cpuState.mxcsr, MXCSR_RESET);
  resetState(c, 0xf000, 0xffff_0000, 0xfff0);
}

/** MSRs that INIT leaves alone. */
export const INIT_KEEPS = [
  cpuState.tscOffset,
  cpuState.tscAdjust,
  cpuState.star,
  cpuState.lstar,
  cpuState.cstar,
  cpuState.sfmask,
  cpuState.kernelGsBase,
  cpuState.tscAux,
  cpuState.sysenterCs,
  cpuState.sysenterEsp,
  cpuState.sysenterEip,
  cpuState.pat,
  svmState.vmCr,
  svmState.vmHsavePa,
] as const;

/** Real mode at the given code segment. */
export function resetState(c: Core, cs: number, base: number, ip: number): void {
  c.set32(cpuState.gdtLimit, 0xffff);
  c.set32(cpuState.idtLimit, 0xffff);
  c.set(cpuState.gdtBase, 0n);
  c.set(cpuState.idtBase, 0n);
  for (const s of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, 0, 0x93, 0xffff, 0);
  c.setSeg(SEG.cs, cs, 0x9b, 0xffff, base);
  c.setSeg(SEG.ldtr, 0, 0x82, 0xffff, 0);
  c.setSeg(SEG.tr, 0, 0x8b, 0xffff, 0);
  c.m.setU64(c.cpu + cpuState.cpl.offset, 0n);
  c.setGpr32(2, SIGNATURE);
  c.setLin(cpuState.rip, ip);
  modeChanged(c);
}
