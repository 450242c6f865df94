/**
 * The hypervisor's own state, as records in machine memory: whatever two physical CPUs (threads) both need is here, and
 * nowhere else. A JavaScript object may cache an address, never a fact.
 *
 * Everything below is guarded by the one hypervisor lock (`Machine.rootLock`) unless it says otherwise.
 */
import { array, block, n64, s32, struct, u8, u16, u32, u64 } from '../base/layout.ts';
import { CPU_BYTES } from '../machine/interp/record.ts';
import { hpetState, ioapicState } from './hvm/devices.ts';
import { viridianDomain, viridianVcpu } from './hvm/viridian-abi.ts';

export const MAX_DOMAINS = 1024;
export const MAX_VCPUS = 128;
export const MAX_PCPUS = 8;
export const NR_VIRQS = 24;

/** Longest command line, with its NUL. @abi public/version.h (XEN_COMMANDLINE_LEN) */
const COMMAND_LINE = 1024;

/** The root, found through `Machine.root`. */
export const rootRecord = struct('hv_root', {
  /** Addresses of domain records, 0 for none; index is the domid. */
  domains: array(u32, MAX_DOMAINS),
  nextDomid: u32,
  pcpuCount: u32,
  /** Addresses of pcpu records. */
  pcpus: array(u32, MAX_PCPUS),
  /** Host clock (ns) at which Xen's system time is 0. */
  bootNs: n64,
  /** Frequency of every guest TSC, kHz. */
  tscKhz: u32,
  /** Owner and port of the global VIRQs: the domain that gets each (0 = dom0). */
  globalVirqDomain: array(u16, NR_VIRQS),
  /** Machine address of the console log ring, and its producer. */
  conRing: u32,
  conRingProd: u32,
  /** First byte that `readconsole` has not been told to forget. */
  conRingCons: u32,
  /** Wall clock (UTC) at system time 0. */
  wallSec: u32,
  wallNsec: u32,
  /** Every guest vCPU (not dom0's), linked by `next`: what the scheduler and the timers walk. */
  vcpuList: u32,
  /** vCPUs of destroyed domains whose engine state waits for a pcpu to release it, linked by `next`. */
  reap: u32,
  /** System time of the earliest timer of all; read without the lock, so only a hint between two scans. */
  nextDeadline: n64,
  /** Scheduler: the least virtual time of those that run or wait to. */
  minVirtual: n64,
  /** Frames (by number) that no one owns but a running vCPU may still reach through its TLB, see mm/frames.ts. */
  limbo: u32,
  /** vCPUs in MWAIT, or a little more, see sched/monitor.ts. */
  monitors: u32,
  /** Pages promised to domains that are still being built. */
  claimedPages: u32,
  /** The hypervisor's command line, and what of it others must know; constant. */
  commandLine: block(COMMAND_LINE),
  hvmFep: u32,
  /** Somebody profiles: see `vcpuRecord.waitsSince`; constant. */
  profiling: u32,
});

export const pcpuRecord = struct('hv_pcpu', {
  id: u32,
  /** Set non-zero (with Atomics.notify) to wake the CPU or to make it look around. Atomic, no lock. */
  kick: u32,
  /** Address of the vcpu record now running here, 0 when idle. */
  current: u32,
  /** 1 while the thread sleeps. Atomic. */
  idle: u32,
  /** Ask to stop (machine shutdown). Atomic. */
  stop: u32,
  idleNs: n64,
  /** Frames whose translated code this CPU must forget: first page of a list, see mm/code.ts. */
  dropList: u32,
});

/** Bytes a guest wrote to its debug console since the last newline. */
export const CONSOLE_LINE = 160;

export const DOMAIN_TYPE = { pv: 0, hvm: 1, pvh: 2, dom0: 3 } as const;

export const domainRecord = struct('hv_domain', {
  domid: u32,
  type: u32,
  /** domctl createdomain flags and emulation flags. */
  createFlags: u32,
  emulationFlags: u32,
  privileged: u32,
  ssidref: u32,
  handle: block(16),
  /** Counts; a domain runs only when pauseCount is 0. */
  pauseCount: s32,
  /** 1 paused by the toolstack (getdomaininfo's "paused"). */
  controllerPaused: u32,
  dying: u32,
  shutdown: u32,
  shutdownCode: u32,
  crashLogged: u32,
  maxVcpus: u32,
  vcpus: array(u32, MAX_VCPUS),
  /** Pages now and the limit. */
  totPages: u32,
  maxPages: u32,
  p2mRoot: u32,
  maxGfn: u32,
  sharedInfo: u32, // machine address of the shared_info page
  /** 1 once the 64-bit layout is latched, 0 for 32-bit. */
  wide: u32,
  vmAssist: u32,
  timeOffsetSec: s32,
  createdNs: n64,
  // Event channels
  evtchnMax: u32,
  /** Address of the event-channel bucket directory; owned by evtchn/. */
  evtchnTable: u32,
  evtchnFifo: u32,
  evtchnNext: u32,
  // Grant table; owned by gnttab/
  grantTable: u32,
  maxGrantFrames: u32,
  maxMaptrackFrames: u32,
  maxGrantVersion: u32,
  // HVM
  hvmParams: array(u64, 39),
  /** Frames given by XENMEM_set_memory_map: address of the copied e820, and its entries. */
  e820: u32,
  e820Count: u32,
  virqPorts: array(u32, NR_VIRQS), // ports of this domain's global and per-domain VIRQs, 0 none
  watchdogs: array(n64, 2),
  cpuWeight: u32,
  /** Percent of one CPU, 0 for no limit; ns of it used up, and when (system time, 0 never) there is more. */
  cpuCap: u32,
  capSpent: n64,
  capRefill: n64,
  /** Toolstack domain handle's companion facts. */
  target: u32,
  claimed: u32,
  pagingPool: n64,
  maxVcpuId: s32,
  viridian: block(viridianDomain.$.size, 8),
  ioapic: block(ioapicState.$.size, 8),
  hpet: block(hpetState.$.size, 8),
  // Time
  tscMode: u32,
  tscIncarnation: u32,
  /** Added to the host clock (ns) to give every vCPU's initial TSC; two's complement. */
  tscOffset: u64,
  // Log
  conLen: u32,
  conLine: block(CONSOLE_LINE),
  /** Hypercall numbers, and kinds of access, that were reported once already. */
  loggedCalls: array(u32, 2),
  loggedAccess: u32,
  /** Page of the CPU policy that a toolstack set, see hvm/cpu-policy.ts; 0: the default. */
  cpuPolicy: u32,
  /** 1 once XEN_DOMCTL_createdomain's first unpause happened. */
  started: u32,
});

export const RUNSTATE = { running: 0, runnable: 1, blocked: 2, offline: 3 } as const;

export const vcpuRecord = struct('hv_vcpu', {
  id: u32,
  domain: u32,
  /** Address of the machine's cpuState record; 0 for dom0's. */
  cpu: u32,
  online: u32,
  initialised: u32,
  pauseCount: s32,
  /** 1 while waiting for an event (HLT, SCHEDOP_block, poll). */
  blocked: u32,
  /** 1 while it waits in MWAIT. */
  monitoring: u32,
  pollPorts: u32,
  runstate: u32,
  runstateSince: n64,
  runstateTime: array(n64, 4),
  runstateAreaVa: u64, // 0 none
  timeAreaVa: u64,
  /** Machine address of this vCPU's vcpu_info (in shared_info until registered elsewhere), 0 if none. */
  vcpuInfo: u32,
  vcpuInfoRegistered: u32,
  /** Deadlines in system time ns; 0 off. */
  singleshot: n64,
  periodicNext: n64,
  periodicPeriod: n64,
  pollDeadline: n64,
  virqPorts: array(u32, NR_VIRQS),
  /** FIFO control block: machine address, 0 before init_control. */
  fifoControl: u32,
  fifoTails: array(u32, 16),
  /** HVMOP_set_evtchn_upcall_vector, 0 none. */
  upcallVector: u32,
  nmiPending: u32,
  /** Local APIC state; owned by hvm/vlapic. */
  lapic: block(1024, 8),
  /** Scheduler: virtual time consumed (ns) scaled by weight, and the pcpu it last ran on. */
  credit: n64,
  pcpu: u32,
  cpuTimeNs: n64,
  tscMode: u8,
  /** CPUs, as a mask, whose engines have released it; all of them and it is freed. */
  reaped: u32,
  /** Next in `vcpuList` or `reap`. */
  next: u32,
  /** Physical CPUs it may run on, as a mask. */
  hardAffinity: u32,
  softAffinity: u32,
  /** 1 once an engine has prepared the cpuState record; before, it only holds registers. */
  cpuReady: u32,
  /** Registers that shape translation were written from outside since the engine last looked. */
  cpuDirty: u32,
  /** 1 once the times were published since it was last chosen to run. */
  entered: u32,
  /** The p2m lost or changed a mapping: flush before running on. */
  flushPending: u32,
  /** 0x100 | vector once a start-up IPI waits to be taken. */
  sipi: u32,
  /** Low words of the TSC offset that the published time info was made with. */
  timeTscLo: u32,
  timeTscHi: u32,
  /** 1 once time info was published. */
  timeValid: u32,
  // Local APIC beside its register page, see hvm/vlapic.ts
  apicBase: n64,
  lapicDisabled: u32,
  lapicDivisor: u32,
  lapicTdt: u64,
  /** Errors since the guest last wrote ESR. */
  lapicErrors: u32,
  /** System time of the timer's next interrupt, 0 off; its start and period in ns. */
  lapicDeadline: n64,
  lapicStart: n64,
  lapicPeriod: n64,
  // MTRRs, storage only
  mtrrDefType: u64,
  mtrrFixed: array(u64, 11),
  mtrrVar: array(u64, 16),
  viridian: block(viridianVcpu.$.size, 8),
  timeAreaVersion: u32,
  /** Room to put together what is copied to a guest's time areas. */
  areaScratch: block(64, 8),
  /** While somebody profiles: system time at which the interrupt that it has to take was raised or due, 0 for none. */
  waitsSince: n64,
});

/** A vCPU's frames: a page with its record, then the machine's cpuState with what the engines keep behind it. */
export const VCPU_CPU_OFFSET = 4096;
export const VCPU_FRAMES = 1 + Math.ceil(CPU_BYTES / 4096);
