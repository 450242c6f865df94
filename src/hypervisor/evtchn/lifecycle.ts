/** The event channels of a domain from its creation to its end, and the switch between the two ABIs. */
import { XEN_EINVAL, XEN_ENOENT, XEN_ENOMEM, XEN_ENOSPC, XEN_EOPNOTSUPP } from '../../abi/errno.ts';
import {
  EVTCHN_FIFO_LINK_BITS,
  EVTCHN_FIFO_MAX_QUEUES,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  evtchn_fifo_control_block,
} from '../../abi/event_channel.ts';
import { getOwnPage } from '../gnttab/page.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { putFrame } from '../mm/frames.ts';
import { domainRecord, MAX_VCPUS, vcpuRecord } from '../records.ts';
import { closePort } from './bind.ts';
import { FIFO_ARRAY_PAGES, fifoRecord, WORDS_PER_PAGE } from './fifo.ts';
import {
  ECS,
  evtchnRecord,
  freePorts,
  MAX_PORTS,
  portRecord,
  portRecordOrNew,
  validPorts,
} from './record.ts';
import { raisePort } from './send.ts';
import { twoLevel } from './two-level.ts';

/** Prepares a new domain's table; `maxPort` is the highest port it may use, -1 for no limit. 0 or -errno. */
export function initEvtchns(hv: Hypervisor, dom: number, maxPort: number): number {
  const { mem } = hv;
  const table = hv.machine.allocFrame();
  if (table < 0) return -XEN_ENOMEM;
  domainRecord.evtchnTable.set(mem, dom, table * 4096);
  domainRecord.evtchnFifo.set(mem, dom, 0);
  domainRecord.evtchnMax.set(mem, dom, maxPort < 0 ? MAX_PORTS - 1 : Math.min(maxPort, MAX_PORTS - 1));
  domainRecord.evtchnNext.set(mem, dom, 1);
  const first = portRecordOrNew(hv, dom, 0);
  if (first === 0) {
    freePorts(hv, dom);
    return -XEN_ENOMEM;
  }
  evtchnRecord.state.set(mem, first, ECS.reserved);
  return 0;
}

function closeAll(hv: Hypervisor, dom: number): void {
  const end = validPorts(hv, dom);
  for (let port = 1; port < end; port++) closePort(hv, dom, port);
}

/** Closes every port, which leaves the peers unbound, and frees the tables. */
export function destroyEvtchns(hv: Hypervisor, dom: number): void {
  closeAll(hv, dom);
  leaveFifo(hv, dom);
  freePorts(hv, dom);
}

/** EVTCHNOP_reset: as after creation, with the 2-level ABI. */
export function resetEvtchns(hv: Hypervisor, dom: number): void {
  closeAll(hv, dom);
  leaveFifo(hv, dom);
}

function leaveFifo(hv: Hypervisor, dom: number): void {
  const { mem } = hv;
  const fifo = domainRecord.evtchnFifo.get(mem, dom);
  if (fifo === 0) return;
  for (let id = 0; id < MAX_VCPUS; id++) {
    const vcpu = hv.vcpu(dom, id);
    const control = vcpu === 0 ? 0 : vcpuRecord.fifoControl.get(mem, vcpu);
    if (control === 0) continue;
    vcpuRecord.fifoControl.set(mem, vcpu, 0);
    mem.fill(vcpuRecord.fifoTails.addr(vcpu), EVTCHN_FIFO_MAX_QUEUES * 4);
    putFrame(hv, Math.floor(control / 4096));
  }
  const count = fifoRecord.pageCount.get(mem, fifo);
  for (let i = 0; i < count; i++) putFrame(hv, mem.u32(fifoRecord.frames.addr(fifo, i)));
  hv.machine.freeFrameRun(fifo / 4096);
  domainRecord.evtchnFifo.set(mem, dom, 0);
}

/** A vCPU's control block; the first one switches the domain to the FIFO ABI. Answers LINK_BITS or -errno. */
export function initControl(
  hv: Hypervisor,
  dom: number,
  gfn: number,
  offset: number,
  vcpuId: number,
): number {
  const { mem } = hv;
  const vcpu = hv.vcpu(dom, vcpuId);
  if (vcpu === 0) return -XEN_ENOENT;
  if (offset > 4096 - evtchn_fifo_control_block.$.size || offset % 8 !== 0) return -XEN_EINVAL;
  if (vcpuRecord.fifoControl.get(mem, vcpu) !== 0) return -XEN_EINVAL;
  const frame = getOwnPage(hv, dom, gfn);
  if (frame < 0) return -XEN_EINVAL;
  if (domainRecord.evtchnFifo.get(mem, dom) === 0 && !enterFifo(hv, dom)) {
    putFrame(hv, frame);
    return -XEN_ENOMEM;
  }
  const control = frame * 4096 + offset;
  mem.atomicStore(evtchn_fifo_control_block.ready.addr(control), 0);
  for (let q = 0; q < EVTCHN_FIFO_MAX_QUEUES; q++) {
    mem.atomicStore(evtchn_fifo_control_block.head.addr(control, q), 0);
  }
  vcpuRecord.fifoControl.set(mem, vcpu, control);
  return EVTCHN_FIFO_LINK_BITS;
}

/** What is pending in the bitmap is raised again when the port's event word arrives. */
function enterFifo(hv: Hypervisor, dom: number): boolean {
  const { mem } = hv;
  const frame = hv.machine.allocFrame();
  if (frame < 0) return false;
  const end = validPorts(hv, dom);
  for (let port = 1; port < end; port++) {
    const chn = portRecord(hv, dom, port);
    evtchnRecord.priority.set(mem, chn, EVTCHN_FIFO_PRIORITY_DEFAULT);
    evtchnRecord.pending.set(mem, chn, twoLevel.isPending(hv, dom, port) ? 1 : 0);
  }
  domainRecord.evtchnFifo.set(mem, dom, frame * 4096);
  return true;
}

/** EVTCHNOP_expand_array: one more page of event words. */
export function expandArray(hv: Hypervisor, dom: number, gfn: number): number {
  const { mem } = hv;
  const fifo = domainRecord.evtchnFifo.get(mem, dom);
  if (fifo === 0) return -XEN_EOPNOTSUPP;
  const count = fifoRecord.pageCount.get(mem, fifo);
  if (count >= FIFO_ARRAY_PAGES) return -XEN_ENOSPC;
  const frame = getOwnPage(hv, dom, gfn);
  if (frame < 0) return -XEN_EINVAL;
  mem.setU32(fifoRecord.frames.addr(fifo, count), frame);
  fifoRecord.pageCount.set(mem, fifo, count + 1);
  for (let port = count * WORDS_PER_PAGE; port < (count + 1) * WORDS_PER_PAGE; port++) {
    const chn = portRecord(hv, dom, port);
    if (chn === 0) break;
    if (evtchnRecord.pending.get(mem, chn) === 0) continue;
    evtchnRecord.pending.set(mem, chn, 0);
    raisePort(hv, dom, port);
  }
  return 0;
}
