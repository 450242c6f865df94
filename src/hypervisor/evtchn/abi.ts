/** The two event ABIs behind one table: where pending bits are kept and how a guest is told. */
import type { Hypervisor } from '../hypervisor.ts';

export interface EvtchnAbi {
  /** Ports below this can be used. */
  limit(hv: Hypervisor, dom: number): number;
  /** A port is about to be bound. */
  init(hv: Hypervisor, dom: number, port: number, chn: number): void;
  /** Raises `port`; `vcpu` is the record of the vCPU that it notifies, `chn` the port's record. */
  setPending(hv: Hypervisor, dom: number, vcpu: number, port: number, chn: number): void;
  clearPending(hv: Hypervisor, dom: number, port: number, chn: number): void;
  unmask(hv: Hypervisor, dom: number, vcpu: number, port: number, chn: number): void;
  isPending(hv: Hypervisor, dom: number, port: number): boolean;
  /** A closed port that is still in the guest's hands and must not be used again yet. */
  isBusy(hv: Hypervisor, dom: number, port: number): boolean;
  /** 0 or -errno. */
  setPriority(hv: Hypervisor, chn: number, priority: number): number;
}
