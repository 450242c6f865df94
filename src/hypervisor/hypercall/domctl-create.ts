/** XEN_DOMCTL_createdomain: every part of the configuration is checked before anything is made. */
import {
  XEN_X86_EMU_ALL,
  XEN_X86_EMU_HPET,
  XEN_X86_EMU_IOAPIC,
  XEN_X86_EMU_LAPIC,
  XEN_X86_MISC_FLAGS_MAX,
  xen_arch_domainconfig,
} from '../../abi/arch_x86.ts';
import * as d from '../../abi/domctl.ts';
import { XEN_EEXIST, XEN_EINVAL, XEN_ENOMEM, XEN_EOPNOTSUPP } from '../../abi/errno.ts';
import { DOMID_FIRST_RESERVED } from '../../abi/xen.ts';
import { createDomain, findDomid } from '../domain/domain.ts';
import type { Caller } from '../guest-copy.ts';
import { DOMAIN_TYPE, domainRecord, MAX_DOMAINS, MAX_VCPUS } from '../records.ts';

const KNOWN_FLAGS = d.XEN_DOMCTL_CDF_MAX * 2 - 1;
const KNOWN_IOMMU = d.XEN_DOMCTL_IOMMU_MAX * 2 - 1;
const KNOWN_MISC = XEN_X86_MISC_FLAGS_MAX * 2 - 1;
const DEFAULT_GRANT_FRAMES = 64;
const DEFAULT_MAPTRACK_FRAMES = 1024;
const MAX_GRANT_VERSION = 2;

/** DIVERGES: Xen gives a PVH domain local APICs and nothing else. */
const PVH_DEVICES = XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_HPET;

/** The new domain's id, or -errno. `domid` is the one wished for; 0 or a reserved one for any. */
export function createdomain(c: Caller, domid: number, u: number): number {
  const s = d.xen_domctl_createdomain;
  const { hv, mem } = c;
  const bad = checkConfig(c, u);
  if (bad !== 0) return bad;
  let id = domid;
  if (id === 0 || id >= DOMID_FIRST_RESERVED) id = findDomid(hv);
  else if (id >= MAX_DOMAINS) return -XEN_EINVAL;
  else if (hv.domain(id) !== 0) return -XEN_EEXIST;
  if (id < 0) return -XEN_ENOMEM;
  const emulation = xen_arch_domainconfig.emulation_flags.get(c.scratch, s.arch.addr(u));
  const frames = (n: number, dflt: number): number => (n < 0 ? dflt : n);
  const dom = createDomain(hv, {
    domid: id,
    type: (emulation & ~PVH_DEVICES) === 0 ? DOMAIN_TYPE.pvh : DOMAIN_TYPE.hvm,
    createFlags: s.flags.get(c.scratch, u),
    emulationFlags: emulation,
    privileged: false,
    ssidref: s.ssidref.get(c.scratch, u),
    handle: c.scratch.copy(s.handle.addr(u), 16),
    maxVcpus: s.max_vcpus.get(c.scratch, u),
    maxEvtchnPort: s.max_evtchn_port.get(c.scratch, u) | 0,
    maxGrantFrames: frames(s.max_grant_frames.get(c.scratch, u), DEFAULT_GRANT_FRAMES),
    maxMaptrackFrames: frames(s.max_maptrack_frames.get(c.scratch, u), DEFAULT_MAPTRACK_FRAMES),
    maxGrantVersion: s.grant_opts.get(c.scratch, u) & d.XEN_DOMCTL_GRANT_version_mask,
  });
  if (dom < 0) return dom;
  return domainRecord.domid.get(mem, dom);
}

function checkConfig(c: Caller, u: number): number {
  const s = d.xen_domctl_createdomain;
  const { hv, scratch } = c;
  const flags = s.flags.get(scratch, u);
  const emulation = xen_arch_domainconfig.emulation_flags.get(scratch, s.arch.addr(u));
  const misc = xen_arch_domainconfig.misc_flags.get(scratch, s.arch.addr(u));
  const refuse = (why: string, errno: number = XEN_EINVAL): number => {
    hv.print(`cannot create domain: ${why}`, 'warn');
    return -errno;
  };
  if ((flags & ~KNOWN_FLAGS) !== 0) return refuse(`unknown CDF flags ${flags.toString(16)}`);
  if ((flags & d.XEN_DOMCTL_CDF_hvm) === 0) return refuse('PV guests are not supported');
  if ((flags & d.XEN_DOMCTL_CDF_hap) === 0) return refuse('shadow paging is not supported');
  if (flags & d.XEN_DOMCTL_CDF_iommu) return refuse('IOMMU requested but not available');
  if (flags & d.XEN_DOMCTL_CDF_vpmu) return refuse('vPMU requested but not available');
  if ((s.iommu_opts.get(scratch, u) & ~KNOWN_IOMMU) !== 0 || s.iommu_opts.get(scratch, u) !== 0) {
    return refuse('IOMMU options without an IOMMU');
  }
  const maxVcpus = s.max_vcpus.get(scratch, u);
  if (maxVcpus < 1 || maxVcpus > MAX_VCPUS)
    return refuse(`${maxVcpus} vCPUs; 1 to ${MAX_VCPUS} are possible`);
  if (
    (emulation & ~XEN_X86_EMU_ALL) !== 0 ||
    (emulation & XEN_X86_EMU_LAPIC) === 0 ||
    (misc & ~KNOWN_MISC) !== 0
  ) {
    return refuse(`emulation flags ${emulation.toString(16)}, misc flags ${misc.toString(16)}`);
  }
  const version = s.grant_opts.get(scratch, u) & d.XEN_DOMCTL_GRANT_version_mask;
  if (version < 1 || version > MAX_GRANT_VERSION) return refuse(`grant table version ${version}`);
  if (s.vmtrace_size.get(scratch, u) !== 0)
    return refuse('vmtrace requested but not available', XEN_EOPNOTSUPP);
  if (s.cpupool_id.get(scratch, u) !== 0) return refuse('no such cpupool');
  return 0;
}
