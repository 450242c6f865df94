/**
 * HYPERVISOR_event_channel_op: copies the argument in, does the operation, copies it out if it has results.
 *
 * @abi public/event_channel.h
 */
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOSYS, XEN_EPERM, XEN_ESRCH } from '../../abi/errno.ts';
import * as abi from '../../abi/event_channel.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';
import { domainRecord } from '../records.ts';
import { allocUnbound, bindInterdomain, bindIpi, bindPirq, bindVcpu, bindVirq, closePort } from './bind.ts';
import { expandArray, initControl, resetEvtchns } from './lifecycle.ts';
import { ECS, evtchnRecord, portRecord } from './record.ts';
import { evtchnAbi, sendEvent, unmaskPort } from './send.ts';

/** Reads and writes its argument at `a` in the caller's scratch memory; answers 0 or -errno. */
type Op = (c: Caller, a: number) => number;

/** A domain that an argument names, if the caller may act on it: its record, or -errno. */
function targetDomain(c: Caller, domid: number): number {
  if (domid === DOMID_SELF || domid === c.domid) return c.dom;
  const dom = c.hv.domain(domid);
  if (dom === 0) return -XEN_ESRCH;
  return c.privileged ? dom : -XEN_EPERM;
}

/** Stores the port of a successful bind in its field. */
function result(
  c: Caller,
  field: { set(m: Caller['scratch'], a: number, v: number): void },
  a: number,
  port: number,
) {
  if (port < 0) return port;
  field.set(c.scratch, a, port);
  return 0;
}

const alloc_unbound: Op = (c, a) => {
  const s = abi.evtchn_alloc_unbound;
  const dom = targetDomain(c, s.dom.get(c.scratch, a));
  if (dom < 0) return dom;
  const remote = s.remote_dom.get(c.scratch, a);
  return result(c, s.port, a, allocUnbound(c.hv, dom, remote === DOMID_SELF ? c.domid : remote));
};

const bind_interdomain: Op = (c, a) => {
  const s = abi.evtchn_bind_interdomain;
  const domid = s.remote_dom.get(c.scratch, a);
  const remote = domid === DOMID_SELF ? c.dom : c.hv.domain(domid);
  if (remote === 0) return -XEN_ESRCH;
  return result(c, s.local_port, a, bindInterdomain(c.hv, c.dom, remote, s.remote_port.get(c.scratch, a)));
};

const bind_virq: Op = (c, a) => {
  const s = abi.evtchn_bind_virq;
  return result(c, s.port, a, bindVirq(c.hv, c.dom, s.virq.get(c.scratch, a), s.vcpu.get(c.scratch, a)));
};

const bind_pirq: Op = (c, a) => {
  const s = abi.evtchn_bind_pirq;
  return result(c, s.port, a, bindPirq(c.hv, c.dom, s.pirq.get(c.scratch, a)));
};

const bind_ipi: Op = (c, a) => {
  const s = abi.evtchn_bind_ipi;
  return result(c, s.port, a, bindIpi(c.hv, c.dom, s.vcpu.get(c.scratch, a)));
};

const close: Op = (c, a) => closePort(c.hv, c.dom, abi.evtchn_close.port.get(c.scratch, a));
const send: Op = (c, a) => sendEvent(c.hv, c.dom, abi.evtchn_send.port.get(c.scratch, a));
const unmask: Op = (c, a) => unmaskPort(c.hv, c.dom, abi.evtchn_unmask.port.get(c.scratch, a));

const bind_vcpu: Op = (c, a) => {
  const s = abi.evtchn_bind_vcpu;
  return bindVcpu(c.hv, c.dom, s.port.get(c.scratch, a), s.vcpu.get(c.scratch, a));
};

const STATUS: Record<number, number> = {
  [ECS.free]: abi.EVTCHNSTAT_closed,
  [ECS.reserved]: abi.EVTCHNSTAT_closed,
  [ECS.unbound]: abi.EVTCHNSTAT_unbound,
  [ECS.interdomain]: abi.EVTCHNSTAT_interdomain,
  [ECS.pirq]: abi.EVTCHNSTAT_pirq,
  [ECS.virq]: abi.EVTCHNSTAT_virq,
  [ECS.ipi]: abi.EVTCHNSTAT_ipi,
};

const status: Op = (c, a) => {
  const s = abi.evtchn_status;
  const { mem, scratch } = c;
  const dom = targetDomain(c, s.dom.get(scratch, a));
  if (dom < 0) return dom;
  const chn = portRecord(c.hv, dom, s.port.get(scratch, a));
  if (chn === 0) return -XEN_EINVAL;
  const state = evtchnRecord.state.get(mem, chn);
  s.status.set(scratch, a, STATUS[state]!);
  s.vcpu.set(scratch, a, evtchnRecord.notifyVcpu.get(mem, chn));
  if (state === ECS.unbound) s.unbound_dom.set(scratch, a, evtchnRecord.remoteDom.get(mem, chn));
  if (state === ECS.interdomain) {
    s.interdomain_dom.set(scratch, a, evtchnRecord.remoteDom.get(mem, chn));
    s.interdomain_port.set(scratch, a, evtchnRecord.remotePort.get(mem, chn));
  }
  if (state === ECS.virq || state === ECS.pirq) s.virq.set(scratch, a, evtchnRecord.number.get(mem, chn));
  return 0;
};

const reset: Op = (c, a) => {
  const dom = targetDomain(c, abi.evtchn_reset.dom.get(c.scratch, a));
  if (dom < 0) return dom;
  if (dom !== c.dom && domainRecord.controllerPaused.get(c.mem, dom) === 0) return -XEN_EINVAL;
  resetEvtchns(c.hv, dom);
  return 0;
};

const init_control: Op = (c, a) => {
  const s = c.layout(abi.evtchn_init_control, abi.evtchn_init_control_32);
  const { scratch } = c;
  const gfn = s.control_gfn.get(scratch, a);
  const done = initControl(c.hv, c.dom, gfn, s.offset.get(scratch, a), s.vcpu.get(scratch, a));
  return result(c, s.link_bits, a, done);
};

const expand_array: Op = (c, a) => {
  const s = c.layout(abi.evtchn_expand_array, abi.evtchn_expand_array_32);
  return expandArray(c.hv, c.dom, s.array_gfn.get(c.scratch, a));
};

const set_priority: Op = (c, a) => {
  const s = abi.evtchn_set_priority;
  const chn = portRecord(c.hv, c.dom, s.port.get(c.scratch, a));
  if (chn === 0) return -XEN_EINVAL;
  return evtchnAbi(c.hv, c.dom).setPriority(c.hv, chn, s.priority.get(c.scratch, a));
};

/** By number: the operation, the size of its argument, and whether that is copied back. */
const OPS: readonly { op: Op; size: number; out?: true }[] = [
  { op: bind_interdomain, size: abi.evtchn_bind_interdomain.$.size, out: true },
  { op: bind_virq, size: abi.evtchn_bind_virq.$.size, out: true },
  { op: bind_pirq, size: abi.evtchn_bind_pirq.$.size, out: true },
  { op: close, size: abi.evtchn_close.$.size },
  { op: send, size: abi.evtchn_send.$.size },
  { op: status, size: abi.evtchn_status.$.size, out: true },
  { op: alloc_unbound, size: abi.evtchn_alloc_unbound.$.size, out: true },
  { op: bind_ipi, size: abi.evtchn_bind_ipi.$.size, out: true },
  { op: bind_vcpu, size: abi.evtchn_bind_vcpu.$.size },
  { op: unmask, size: abi.evtchn_unmask.$.size },
  { op: reset, size: abi.evtchn_reset.$.size },
  { op: init_control, size: abi.evtchn_init_control.$.size, out: true },
  { op: expand_array, size: abi.evtchn_expand_array.$.size },
  { op: set_priority, size: abi.evtchn_set_priority.$.size },
];

export function doEventChannelOp(c: Caller, cmd: number, argAddr: number): number {
  const entry = OPS[cmd >>> 0];
  if (entry === undefined) return -XEN_ENOSYS;
  const a = c.copyIn(argAddr, entry.size);
  if (a < 0) return -XEN_EFAULT;
  const done = entry.op(c, a);
  if (done !== 0 || !entry.out) return done;
  // As in Xen, what was bound stays bound when the answer cannot be delivered.
  return c.copyOut(argAddr, a, entry.size) ? 0 : -XEN_EFAULT;
}
