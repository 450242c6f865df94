/**
 * A vCPU's registers between the machine's cpuState and Xen's save record hvm_hw_cpu. Lazy status flags are put
 * together and taken apart here, and only here outside the engines.
 *
 * @abi public/arch-x86/hvm/save.h
 */
import { hvm_hw_cpu, XEN_X86_FPU_INITIALISED } from '../../abi/hvm_save.ts';
import type { Field } from '../../base/layout.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState, GPR, SEG, segment } from '../../machine/cpu-state.ts';
import { lazyOf, STATUS, statusOf } from '../../x86/flags.ts';
import { loadFxsave, resetFxsave, saveFxsave } from './fxsave.ts';

type Reg64 = Field<bigint>;
const c = hvm_hw_cpu;

const GPRS: ReadonlyArray<readonly [Reg64, number]> = [
  [c.rax, GPR.rax],
  [c.rbx, GPR.rbx],
  [c.rcx, GPR.rcx],
  [c.rdx, GPR.rdx],
  [c.rbp, GPR.rbp],
  [c.rsi, GPR.rsi],
  [c.rdi, GPR.rdi],
  [c.rsp, GPR.rsp],
  [c.r8, GPR.r8],
  [c.r9, GPR.r9],
  [c.r10, GPR.r10],
  [c.r11, GPR.r11],
  [c.r12, GPR.r12],
  [c.r13, GPR.r13],
  [c.r14, GPR.r14],
  [c.r15, GPR.r15],
];
const PLAIN: ReadonlyArray<readonly [Reg64, Reg64]> = [
  [c.rip, cpuState.rip],
  [c.cr0, cpuState.cr0],
  [c.cr2, cpuState.cr2],
  [c.cr3, cpuState.cr3],
  [c.cr4, cpuState.cr4],
  [c.sysenter_cs, cpuState.sysenterCs],
  [c.sysenter_esp, cpuState.sysenterEsp],
  [c.sysenter_eip, cpuState.sysenterEip],
  [c.shadow_gs, cpuState.kernelGsBase],
  [c.msr_lstar, cpuState.lstar],
  [c.msr_star, cpuState.star],
  [c.msr_cstar, cpuState.cstar],
  [c.msr_syscall_mask, cpuState.sfmask],
  [c.msr_efer, cpuState.efer],
  [c.msr_tsc_aux, cpuState.tscAux],
  [c.gdtr_base, cpuState.gdtBase],
  [c.idtr_base, cpuState.idtBase],
];
const DRS: ReadonlyArray<readonly [Reg64, number]> = [
  [c.dr0, 0],
  [c.dr1, 1],
  [c.dr2, 2],
  [c.dr3, 3],
  [c.dr6, 6],
  [c.dr7, 7],
];
const SEGS = [
  [SEG.cs, c.cs_sel, c.cs_limit, c.cs_base, c.cs_arbytes],
  [SEG.ds, c.ds_sel, c.ds_limit, c.ds_base, c.ds_arbytes],
  [SEG.es, c.es_sel, c.es_limit, c.es_base, c.es_arbytes],
  [SEG.fs, c.fs_sel, c.fs_limit, c.fs_base, c.fs_arbytes],
  [SEG.gs, c.gs_sel, c.gs_limit, c.gs_base, c.gs_arbytes],
  [SEG.ss, c.ss_sel, c.ss_limit, c.ss_base, c.ss_arbytes],
  [SEG.tr, c.tr_sel, c.tr_limit, c.tr_base, c.tr_arbytes],
  [SEG.ldtr, c.ldtr_sel, c.ldtr_limit, c.ldtr_base, c.ldtr_arbytes],
] as const;

const SEGMENT_BASES = 6;

/** RFLAGS as the guest would see it. */
export function readRflags(m: Mem, cpu: number): number {
  const res = cpuState.flagRes.addr(cpu);
  const vec = cpuState.flagVec.addr(cpu);
  return (
    m.u32(cpuState.flagsRest.addr(cpu)) | statusOf(m.u32(res), m.u32(res + 4), m.u32(vec), m.u32(vec + 4)) | 2
  );
}

export function writeRflags(m: Mem, cpu: number, flags: number): void {
  const [resLo, resHi, vecLo, vecHi] = lazyOf(flags & STATUS);
  const res = cpuState.flagRes.addr(cpu);
  const vec = cpuState.flagVec.addr(cpu);
  m.setU32(res, resLo);
  m.setU32(res + 4, resHi);
  m.setU32(vec, vecLo);
  m.setU32(vec + 4, vecHi);
  cpuState.flagsRest.set(m, cpu, BigInt(((flags & ~STATUS) | 2) >>> 0));
}

/** Writes one segment register's hidden part, and the flat copy of its base. */
export function writeSegment(
  m: Mem,
  cpu: number,
  seg: number,
  sel: number,
  attr: number,
  limit: number,
  base: bigint,
): void {
  const at = cpuState.seg.addr(cpu) + seg * segment.$.size;
  segment.sel.set(m, at, sel);
  segment.attr.set(m, at, attr);
  segment.limit.set(m, at, limit);
  m.setU64(segment.base.addr(at), base);
  if (seg < SEGMENT_BASES) m.setU64(cpuState.segBase.addr(cpu) + seg * 8, base);
}

/** Fills a hvm_hw_cpu at `to` of `out` (zeroed by the caller). `tsc` is the guest's TSC now. */
export function saveCpu(m: Mem, cpu: number, out: Mem, to: number, tsc: bigint): void {
  saveFxsave(m, cpu, out, c.fpu_regs.addr(to));
  for (const [field, reg] of GPRS) field.set(out, to, m.u64(cpuState.gpr.addr(cpu) + reg * 8));
  for (const [field, from] of PLAIN) field.set(out, to, from.get(m, cpu));
  for (const [field, n] of DRS) field.set(out, to, m.u64(cpuState.dr.addr(cpu) + n * 8));
  c.rflags.set(out, to, BigInt(readRflags(m, cpu) >>> 0));
  for (const [seg, sel, limit, base, ar] of SEGS) {
    const at = cpuState.seg.addr(cpu) + seg * segment.$.size;
    sel.set(out, to, segment.sel.get(m, at));
    limit.set(out, to, segment.limit.get(m, at));
    base.set(out, to, m.u64(segment.base.addr(at)));
    ar.set(out, to, segment.attr.get(m, at));
  }
  c.gdtr_limit.set(out, to, cpuState.gdtLimit.get(m, cpu));
  c.idtr_limit.set(out, to, cpuState.idtLimit.get(m, cpu));
  c.tsc.set(out, to, tsc);
  c.flags.set(out, to, XEN_X86_FPU_INITIALISED);
}

/** Takes the registers of a hvm_hw_cpu at `from` of `src`. The caller has the engine told afterwards. */
export function loadCpu(m: Mem, cpu: number, src: Mem, from: number): void {
  if (c.flags.get(src, from) & XEN_X86_FPU_INITIALISED) loadFxsave(m, cpu, src, c.fpu_regs.addr(from));
  else resetFxsave(m, cpu);
  for (const [field, reg] of GPRS) m.setU64(cpuState.gpr.addr(cpu) + reg * 8, field.get(src, from));
  for (const [field, to] of PLAIN) to.set(m, cpu, field.get(src, from));
  for (const [field, n] of DRS) m.setU64(cpuState.dr.addr(cpu) + n * 8, field.get(src, from));
  writeRflags(m, cpu, Number(c.rflags.get(src, from) & 0xffff_ffffn));
  for (const [seg, sel, limit, base, ar] of SEGS) {
    writeSegment(
      m,
      cpu,
      seg,
      sel.get(src, from) & 0xffff,
      ar.get(src, from) & 0xfff,
      limit.get(src, from),
      base.get(src, from),
    );
  }
  m.setU64(cpuState.cpl.addr(cpu), BigInt((c.ss_arbytes.get(src, from) >>> 5) & 3));
  cpuState.gdtLimit.set(m, cpu, c.gdtr_limit.get(src, from) & 0xffff);
  cpuState.idtLimit.set(m, cpu, c.idtr_limit.get(src, from) & 0xffff);
}
