/**
 * The 2-level event ABI: a bit per port in shared_info, a bit per word of those in vcpu_info.
 *
 * @abi public/xen.h shared_info, vcpu_info
 */
import { XEN_ENOSYS } from '../../abi/errno.ts';
import { EVTCHN_2L_NR_CHANNELS, EVTCHN_2L_NR_CHANNELS_32 } from '../../abi/event_channel.ts';
import { shared_info, shared_info_32 } from '../../abi/xen.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord } from '../records.ts';
import type { EvtchnAbi } from './abi.ts';
import { checkPollers, markEventsPending, selectWord } from './upcall.ts';

const isWide = (hv: Hypervisor, dom: number): boolean => domainRecord.wide.get(hv.mem, dom) !== 0;

const limit = (hv: Hypervisor, dom: number): number =>
  isWide(hv, dom) ? EVTCHN_2L_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS_32;

/** The 32-bit word that holds a port's bit; 0 when there is none (a port beyond what the width can name). */
function word(hv: Hypervisor, dom: number, port: number, field: 'evtchn_pending' | 'evtchn_mask'): number {
  const layout = isWide(hv, dom) ? shared_info : shared_info_32;
  const shared = domainRecord.sharedInfo.get(hv.mem, dom);
  return shared === 0 || port >= limit(hv, dom) ? 0 : layout[field].addr(shared) + (port >>> 5) * 4;
}

const pendingWord = (hv: Hypervisor, dom: number, port: number): number =>
  word(hv, dom, port, 'evtchn_pending');
const maskWord = (hv: Hypervisor, dom: number, port: number): number => word(hv, dom, port, 'evtchn_mask');

const test = (hv: Hypervisor, at: number, port: number): boolean =>
  at !== 0 && (hv.mem.atomicLoad(at) & (1 << (port & 31))) !== 0;

function select(hv: Hypervisor, dom: number, vcpu: number, port: number): void {
  if (selectWord(hv, dom, vcpu, port >>> (isWide(hv, dom) ? 6 : 5))) markEventsPending(hv, vcpu);
}

export const twoLevel: EvtchnAbi = {
  limit,

  init() {},

  setPending(hv, dom, vcpu, port) {
    const at = pendingWord(hv, dom, port);
    const bit = 1 << (port & 31);
    if (at === 0 || (hv.mem.atomicOr(at, bit) & bit) !== 0) return;
    if (!test(hv, maskWord(hv, dom, port), port)) select(hv, dom, vcpu, port);
    checkPollers(hv, dom);
  },

  clearPending(hv, dom, port) {
    const at = pendingWord(hv, dom, port);
    if (at !== 0) hv.mem.atomicAnd(at, ~(1 << (port & 31)));
  },

  unmask(hv, dom, vcpu, port) {
    const at = maskWord(hv, dom, port);
    const bit = 1 << (port & 31);
    if (at === 0 || (hv.mem.atomicAnd(at, ~bit) & bit) === 0) return;
    if (test(hv, pendingWord(hv, dom, port), port)) select(hv, dom, vcpu, port);
  },

  isPending: (hv, dom, port) => test(hv, pendingWord(hv, dom, port), port),

  isBusy: () => false,

  setPriority: () => -XEN_ENOSYS,
};
