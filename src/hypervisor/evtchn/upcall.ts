/** From "something is pending" to a vCPU that knows: vcpu_info's upcall flag, and the vCPUs that poll. */
import { vcpu_info, vcpu_info_32 } from '../../abi/xen.ts';
import { vcpuKickEvent } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, vcpuRecord } from '../records.ts';

/** The selector of either width; it is a C long. @abi public/xen.h vcpu_info */
const PENDING_SEL = {
  wide: vcpu_info.evtchn_pending_sel.offset,
  narrow: vcpu_info_32.evtchn_pending_sel.offset,
};

/** Sets evtchn_upcall_pending and kicks the vCPU if it was clear. */
export function markEventsPending(hv: Hypervisor, vcpu: number): void {
  const { mem } = hv;
  const info = vcpuRecord.vcpuInfo.get(mem, vcpu);
  if (info === 0 || (mem.atomicOr(info, 1) & 1) !== 0) return;
  vcpuKickEvent(hv, vcpu);
}

/** Sets a bit of the 2-level selector; true if it was clear. */
export function selectWord(hv: Hypervisor, dom: number, vcpu: number, bit: number): boolean {
  const { mem } = hv;
  const info = vcpuRecord.vcpuInfo.get(mem, vcpu);
  if (info === 0) return false;
  const offset = domainRecord.wide.get(mem, dom) ? PENDING_SEL.wide : PENDING_SEL.narrow;
  const mask = 1 << (bit & 31);
  return (mem.atomicOr(info + offset + (bit >>> 5) * 4, mask) & mask) === 0;
}

/** A poll ends on a pending port even where the event is masked, and so raises no upcall. */
export function checkPollers(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  const count = domainRecord.maxVcpus.get(mem, dom);
  for (let id = 0; id < count; id++) {
    const vcpu = mem.u32(domainRecord.vcpus.addr(dom, id));
    if (vcpu !== 0 && vcpuRecord.pollPorts.get(mem, vcpu) !== 0) vcpuKickEvent(hv, vcpu);
  }
}

/**
 * After vcpu_info moved: nothing may get lost between the old place and the new one, so everything is selected. The
 * guest sees an upcall with perhaps no port behind it, which it must bear anyway.
 */
export function recheckPending(hv: Hypervisor, vcpu: number): void {
  const { mem } = hv;
  const info = vcpuRecord.vcpuInfo.get(mem, vcpu);
  if (info === 0) return;
  const dom = vcpuRecord.domain.get(mem, vcpu);
  if (domainRecord.wide.get(mem, dom)) {
    mem.atomicStore(info + PENDING_SEL.wide, 0xffff_ffff);
    mem.atomicStore(info + PENDING_SEL.wide + 4, 0xffff_ffff);
  } else {
    mem.atomicStore(info + PENDING_SEL.narrow, 0xffff_ffff);
  }
  mem.atomicOr(info, 1);
  vcpuKickEvent(hv, vcpu);
}
