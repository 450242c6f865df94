/**
 * The FIFO event ABI: an event word per port in pages the guest gave, linked into one queue per priority and vCPU.
 *
 *   event word: 31 PENDING | 30 MASKED | 29 LINKED | 28 BUSY | 16:0 LINK, the next port of the queue
 *   control block: u32 ready (a bit per priority) | u32 pad | u32 head[16]
 *
 * The guest can write anything to these pages at any time. The hypervisor therefore keeps each queue's tail for itself
 * and never follows a LINK or a head: a corrupt queue loses that guest's events, and nothing else.
 *
 * @abi public/event_channel.h
 */
import { XEN_EINVAL } from '../../abi/errno.ts';
import {
  EVTCHN_FIFO_BUSY,
  EVTCHN_FIFO_LINK_MASK,
  EVTCHN_FIFO_LINKED,
  EVTCHN_FIFO_MASKED,
  EVTCHN_FIFO_PENDING,
  EVTCHN_FIFO_PRIORITY_DEFAULT,
  EVTCHN_FIFO_PRIORITY_MIN,
  evtchn_fifo_control_block,
} from '../../abi/event_channel.ts';
import { array, struct, u32 } from '../../base/layout.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, vcpuRecord } from '../records.ts';
import type { EvtchnAbi } from './abi.ts';
import { evtchnRecord, MAX_PORTS } from './record.ts';
import { checkPollers, markEventsPending } from './upcall.ts';

const PENDING = (1 << EVTCHN_FIFO_PENDING) >>> 0;
const MASKED = 1 << EVTCHN_FIFO_MASKED;
const LINKED = 1 << EVTCHN_FIFO_LINKED;
const BUSY = 1 << EVTCHN_FIFO_BUSY;
const control_block = evtchn_fifo_control_block;

export const WORDS_PER_PAGE = 1024;
export const FIFO_ARRAY_PAGES = MAX_PORTS / WORDS_PER_PAGE;

/** What `evtchnFifo` of a domain points at: the event array's frames, in order of the ports. */
export const fifoRecord = struct('hv_evtchn_fifo', {
  pageCount: u32,
  frames: array(u32, FIFO_ARRAY_PAGES),
});

/** The event word's machine address, 0 while the guest has not given its page. */
function eventWord(hv: Hypervisor, dom: number, port: number): number {
  const { mem } = hv;
  const fifo = domainRecord.evtchnFifo.get(mem, dom);
  const page = port >>> 10;
  if (page >= fifoRecord.pageCount.get(mem, fifo)) return 0;
  return mem.u32(fifoRecord.frames.addr(fifo, page)) * 4096 + (port & (WORDS_PER_PAGE - 1)) * 4;
}

/** One try to make `word` the predecessor of `port`: 'unlinked' when the guest has already consumed it. */
function tryLink(hv: Hypervisor, word: number, port: number): 'linked' | 'unlinked' | 'changed' {
  const { mem } = hv;
  const was = mem.atomicLoad(word);
  if ((was & LINKED) === 0) return 'unlinked';
  const now = ((was & ~(BUSY | EVTCHN_FIFO_LINK_MASK)) | port) >>> 0;
  return mem.atomicCmpxchg(word, was, now) === was ? 'linked' : 'changed';
}

/**
 * Appends `port` behind the tail's word; false when the queue is empty. BUSY asks the guest to keep its hands off; a
 * guest that changes the word all the same loses the event.
 */
function linkBehind(hv: Hypervisor, word: number, port: number): boolean {
  let done = tryLink(hv, word, port);
  if (done !== 'changed') return done === 'linked';
  hv.mem.atomicOr(word, BUSY);
  for (let i = 0; i < 4 && done === 'changed'; i++) done = tryLink(hv, word, port);
  if (done !== 'linked') hv.mem.atomicAnd(word, ~BUSY);
  return done !== 'unlinked';
}

const tailAddr = (vcpu: number, priority: number): number => vcpuRecord.fifoTails.addr(vcpu, priority);

/** A port leaves the tail of the queue it was last on: that tail is no longer something to link behind. */
function forgetOldTail(hv: Hypervisor, dom: number, port: number, chn: number): void {
  const { mem } = hv;
  const old = hv.vcpu(dom, evtchnRecord.lastVcpu.get(mem, chn));
  if (old === 0) return;
  const tail = tailAddr(old, evtchnRecord.lastPriority.get(mem, chn));
  if (mem.u32(tail) === port) mem.setU32(tail, 0);
}

function enqueue(hv: Hypervisor, dom: number, vcpu: number, port: number, chn: number): void {
  const { mem } = hv;
  const control = vcpuRecord.fifoControl.get(mem, vcpu);
  const priority = evtchnRecord.priority.get(mem, chn);
  forgetOldTail(hv, dom, port, chn);
  evtchnRecord.lastVcpu.set(mem, chn, vcpuRecord.id.get(mem, vcpu));
  evtchnRecord.lastPriority.set(mem, chn, priority);

  const tail = tailAddr(vcpu, priority);
  const last = mem.u32(tail);
  const lastWord = last === 0 ? 0 : eventWord(hv, dom, last);
  const linked = lastWord !== 0 && linkBehind(hv, lastWord, port);
  if (!linked) mem.atomicStore(control_block.head.addr(control, priority), port);
  mem.setU32(tail, port);
  if (!linked && (mem.atomicOr(control_block.ready.addr(control), 1 << priority) & (1 << priority)) === 0) {
    markEventsPending(hv, vcpu);
  }
}

function setPending(hv: Hypervisor, dom: number, vcpu: number, port: number, chn: number): void {
  const { mem } = hv;
  const word = eventWord(hv, dom, port);
  if (word === 0) {
    evtchnRecord.pending.set(mem, chn, 1);
    return;
  }
  const was = mem.atomicOr(word, PENDING);
  // A vCPU without a control block cannot be told; the port stays pending until an unmask or a bind_vcpu raises it.
  const reachable = vcpuRecord.fifoControl.get(mem, vcpu) !== 0;
  if ((was & (MASKED | LINKED)) === 0 && reachable && (mem.atomicOr(word, LINKED) & LINKED) === 0) {
    enqueue(hv, dom, vcpu, port, chn);
  }
  if ((was & PENDING) === 0) checkPollers(hv, dom);
}

export const fifo: EvtchnAbi = {
  limit: () => MAX_PORTS,

  init(hv, _dom, _port, chn) {
    evtchnRecord.priority.set(hv.mem, chn, EVTCHN_FIFO_PRIORITY_DEFAULT);
  },

  setPending,

  clearPending(hv, dom, port, chn) {
    const word = eventWord(hv, dom, port);
    evtchnRecord.pending.set(hv.mem, chn, 0);
    if (word !== 0) hv.mem.atomicAnd(word, ~PENDING);
  },

  unmask(hv, dom, vcpu, port, chn) {
    const word = eventWord(hv, dom, port);
    if (word === 0) return;
    hv.mem.atomicAnd(word, ~MASKED);
    if (hv.mem.atomicLoad(word) & PENDING) setPending(hv, dom, vcpu, port, chn);
  },

  isPending(hv, dom, port) {
    const word = eventWord(hv, dom, port);
    return word !== 0 && (hv.mem.atomicLoad(word) & PENDING) !== 0;
  },

  isBusy(hv, dom, port) {
    const word = eventWord(hv, dom, port);
    return word !== 0 && (hv.mem.atomicLoad(word) & LINKED) !== 0;
  },

  setPriority(hv, chn, priority) {
    if (priority > EVTCHN_FIFO_PRIORITY_MIN) return -XEN_EINVAL;
    evtchnRecord.priority.set(hv.mem, chn, priority);
    return 0;
  },
};
