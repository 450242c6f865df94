/**
 * What a vCPU of an HVM-type guest has to take: an event upcall by callback vector, or an interrupt of its local APIC.
 *
 * The callback vector needs no APIC: it is delivered whenever vcpu_info says that an upcall is pending, again and again
 * until the guest clears that. A vector of the vCPU's own (HVMOP_set_evtchn_upcall_vector) goes through the APIC, as an
 * edge, and takes the callback's place.
 */
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR } from '../../abi/hvm_params.ts';
import type { Mem } from '../../base/mem.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import { assistPending } from './viridian-assist.ts';
import { lapicPending, lapicSettle } from './vlapic.ts';

/** The domain's callback vector, 0 for none or another type of callback. */
export function callbackVector(m: Mem, dom: number): number {
  const param = domainRecord.hvmParams.addr(dom, HVM_PARAM_CALLBACK_IRQ);
  return m.u8(param + 7) === HVM_PARAM_CALLBACK_TYPE_VECTOR ? m.u8(param) : 0;
}

/** evtchn_upcall_pending is the first byte of vcpu_info in both widths. */
export function upcallPending(m: Mem, v: number): boolean {
  const info = vcpuRecord.vcpuInfo.get(m, v);
  return info !== 0 && m.u8(info) !== 0;
}

/** 0x100 | vector for a callback, the vector for a local APIC interrupt, -1 for nothing. */
export function pendingInterrupt(m: Mem, v: number): number {
  if (vcpuRecord.upcallVector.get(m, v) === 0 && upcallPending(m, v)) {
    const vector = callbackVector(m, vcpuRecord.domain.get(m, v));
    if (vector !== 0) return 0x100 | vector;
  }
  if (assistPending(m, v)) lapicSettle(m, v);
  return lapicPending(m, v);
}

export const hasPending = (m: Mem, v: number): boolean =>
  vcpuRecord.nmiPending.get(m, v) !== 0 || pendingInterrupt(m, v) >= 0;
