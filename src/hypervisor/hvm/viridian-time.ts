/**
 * Viridian's time: reference time in units of 100 ns, read from an MSR or made from the TSC with a page's help, and four
 * synthetic timers for each vCPU.
 *
 * DIVERGES: reference time is that of vCPU 0's TSC, which began at 0 when the domain was created; Xen's begins when the
 * domain is unpaused first and stands still while it is paused.
 */
import {
  HVMPV_no_freq,
  HVMPV_reference_tsc,
  HVMPV_stimer,
  HVMPV_time_ref_count,
} from '../../abi/hvm_params.ts';
import { noteDeadline } from '../deadline.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { frameWritten } from '../mm/code.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { TSC_KHZ, tscNow } from '../time.ts';
import {
  HV_MSR,
  hv_reference_tsc,
  STIMER,
  STIMERS,
  stimerSint,
  viridianDomain,
  viridianVcpu,
} from './viridian-abi.ts';
import { viridianFeatures, viridianOf, viridianPage } from './viridian-assist.ts';
import { deliverTimerMessage } from './viridian-synic.ts';
import { BUS_CYCLE_NS } from './vlapic.ts';

/** Units of reference time in a millisecond. */
const UNITS_PER_MS = 10_000n;
const NS_PER_UNIT = 100;
const TSC_SCALE = (UNITS_PER_MS << 64n) / BigInt(TSC_KHZ);
/** A periodic timer that missed more than this goes on from now. */
const CATCH_UP = 3n;

export const referenceTime = (hv: Hypervisor, dom: number): bigint =>
  (tscNow(hv, hv.vcpu(dom, 0)) * TSC_SCALE) >> 64n;

/** Undefined is #GP. */
export function readTimeMsr(hv: Hypervisor, v: number, msr: number): bigint | undefined {
  const { mem } = hv;
  const dom = vcpuRecord.domain.get(mem, v);
  const features = viridianFeatures(mem, dom);
  const having = (feature: number, value: () => bigint): bigint | undefined =>
    (features & feature) !== 0 ? value() : undefined;
  switch (msr) {
    case HV_MSR.TSC_FREQUENCY:
      return features & HVMPV_no_freq ? undefined : BigInt(TSC_KHZ) * 1000n;
    case HV_MSR.APIC_FREQUENCY:
      return features & HVMPV_no_freq ? undefined : BigInt(1e9 / BUS_CYCLE_NS);
    case HV_MSR.TIME_REF_COUNT:
      return having(HVMPV_time_ref_count, () => referenceTime(hv, dom));
    case HV_MSR.REFERENCE_TSC:
      return having(HVMPV_reference_tsc, () =>
        viridianDomain.referenceTsc.get(mem, domainRecord.viridian.addr(dom)),
      );
  }
  const i = (msr - HV_MSR.STIMER0_CONFIG) >> 1;
  return having(HVMPV_stimer, () => ((msr & 1) !== 0 ? count(hv, v, i) : configNow(hv, v, i)));
}

/** False is #GP. Called with the hypervisor lock held. */
export function writeTimeMsr(hv: Hypervisor, v: number, msr: number, value: bigint): boolean {
  const dom = vcpuRecord.domain.get(hv.mem, v);
  const features = viridianFeatures(hv.mem, dom);
  if (msr === HV_MSR.REFERENCE_TSC) {
    if ((features & HVMPV_reference_tsc) === 0) return false;
    viridianDomain.referenceTsc.set(hv.mem, domainRecord.viridian.addr(dom), value);
    publishReferenceTsc(hv, dom);
    return true;
  }
  if (msr < HV_MSR.STIMER0_CONFIG || (features & HVMPV_stimer) === 0) return false;
  writeStimer(hv, v, (msr - HV_MSR.STIMER0_CONFIG) >> 1, (msr & 1) !== 0, value);
  return true;
}

/** The page is made anew each time that the guest names one. */
export function publishReferenceTsc(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  const page = viridianPage(mem, dom, viridianDomain.referenceTsc.get(mem, domainRecord.viridian.addr(dom)));
  if (page === 0) return;
  mem.fill(page, 4096);
  hv_reference_tsc.tsc_scale.set(mem, page, TSC_SCALE);
  hv_reference_tsc.tsc_sequence.set(mem, page, 1);
  frameWritten(hv, page >>> 12);
}

// Synthetic timers

const count = (hv: Hypervisor, v: number, i: number): bigint =>
  hv.mem.u64(viridianVcpu.stimerCount.addr(viridianOf(v), i));
const config = (hv: Hypervisor, v: number, i: number): bigint =>
  hv.mem.u64(viridianVcpu.stimerConfig.addr(viridianOf(v), i));
const setConfig = (hv: Hypervisor, v: number, i: number, value: bigint): void =>
  hv.mem.setU64(viridianVcpu.stimerConfig.addr(viridianOf(v), i), value);
const setDeadline = (hv: Hypervisor, v: number, i: number, at: number): void =>
  hv.mem.setN64(viridianVcpu.stimerDeadline.addr(viridianOf(v), i), at);

function setPending(hv: Hypervisor, v: number, i: number, on: boolean): void {
  const state = viridianOf(v);
  const rest = viridianVcpu.stimerPending.get(hv.mem, state) & ~(1 << i);
  viridianVcpu.stimerPending.set(hv.mem, state, rest | (on ? 1 << i : 0));
}
const isPending = (hv: Hypervisor, v: number, i: number): boolean =>
  (viridianVcpu.stimerPending.get(hv.mem, viridianOf(v)) & (1 << i)) !== 0;

/** A one-shot timer that has expired reads as off, though its message may wait. */
function configNow(hv: Hypervisor, v: number, i: number): bigint {
  const value = config(hv, v, i);
  return (value & STIMER.periodic) === 0n && isPending(hv, v, i) ? value & ~STIMER.enable : value;
}

function writeStimer(hv: Hypervisor, v: number, i: number, isCount: boolean, value: bigint): void {
  setDeadline(hv, v, i, 0);
  if (isCount) hv.mem.setU64(viridianVcpu.stimerCount.addr(viridianOf(v), i), value);
  let next = isCount ? config(hv, v, i) : value;
  if (count(hv, v, i) === 0n || (!isCount && stimerSint(next) === 0)) next &= ~STIMER.enable;
  else if (isCount && (next & STIMER.autoEnable) !== 0n) next |= STIMER.enable;
  setConfig(hv, v, i, next);
  if (next & STIMER.enable) start(hv, v, i, false);
  else setPending(hv, v, i, false);
}

/** A timer as it was saved; it starts anew. Called with the hypervisor lock held. */
export function loadStimer(hv: Hypervisor, v: number, i: number, setting: bigint, period: bigint): void {
  hv.mem.setU64(viridianVcpu.stimerCount.addr(viridianOf(v), i), period);
  writeStimer(hv, v, i, false, setting);
}

/** `again`: a period is over, rather than the timer new. */
function start(hv: Hypervisor, v: number, i: number, again: boolean): void {
  const { mem } = hv;
  const now = referenceTime(hv, vcpuRecord.domain.get(mem, v));
  const periodic = (config(hv, v, i) & STIMER.periodic) !== 0n;
  const expiration = periodic ? nextPeriod(hv, v, i, now, again) : count(hv, v, i);
  mem.setU64(viridianVcpu.stimerExpiration.addr(viridianOf(v), i), expiration);
  const left = BigInt.asIntN(64, expiration - now);
  setPending(hv, v, i, left <= 0n);
  if (left <= 0n) {
    setDeadline(hv, v, i, 0);
    pollTimers(hv, v);
    return;
  }
  const deadline = Math.min(hv.now() + Number(left) * NS_PER_UNIT, Number.MAX_SAFE_INTEGER);
  setDeadline(hv, v, i, deadline);
  noteDeadline(hv, deadline);
}

/** Where periods were missed and the timer is not lazy, the next one is shorter. */
function nextPeriod(hv: Hypervisor, v: number, i: number, now: bigint, again: boolean): bigint {
  const period = BigInt.asUintN(62, count(hv, v, i)) || 1n;
  if (!again || (config(hv, v, i) & STIMER.lazy) !== 0n) return now + period;
  const due = hv.mem.u64(viridianVcpu.stimerExpiration.addr(viridianOf(v), i)) + period;
  if (due > now) return due;
  const missed = (now - due) / period + 1n;
  return now + (missed > CATCH_UP ? period : period / missed || 1n);
}

/** Expires the timers that are due; the next deadline of the others, Infinity for none. Called with the lock held. */
export function runStimers(hv: Hypervisor, v: number, now: number): number {
  const dom = vcpuRecord.domain.get(hv.mem, v);
  if ((viridianFeatures(hv.mem, dom) & HVMPV_stimer) === 0) return Number.POSITIVE_INFINITY;
  let due = false;
  for (let i = 0; i < STIMERS; i++) {
    const deadline = hv.mem.n64(viridianVcpu.stimerDeadline.addr(viridianOf(v), i));
    if (deadline === 0 || deadline > now) continue;
    setDeadline(hv, v, i, 0);
    setPending(hv, v, i, true);
    due = true;
  }
  if (due) pollTimers(hv, v);
  let next = Number.POSITIVE_INFINITY;
  for (let i = 0; i < STIMERS; i++) {
    const deadline = hv.mem.n64(viridianVcpu.stimerDeadline.addr(viridianOf(v), i));
    if (deadline !== 0) next = Math.min(next, deadline);
  }
  return next;
}

/** Delivers the messages of expired timers for which there is room. Called with the lock held. */
export function pollTimers(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const pending = viridianVcpu.stimerPending.get(mem, viridianOf(v));
  for (let i = 0; pending !== 0 && i < STIMERS; i++) {
    if ((pending & (1 << i)) === 0) continue;
    const expiration = mem.u64(viridianVcpu.stimerExpiration.addr(viridianOf(v), i));
    const delivery = referenceTime(hv, vcpuRecord.domain.get(mem, v));
    const setting = config(hv, v, i);
    if (!deliverTimerMessage(hv, v, stimerSint(setting), i, expiration, delivery)) continue;
    setPending(hv, v, i, false);
    if (setting & STIMER.periodic) start(hv, v, i, true);
    else setConfig(hv, v, i, setting & ~STIMER.enable);
  }
}
