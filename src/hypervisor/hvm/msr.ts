/**
 * MSRs that the engine does not own. A read or write that answers false is #GP(0), as on Xen without msr_relaxed, and is
 * logged once per MSR range.
 */
import { XEN_HYPERCALL_MSR } from '../../abi/cpuid.ts';
import { P2M_FRAMES } from '../../machine/p2m.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { frameWritten } from '../mm/code.ts';
import { gfnToMfn } from '../mm/physmap.ts';
import { vcpuRecord } from '../records.ts';
import { writeHypercallPage } from './hypercall-page.ts';
import { readMtrr, writeMtrr } from './mtrr.ts';
import { type LapicEnv, lapicSetBase, lapicSetTscDeadline } from './vlapic.ts';
import { x2apicRead, x2apicWrite } from './x2apic.ts';

const APIC_BASE = 0x1b;
const TSC_ADJUST = 0x3b;
const PATCH_LEVEL = 0x8b;
const MCG_CAP = 0x179;
const MCG_STATUS = 0x17a;
const MISC_ENABLE = 0x1a0;
const TSC_DEADLINE = 0x6e0;

/** Read as this value; writes are dropped. What Linux touches on an AMD CPU of this family, and finds harmless. */
const CONSTANT: ReadonlyMap<number, readonly [number, number]> = new Map([
  [PATCH_LEVEL, [0, 0]],
  [MCG_CAP, [0, 0]],
  [MCG_STATUS, [0, 0]],
  [MISC_ENABLE, [1, 0]],
  [0x17, [0, 0]], // PLATFORM_ID
  [0x2a, [0, 0]], // EBL_CR_POWERON
  [0x1db, [0, 0]], // the last branch and exception: not recorded
  [0x1dc, [0, 0]],
  [0x1dd, [0, 0]],
  [0x1de, [0, 0]],
  [0xc001_0010, [0, 0]], // SYSCFG
  [0xc001_0015, [0x0100_0000, 0]], // HWCR: the TSC runs at constant rate
  [0xc001_001f, [0, 0]], // NB_CFG
  [0xc001_0055, [0, 0]], // INT_PENDING
  [0xc001_0061, [0, 0]], // P-state limit
  [0xc001_0062, [0, 0]], // P-state control
  [0xc001_0063, [0, 0]], // P-state status
  [0xc001_0064, [0, 0]], // P-state 0
  [0xc001_0114, [0x10, 0]], // VM_CR: SVM disabled
  [0xc001_0117, [0, 0]],
  [0xc001_0140, [4, 0]], // OSVW length
  [0xc001_0141, [0, 0]],
  [0xc001_1020, [0, 0]], // LS_CFG
  [0xc001_1022, [0, 0]], // DC_CFG
  [0xc001_1023, [0, 0]], // BU_CFG
  [0xc001_1029, [0, 0]], // DE_CFG
  [0xc001_102a, [0, 0]], // BU_CFG2
  [0xc001_1030, [0, 0]], // IBS
]);

/** The event counters of the K7 layout: present on every AMD CPU, here standing still. */
const isPerfCounter = (msr: number): boolean =>
  (msr >= 0xc001_0000 && msr <= 0xc001_0007) || (msr >= 0xc001_0200 && msr <= 0xc001_020b);

export function readMsr(hv: Hypervisor, env: LapicEnv, v: number, msr: number, out: Uint32Array): boolean {
  const { mem } = hv;
  if (msr >= 0x800 && msr <= 0x8ff) return x2apicRead(env, v, msr, out);
  out[0] = 0;
  out[1] = 0;
  const constant = CONSTANT.get(msr);
  if (constant !== undefined) {
    [out[0], out[1]] = constant;
    return true;
  }
  switch (msr) {
    case APIC_BASE: {
      const base = vcpuRecord.apicBase.get(mem, v);
      out[0] = base >>> 0;
      out[1] = Math.floor(base / 2 ** 32);
      return true;
    }
    case TSC_ADJUST:
      return readWord(hv, vcpuRecord.tscAdjust.addr(v), out);
    case TSC_DEADLINE:
      return readWord(hv, vcpuRecord.lapicTdt.addr(v), out);
    default:
      return isPerfCounter(msr) || readMtrr(mem, v, msr, out);
  }
}

function readWord(hv: Hypervisor, at: number, out: Uint32Array): boolean {
  out[0] = hv.mem.u32(at);
  out[1] = hv.mem.u32(at + 4);
  return true;
}

export function writeMsr(
  hv: Hypervisor,
  env: LapicEnv,
  v: number,
  msr: number,
  lo: number,
  hi: number,
): boolean {
  const { mem } = hv;
  if (msr >= 0x800 && msr <= 0x8ff) return x2apicWrite(env, v, msr, lo, hi);
  if (CONSTANT.has(msr) || isPerfCounter(msr)) return true;
  switch (msr) {
    case APIC_BASE:
      return lapicSetBase(mem, v, lo + hi * 2 ** 32);
    case TSC_ADJUST:
      mem.setU32(vcpuRecord.tscAdjust.addr(v), lo);
      mem.setU32(vcpuRecord.tscAdjust.addr(v) + 4, hi);
      return true;
    case TSC_DEADLINE:
      lapicSetTscDeadline(env, v, lo, hi);
      return true;
    case XEN_HYPERCALL_MSR:
      return writeHypercallMsr(hv, v, lo, hi);
    default:
      return writeMtrr(mem, v, msr, lo, hi);
  }
}

/** Bits 63:12 say where; bits 11:0 which page, of which there is one. */
function writeHypercallMsr(hv: Hypervisor, v: number, lo: number, hi: number): boolean {
  if ((lo & 0xfff) !== 0) return false;
  const gfn = Math.floor((lo + hi * 2 ** 32) / 4096);
  const mfn = gfn < P2M_FRAMES ? gfnToMfn(hv, vcpuRecord.domain.get(hv.mem, v), gfn) : -1;
  if (mfn < 0) {
    hv.print(`bad gfn ${gfn.toString(16)} for the hypercall page`, 'warn');
    return false;
  }
  hv.enter();
  writeHypercallPage(hv.mem, mfn * 4096);
  frameWritten(hv, mfn);
  hv.leave();
  return true;
}
