/** What the toolstack says and hears about a domain. */
import * as abi from '../abi/domctl.ts';
import type { Mem } from '../base/mem.ts';

export interface CreateDomain {
  /** 0: any free one. */
  domid?: number;
  handle: Uint8Array;
  /** XEN_DOMCTL_CDF_*. */
  flags: number;
  /** XEN_X86_EMU_*. */
  emulationFlags: number;
  maxVcpus: number;
  maxEvtchnPort: number;
  /** -1: the hypervisor's default. */
  maxGrantFrames: number;
  maxMaptrackFrames: number;
  /** The highest grant table version. */
  grantVersion: number;
  ssidref?: number;
}

export interface DomainInfo {
  domid: number;
  /** XEN_DOMINF_* without the shutdown code. */
  flags: number;
  dying: boolean;
  hvm: boolean;
  shutdown: boolean;
  paused: boolean;
  blocked: boolean;
  running: boolean;
  shutdownCode: number;
  totPages: number;
  maxPages: number;
  outstandingPages: number;
  sharedInfoFrame: number;
  cpuTimeNs: number;
  onlineVcpus: number;
  maxVcpuId: number;
  ssidref: number;
  handle: Uint8Array;
  cpupool: number;
}

export interface E820Entry {
  addr: number;
  size: number;
  type: number;
}

/** Decodes a xen_domctl_getdomaininfo. */
export function readDomainInfo(mem: Mem, at: number): DomainInfo {
  const s = abi.xen_domctl_getdomaininfo;
  const flags = s.flags.get(mem, at);
  return {
    domid: s.domain.get(mem, at),
    flags: flags & 0xffff,
    dying: (flags & abi.XEN_DOMINF_dying) !== 0,
    hvm: (flags & abi.XEN_DOMINF_hvm_guest) !== 0,
    shutdown: (flags & abi.XEN_DOMINF_shutdown) !== 0,
    paused: (flags & abi.XEN_DOMINF_paused) !== 0,
    blocked: (flags & abi.XEN_DOMINF_blocked) !== 0,
    running: (flags & abi.XEN_DOMINF_running) !== 0,
    shutdownCode: (flags >>> abi.XEN_DOMINF_shutdownshift) & abi.XEN_DOMINF_shutdownmask,
    totPages: s.tot_pages.get(mem, at),
    maxPages: s.max_pages.get(mem, at),
    outstandingPages: s.outstanding_pages.get(mem, at),
    sharedInfoFrame: s.shared_info_frame.get(mem, at),
    cpuTimeNs: s.cpu_time.get(mem, at),
    onlineVcpus: s.nr_online_vcpus.get(mem, at),
    maxVcpuId: s.max_vcpu_id.get(mem, at),
    ssidref: s.ssidref.get(mem, at),
    handle: mem.copy(s.handle.addr(at), 16),
    cpupool: s.cpupool.get(mem, at),
  };
}
