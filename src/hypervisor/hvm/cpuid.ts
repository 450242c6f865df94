/**
 * CPUID as a vCPU sees it: the CPU's own leaves with this vCPU's ids filled in, and Xen's leaves at 0x40000000, or
 * behind Viridian's.
 *
 * @abi public/arch-x86/cpuid.h
 */
import * as x from '../../abi/cpuid.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { TSC_KHZ, tscScale } from '../time.ts';
import { XEN_SUBVERSION, XEN_VERSION } from '../version.ts';
import { hasLeaf, policyCpuid } from './cpu-policy.ts';
import { viridianLeaf } from './viridian.ts';
import { XEN_CPUID_BESIDE_VIRIDIAN, XEN_MSR_BESIDE_VIRIDIAN } from './viridian-abi.ts';
import { viridianFeatures } from './viridian-assist.ts';
import { APIC_BASE_ENABLE, apicIdOf } from './vlapic.ts';

const FEATURE_APIC = 1 << 9;
const FEATURE_HTT = 1 << 28;
const FEATURE_CMP_LEGACY = 1 << 1;
const TSC_RELIABLE = 2;
const RDTSCP_PRESENT = 4;
const CR4_OSXSAVE = 1 << 18;
const FEATURE_XSAVE = 1 << 26;
const FEATURE_OSXSAVE = 1 << 27;

export function vcpuCpuid(m: Mem, v: number, leaf: number, subleaf: number, out: Uint32Array): void {
  out.fill(0);
  const dom = vcpuRecord.domain.get(m, v);
  if (leaf >= x.XEN_CPUID_FIRST_LEAF && leaf < x.XEN_CPUID_FIRST_LEAF + 0x200) {
    const viridian = viridianFeatures(m, dom) !== 0;
    if (viridian && leaf < XEN_CPUID_BESIDE_VIRIDIAN) return viridianLeaf(m, dom, leaf, out);
    const base = viridian ? XEN_CPUID_BESIDE_VIRIDIAN : x.XEN_CPUID_FIRST_LEAF;
    return xenLeaf(m, v, base, leaf - base, subleaf, out);
  }
  if (!hasLeaf(m, dom, leaf)) return;
  policyCpuid(m, dom, leaf, subleaf, out);
  if (leaf === 1) leaf1(m, v, out);
  if (leaf === 0xb) topology(m, v, subleaf, out);
  if (leaf === 0x8000_0001 && !apicOn(m, v)) out[3] = (out[3]! & ~FEATURE_APIC) >>> 0;
  if (leaf === 0x8000_0001 && vcpuCount(m, v) > 1) out[2] = (out[2]! | FEATURE_CMP_LEGACY) >>> 0;
  // APIC ids go by two, so the cores take up twice their number.
  if (leaf === 0x8000_0008) out[2] = Math.min(255, vcpuCount(m, v) * 2 - 1);
}

const vcpuCount = (m: Mem, v: number): number => domainRecord.maxVcpus.get(m, vcpuRecord.domain.get(m, v));
const apicOn = (m: Mem, v: number): boolean => (vcpuRecord.apicBase.get(m, v) & APIC_BASE_ENABLE) !== 0;

function leaf1(m: Mem, v: number, out: Uint32Array): void {
  const apicId = apicIdOf(vcpuRecord.id.get(m, v));
  out[1] = (out[1]! | ((apicId & 0xff) << 24)) >>> 0;
  if (vcpuCount(m, v) > 1) {
    out[1] = (out[1]! | (Math.min(255, vcpuCount(m, v) * 2) << 16)) >>> 0;
    out[3] = (out[3]! | FEATURE_HTT) >>> 0;
  }
  if (!apicOn(m, v)) out[3] = (out[3]! & ~FEATURE_APIC) >>> 0;
  const cr4 = m.u32(cpuState.cr4.addr(vcpuRecord.cpu.get(m, v)));
  if ((out[2]! & FEATURE_XSAVE) !== 0 && (cr4 & CR4_OSXSAVE) !== 0)
    out[2] = (out[2]! | FEATURE_OSXSAVE) >>> 0;
}

/** Threads (one to a core, though ids go by two), then cores of the one package. */
function topology(m: Mem, v: number, subleaf: number, out: Uint32Array): void {
  out[2] = subleaf & 0xff;
  out[3] = apicIdOf(vcpuRecord.id.get(m, v));
  if (subleaf > 1) return;
  const idBits = 32 - Math.clz32(apicIdOf(vcpuCount(m, v) - 1) | 1);
  out[0] = subleaf === 0 ? 1 : idBits;
  out[1] = subleaf === 0 ? 1 : vcpuCount(m, v);
  out[2] = (out[2]! | ((subleaf + 1) << 8)) >>> 0;
}

/** Leaf number `leaf` of Xen's, which begin at `base`. */
function xenLeaf(m: Mem, v: number, base: number, leaf: number, subleaf: number, out: Uint32Array): void {
  const dom = vcpuRecord.domain.get(m, v);
  switch (leaf) {
    case 0:
      out[0] = base + x.XEN_CPUID_MAX_NUM_LEAVES;
      out[1] = x.XEN_CPUID_SIGNATURE_EBX;
      out[2] = x.XEN_CPUID_SIGNATURE_ECX;
      out[3] = x.XEN_CPUID_SIGNATURE_EDX;
      return;
    case 1:
      out[0] = (XEN_VERSION << 16) | XEN_SUBVERSION;
      return;
    case 2:
      out[0] = 1;
      out[1] = base === x.XEN_CPUID_FIRST_LEAF ? x.XEN_HYPERCALL_MSR : XEN_MSR_BESIDE_VIRIDIAN;
      return;
    case 3:
      timeLeaf(m, v, dom, subleaf, out);
      return;
    case 4:
      out[0] =
        x.XEN_HVM_CPUID_X2APIC_VIRT |
        x.XEN_HVM_CPUID_VCPU_ID_PRESENT |
        x.XEN_HVM_CPUID_DOMID_PRESENT |
        x.XEN_HVM_CPUID_UPCALL_VECTOR;
      out[1] = vcpuRecord.id.get(m, v);
      out[2] = domainRecord.domid.get(m, dom);
      return;
  }
}

function timeLeaf(m: Mem, v: number, dom: number, subleaf: number, out: Uint32Array): void {
  if (subleaf === 0) {
    out[0] = TSC_RELIABLE | RDTSCP_PRESENT;
    out[1] = domainRecord.tscMode.get(m, dom);
    out[2] = TSC_KHZ;
    out[3] = domainRecord.tscIncarnation.get(m, dom);
  } else if (subleaf === 1) {
    const { mul, shift } = tscScale(TSC_KHZ);
    const offset = cpuState.tscOffset.addr(vcpuRecord.cpu.get(m, v));
    out[0] = m.u32(offset);
    out[1] = m.u32(offset + 4);
    out[2] = mul;
    out[3] = shift >>> 0;
  } else if (subleaf === 2) {
    out[0] = TSC_KHZ;
  }
}
