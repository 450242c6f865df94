/** The save records of Viridian's state, for domains that have some. @abi public/arch-x86/hvm/save.h */
import { XEN_EINVAL } from '../../abi/errno.ts';
import {
  hvm_viridian_vcpu_context as c,
  hvm_viridian_domain_context as d,
  HVM_SAVE_CODE,
} from '../../abi/hvm_save.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import type { SaveRecord } from './save-record.ts';
import { SINT, SINTS, STIMERS, viridianDomain, viridianVcpu } from './viridian-abi.ts';
import { viridianFeatures, viridianOf } from './viridian-assist.ts';
import { loadStimer, publishReferenceTsc, referenceTime } from './viridian-time.ts';

const present = (hv: Hypervisor, dom: number): boolean => viridianFeatures(hv.mem, dom) !== 0;

export const viridianDomainRecord: SaveRecord = {
  code: HVM_SAVE_CODE.VIRIDIAN_DOMAIN,
  name: 'VIRIDIAN_DOMAIN',
  size: d.$.size,
  perVcpu: false,
  present,
  save(hv, v, out, at) {
    const dom = vcpuRecord.domain.get(hv.mem, v);
    const state = domainRecord.viridian.addr(dom);
    d.hypercall_gpa.set(out, at, viridianDomain.hypercallGpa.get(hv.mem, state));
    d.guest_os_id.set(out, at, viridianDomain.guestOsId.get(hv.mem, state));
    d.time_ref_count.set(out, at, referenceTime(hv, dom));
    d.reference_tsc.set(out, at, viridianDomain.referenceTsc.get(hv.mem, state));
  },
  /** Reference time comes with the TSC. */
  load(hv, v, src, at) {
    const dom = vcpuRecord.domain.get(hv.mem, v);
    const state = domainRecord.viridian.addr(dom);
    viridianDomain.hypercallGpa.set(hv.mem, state, d.hypercall_gpa.get(src, at));
    viridianDomain.guestOsId.set(hv.mem, state, d.guest_os_id.get(src, at));
    viridianDomain.referenceTsc.set(hv.mem, state, d.reference_tsc.get(src, at));
    publishReferenceTsc(hv, dom);
    return 0;
  },
};

export const viridianVcpuRecord: SaveRecord = {
  code: HVM_SAVE_CODE.VIRIDIAN_VCPU,
  name: 'VIRIDIAN_VCPU',
  size: c.$.size,
  perVcpu: true,
  present,
  save({ mem }, v, out, at) {
    const state = viridianOf(v);
    c.vp_assist_msr.set(out, at, viridianVcpu.assist.get(mem, state));
    c.apic_assist_pending.set(out, at, viridianVcpu.assistPending.get(mem, state));
    c.simp_msr.set(out, at, viridianVcpu.simp.get(mem, state));
    for (let i = 0; i < SINTS; i++)
      out.setU64(c.sint_msr.addr(at, i), mem.u64(viridianVcpu.sint.addr(state, i)) ^ SINT.masked);
    for (let i = 0; i < STIMERS; i++) {
      out.setU64(c.stimer_config_msr.addr(at, i), mem.u64(viridianVcpu.stimerConfig.addr(state, i)));
      out.setU64(c.stimer_count_msr.addr(at, i), mem.u64(viridianVcpu.stimerCount.addr(state, i)));
    }
  },
  load(hv, v, src, at) {
    const { mem } = hv;
    const state = viridianOf(v);
    if (src.slice(c._pad.addr(at), c._pad.type.size).some((byte) => byte !== 0)) return -XEN_EINVAL;
    viridianVcpu.assist.set(mem, state, c.vp_assist_msr.get(src, at));
    viridianVcpu.assistPending.set(mem, state, c.apic_assist_pending.get(src, at) === 0 ? 0 : 1);
    viridianVcpu.simp.set(mem, state, c.simp_msr.get(src, at));
    for (let i = 0; i < SINTS; i++)
      mem.setU64(viridianVcpu.sint.addr(state, i), src.u64(c.sint_msr.addr(at, i)) ^ SINT.masked);
    for (let i = 0; i < STIMERS; i++)
      loadStimer(hv, v, i, src.u64(c.stimer_config_msr.addr(at, i)), src.u64(c.stimer_count_msr.addr(at, i)));
    return 0;
  },
};
