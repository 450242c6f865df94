/** Domains: creation, pausing, shutdown, crash and destruction. All of it under the hypervisor lock. */
import { XEN_ENOMEM, XEN_ERESTART } from '../../abi/errno.ts';
import { HVM_PARAM_TRIPLE_FAULT_REASON } from '../../abi/hvm_params.ts';
import { SHUTDOWN_crash, SHUTDOWN_reboot } from '../../abi/sched.ts';
import { VIRQ_DOM_EXC, vcpu_info } from '../../abi/xen.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import { destroyEvtchns, initEvtchns, raiseGlobalVirq } from '../evtchn/index.ts';
import { destroyGrants, initGrants } from '../gnttab/index.ts';
import { offerNested, releasePolicy } from '../hvm/cpu-policy.ts';
import { lapicReset } from '../hvm/vlapic.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { allocSharedPage, putFrame, sharedMappedAt } from '../mm/frames.ts';
import { destroyPhysmap, makePhysmap, removePage } from '../mm/physmap.ts';
import {
  DOMAIN_TYPE,
  domainRecord,
  MAX_DOMAINS,
  RUNSTATE,
  rootRecord,
  VCPU_CPU_OFFSET,
  VCPU_FRAMES,
  vcpuRecord,
} from '../records.ts';
import { publishTime, updateWallclock } from '../time.ts';
import { dumpRegisters } from './dump.ts';
import { cpuTime, isRunning, vcpuReconsider } from './vcpu.ts';

/** Weight that an xl.cfg which names none gets; credit2's unit. */
export const DEFAULT_WEIGHT = 256;
/** vCPUs that have their vcpu_info in shared_info. */
const LEGACY_VCPUS = 32;

export interface DomainSpec {
  domid: number;
  type: number;
  createFlags: number;
  emulationFlags: number;
  privileged: boolean;
  ssidref: number;
  handle: Uint8Array;
  maxVcpus: number;
  maxEvtchnPort: number;
  maxGrantFrames: number;
  maxMaptrackFrames: number;
  maxGrantVersion: number;
}

/** A paused domain without memory or vCPUs: its record, or -errno. */
export function createDomain(hv: Hypervisor, spec: DomainSpec): number {
  const { mem, machine } = hv;
  const page = machine.allocFrame();
  if (page < 0) return -XEN_ENOMEM;
  const dom = page * 4096;
  const d = domainRecord;
  d.domid.set(mem, dom, spec.domid);
  d.type.set(mem, dom, spec.type);
  d.createFlags.set(mem, dom, spec.createFlags);
  d.emulationFlags.set(mem, dom, spec.emulationFlags);
  d.privileged.set(mem, dom, spec.privileged ? 1 : 0);
  d.ssidref.set(mem, dom, spec.ssidref);
  mem.write(d.handle.addr(dom), spec.handle);
  d.maxVcpus.set(mem, dom, spec.maxVcpus);
  d.maxVcpuId.set(mem, dom, -1);
  d.pauseCount.set(mem, dom, 1);
  d.controllerPaused.set(mem, dom, 1);
  d.wide.set(mem, dom, 1);
  d.cpuWeight.set(mem, dom, DEFAULT_WEIGHT);
  d.createdNs.set(mem, dom, hv.now());
  d.tscOffset.set(mem, dom, BigInt.asUintN(64, -BigInt(Math.round(hv.clock.now()))));
  d.maxGrantVersion.set(mem, dom, spec.maxGrantVersion);
  mem.setN64(d.hvmParams.addr(dom, HVM_PARAM_TRIPLE_FAULT_REASON), SHUTDOWN_reboot);
  const bad = fillDomain(hv, dom, spec);
  if (bad !== 0) {
    releaseDomain(hv, dom);
    return bad;
  }
  mem.setU32(rootRecord.domains.addr(hv.root, spec.domid), dom);
  updateWallclock(hv, dom);
  return dom;
}

/** The parts of a domain that need memory. 0 or -errno; what was made is found in the record. */
function fillDomain(hv: Hypervisor, dom: number, spec: DomainSpec): number {
  const { mem } = hv;
  const root = makePhysmap(hv);
  if (root === 0) return -XEN_ENOMEM;
  domainRecord.p2mRoot.set(mem, dom, root);
  const shared = allocSharedPage(hv, spec.domid);
  if (shared < 0) return -XEN_ENOMEM;
  domainRecord.sharedInfo.set(mem, dom, shared * 4096);
  if (!offerNested(hv, dom)) return -XEN_ENOMEM;
  return (
    initEvtchns(hv, dom, spec.maxEvtchnPort) ||
    initGrants(hv, dom, spec.maxGrantFrames, spec.maxMaptrackFrames, spec.maxGrantVersion)
  );
}

/** Gives back everything a domain holds; its record is gone afterwards. */
function releaseDomain(hv: Hypervisor, dom: number): void {
  const { mem, machine } = hv;
  if (domainRecord.evtchnTable.get(mem, dom) !== 0) destroyEvtchns(hv, dom);
  if (domainRecord.grantTable.get(mem, dom) !== 0) destroyGrants(hv, dom);
  const shared = domainRecord.sharedInfo.get(mem, dom);
  releaseVcpus(hv, dom);
  if (shared !== 0 && sharedMappedAt(hv, shared / 4096) >= 0)
    removePage(hv, dom, sharedMappedAt(hv, shared / 4096));
  destroyPhysmap(hv, dom);
  if (shared !== 0) putFrame(hv, shared / 4096);
  const e820 = domainRecord.e820.get(mem, dom);
  if (e820 !== 0) machine.freeFrameRun(e820 / 4096);
  releasePolicy(hv, dom);
  const claimed = domainRecord.claimed.get(mem, dom);
  rootRecord.claimedPages.set(mem, hv.root, rootRecord.claimedPages.get(mem, hv.root) - claimed);
  const slot = rootRecord.domains.addr(hv.root, domainRecord.domid.get(mem, dom));
  if (mem.u32(slot) === dom) mem.setU32(slot, 0);
  machine.freeFrameRun(dom / 4096);
}

/** Makes vCPU `id`, offline; its record, or -errno. Domain 0's has no CPU of the machine's. */
export function createVcpu(hv: Hypervisor, dom: number, id: number): number {
  const { mem } = hv;
  const isDom0 = domainRecord.type.get(mem, dom) === DOMAIN_TYPE.dom0;
  const first = hv.machine.allocFrames(isDom0 ? 1 : VCPU_FRAMES);
  if (first < 0) return -XEN_ENOMEM;
  const v = first * 4096;
  vcpuRecord.id.set(mem, v, id);
  vcpuRecord.domain.set(mem, v, dom);
  vcpuRecord.runstate.set(mem, v, RUNSTATE.offline);
  vcpuRecord.runstateSince.set(mem, v, hv.now());
  vcpuRecord.hardAffinity.set(mem, v, 0xffff_ffff);
  vcpuRecord.softAffinity.set(mem, v, 0xffff_ffff);
  vcpuRecord.tscMode.set(mem, v, domainRecord.tscMode.get(mem, dom));
  vcpuRecord.mtrrDefType.set(mem, v, 0xc06n); // enabled, write-back, as the firmware would leave it
  lapicReset(mem, v);
  if (id < LEGACY_VCPUS) {
    vcpuRecord.vcpuInfo.set(mem, v, domainRecord.sharedInfo.get(mem, dom) + id * vcpu_info.$.size);
  }
  mem.setU32(domainRecord.vcpus.addr(dom, id), v);
  domainRecord.maxVcpuId.set(mem, dom, Math.max(domainRecord.maxVcpuId.get(mem, dom), id));
  if (isDom0) return v;
  const cpu = v + VCPU_CPU_OFFSET;
  vcpuRecord.cpu.set(mem, v, cpu);
  cpuState.p2mRoot.set(mem, cpu, domainRecord.p2mRoot.get(mem, dom));
  cpuState.tscOffset.set(mem, cpu, domainRecord.tscOffset.get(mem, dom));
  vcpuRecord.next.set(mem, v, rootRecord.vcpuList.get(mem, hv.root));
  rootRecord.vcpuList.set(mem, hv.root, v);
  publishTime(hv, v);
  return v;
}

/** Takes a dying domain's vCPUs out of the list; a physical CPU releases their engine state later. */
function releaseVcpus(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  let link = rootRecord.vcpuList.addr(hv.root);
  while (mem.u32(link) !== 0) {
    const v = mem.u32(link);
    const next = vcpuRecord.next.get(mem, v);
    if (vcpuRecord.domain.get(mem, v) !== dom) {
      link = vcpuRecord.next.addr(v);
      continue;
    }
    mem.setU32(link, next);
    mem.setU32(domainRecord.vcpus.addr(dom, vcpuRecord.id.get(mem, v)), 0);
    const info = vcpuRecord.vcpuInfoRegistered.get(mem, v);
    if (info !== 0) putFrame(hv, Math.floor(vcpuRecord.vcpuInfo.get(mem, v) / 4096));
    if (vcpuRecord.cpuReady.get(mem, v) === 0) {
      hv.machine.freeFrameRun(v / 4096, VCPU_FRAMES);
    } else {
      vcpuRecord.next.set(mem, v, rootRecord.reap.get(mem, hv.root));
      rootRecord.reap.set(mem, hv.root, v);
    }
  }
}

/** Calls `run` for each vCPU of the domain. */
export function forEachVcpu(hv: Hypervisor, dom: number, run: (v: number) => void): void {
  const count = domainRecord.maxVcpuId.get(hv.mem, dom) + 1;
  for (let id = 0; id < count; id++) {
    const v = hv.vcpu(dom, id);
    if (v !== 0) run(v);
  }
}

export function anyRunning(hv: Hypervisor, dom: number): boolean {
  let running = false;
  forEachVcpu(hv, dom, (v) => {
    running ||= vcpuRecord.cpu.get(hv.mem, v) !== 0 && isRunning(hv, v);
  });
  return running;
}

export function domainPause(hv: Hypervisor, dom: number): void {
  domainRecord.pauseCount.set(hv.mem, dom, domainRecord.pauseCount.get(hv.mem, dom) + 1);
  forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
}

export function domainUnpause(hv: Hypervisor, dom: number): void {
  domainRecord.pauseCount.set(hv.mem, dom, domainRecord.pauseCount.get(hv.mem, dom) - 1);
  forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
}

/** The domain stops, with a reason for its toolstack; a second shutdown changes nothing. */
export function domainShutdown(hv: Hypervisor, dom: number, reason: number): void {
  const { mem } = hv;
  if (domainRecord.shutdown.get(mem, dom) !== 0 || domainRecord.dying.get(mem, dom) !== 0) return;
  if (domainRecord.shutdownCode.get(mem, dom) === 0) domainRecord.shutdownCode.set(mem, dom, reason);
  domainRecord.shutdown.set(mem, dom, 1);
  mem.fill(domainRecord.watchdogs.addr(dom), domainRecord.watchdogs.type.size);
  forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
  raiseGlobalVirq(hv, VIRQ_DOM_EXC);
}

/** A domain did what it may not, or met what we do not have: it alone stops, and the log says why. */
export function domainCrash(hv: Hypervisor, v: number, reason: string): void {
  const dom = vcpuRecord.domain.get(hv.mem, v);
  if (domainRecord.shutdown.get(hv.mem, dom) !== 0) return;
  const name = `Domain ${domainRecord.domid.get(hv.mem, dom)} (vcpu#${vcpuRecord.id.get(hv.mem, v)})`;
  hv.print(`${name} crashed on cpu#${Math.max(0, hv.pcpu)}: ${reason}`, 'error');
  dumpRegisters(hv, v);
  domainRecord.shutdownCode.set(hv.mem, dom, 0);
  domainShutdown(hv, dom, SHUTDOWN_crash);
}

/** What the domain's vCPUs did, for whoever measures; time is time on a physical CPU. */
function printWork(hv: Hypervisor, dom: number): void {
  let millions = 0;
  let seconds = 0;
  forEachVcpu(hv, dom, (v) => {
    const cpu = vcpuRecord.cpu.get(hv.mem, v);
    millions += cpu === 0 ? 0 : cpuState.icount.get(hv.mem, cpu) / 1e6;
    seconds += cpuTime(hv, v) / 1e9;
  });
  const rate = seconds > 0 ? millions / seconds : 0;
  const amounts = `${millions.toFixed(1)} million guest instructions, ${seconds.toFixed(2)} s of CPU`;
  hv.print(`d${domainRecord.domid.get(hv.mem, dom)}: ${amounts}, ${rate.toFixed(1)} million/s`, 'debug');
}

/** Destroys a domain: 0, or -ERESTART while a vCPU of it is still on a CPU. */
export function destroyDomain(hv: Hypervisor, dom: number): number {
  const { mem } = hv;
  if (domainRecord.dying.get(mem, dom) === 0) {
    domainRecord.dying.set(mem, dom, 1);
    forEachVcpu(hv, dom, (v) => vcpuReconsider(hv, v));
  }
  if (anyRunning(hv, dom)) return -XEN_ERESTART;
  printWork(hv, dom);
  releaseDomain(hv, dom);
  raiseGlobalVirq(hv, VIRQ_DOM_EXC);
  if (rootRecord.reap.get(mem, hv.root) !== 0) {
    for (let id = 0; id < hv.pcpuCount; id++) hv.kickPcpu(id);
  }
  return 0;
}

/** A domid that is free, from where the last search ended; -1 when all are taken. */
export function findDomid(hv: Hypervisor): number {
  const { mem } = hv;
  const start = Math.max(1, rootRecord.nextDomid.get(mem, hv.root));
  for (let i = 0; i < MAX_DOMAINS; i++) {
    const domid = (start + i) % MAX_DOMAINS;
    if (domid === 0 || hv.domain(domid) !== 0) continue;
    rootRecord.nextDomid.set(mem, hv.root, domid + 1);
    return domid;
  }
  return -1;
}
