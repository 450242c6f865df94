/**
 * MSRs that the engine does not own. A read or write that answers false is #GP(0), as on Xen without msr_relaxed, and is
 * logged once per MSR range.
 */
import { XEN_HYPERCALL_MSR } from '../../abi/cpuid.ts';
import type { Mem } from '../../base/mem.ts';
import { P2M_FRAMES } from '../../machine/p2m.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { frameWritten } from '../mm/code.ts';
import { gfnToMfn } from '../mm/physmap.ts';
import { vcpuRecord } from '../records.ts';
import { policyHas } from './cpu-policy.ts';
import { writeHypercallPage } from './hypercall-page.ts';
import { readMtrr, writeMtrr } from './mtrr.ts';
import { readViridianMsr, writeViridianMsr } from './viridian.ts';
import { HV_MSR, HV_MSR_END, XEN_MSR_BESIDE_VIRIDIAN } from './viridian-abi.ts';
import { viridianFeatures } from './viridian-assist.ts';
import { APIC_BASE_EXTD, type LapicEnv, lapicSetBase, lapicSetTscDeadline } from './vlapic.ts';
import { x2apicRead, x2apicWrite } from './x2apic.ts';

const APIC_BASE = 0x1b;
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

/** MSRs that come with a feature, which a CPU policy may hide: the range, and the bit of leaf 1. */
const FEATURES: ReadonlyArray<readonly [first: number, last: number, word: number, bit: number]> = [
  [TSC_DEADLINE, TSC_DEADLINE, 2, 24],
  [0x800, 0x8ff, 2, 21], // x2APIC
  [APIC_BASE, APIC_BASE, 3, 9],
  [0xfe, 0xfe, 3, 12], // MTRRs
  [0x200, 0x26f, 3, 12],
  [0x2ff, 0x2ff, 3, 12],
];
const X2APIC_BIT = 21;

function hidden(mem: Mem, v: number, msr: number): boolean {
  const dom = vcpuRecord.domain.get(mem, v);
  return FEATURES.some(
    ([first, last, w, bit]) => msr >= first && msr <= last && !policyHas(mem, dom, 1, w, bit),
  );
}

/** The event counters of the K7 layout: present on every AMD CPU, here standing still. */
const isPerfCounter = (msr: number): boolean =>
  (msr >= 0xc001_0000 && msr <= 0xc001_0007) || (msr >= 0xc001_0200 && msr <= 0xc001_020b);

export function readMsr(hv: Hypervisor, env: LapicEnv, v: number, msr: number, out: Uint32Array): boolean {
  const { mem } = hv;
  if (hidden(mem, v, msr)) return false;
  if (msr >= 0x800 && msr <= 0x8ff) return x2apicRead(env, v, msr, out);
  out[0] = 0;
  out[1] = 0;
  const constant = CONSTANT.get(msr);
  if (constant !== undefined) {
    [out[0], out[1]] = constant;
    return true;
  }
  if (isViridianMsr(hv, v, msr)) return readViridian(hv, v, msr, out);
  switch (msr) {
    case APIC_BASE: {
      const base = vcpuRecord.apicBase.get(mem, v);
      out[0] = base >>> 0;
      out[1] = Math.floor(base / 2 ** 32);
      return true;
    }
    case TSC_DEADLINE:
      return readWord(hv, vcpuRecord.lapicTdt.addr(v), out);
    default:
      return isPerfCounter(msr) || readMtrr(mem, v, msr, out);
  }
}

const hasViridian = (hv: Hypervisor, v: number): boolean =>
  viridianFeatures(hv.mem, vcpuRecord.domain.get(hv.mem, v)) !== 0;
const isViridianMsr = (hv: Hypervisor, v: number, msr: number): boolean =>
  msr >= HV_MSR.GUEST_OS_ID && msr < HV_MSR_END && hasViridian(hv, v);

function readViridian(hv: Hypervisor, v: number, msr: number, out: Uint32Array): boolean {
  const value = readViridianMsr(hv, v, msr);
  if (value === undefined) return false;
  out[0] = Number(value & 0xffff_ffffn);
  out[1] = Number(value >> 32n);
  return true;
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
  if (hidden(mem, v, msr)) return false;
  if (msr >= 0x800 && msr <= 0x8ff) return x2apicWrite(env, v, msr, lo, hi);
  if (CONSTANT.has(msr) || isPerfCounter(msr)) return true;
  if (isViridianMsr(hv, v, msr)) return writeViridianMsr(hv, env, v, msr, (BigInt(hi) << 32n) | BigInt(lo));
  switch (msr) {
    case APIC_BASE:
      if (lo & APIC_BASE_EXTD && !policyHas(mem, vcpuRecord.domain.get(mem, v), 1, 2, X2APIC_BIT))
        return false;
      return lapicSetBase(mem, v, lo + hi * 2 ** 32);
    case TSC_DEADLINE:
      lapicSetTscDeadline(env, v, lo, hi);
      return true;
    case XEN_HYPERCALL_MSR:
    case XEN_MSR_BESIDE_VIRIDIAN:
      return (msr === XEN_HYPERCALL_MSR) !== hasViridian(hv, v) && writeHypercallMsr(hv, v, lo, hi);
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
