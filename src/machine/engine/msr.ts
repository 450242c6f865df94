/** MSRs that are the CPU's own state; the others are the platform's. @spec SDM 4 2; APM 2 appendix A */
import { cpuState, SEG } from '../cpu-state.ts';
import { CR0_PG, EFER_LMA } from '../mmu.ts';
import type { SystemHooks } from './control.ts';
import type { Core } from './core.ts';
import { eferOffered, tscAuxOffered } from './offered.ts';
import { patLegal } from './svm/checks.ts';
import { readSvmMsr, svmeChanges, writeSvmMsr } from './svm/msr.ts';
import { canonical, setSegBase } from './system.ts';

const EFER_LME = 0x100;
const EFER_SVME = 0x1000;
const CR4_PCE = 0x100;
const PERF_COUNTERS = 4;
const MSR_TSC_AUX = 0xc000_0103;

type MsrField = { offset: number };
/** MSRs that are the CPU's own state. Canonical: holds a linear address. */
const MSRS = new Map<number, { field: MsrField; canonical: boolean }>([
  [0xc000_0081, { field: cpuState.star, canonical: false }],
  [0xc000_0082, { field: cpuState.lstar, canonical: true }],
  [0xc000_0083, { field: cpuState.cstar, canonical: true }],
  [0xc000_0084, { field: cpuState.sfmask, canonical: false }],
  [0xc000_0102, { field: cpuState.kernelGsBase, canonical: true }],
  [MSR_TSC_AUX, { field: cpuState.tscAux, canonical: false }],
  [0x174, { field: cpuState.sysenterCs, canonical: false }],
  [0x175, { field: cpuState.sysenterEsp, canonical: true }],
  [0x176, { field: cpuState.sysenterEip, canonical: true }],
]);
const MSR_EFER = 0xc000_0080;
const MSR_FS_BASE = 0xc000_0100;
const MSR_GS_BASE = 0xc000_0101;
const MSR_PAT = 0x277;
const MSR_TSC = 0x10;
const MSR_TSC_ADJUST = 0x3b;
const MSR_DEBUGCTL = 0x1d9;
/** LBR, BTF, PB0 to PB3. */
const DEBUGCTL_KNOWN = 0x3fn;

export function rdmsr(c: Core, tsc: () => bigint): void {
  c.requireCpl0();
  const index = c.gpr32(1);
  const v = readMsr(c, index, tsc);
  c.setGpr32(0, Number(v & 0xffff_ffffn));
  c.setGpr32(2, Number(v >> 32n));
}

function readMsr(c: Core, index: number, tsc: () => bigint): bigint {
  const own = MSRS.get(index);
  if (index === MSR_TSC_AUX && !tscAuxOffered(c)) c.gp();
  if (own) return c.get(own.field);
  switch (index) {
    case MSR_EFER:
      return c.get(cpuState.efer);
    case MSR_FS_BASE:
      return BigInt.asUintN(64, BigInt(c.segBase(SEG.fs)));
    case MSR_GS_BASE:
      return BigInt.asUintN(64, BigInt(c.segBase(SEG.gs)));
    case MSR_PAT:
      return c.get(cpuState.pat);
    case MSR_TSC:
      return tsc();
    case MSR_TSC_ADJUST:
      return c.get(cpuState.tscAdjust);
    case MSR_DEBUGCTL:
      return BigInt(c.get32(cpuState.debugCtl));
  }
  const svm = readSvmMsr(c, index);
  if (svm !== undefined) return svm;
  if (!c.platform.rdmsr(c.cpu, index, c.out4)) c.gp();
  return (BigInt(c.out4[1]!) << 32n) | BigInt(c.out4[0]!);
}

/** The four counters of every AMD CPU, which stand still here. */
export function rdpmc(c: Core): void {
  if (!(c.get32(cpuState.cr4) & CR4_PCE)) c.requireCpl0();
  if (c.gpr32(1) >= PERF_COUNTERS) c.gp();
  c.setGpr32(0, 0);
  c.setGpr32(2, 0);
}

export function wrmsr(c: Core, hooks: SystemHooks, tsc: () => bigint): void {
  c.requireCpl0();
  const index = c.gpr32(1);
  const lo = c.gpr32(0);
  const hi = c.gpr32(2);
  const v = (BigInt(hi) << 32n) | BigInt(lo);
  const own = MSRS.get(index);
  if (own) {
    if (own.canonical && !canonical(v)) c.gp();
    if (index === MSR_TSC_AUX && (hi || !tscAuxOffered(c))) c.gp();
    return c.set(own.field, index === 0xc000_0084 ? v & 0xffff_ffffn : v);
  }
  switch (index) {
    case MSR_EFER:
      return writeEfer(c, hooks, v);
    case MSR_FS_BASE:
    case MSR_GS_BASE:
      if (!canonical(v)) c.gp();
      return setSegBase(c, index === MSR_FS_BASE ? SEG.fs : SEG.gs, v);
    case MSR_PAT:
      if (!patLegal(v)) c.gp();
      return c.set(cpuState.pat, v);
    case MSR_TSC:
      return adjustTsc(c, v - tsc());
    case MSR_TSC_ADJUST:
      return adjustTsc(c, v - c.get(cpuState.tscAdjust));
    case MSR_DEBUGCTL:
      if (v & ~DEBUGCTL_KNOWN) c.gp();
      return c.set32(cpuState.debugCtl, lo);
  }
  if (!writeSvmMsr(c, index, v) && !c.platform.wrmsr(c.cpu, index, lo, hi)) c.gp();
}

function adjustTsc(c: Core, by: bigint): void {
  c.set(cpuState.tscOffset, c.get(cpuState.tscOffset) + by);
  c.set(cpuState.tscAdjust, c.get(cpuState.tscAdjust) + by);
}

function writeEfer(c: Core, hooks: SystemHooks, v: bigint): void {
  const old = c.get32(cpuState.efer);
  if (v & ~BigInt(eferOffered(c))) c.gp();
  const next = Number(v);
  if (c.get32(cpuState.cr0) & CR0_PG && (old ^ next) & EFER_LME) c.gp();
  if ((old ^ next) & EFER_SVME) svmeChanges(c, (next & EFER_SVME) !== 0);
  c.set(cpuState.efer, BigInt((next & ~EFER_LMA) | (old & EFER_LMA)));
  hooks.flush();
}
