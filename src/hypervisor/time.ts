/**
 * Time as guests see it. System time is nanoseconds since the hypervisor's boot. A guest's TSC runs at 1 GHz on the same
 * clock, so one published (tsc, system time) pair stays exact until the guest's TSC offset changes.
 *
 *   vcpu_time_info: odd version while it is written; system_time + scaled (TSC - tsc_timestamp) is the time now
 *   wall clock:     wc_sec/wc_nsec is the UTC time at system time 0, under wc_version in the same way
 *
 * @abi public/xen.h, public/vcpu.h
 */

import { vcpu_runstate_info, vcpu_runstate_info_32 } from '../abi/vcpu.ts';
import {
  shared_info,
  shared_info_32,
  VMASST_TYPE_runstate_update_flag,
  vcpu_info,
  vcpu_time_info,
  vcpu_time_info_32,
  XEN_PVCLOCK_TSC_STABLE_BIT,
} from '../abi/xen.ts';
import type { Mem } from '../base/mem.ts';
import { cpuState } from '../machine/cpu-state.ts';
import type { Hypervisor } from './hypervisor.ts';
import { frameWritten } from './mm/code.ts';
import { domainRecord, rootRecord, vcpuRecord } from './records.ts';

/** Every guest's TSC: one tick is one nanosecond of the host's clock. */
export const TSC_KHZ = 1_000_000;

/** Multiplier and shift that turn TSC ticks into nanoseconds, as vcpu_time_info wants them. */
export function tscScale(khz: number): { mul: number; shift: number } {
  let hz = khz * 1000;
  let shift = 0;
  while (hz > 2e9) {
    hz = Math.floor(hz / 2);
    shift--;
  }
  while (hz <= 1e9) {
    hz *= 2;
    shift++;
  }
  return { mul: Math.floor((1e9 * 2 ** 32) / hz) >>> 0, shift };
}
const SCALE = tscScale(TSC_KHZ);

const signed64 = (m: Mem, a: number): number => m.u32(a) + m.s32(a + 4) * 2 ** 32;

/** The vCPU's TSC offset against the host clock, ns. */
export const tscOffset = (m: Mem, v: number): number =>
  signed64(m, cpuState.tscOffset.addr(vcpuRecord.cpu.get(m, v)));

/** The vCPU's TSC now. */
export function tscNow(hv: Hypervisor, v: number): bigint {
  const offset = cpuState.tscOffset.get(hv.mem, vcpuRecord.cpu.get(hv.mem, v));
  return BigInt.asUintN(64, BigInt(Math.round(hv.clock.now())) + offset);
}

/** System time at which the vCPU's TSC reads `tsc`. */
export const tscToSystem = (hv: Hypervisor, v: number, tsc: number): number =>
  tsc - tscOffset(hv.mem, v) - rootRecord.bootNs.get(hv.mem, hv.root);

/** Publishes the vCPU's time in its vcpu_info, if it has one. */
export function publishTime(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const offset = cpuState.tscOffset.addr(vcpuRecord.cpu.get(mem, v));
  vcpuRecord.timeTscLo.set(mem, v, mem.u32(offset));
  vcpuRecord.timeTscHi.set(mem, v, mem.u32(offset + 4));
  vcpuRecord.timeValid.set(mem, v, 1);
  const info = vcpuRecord.vcpuInfo.get(mem, v);
  if (info !== 0) writeTime(hv, v, vcpu_info.time.addr(info));
}

/** True when the guest moved its TSC since the last `publishTime`. */
export function timeIsStale(m: Mem, v: number): boolean {
  const offset = cpuState.tscOffset.addr(vcpuRecord.cpu.get(m, v));
  return (
    vcpuRecord.timeValid.get(m, v) === 0 ||
    m.u32(offset) !== vcpuRecord.timeTscLo.get(m, v) ||
    m.u32(offset + 4) !== vcpuRecord.timeTscHi.get(m, v)
  );
}

/** Writes a vcpu_time_info at a machine address. Both widths lay it out alike. */
function writeTime(hv: Hypervisor, v: number, at: number): void {
  const { mem } = hv;
  const t = vcpu_time_info;
  const version = t.version.addr(at);
  mem.atomicStore(version, mem.u32(version) | 1);
  const now = hv.now();
  const tsc = now + rootRecord.bootNs.get(mem, hv.root) + tscOffset(mem, v);
  mem.setN64(t.tsc_timestamp.addr(at), Math.max(0, tsc));
  t.system_time.set(mem, at, now);
  t.tsc_to_system_mul.set(mem, at, SCALE.mul);
  t.tsc_shift.set(mem, at, SCALE.shift);
  t.flags.set(mem, at, XEN_PVCLOCK_TSC_STABLE_BIT);
  mem.atomicStore(version, (mem.u32(version) + 1) >>> 0);
}

/** Sets the wall clock of a domain's shared_info. */
export function updateWallclock(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  const s = domainRecord.wide.get(mem, dom) ? shared_info : shared_info_32;
  const shared = domainRecord.sharedInfo.get(mem, dom);
  const sec = rootRecord.wallSec.get(mem, hv.root) + domainRecord.timeOffsetSec.get(mem, dom);
  const version = s.wc_version.addr(shared);
  mem.atomicStore(version, mem.u32(version) | 1);
  s.wc_sec.set(mem, shared, sec >>> 0);
  s.wc_sec_hi.set(mem, shared, Math.floor(sec / 2 ** 32));
  s.wc_nsec.set(mem, shared, rootRecord.wallNsec.get(mem, hv.root));
  mem.atomicStore(version, (mem.u32(version) + 1) >>> 0);
}

// Areas that a guest registered by linear address. They are written when the vCPU is about to run, by its own CPU.

/** Copies `len` bytes at `from` in machine memory to a linear address of the vCPU; false where it does not translate. */
function writeLinear(hv: Hypervisor, v: number, va: bigint, from: number, len: number): boolean {
  const cpu = vcpuRecord.cpu.get(hv.mem, v);
  for (let done = 0; done < len; ) {
    const to = hv.engine?.linearToMaddr(cpu, BigInt.asUintN(64, va + BigInt(done)), true) ?? -1;
    if (to < 0) return false;
    const n = Math.min(len - done, 4096 - (to & 4095));
    hv.mem.move(to, from + done, n);
    frameWritten(hv, to >>> 12);
    done += n;
  }
  return true;
}

/** The second copy of the time, for user space. */
export function publishTimeArea(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const va = vcpuRecord.timeAreaVa.get(mem, v);
  if (va === 0n) return;
  const scratch = vcpuRecord.areaScratch.addr(v);
  mem.fill(scratch, vcpu_time_info.$.size);
  writeTime(hv, v, scratch);
  // A version that differs from the one there before, and even.
  mem.setU32(scratch, (vcpuRecord.timeAreaVersion.get(mem, v) + 2) >>> 0);
  vcpuRecord.timeAreaVersion.set(mem, v, mem.u32(scratch));
  writeLinear(hv, v, va, scratch, vcpu_time_info_32.$.size);
}

/** Fills a vcpu_runstate_info at a machine or scratch address. */
export function fillRunstate(hv: Hypervisor, v: number, to: Mem, at: number, wide: boolean): void {
  const { mem } = hv;
  const r = wide ? vcpu_runstate_info : vcpu_runstate_info_32;
  const state = vcpuRecord.runstate.get(mem, v);
  const since = vcpuRecord.runstateSince.get(mem, v);
  const now = hv.now();
  r.state.set(to, at, state);
  to.setN64(r.state_entry_time.addr(at), since);
  for (let i = 0; i < 4; i++) {
    const spent = mem.n64(vcpuRecord.runstateTime.addr(v, i)) + (i === state ? Math.max(0, now - since) : 0);
    to.setN64(r.time.addr(at, i), spent);
  }
}

/** Publishes the run state in the guest's area, with the update mark around it if the guest asked for that. */
export function publishRunstate(hv: Hypervisor, v: number): void {
  const { mem } = hv;
  const va = vcpuRecord.runstateAreaVa.get(mem, v);
  if (va === 0n) return;
  const dom = vcpuRecord.domain.get(mem, v);
  const wide = domainRecord.wide.get(mem, dom) !== 0;
  const r = wide ? vcpu_runstate_info : vcpu_runstate_info_32;
  const scratch = vcpuRecord.areaScratch.addr(v);
  fillRunstate(hv, v, mem, scratch, wide);
  const entryHi = r.state_entry_time.addr(scratch) + 4;
  const entryVa = va + BigInt(r.state_entry_time.offset + 4);
  const mark = (domainRecord.vmAssist.get(mem, dom) & (1 << VMASST_TYPE_runstate_update_flag)) !== 0;
  const hi = mem.u32(entryHi);
  if (mark) {
    mem.setU32(entryHi, (hi | 0x8000_0000) >>> 0);
    if (!writeLinear(hv, v, entryVa, entryHi, 4)) return;
  }
  if (!writeLinear(hv, v, va, scratch, r.$.size) || !mark) return;
  mem.setU32(entryHi, hi);
  writeLinear(hv, v, entryVa, entryHi, 4);
}
