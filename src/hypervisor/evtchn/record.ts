/**
 * Event channels as records in machine memory. A domain's `evtchnTable` is a directory page of bucket addresses; a bucket
 * is a page of 128 records. Buckets come in order, as ports are first used, so a port is valid iff its bucket exists.
 *
 * Everything here is guarded by the hypervisor lock.
 */
import { struct, u8, u16, u32 } from '../../base/layout.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';

/** Port states: free -> reserved -> unbound <-> interdomain; pirq, virq, ipi. */
export const ECS = { free: 0, reserved: 1, unbound: 2, interdomain: 3, pirq: 4, virq: 5, ipi: 6 } as const;

export const evtchnRecord = struct(
  'hv_evtchn',
  {
    state: u8,
    /** FIFO priority now, and that of the queue on which the port was last linked. */
    priority: u8,
    lastPriority: u8,
    /** 1: raised while its event word was not there yet. */
    pending: u8,
    notifyVcpu: u16,
    lastVcpu: u16,
    /** Unbound: who may bind. Interdomain: the peer. */
    remoteDom: u16,
    remotePort: u32,
    /** The VIRQ or PIRQ. */
    number: u32,
  },
  32,
);

/** As many as the FIFO ABI can name. @abi public/event_channel.h EVTCHN_FIFO_NR_CHANNELS */
export const MAX_PORTS = 1 << 17;
const PORTS_PER_BUCKET = 4096 / evtchnRecord.$.size;
export const BUCKETS = MAX_PORTS / PORTS_PER_BUCKET;

/** The record of a port, 0 when the port is not valid. */
export function portRecord(hv: Hypervisor, dom: number, port: number): number {
  const { mem } = hv;
  const table = domainRecord.evtchnTable.get(mem, dom);
  if (table === 0 || port >= MAX_PORTS) return 0;
  const bucket = mem.u32(table + Math.floor(port / PORTS_PER_BUCKET) * 4);
  return bucket === 0 ? 0 : bucket + (port % PORTS_PER_BUCKET) * evtchnRecord.$.size;
}

/** The record of a port, its bucket made if need be; 0 when there is no frame for that. */
export function portRecordOrNew(hv: Hypervisor, dom: number, port: number): number {
  const chn = portRecord(hv, dom, port);
  if (chn !== 0) return chn;
  const { mem } = hv;
  const frame = hv.machine.allocFrame();
  if (frame < 0) return 0;
  const table = domainRecord.evtchnTable.get(mem, dom);
  mem.setU32(table + Math.floor(port / PORTS_PER_BUCKET) * 4, frame * 4096);
  return portRecord(hv, dom, port);
}

/** The number of ports that have records. */
export function validPorts(hv: Hypervisor, dom: number): number {
  const table = domainRecord.evtchnTable.get(hv.mem, dom);
  if (table === 0) return 0;
  let buckets = 0;
  while (buckets < BUCKETS && hv.mem.u32(table + buckets * 4) !== 0) buckets++;
  return buckets * PORTS_PER_BUCKET;
}

/** Frees the directory and its buckets. */
export function freePorts(hv: Hypervisor, dom: number): void {
  const { machine } = hv;
  const table = domainRecord.evtchnTable.get(hv.mem, dom);
  if (table === 0) return;
  for (let i = 0; i < BUCKETS; i++) {
    const bucket = hv.mem.u32(table + i * 4);
    if (bucket === 0) break;
    machine.freeFrameRun(bucket / 4096);
  }
  machine.freeFrameRun(table / 4096);
  domainRecord.evtchnTable.set(hv.mem, dom, 0);
}
