/**
 * Viridian enlightenments, for domains with HVM_PARAM_VIRIDIAN: their CPUID leaves, and the MSRs of the domain as a whole.
 * Xen's own leaves and MSRs are then behind them.
 */
import * as p from '../../abi/hvm_params.ts';
import { SHUTDOWN_crash } from '../../abi/sched.ts';
import type { Mem } from '../../base/mem.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { frameWritten } from '../mm/code.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { CRASH_NOTIFY, HV_CPUID_MAX_LEAF, HV_MSR, viridianDomain, viridianVcpu } from './viridian-abi.ts';
import { viridianFeatures, viridianOf, viridianPage } from './viridian-assist.ts';
import { readSynicMsr, writeSynicMsr } from './viridian-synic.ts';
import { pollTimers, readTimeMsr, writeTimeMsr } from './viridian-time.ts';
import type { LapicEnv } from './vlapic.ts';

/** What a toolstack may ask for. */
export const VIRIDIAN_FEATURES = BigInt(2 * p.HVMPV_cpu_hotplug - 1);

/** Windows Server 2008, as Xen says. */
const VERSION = { major: 6, minor: 0, build: 0x1772 } as const;
const SPINLOCK_RETRIES = 2047;
/** The least version of Windows that gets recommendations. */
const OS_VISTA = 4n;

// Bits of the leaves
const ACCESS = { refCounter: 2, synic: 4, stimer: 8, intrCtrl: 16, hypercall: 32, vpIndex: 64 } as const;
const ACCESS_REFERENCE_TSC = 0x200;
const ACCESS_FREQUENCY = 0x800;
const HAS = { partitioning: 8, crashMsrs: 0x400, sintPolling: 0x2_0000 } as const;
const ADVICE = { remoteFlush: 4, msrApic: 8, relaxedTimer: 0x20, clusterIpi: 0x400, exMasks: 0x800 } as const;
const USES_MSR_BITMAPS = 2;
const USES_NESTED_PAGING = 8;

const word = (text: string): number =>
  [...text].reduce((sum, ch, i) => sum + ch.charCodeAt(0) * 2 ** (8 * i), 0);

/** Fills a leaf that `out` has zeroed. */
export function viridianLeaf(m: Mem, dom: number, leaf: number, out: Uint32Array): void {
  const features = viridianFeatures(m, dom);
  const bit = (feature: number, value: number): number => ((features & feature) !== 0 ? value : 0);
  const osId = viridianDomain.guestOsId.get(m, domainRecord.viridian.addr(dom));
  switch (leaf & 0xff) {
    case 0:
      out.set([HV_CPUID_MAX_LEAF, word('Micr'), word('osof'), word('t Hv')]);
      return;
    case 1:
      out[0] = word('Hv#1');
      return;
    case 2:
      if (osId !== 0n) out.set([VERSION.build, VERSION.major * 0x1_0000 + VERSION.minor]);
      return;
    case 3:
      out[0] =
        ACCESS.intrCtrl |
        ACCESS.hypercall |
        ACCESS.vpIndex |
        (ACCESS_FREQUENCY - bit(p.HVMPV_no_freq, ACCESS_FREQUENCY)) |
        bit(p.HVMPV_time_ref_count, ACCESS.refCounter) |
        bit(p.HVMPV_reference_tsc, ACCESS_REFERENCE_TSC) |
        bit(p.HVMPV_synic, ACCESS.synic) |
        bit(p.HVMPV_stimer, ACCESS.stimer);
      out[3] =
        bit(p.HVMPV_cpu_hotplug, HAS.partitioning) |
        bit(p.HVMPV_crash_ctl, HAS.crashMsrs) |
        bit(p.HVMPV_synic, HAS.sintPolling);
      return;
    case 4:
      if (((osId >> 40n) & 0xffn) < OS_VISTA) return;
      out[0] =
        ADVICE.relaxedTimer |
        ADVICE.msrApic |
        bit(p.HVMPV_hcall_remote_tlb_flush, ADVICE.remoteFlush) |
        bit(p.HVMPV_hcall_ipi, ADVICE.clusterIpi) |
        bit(p.HVMPV_ex_processor_masks, ADVICE.exMasks);
      out[1] = SPINLOCK_RETRIES;
      return;
    case 5:
      out[0] = bit(p.HVMPV_no_vp_limit, 0xffff_ffff);
      return;
    case 6:
      out[0] = USES_MSR_BITMAPS | USES_NESTED_PAGING;
      return;
  }
}

const isTimeMsr = (msr: number): boolean =>
  (msr >= HV_MSR.TIME_REF_COUNT && msr <= HV_MSR.APIC_FREQUENCY) ||
  (msr >= HV_MSR.STIMER0_CONFIG && msr <= HV_MSR.STIMER3_COUNT);
const isSynicMsr = (msr: number): boolean =>
  (msr >= HV_MSR.EOI && msr <= HV_MSR.VP_ASSIST_PAGE) ||
  (msr >= HV_MSR.SCONTROL && msr <= HV_MSR.EOM) ||
  (msr >= HV_MSR.SINT0 && msr <= HV_MSR.SINT15);
const isCrashParameter = (msr: number): boolean => msr >= HV_MSR.CRASH_P0 && msr <= HV_MSR.CRASH_P4;

/** Undefined is #GP. */
export function readViridianMsr(hv: Hypervisor, v: number, msr: number): bigint | undefined {
  const { mem } = hv;
  if (isTimeMsr(msr)) return readTimeMsr(hv, v, msr);
  if (isSynicMsr(msr)) return readSynicMsr(hv, v, msr);
  if (isCrashParameter(msr)) return mem.u64(viridianVcpu.crash.addr(viridianOf(v), msr - HV_MSR.CRASH_P0));
  const state = domainRecord.viridian.addr(vcpuRecord.domain.get(mem, v));
  switch (msr) {
    case HV_MSR.GUEST_OS_ID:
      return viridianDomain.guestOsId.get(mem, state);
    case HV_MSR.HYPERCALL:
      return viridianDomain.hypercallGpa.get(mem, state);
    case HV_MSR.VP_INDEX:
      return BigInt(vcpuRecord.id.get(mem, v));
    case HV_MSR.CRASH_CTL:
      return CRASH_NOTIFY;
    default:
      return undefined;
  }
}

/** False is #GP. */
export function writeViridianMsr(
  hv: Hypervisor,
  env: LapicEnv,
  v: number,
  msr: number,
  value: bigint,
): boolean {
  const poll = (): void => hv.withLock(() => pollTimers(hv, v));
  const done = isTimeMsr(msr)
    ? hv.withLock(() => writeTimeMsr(hv, v, msr, value))
    : isSynicMsr(msr)
      ? writeSynicMsr(hv, env, v, msr, value, poll)
      : hv.withLock(() => writePartitionMsr(hv, v, msr, value));
  env.recheck(v);
  return done;
}

function writePartitionMsr(hv: Hypervisor, v: number, msr: number, value: bigint): boolean {
  const { mem } = hv;
  const dom = vcpuRecord.domain.get(mem, v);
  const state = domainRecord.viridian.addr(dom);
  if (isCrashParameter(msr)) {
    mem.setU64(viridianVcpu.crash.addr(viridianOf(v), msr - HV_MSR.CRASH_P0), value);
    return true;
  }
  switch (msr) {
    case HV_MSR.GUEST_OS_ID:
      viridianDomain.guestOsId.set(mem, state, value);
      return true;
    case HV_MSR.HYPERCALL:
      viridianDomain.hypercallGpa.set(mem, state, value);
      writeHypercallPage(hv, viridianPage(mem, dom, value));
      return true;
    case HV_MSR.VP_INDEX:
      return true;
    case HV_MSR.CRASH_CTL:
      if ((value & CRASH_NOTIFY) !== 0n) noteCrash(hv, v);
      return true;
    default:
      return false;
  }
}

/** OR EAX, 0x80000000, which tells the call from one of Xen's; VMMCALL; RET; and breakpoints to the end. */
function writeHypercallPage(hv: Hypervisor, page: number): void {
  if (page === 0) return;
  hv.mem.fill(page, 4096, 0xcc);
  hv.mem.write(page, Uint8Array.of(0x0d, 0, 0, 0, 0x80, 0x0f, 0x01, 0xd9, 0xc3));
  frameWritten(hv, page >>> 12);
}

/** However the guest shuts down next, it is a crash. */
function noteCrash(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const dom = vcpuRecord.domain.get(mem, v);
  domainRecord.shutdownCode.set(mem, dom, SHUTDOWN_crash);
  const words = [0, 1, 2, 3, 4].map((i) => mem.u64(viridianVcpu.crash.addr(viridianOf(v), i)).toString(16));
  const name = `d${domainRecord.domid.get(mem, dom)}v${vcpuRecord.id.get(mem, v)}`;
  hv.print(`${name} VIRIDIAN CRASH: ${words.join(' ')}`, 'warn');
}
