/** The save records of an HVM-type domain: which there are, and how each is written and read. */
import { XEN_EINVAL, XEN_ENODATA } from '../../abi/errno.ts';
import {
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE,
  hvm_hw_cpu,
  hvm_hw_cpu_xsave,
  hvm_hw_lapic,
  hvm_hw_lapic_regs,
  hvm_hw_mtrr,
  hvm_save_header,
  hvm_tsc_adjust,
} from '../../abi/hvm_save.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import { CPU_SIGNATURE } from '../../x86/cpuid.ts';
import { noteDeadline } from '../deadline.ts';
import { vcpuReconsider } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { publishTime, TSC_KHZ, tscNow, tscToSystem } from '../time.ts';
import { loadCpu, saveCpu } from './context.ts';
import { saveFxsave } from './fxsave.ts';
import { syncTsc } from './initialise.ts';
import { MTRR_CAP } from './mtrr.ts';
import type { SaveRecord } from './save-record.ts';
import { viridianDomainRecord, viridianVcpuRecord } from './viridian-save.ts';
import { APIC, type LapicEnv, lapicDivisorOf, lapicRearm } from './vlapic.ts';

const header: SaveRecord = {
  code: HVM_SAVE_CODE.HEADER,
  name: 'HEADER',
  size: hvm_save_header.$.size,
  perVcpu: false,
  save(_hv, _v, out, at) {
    hvm_save_header.magic.set(out, at, HVM_FILE_MAGIC);
    hvm_save_header.version.set(out, at, HVM_FILE_VERSION);
    hvm_save_header.changeset.set(out, at, 0xffff_ffff_ffff_ffffn);
    hvm_save_header.cpuid.set(out, at, CPU_SIGNATURE);
    hvm_save_header.gtsc_khz.set(out, at, TSC_KHZ);
  },
  load(_hv, _v, src, at) {
    const ok =
      hvm_save_header.magic.get(src, at) === HVM_FILE_MAGIC &&
      hvm_save_header.version.get(src, at) === HVM_FILE_VERSION;
    return ok ? 0 : -XEN_EINVAL;
  },
};

const cpu: SaveRecord = {
  code: HVM_SAVE_CODE.CPU,
  name: 'CPU',
  size: hvm_hw_cpu.$.size,
  perVcpu: true,
  save(hv, v, out, at) {
    saveCpu(hv.mem, vcpuRecord.cpu.get(hv.mem, v), out, at, tscNow(hv, v));
  },
  load(hv, v, src, at) {
    const { mem } = hv;
    const state = vcpuRecord.cpu.get(mem, v);
    loadCpu(mem, state, src, at);
    const now = BigInt(Math.round(hv.clock.now()));
    cpuState.tscOffset.set(mem, state, BigInt.asUintN(64, hvm_hw_cpu.tsc.get(src, at) - now));
    publishTime(hv, v);
    syncTsc(hv, v);
    vcpuRecord.initialised.set(mem, v, 1);
    vcpuRecord.online.set(mem, v, 1);
    vcpuRecord.cpuDirty.set(mem, v, 1);
    vcpuReconsider(hv, v);
    return 0;
  },
};

/** XCR0, and the registers once more as XSAVE would write them. */
const XCR0_MAX = 3n;
const cpuXsave: SaveRecord = {
  code: HVM_SAVE_CODE.CPU_XSAVE,
  name: 'CPU_XSAVE',
  size: hvm_hw_cpu_xsave.$.size,
  perVcpu: true,
  save({ mem }, v, out, at) {
    const x = hvm_hw_cpu_xsave;
    const state = vcpuRecord.cpu.get(mem, v);
    x.xfeature_mask.set(out, at, XCR0_MAX);
    x.xcr0.set(out, at, cpuState.xcr0.get(mem, state));
    x.xcr0_accum.set(out, at, cpuState.xcr0.get(mem, state));
    saveFxsave(mem, state, out, x.fpu_sse.addr(at));
    x.xstate_bv.set(out, at, XCR0_MAX);
  },
  load({ mem }, v, src, at) {
    const xcr0 = hvm_hw_cpu_xsave.xcr0.get(src, at);
    if (xcr0 & ~XCR0_MAX || !(xcr0 & 1n)) return -XEN_EINVAL;
    cpuState.xcr0.set(mem, vcpuRecord.cpu.get(mem, v), xcr0);
    return 0;
  },
};

const lapic: SaveRecord = {
  code: HVM_SAVE_CODE.LAPIC,
  name: 'LAPIC',
  size: hvm_hw_lapic.$.size,
  perVcpu: true,
  save({ mem }, v, out, at) {
    hvm_hw_lapic.apic_base_msr.set(out, at, BigInt(vcpuRecord.apicBase.get(mem, v)));
    hvm_hw_lapic.disabled.set(out, at, vcpuRecord.lapicDisabled.get(mem, v));
    hvm_hw_lapic.timer_divisor.set(out, at, vcpuRecord.lapicDivisor.get(mem, v));
    hvm_hw_lapic.tdt_msr.set(out, at, vcpuRecord.lapicTdt.get(mem, v));
  },
  load({ mem }, v, src, at) {
    vcpuRecord.apicBase.set(mem, v, Number(hvm_hw_lapic.apic_base_msr.get(src, at)));
    vcpuRecord.lapicDisabled.set(mem, v, hvm_hw_lapic.disabled.get(src, at) & 3);
    vcpuRecord.lapicTdt.set(mem, v, hvm_hw_lapic.tdt_msr.get(src, at));
    return 0;
  },
};

const lapicRegs: SaveRecord = {
  code: HVM_SAVE_CODE.LAPIC_REGS,
  name: 'LAPIC_REGS',
  size: hvm_hw_lapic_regs.$.size,
  perVcpu: true,
  save({ mem }, v, out, at) {
    out.write(at, mem.slice(vcpuRecord.lapic.addr(v), hvm_hw_lapic_regs.$.size));
  },
  load(hv, v, src, at) {
    const { mem } = hv;
    mem.write(vcpuRecord.lapic.addr(v), src.slice(at, hvm_hw_lapic_regs.$.size));
    vcpuRecord.lapicDivisor.set(mem, v, lapicDivisorOf(src.u32(at + APIC.TDCR)));
    lapicRearm(restoreEnv(hv), v);
    return 0;
  },
};

/** What a restored timer needs of the outside. */
const restoreEnv = (hv: Hypervisor): LapicEnv => ({
  mem: hv.mem,
  now: () => hv.now(),
  tscToSystem: (v, tsc) => tscToSystem(hv, v, tsc),
  sendIpi: () => {},
  timerArmed: (_v, deadline) => noteDeadline(hv, deadline),
  recheck: () => {},
});

const mtrr: SaveRecord = {
  code: HVM_SAVE_CODE.MTRR,
  name: 'MTRR',
  size: hvm_hw_mtrr.$.size,
  perVcpu: true,
  save({ mem }, v, out, at) {
    const m = hvm_hw_mtrr;
    m.msr_pat_cr.set(out, at, cpuState.pat.get(mem, vcpuRecord.cpu.get(mem, v)));
    out.write(m.msr_mtrr_var.addr(at), mem.slice(vcpuRecord.mtrrVar.addr(v), vcpuRecord.mtrrVar.type.size));
    out.write(
      m.msr_mtrr_fixed.addr(at),
      mem.slice(vcpuRecord.mtrrFixed.addr(v), vcpuRecord.mtrrFixed.type.size),
    );
    m.msr_mtrr_cap.set(out, at, BigInt(MTRR_CAP));
    m.msr_mtrr_def_type.set(out, at, vcpuRecord.mtrrDefType.get(mem, v));
  },
  load({ mem }, v, src, at) {
    const m = hvm_hw_mtrr;
    cpuState.pat.set(mem, vcpuRecord.cpu.get(mem, v), m.msr_pat_cr.get(src, at));
    mem.write(vcpuRecord.mtrrVar.addr(v), src.slice(m.msr_mtrr_var.addr(at), vcpuRecord.mtrrVar.type.size));
    mem.write(
      vcpuRecord.mtrrFixed.addr(v),
      src.slice(m.msr_mtrr_fixed.addr(at), vcpuRecord.mtrrFixed.type.size),
    );
    vcpuRecord.mtrrDefType.set(mem, v, m.msr_mtrr_def_type.get(src, at));
    return 0;
  },
};

const tscAdjust: SaveRecord = {
  code: HVM_SAVE_CODE.TSC_ADJUST,
  name: 'TSC_ADJUST',
  size: hvm_tsc_adjust.$.size,
  perVcpu: true,
  save({ mem }, v, out, at) {
    hvm_tsc_adjust.tsc_adjust.set(out, at, cpuState.tscAdjust.get(mem, vcpuRecord.cpu.get(mem, v)));
  },
  load({ mem }, v, src, at) {
    cpuState.tscAdjust.set(mem, vcpuRecord.cpu.get(mem, v), hvm_tsc_adjust.tsc_adjust.get(src, at));
    return 0;
  },
};

/** In the order in which they are written. */
export const HVM_RECORDS: readonly SaveRecord[] = [
  header,
  cpu,
  lapic,
  lapicRegs,
  mtrr,
  viridianDomainRecord,
  cpuXsave,
  viridianVcpuRecord,
  tscAdjust,
];

/** Records of devices that these domains do not have are passed over. */
export function loadRecord(
  hv: Hypervisor,
  dom: number,
  code: number,
  instance: number,
  src: Mem,
  at: number,
  length: number,
): number {
  const record = HVM_RECORDS.find((r) => r.code === code);
  if (record === undefined) return 0;
  if (record.present?.(hv, dom) === false) return -XEN_EINVAL;
  if (length !== record.size) return -XEN_ENODATA;
  const v = hv.vcpu(dom, record.perVcpu ? instance : 0);
  if (v === 0) return -XEN_EINVAL;
  if (record !== header)
    hv.print(`HVM${domainRecord.domid.get(hv.mem, dom)} restore: ${record.name} ${instance}`, 'debug');
  return record.load(hv, v, src, at);
}
