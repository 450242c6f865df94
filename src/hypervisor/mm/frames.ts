/**
 * Frames of domains: allocation against the domain's limit, references, and freeing. A frame is freed with its last
 * reference, except that one which a running vCPU of any domain may still reach through its TLB waits in limbo until
 * that vCPU has flushed.
 */
import { at, struct, u32 } from '../../base/layout.ts';
import { frameInfo, OWNER_NONE } from '../../machine/machine.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, RUNSTATE, rootRecord, vcpuRecord } from '../records.ts';
import { frameWritten } from './code.ts';

/** frame_info.flags: the hypervisor's own page that a domain can map (shared_info, grant frames); not its RAM. The
 * low bits of the word are the engines'. */
export const FRAME_XENHEAP = 0x8000;

/** The words of frame_info that the machine leaves to us. */
const frameUse = struct('frame_use', {
  /** Where a XENHEAP frame is mapped: gfn + 1, 0 nowhere. */
  mappedAt: at(20, u32),
  /** Next frame in limbo. */
  next: at(24, u32),
});

export const frameOwner = (hv: Hypervisor, mfn: number): number =>
  frameInfo.owner.get(hv.mem, hv.machine.frame(mfn));

/** True for a page of the domain's RAM. */
export function isDomainRam(hv: Hypervisor, dom: number, mfn: number): boolean {
  const info = hv.machine.frame(mfn);
  if ((frameInfo.flags.get(hv.mem, info) & FRAME_XENHEAP) !== 0) return false;
  return frameInfo.owner.get(hv.mem, info) === domainRecord.domid.get(hv.mem, dom);
}

/**
 * Contiguous pages of RAM for a domain, each with one reference, the caller's; -1 when the domain may have no more, or
 * the machine has no such run.
 */
export function allocDomainPages(hv: Hypervisor, dom: number, count: number): number {
  const { mem } = hv;
  const have = domainRecord.totPages.get(mem, dom);
  if (have + count > domainRecord.maxPages.get(mem, dom)) return -1;
  const mfn = hv.machine.allocFrames(count, domainRecord.domid.get(mem, dom));
  if (mfn < 0) return -1;
  domainRecord.totPages.set(mem, dom, have + count);
  return mfn;
}

/** A zeroed page that the hypervisor shares with a domain; -1 when there is none. */
export function allocSharedPage(hv: Hypervisor, domid: number): number {
  const mfn = hv.machine.allocFrame(domid);
  if (mfn >= 0) frameInfo.flags.set(hv.mem, hv.machine.frame(mfn), FRAME_XENHEAP);
  return mfn;
}

export const sharedMappedAt = (hv: Hypervisor, mfn: number): number =>
  frameUse.mappedAt.get(hv.mem, hv.machine.frame(mfn)) - 1;
export const setSharedMappedAt = (hv: Hypervisor, mfn: number, gfn: number): void =>
  frameUse.mappedAt.set(hv.mem, hv.machine.frame(mfn), gfn + 1);

/** One more user of a frame. */
export function getFrame(hv: Hypervisor, mfn: number): void {
  const info = hv.machine.frame(mfn);
  frameInfo.count.set(hv.mem, info, frameInfo.count.get(hv.mem, info) + 1);
}

/** One user less; the last one frees the frame. */
export function putFrame(hv: Hypervisor, mfn: number): void {
  const info = hv.machine.frame(mfn);
  const left = frameInfo.count.get(hv.mem, info) - 1;
  if (left < 0) throw new Error(`frame ${mfn} is released more often than it was taken`);
  frameInfo.count.set(hv.mem, info, left);
  if (left > 0) return;
  frameWritten(hv, mfn);
  frameInfo.owner.set(hv.mem, info, OWNER_NONE);
  if (anyStaleTlb(hv)) {
    frameUse.next.set(hv.mem, info, rootRecord.limbo.get(hv.mem, hv.root));
    rootRecord.limbo.set(hv.mem, hv.root, mfn);
  } else {
    hv.machine.freeFrameRun(mfn);
  }
}

/** A page leaves a domain's RAM; whoever else still maps it keeps it alive. */
export function releaseDomainPage(hv: Hypervisor, dom: number, mfn: number): void {
  const { mem } = hv;
  domainRecord.totPages.set(mem, dom, domainRecord.totPages.get(mem, dom) - 1);
  putFrame(hv, mfn);
}

function anyStaleTlb(hv: Hypervisor): boolean {
  const { mem } = hv;
  for (let v = rootRecord.vcpuList.get(mem, hv.root); v !== 0; v = vcpuRecord.next.get(mem, v)) {
    if (vcpuRecord.flushPending.get(mem, v) === 0) continue;
    if (vcpuRecord.runstate.get(mem, v) === RUNSTATE.running && vcpuRecord.pcpu.get(mem, v) !== hv.pcpu)
      return true;
  }
  return false;
}

/** A mapping of the domain went away or changed: each of its vCPUs flushes before it goes on. */
export function p2mChanged(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  const count = domainRecord.maxVcpus.get(mem, dom);
  for (let id = 0; id < count; id++) {
    const v = hv.vcpu(dom, id);
    if (v === 0 || vcpuRecord.cpuReady.get(mem, v) === 0) continue;
    vcpuRecord.flushPending.set(mem, v, 1);
    if (vcpuRecord.runstate.get(mem, v) !== RUNSTATE.running) continue;
    if (vcpuRecord.pcpu.get(mem, v) !== hv.pcpu) hv.kickPcpu(vcpuRecord.pcpu.get(mem, v));
  }
}

/** Called by a CPU that has flushed: frees what no one can reach any more. */
export function drainLimbo(hv: Hypervisor): void {
  const { mem } = hv;
  if (rootRecord.limbo.get(mem, hv.root) === 0 || anyStaleTlb(hv)) return;
  for (let mfn = rootRecord.limbo.get(mem, hv.root); mfn !== 0; ) {
    const next = frameUse.next.get(mem, hv.machine.frame(mfn));
    hv.machine.freeFrameRun(mfn);
    mfn = next;
  }
  rootRecord.limbo.set(mem, hv.root, 0);
}
