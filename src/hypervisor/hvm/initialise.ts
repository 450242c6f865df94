/**
 * Starting states of a vCPU: VCPUOP_initialise with a vcpu_hvm_context, and the reset that INIT makes. The registers go
 * to the cpuState record; the CPU that will run the vCPU tells its engine.
 *
 * @abi public/hvm/hvm_vcpu.h
 */
import { XEN_EFAULT, XEN_EINVAL } from '../../abi/errno.ts';
import {
  VCPU_HVM_MODE_32B,
  VCPU_HVM_MODE_64B,
  vcpu_hvm_context,
  vcpu_hvm_x86_32,
  vcpu_hvm_x86_64,
} from '../../abi/hvm_vcpu.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState, GPR, SEG } from '../../machine/cpu-state.ts';
import type { Caller } from '../guest-copy.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { publishTime } from '../time.ts';
import { writeRflags, writeSegment } from './context.ts';

const CR0_PE = 1;
const CR0_ET = 0x10;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 0x20;
const EFER_LME = 0x100;
const EFER_LMA = 0x400;
const EFER_KNOWN = 0xd01n;
const PAT_RESET = 0x0007_0406_0007_0406n;
const SEG_PRESENT = 0x80;
const MODE_GPRS = [
  ['ax', GPR.rax],
  ['cx', GPR.rcx],
  ['dx', GPR.rdx],
  ['bx', GPR.rbx],
  ['sp', GPR.rsp],
  ['bp', GPR.rbp],
  ['si', GPR.rsi],
  ['di', GPR.rdi],
] as const;

/** Everything that is not in a starting context, as after power-up; the TSC as the boot vCPU's. */
export function resetRegisters(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const cpu = vcpuRecord.cpu.get(mem, v);
  mem.fill(cpuState.gpr.addr(cpu), 128);
  mem.fill(cpuState.xmm.addr(cpu), cpuState.fpr.addr(cpu) - cpuState.xmm.addr(cpu) + 128);
  for (const field of [
    cpuState.cr2,
    cpuState.cr3,
    cpuState.cr4,
    cpuState.cr8,
    cpuState.efer,
    cpuState.star,
  ]) {
    field.set(mem, cpu, 0n);
  }
  cpuState.fcw.set(mem, cpu, 0x37f);
  cpuState.fsw.set(mem, cpu, 0);
  cpuState.ftw.set(mem, cpu, 0);
  cpuState.mxcsr.set(mem, cpu, 0x1f80);
  cpuState.pat.set(mem, cpu, PAT_RESET);
  cpuState.xcr0.set(mem, cpu, 1n);
  cpuState.cr0.set(mem, cpu, BigInt(CR0_ET));
  mem.setU64(cpuState.dr.addr(cpu, 6), 0xffff_0ff0n);
  mem.setU64(cpuState.dr.addr(cpu, 7), 0x400n);
  cpuState.gdtBase.set(mem, cpu, 0n);
  cpuState.idtBase.set(mem, cpu, 0n);
  cpuState.gdtLimit.set(mem, cpu, 0xffff);
  cpuState.idtLimit.set(mem, cpu, 0xffff);
  cpuState.shadow.set(mem, cpu, 0);
  cpuState.nmiBlocked.set(mem, cpu, 0);
  for (const seg of [SEG.es, SEG.cs, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) {
    writeSegment(mem, cpu, seg, 0, seg === SEG.cs ? 0x9b : 0x93, 0xffff, 0n);
  }
  writeSegment(mem, cpu, SEG.ldtr, 0, 0x82, 0xffff, 0n);
  writeSegment(mem, cpu, SEG.tr, 0, 0x8b, 0xffff, 0n);
  writeRflags(mem, cpu, 2);
  syncTsc(hv, v);
}

/** A vCPU that starts has the TSC of vCPU 0. */
export function syncTsc(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const first = hv.vcpu(vcpuRecord.domain.get(mem, v), 0);
  if (first === 0 || first === v) return;
  const from = vcpuRecord.cpu.get(mem, first);
  cpuState.tscOffset.set(mem, vcpuRecord.cpu.get(mem, v), cpuState.tscOffset.get(mem, from));
  publishTime(hv, v);
}

/** VCPUOP_initialise: 0 or -errno. The vCPU stays down until VCPUOP_up. */
export function initialiseVcpu(c: Caller, v: number, arg: number): number {
  const at = c.copyIn(arg, vcpu_hvm_context.$.size);
  if (at < 0) return -XEN_EFAULT;
  if (vcpu_hvm_context.pad.get(c.scratch, at) !== 0) return -XEN_EINVAL;
  const regs = vcpu_hvm_context.cpu_regs.addr(at);
  const mode = vcpu_hvm_context.mode.get(c.scratch, at);
  const load = mode === VCPU_HVM_MODE_32B ? load32 : mode === VCPU_HVM_MODE_64B ? load64 : undefined;
  if (load === undefined) return -XEN_EINVAL;
  const bad = load(c, v, regs, true);
  if (bad !== 0) return bad;
  resetRegisters(c.hv, v);
  load(c, v, regs, false);
  vcpuRecord.initialised.set(c.mem, v, 1);
  vcpuRecord.cpuDirty.set(c.mem, v, 1);
  return 0;
}

/** A code, stack, data or task segment as VCPUOP_initialise accepts it. */
function segmentOk(ar: number, limit: number, code: boolean): boolean {
  if ((ar & 0xf000) !== 0) return false;
  if ((ar & SEG_PRESENT) === 0) return !code;
  const granular = (ar & 0x800) !== 0;
  return granular ? (limit & 0xfff) === 0xfff : limit <= 0xf_ffff;
}

function load32(c: Caller, v: number, from: number, check: boolean): number {
  const s = vcpu_hvm_x86_32;
  const { scratch: m } = c;
  const segs = [
    [SEG.cs, s.cs_base, s.cs_limit, s.cs_ar],
    [SEG.ds, s.ds_base, s.ds_limit, s.ds_ar],
    [SEG.ss, s.ss_base, s.ss_limit, s.ss_ar],
    [SEG.es, s.es_base, s.es_limit, s.es_ar],
    [SEG.tr, s.tr_base, s.tr_limit, s.tr_ar],
  ] as const;
  if (check) {
    if (s.pad1.get(m, from) !== 0 || (s.efer.get(m, from) & ~EFER_KNOWN) !== 0n) return -XEN_EINVAL;
    for (const [seg, , limit, ar] of segs) {
      if (!segmentOk(ar.get(m, from), limit.get(m, from), seg === SEG.cs)) return -XEN_EINVAL;
    }
    return 0;
  }
  const { mem } = c;
  const cpu = vcpuRecord.cpu.get(mem, v);
  for (const [name, reg] of MODE_GPRS)
    mem.setU64(cpuState.gpr.addr(cpu, reg), BigInt(s[`e${name}`].get(m, from)));
  cpuState.rip.set(mem, cpu, BigInt(s.eip.get(m, from)));
  writeRflags(mem, cpu, s.eflags.get(m, from) | 2);
  control(
    mem,
    cpu,
    BigInt(s.cr0.get(m, from)),
    BigInt(s.cr3.get(m, from)),
    BigInt(s.cr4.get(m, from)),
    s.efer.get(m, from),
  );
  for (const [seg, base, limit, ar] of segs) {
    const attr = ar.get(m, from);
    writeSegment(
      mem,
      cpu,
      seg,
      0,
      seg === SEG.tr && attr === 0 ? 0x8b : attr,
      limit.get(m, from),
      BigInt(base.get(m, from)),
    );
  }
  return 0;
}

function load64(c: Caller, v: number, from: number, check: boolean): number {
  const s = vcpu_hvm_x86_64;
  const { scratch: m } = c;
  if (check) {
    const cr0 = Number(s.cr0.get(m, from) & 0xffff_ffffn);
    const cr4 = Number(s.cr4.get(m, from) & 0xffff_ffffn);
    const efer = Number(s.efer.get(m, from) & 0xffff_ffffn);
    const long = (efer & (EFER_LME | EFER_LMA)) === (EFER_LME | EFER_LMA);
    return (cr0 & CR0_PG) !== 0 && (cr0 & CR0_PE) !== 0 && (cr4 & CR4_PAE) !== 0 && long ? 0 : -XEN_EINVAL;
  }
  const { mem } = c;
  const cpu = vcpuRecord.cpu.get(mem, v);
  for (const [name, reg] of MODE_GPRS) mem.setU64(cpuState.gpr.addr(cpu, reg), s[`r${name}`].get(m, from));
  cpuState.rip.set(mem, cpu, s.rip.get(m, from));
  writeRflags(mem, cpu, Number(s.rflags.get(m, from) & 0xffff_ffffn) | 2);
  control(mem, cpu, s.cr0.get(m, from), s.cr3.get(m, from), s.cr4.get(m, from), s.efer.get(m, from));
  writeSegment(mem, cpu, SEG.cs, 0, 0xa9b, 0xffff_ffff, 0n);
  for (const seg of [SEG.ds, SEG.ss, SEG.es]) writeSegment(mem, cpu, seg, 0, 0xc93, 0xffff_ffff, 0n);
  writeSegment(mem, cpu, SEG.tr, 0, 0x8b, 0x67, 0n);
  return 0;
}

function control(mem: Mem, cpu: number, cr0: bigint, cr3: bigint, cr4: bigint, efer: bigint): void {
  cpuState.cr0.set(mem, cpu, cr0 | BigInt(CR0_ET));
  cpuState.cr3.set(mem, cpu, cr3);
  cpuState.cr4.set(mem, cpu, cr4);
  cpuState.efer.set(mem, cpu, efer);
}

/** The domain's shared structures take the width that the vCPU has now; true if that changed it. */
export function latchWidth(hv: Hypervisor, v: number, wide: boolean): boolean {
  const dom = vcpuRecord.domain.get(hv.mem, v);
  if ((domainRecord.wide.get(hv.mem, dom) !== 0) === wide) return false;
  domainRecord.wide.set(hv.mem, dom, wide ? 1 : 0);
  return true;
}
