/** What domctl's getdomaininfo and sysctl's list say of a domain. @abi public/domctl.h */
import { xen_arch_domainconfig } from '../../abi/arch_x86.ts';
import * as d from '../../abi/domctl.ts';
import type { Mem } from '../../base/mem.ts';
import { P2M_FRAMES } from '../../machine/p2m.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { sharedMappedAt } from '../mm/frames.ts';
import { DOMAIN_TYPE, domainRecord, vcpuRecord } from '../records.ts';
import { forEachVcpu } from './domain.ts';
import { cpuTime, isRunning } from './vcpu.ts';

const GPADDR_BITS = Math.log2(P2M_FRAMES) + 12;
const INVALID_GFN_LO = 0xffff_ffff;

/** Fills a xen_domctl_getdomaininfo (zeroed by the caller) at `to` of `out`. */
export function fillDomainInfo(hv: Hypervisor, dom: number, out: Mem, to: number): void {
  const { mem } = hv;
  const i = d.xen_domctl_getdomaininfo;
  i.domain.set(out, to, domainRecord.domid.get(mem, dom));
  i.tot_pages.set(out, to, domainRecord.totPages.get(mem, dom));
  i.max_pages.set(out, to, domainRecord.maxPages.get(mem, dom));
  i.outstanding_pages.set(out, to, domainRecord.claimed.get(mem, dom));
  const gfn = sharedMappedAt(hv, domainRecord.sharedInfo.get(mem, dom) / 4096);
  out.setU32(i.shared_info_frame.addr(to), gfn < 0 ? INVALID_GFN_LO : gfn);
  out.setU32(i.shared_info_frame.addr(to) + 4, gfn < 0 ? 0xffff_ffff : 0);
  i.ssidref.set(out, to, domainRecord.ssidref.get(mem, dom));
  out.write(i.handle.addr(to), mem.slice(domainRecord.handle.addr(dom), 16));
  i.gpaddr_bits.set(out, to, GPADDR_BITS);
  xen_arch_domainconfig.emulation_flags.set(
    out,
    i.arch_config.addr(to),
    domainRecord.emulationFlags.get(mem, dom),
  );
  fillVcpuFacts(hv, dom, out, to);
}

function fillVcpuFacts(hv: Hypervisor, dom: number, out: Mem, to: number): void {
  const { mem } = hv;
  const i = d.xen_domctl_getdomaininfo;
  let time = 0;
  let online = 0;
  let running = false;
  let allBlocked = true;
  forEachVcpu(hv, dom, (v) => {
    time += cpuTime(hv, v);
    if (vcpuRecord.online.get(mem, v) === 0) return;
    online++;
    if (vcpuRecord.blocked.get(mem, v) === 0) allBlocked = false;
    if (isRunning(hv, v)) running = true;
  });
  const type = domainRecord.type.get(mem, dom);
  const hvm = type === DOMAIN_TYPE.hvm || type === DOMAIN_TYPE.pvh;
  const shutdown = domainRecord.shutdown.get(mem, dom) !== 0;
  const code = domainRecord.shutdownCode.get(mem, dom) & d.XEN_DOMINF_shutdownmask;
  const flags =
    (domainRecord.dying.get(mem, dom) ? d.XEN_DOMINF_dying : 0) |
    (hvm ? d.XEN_DOMINF_hvm_guest | d.XEN_DOMINF_hap : 0) |
    (shutdown ? d.XEN_DOMINF_shutdown | (code << d.XEN_DOMINF_shutdownshift) : 0) |
    (domainRecord.controllerPaused.get(mem, dom) ? d.XEN_DOMINF_paused : 0) |
    (allBlocked ? d.XEN_DOMINF_blocked : 0) |
    (running ? d.XEN_DOMINF_running : 0) |
    (domainRecord.createFlags.get(mem, dom) & d.XEN_DOMCTL_CDF_xs_domain ? d.XEN_DOMINF_xs_domain : 0);
  i.flags.set(out, to, flags);
  i.cpu_time.set(out, to, time);
  i.nr_online_vcpus.set(out, to, online);
  i.max_vcpu_id.set(out, to, domainRecord.maxVcpuId.get(mem, dom) >>> 0);
}
