/** Binding and closing ports. Each bind answers the new port, or -errno. */
import { XEN_EEXIST, XEN_EINVAL, XEN_ENOENT, XEN_ENOMEM, XEN_ENOSPC, XEN_EPERM } from '../../abi/errno.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { DOMAIN_TYPE, domainRecord, NR_VIRQS, vcpuRecord } from '../records.ts';
import { ECS, evtchnRecord, portRecord, portRecordOrNew, validPorts } from './record.ts';
import { evtchnAbi, raisePort, virqIsGlobal } from './send.ts';

/** What a domain without devices is given: the platform's 24 GSIs and Xen's 32 extra ones. */
const NR_PIRQS = 56;

/** The lowest free port, prepared for binding; -errno when there is none. */
function allocPort(hv: Hypervisor, dom: number): number {
  const { mem } = hv;
  if (domainRecord.dying.get(mem, dom)) return -XEN_EINVAL;
  const abi = evtchnAbi(hv, dom);
  const end = Math.min(domainRecord.evtchnMax.get(mem, dom) + 1, abi.limit(hv, dom));
  let skipped = false;
  for (let port = domainRecord.evtchnNext.get(mem, dom); port < end; port++) {
    const chn = portRecordOrNew(hv, dom, port);
    if (chn === 0) return -XEN_ENOMEM;
    if (evtchnRecord.state.get(mem, chn) !== ECS.free) continue;
    if (abi.isBusy(hv, dom, port)) {
      skipped = true;
      continue;
    }
    if (!skipped) domainRecord.evtchnNext.set(mem, dom, port + 1);
    evtchnRecord.notifyVcpu.set(mem, chn, 0);
    abi.init(hv, dom, port, chn);
    return port;
  }
  return -XEN_ENOSPC;
}

export function allocUnbound(hv: Hypervisor, dom: number, remoteDomid: number): number {
  const port = allocPort(hv, dom);
  if (port < 0) return port;
  const { mem } = hv;
  const chn = portRecord(hv, dom, port);
  evtchnRecord.remoteDom.set(mem, chn, remoteDomid);
  evtchnRecord.state.set(mem, chn, ECS.unbound);
  return port;
}

export function bindInterdomain(hv: Hypervisor, dom: number, remote: number, remotePort: number): number {
  const { mem } = hv;
  const domid = domainRecord.domid.get(mem, dom);
  const peer = portRecord(hv, remote, remotePort);
  if (peer === 0 || evtchnRecord.state.get(mem, peer) !== ECS.unbound) return -XEN_EINVAL;
  if (evtchnRecord.remoteDom.get(mem, peer) !== domid) return -XEN_EINVAL;
  const port = allocPort(hv, dom);
  if (port < 0) return port;

  const connect = (chn: number, toDom: number, toPort: number): void => {
    evtchnRecord.remoteDom.set(mem, chn, toDom);
    evtchnRecord.remotePort.set(mem, chn, toPort);
    evtchnRecord.state.set(mem, chn, ECS.interdomain);
  };
  connect(portRecord(hv, dom, port), domainRecord.domid.get(mem, remote), remotePort);
  connect(peer, domid, port);
  // The peer may have notified before anyone listened.
  raisePort(hv, dom, port);
  return port;
}

export function bindVirq(hv: Hypervisor, dom: number, virq: number, vcpuId: number): number {
  const { mem } = hv;
  if (virq >= NR_VIRQS || (virqIsGlobal(virq) && vcpuId !== 0)) return -XEN_EINVAL;
  const vcpu = hv.vcpu(dom, vcpuId);
  if (vcpu === 0) return -XEN_ENOENT;
  const slot = virqSlot(hv, dom, virq, vcpuId);
  if (mem.u32(slot) !== 0) return -XEN_EEXIST;
  const port = allocPort(hv, dom);
  if (port < 0) return port;
  const chn = portRecord(hv, dom, port);
  evtchnRecord.notifyVcpu.set(mem, chn, vcpuId);
  evtchnRecord.number.set(mem, chn, virq);
  evtchnRecord.state.set(mem, chn, ECS.virq);
  mem.setU32(slot, port);
  return port;
}

/** Where the port of a VIRQ is kept: in the domain if there is one for all vCPUs. */
function virqSlot(hv: Hypervisor, dom: number, virq: number, vcpuId: number): number {
  if (virqIsGlobal(virq)) return domainRecord.virqPorts.addr(dom, virq);
  return vcpuRecord.virqPorts.addr(hv.vcpu(dom, vcpuId), virq);
}

export function bindIpi(hv: Hypervisor, dom: number, vcpuId: number): number {
  const { mem } = hv;
  if (hv.vcpu(dom, vcpuId) === 0) return -XEN_ENOENT;
  const port = allocPort(hv, dom);
  if (port < 0) return port;
  const chn = portRecord(hv, dom, port);
  evtchnRecord.notifyVcpu.set(mem, chn, vcpuId);
  evtchnRecord.state.set(mem, chn, ECS.ipi);
  return port;
}

/** No domain has physical interrupts: HVM and PVH may bind one that never comes, as on Xen; PV may not. */
export function bindPirq(hv: Hypervisor, dom: number, pirq: number): number {
  const { mem } = hv;
  if (pirq >= NR_PIRQS) return -XEN_EINVAL;
  if (domainRecord.type.get(mem, dom) === DOMAIN_TYPE.pv) return -XEN_EPERM;
  const valid = validPorts(hv, dom);
  for (let port = 1; port < valid; port++) {
    const chn = portRecord(hv, dom, port);
    if (evtchnRecord.state.get(mem, chn) === ECS.pirq && evtchnRecord.number.get(mem, chn) === pirq) {
      return -XEN_EEXIST;
    }
  }
  const port = allocPort(hv, dom);
  if (port < 0) return port;
  const chn = portRecord(hv, dom, port);
  evtchnRecord.number.set(mem, chn, pirq);
  evtchnRecord.state.set(mem, chn, ECS.pirq);
  return port;
}

/** Which vCPU a port notifies from now on. IPIs and per-vCPU VIRQs stay where they were bound. */
export function bindVcpu(hv: Hypervisor, dom: number, port: number, vcpuId: number): number {
  const { mem } = hv;
  if (hv.vcpu(dom, vcpuId) === 0) return -XEN_ENOENT;
  const chn = portRecord(hv, dom, port);
  if (chn === 0) return -XEN_EINVAL;
  const state = evtchnRecord.state.get(mem, chn);
  const movable =
    state === ECS.unbound ||
    state === ECS.interdomain ||
    state === ECS.pirq ||
    (state === ECS.virq && virqIsGlobal(evtchnRecord.number.get(mem, chn)));
  if (!movable) return -XEN_EINVAL;
  evtchnRecord.notifyVcpu.set(mem, chn, vcpuId);
  return 0;
}

/** Closes a port; an interdomain peer goes back to waiting for this domain. */
export function closePort(hv: Hypervisor, dom: number, port: number): number {
  const { mem } = hv;
  const chn = portRecord(hv, dom, port);
  const state = chn === 0 ? ECS.free : evtchnRecord.state.get(mem, chn);
  if (state === ECS.free || state === ECS.reserved) return -XEN_EINVAL;
  if (state === ECS.virq) {
    const virq = evtchnRecord.number.get(mem, chn);
    mem.setU32(virqSlot(hv, dom, virq, evtchnRecord.notifyVcpu.get(mem, chn)), 0);
  }
  if (state === ECS.interdomain) unbindPeer(hv, dom, chn);
  evtchnAbi(hv, dom).clearPending(hv, dom, port, chn);
  evtchnRecord.notifyVcpu.set(mem, chn, 0);
  evtchnRecord.state.set(mem, chn, ECS.free);
  if (port < domainRecord.evtchnNext.get(mem, dom)) domainRecord.evtchnNext.set(mem, dom, port);
  return 0;
}

function unbindPeer(hv: Hypervisor, dom: number, chn: number): void {
  const { mem } = hv;
  const remote = hv.domain(evtchnRecord.remoteDom.get(mem, chn));
  const peer = remote === 0 ? 0 : portRecord(hv, remote, evtchnRecord.remotePort.get(mem, chn));
  if (peer === 0) return;
  evtchnRecord.remoteDom.set(mem, peer, domainRecord.domid.get(mem, dom));
  evtchnRecord.state.set(mem, peer, ECS.unbound);
}
