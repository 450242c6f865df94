/** Raising events: notifications between domains, virtual interrupts, unmasking. */
import { XEN_EINVAL } from '../../abi/errno.ts';
import { VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from '../../abi/xen.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, NR_VIRQS, rootRecord, vcpuRecord } from '../records.ts';
import type { EvtchnAbi } from './abi.ts';
import { fifo } from './fifo.ts';
import { ECS, evtchnRecord, portRecord } from './record.ts';
import { twoLevel } from './two-level.ts';

/** The event ABI that the domain uses now. */
export const evtchnAbi = (hv: Hypervisor, dom: number): EvtchnAbi =>
  domainRecord.evtchnFifo.get(hv.mem, dom) === 0 ? twoLevel : fifo;

/** Per-vCPU VIRQs have a port on each vCPU; all others one in the domain. */
export const virqIsGlobal = (virq: number): boolean =>
  virq !== VIRQ_TIMER && virq !== VIRQ_DEBUG && virq !== VIRQ_XENOPROF && virq !== VIRQ_XENPMU;

/** Sets a bound port pending on the vCPU that it notifies. */
export function raisePort(hv: Hypervisor, dom: number, port: number): void {
  const chn = portRecord(hv, dom, port);
  if (chn === 0) return;
  const vcpu = hv.vcpu(dom, evtchnRecord.notifyVcpu.get(hv.mem, chn));
  if (vcpu !== 0) evtchnAbi(hv, dom).setPending(hv, dom, vcpu, port, chn);
}

/** EVTCHNOP_send on a domain's behalf. Sending to nobody yet (unbound) is not an error. */
export function sendEvent(hv: Hypervisor, dom: number, port: number): number {
  const { mem } = hv;
  const chn = portRecord(hv, dom, port);
  if (chn === 0) return -XEN_EINVAL;
  const state = evtchnRecord.state.get(mem, chn);
  if (state === ECS.interdomain) {
    const remote = hv.domain(evtchnRecord.remoteDom.get(mem, chn));
    if (remote !== 0) raisePort(hv, remote, evtchnRecord.remotePort.get(mem, chn));
    return 0;
  }
  if (state === ECS.ipi) {
    raisePort(hv, dom, port);
    return 0;
  }
  return state === ECS.unbound ? 0 : -XEN_EINVAL;
}

/** Raises a per-vCPU VIRQ, or a per-domain one of the vCPU's domain, if it is bound. */
export function raiseVirq(hv: Hypervisor, vcpu: number, virq: number): void {
  const { mem } = hv;
  const dom = vcpuRecord.domain.get(mem, vcpu);
  const ports = virqIsGlobal(virq) ? domainRecord.virqPorts.addr(dom) : vcpuRecord.virqPorts.addr(vcpu);
  const port = virq < NR_VIRQS ? mem.u32(ports + virq * 4) : 0;
  if (port !== 0) raisePort(hv, dom, port);
}

/** Raises a VIRQ of which the system has one, in the domain that handles it. */
export function raiseGlobalVirq(hv: Hypervisor, virq: number): void {
  const { mem } = hv;
  const dom = hv.domain(mem.u16(rootRecord.globalVirqDomain.addr(hv.root, virq)));
  if (dom === 0) return;
  const port = mem.u32(domainRecord.virqPorts.addr(dom, virq));
  if (port !== 0) raisePort(hv, dom, port);
}

/** EVTCHNOP_unmask: clears the mask and raises the port again if it is pending. */
export function unmaskPort(hv: Hypervisor, dom: number, port: number): number {
  const chn = portRecord(hv, dom, port);
  if (chn === 0) return -XEN_EINVAL;
  const vcpu = hv.vcpu(dom, evtchnRecord.notifyVcpu.get(hv.mem, chn));
  if (vcpu !== 0) evtchnAbi(hv, dom).unmask(hv, dom, vcpu, port, chn);
  return 0;
}

/** For SCHEDOP_poll. */
export const evtchnPendingForPoll = (hv: Hypervisor, dom: number, port: number): boolean =>
  portRecord(hv, dom, port) !== 0 && evtchnAbi(hv, dom).isPending(hv, dom, port);
