/**
 * Domain 0's door to the hypervisor, on domain 0's thread: hypercalls by 64-bit ABI with guest-physical addresses for
 * pointers, and the physmap as its MMU. It has the members of the kernel's `Gate`.
 */
import type { Mem } from '../base/mem.ts';
import { P2M, P2M_FRAMES, p2mGet, p2mMfn, p2mType, p2mWritable } from '../machine/p2m.ts';
import { Caller } from './guest-copy.ts';
import { upcallPending } from './hvm/irq.ts';
import { doHypercall } from './hypercall/dispatch.ts';
import type { Hypervisor } from './hypervisor.ts';
import { domainRecord, RUNSTATE, vcpuRecord } from './records.ts';

export class Dom0Gate {
  readonly mem: Mem;
  readonly ramFrames: number;
  readonly mapStart: number;
  readonly mapEnd = P2M_FRAMES;
  onUpcall: (() => void) | undefined;
  private readonly caller: Caller;
  private readonly vcpu: number;
  private readonly p2mRoot: number;

  constructor(hv: Hypervisor) {
    this.mem = hv.mem;
    this.caller = new Caller(hv);
    const dom = hv.domain(0);
    this.vcpu = hv.vcpu(dom, 0);
    this.p2mRoot = domainRecord.p2mRoot.get(hv.mem, dom);
    this.ramFrames = domainRecord.totPages.get(hv.mem, dom);
    this.mapStart = this.ramFrames;
  }

  hypercall(nr: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    this.caller.bind(this.vcpu, true);
    return doHypercall(this.caller, nr, a1, a2, a3, a4, a5);
  }

  resolve(gfn: number, write: boolean): number {
    this.mem.refresh();
    const e = p2mGet(this.mem, this.p2mRoot, gfn);
    const type = p2mType(e);
    if (type === P2M.none || type === P2M.mmio || (write && !p2mWritable(type))) return -1;
    return p2mMfn(e) * 4096;
  }

  /** Adds CPU time (ns) that domain 0's thread has used, for its figure in the list of domains. */
  charge(ns: number): void {
    const spent = vcpuRecord.runstateTime.addr(this.vcpu, RUNSTATE.running);
    this.mem.setN64(spent, this.mem.n64(spent) + Math.max(0, Math.round(ns)));
  }

  /** To be called on domain 0's thread after its doorbell rang. */
  upcall(): void {
    if (upcallPending(this.mem, this.vcpu)) this.onUpcall?.();
  }
}
