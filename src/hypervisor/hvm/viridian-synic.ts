/** Viridian's interrupts: the local APIC's registers as MSRs, and the synthetic interrupt controller with its messages. */
import { HVMPV_synic } from '../../abi/hvm_params.ts';
import { vcpuSetIrq } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { frameWritten } from '../mm/code.ts';
import { vcpuRecord } from '../records.ts';
import {
  HV_MSR,
  HVMSG_NONE,
  HVMSG_TIMER_EXPIRED,
  hv_message,
  hv_timer_message_payload,
  SINT,
  viridianVcpu,
} from './viridian-abi.ts';
import { viridianFeatures, viridianOf, viridianPage } from './viridian-assist.ts';
import { APIC, isX2apic, type LapicEnv, lapicEnabled, lapicReg, lapicWrite } from './vlapic.ts';
import { x2apicWrite } from './x2apic.ts';

const X2APIC_ICR = 0x830;
const SYNIC_VERSION = 1n;
const FIRST_VECTOR = 0x10n;

/** Undefined is #GP. */
export function readSynicMsr(hv: Hypervisor, v: number, msr: number): bigint | undefined {
  const { mem } = hv;
  const state = viridianOf(v);
  switch (msr) {
    case HV_MSR.EOI:
      return undefined;
    case HV_MSR.ICR:
      return (BigInt(lapicReg(mem, v, APIC.ICR2)) << 32n) | BigInt(lapicReg(mem, v, APIC.ICR));
    case HV_MSR.TPR:
      return BigInt(lapicReg(mem, v, APIC.TPR));
    case HV_MSR.VP_ASSIST_PAGE:
      return viridianVcpu.assist.get(mem, state);
  }
  if (!hasSynic(hv, v)) return undefined;
  switch (msr) {
    case HV_MSR.SCONTROL:
      return viridianVcpu.scontrol.get(mem, state);
    case HV_MSR.SVERSION:
      return SYNIC_VERSION;
    case HV_MSR.SIEFP:
      return viridianVcpu.siefp.get(mem, state);
    case HV_MSR.SIMP:
      return viridianVcpu.simp.get(mem, state);
    case HV_MSR.EOM:
      return 0n;
    default:
      return mem.u64(viridianVcpu.sint.addr(state, msr - HV_MSR.SINT0)) ^ SINT.masked;
  }
}

/** False is #GP. */
export function writeSynicMsr(
  hv: Hypervisor,
  env: LapicEnv,
  v: number,
  msr: number,
  value: bigint,
  poll: () => void,
): boolean {
  const lo = Number(value & 0xffff_ffffn);
  const hi = Number(value >> 32n);
  switch (msr) {
    case HV_MSR.EOI:
      lapicWrite(env, v, APIC.EOI, 0);
      return true;
    case HV_MSR.ICR:
      if (isX2apic(hv.mem, v)) return x2apicWrite(env, v, X2APIC_ICR, lo, hi);
      lapicWrite(env, v, APIC.ICR2, hi);
      lapicWrite(env, v, APIC.ICR, lo);
      return true;
    case HV_MSR.TPR:
      lapicWrite(env, v, APIC.TPR, lo);
      return true;
    case HV_MSR.VP_ASSIST_PAGE:
      viridianVcpu.assist.set(hv.mem, viridianOf(v), value);
      viridianVcpu.assistPending.set(hv.mem, viridianOf(v), 0);
      hv.withLock(() => clearPage(hv, v, value));
      return true;
    default:
      return hasSynic(hv, v) && writeController(hv, v, msr, value, poll);
  }
}

const hasSynic = (hv: Hypervisor, v: number): boolean =>
  (viridianFeatures(hv.mem, vcpuRecord.domain.get(hv.mem, v)) & HVMPV_synic) !== 0;

function writeController(hv: Hypervisor, v: number, msr: number, value: bigint, poll: () => void): boolean {
  const { mem } = hv;
  const state = viridianOf(v);
  switch (msr) {
    case HV_MSR.SCONTROL:
      viridianVcpu.scontrol.set(mem, state, value);
      return true;
    case HV_MSR.SVERSION:
      return false;
    case HV_MSR.SIEFP:
      viridianVcpu.siefp.set(mem, state, value);
      return true;
    case HV_MSR.SIMP:
      viridianVcpu.simp.set(mem, state, value);
      hv.withLock(() => clearPage(hv, v, value));
      return true;
    case HV_MSR.EOM:
      poll();
      return true;
  }
  if ((value & SINT.vector) < FIRST_VECTOR) return false;
  mem.setU64(viridianVcpu.sint.addr(state, msr - HV_MSR.SINT0), value ^ SINT.masked);
  return true;
}

/** The page that an MSR now names starts empty. */
function clearPage(hv: Hypervisor, v: number, msr: bigint): void {
  const page = viridianPage(hv.mem, vcpuRecord.domain.get(hv.mem, v), msr);
  if (page === 0) return;
  hv.mem.fill(page, 4096);
  frameWritten(hv, page >>> 12);
}

/** Puts a timer's message in the slot of its source, if that is there and free. Called with the lock held. */
export function deliverTimerMessage(
  hv: Hypervisor,
  v: number,
  sintx: number,
  timer: number,
  expiration: bigint,
  delivery: bigint,
): boolean {
  const { mem } = hv;
  const page = viridianPage(mem, vcpuRecord.domain.get(mem, v), viridianVcpu.simp.get(mem, viridianOf(v)));
  if (page === 0) return false;
  const slot = page + sintx * hv_message.$.size;
  if (hv_message.message_type.get(mem, slot) !== HVMSG_NONE) return false;
  const payload = hv_message.payload.addr(slot);
  hv_timer_message_payload.timer_index.set(mem, payload, timer);
  hv_timer_message_payload.reserved.set(mem, payload, 0);
  hv_timer_message_payload.expiration_time.set(mem, payload, expiration);
  hv_timer_message_payload.delivery_time.set(mem, payload, delivery);
  hv_message.message_flags.set(mem, slot, 0);
  hv_message.payload_size.set(mem, slot, hv_timer_message_payload.$.size);
  hv_message.message_type.set(mem, slot, HVMSG_TIMER_EXPIRED);
  frameWritten(hv, page >>> 12);
  const sint = mem.u64(viridianVcpu.sint.addr(viridianOf(v), sintx)) ^ SINT.masked;
  if ((sint & SINT.masked) === 0n && lapicEnabled(mem, v)) vcpuSetIrq(hv, v, Number(sint & SINT.vector));
  return true;
}
