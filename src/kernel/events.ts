/**
 * Event channels of domain 0: a handler for each port, and the upcall that finds the ports with something pending, by
 * the 2-level bitmaps of shared_info.
 *
 * @abi public/event_channel.h, public/xen.h
 */
import * as evtchn from '../abi/event_channel.ts';
import { __HYPERVISOR_event_channel_op, DOMID_SELF, shared_info, vcpu_info } from '../abi/xen.ts';
import type { Timers } from '../base/host.ts';
import type { Logger } from '../base/log.ts';
import type { Gate } from './gate.ts';
import { type Arg, type Hypercalls, KernelError } from './hypercall.ts';

/** Rounds of one upcall before the event loop gets its turn: a guest that notifies without end must not stop it. */
const MAX_ROUNDS = 16;

export type EventHandler = (port: number) => void;

export class EventChannels {
  private readonly gate: Gate;
  private readonly calls: Hypercalls;
  private readonly timers: Timers;
  private readonly log: Logger;
  /** Machine address of shared_info, in the 64-bit layout; vCPU 0's vcpu_info is at its start. */
  private readonly shared: number;
  private readonly handlers = new Map<number, EventHandler>();

  constructor(gate: Gate, calls: Hypercalls, shared: number, timers: Timers, log: Logger) {
    this.gate = gate;
    this.calls = calls;
    this.shared = shared;
    this.timers = timers;
    this.log = log;
    gate.onUpcall = () => this.upcall();
  }

  /** A port of domain 0's own that `remote` may connect to. */
  allocUnbound(remote: number, handler: EventHandler): number {
    const port = this.allocUnboundFor(DOMID_SELF, remote);
    this.handlers.set(port, handler);
    return port;
  }

  /** A port in domain `dom` that `remote` may connect to. */
  allocUnboundFor(dom: number, remote: number): number {
    const s = evtchn.evtchn_alloc_unbound;
    return this.withArg(s.$.size, (arg) => {
      s.dom.set(this.gate.mem, arg.at, dom);
      s.remote_dom.set(this.gate.mem, arg.at, remote);
      this.op(`a new event channel between domains ${dom} and ${remote}`, evtchn.EVTCHNOP_alloc_unbound, arg);
      return s.port.get(this.gate.mem, arg.at);
    });
  }

  /** Connects to a port of domain `remote`; it is pending at once, so the handler runs soon. */
  bindInterdomain(remote: number, remotePort: number, handler: EventHandler): number {
    const s = evtchn.evtchn_bind_interdomain;
    return this.withArg(s.$.size, (arg) => {
      s.remote_dom.set(this.gate.mem, arg.at, remote);
      s.remote_port.set(this.gate.mem, arg.at, remotePort);
      this.op(`connecting to port ${remotePort} of domain ${remote}`, evtchn.EVTCHNOP_bind_interdomain, arg);
      const port = s.local_port.get(this.gate.mem, arg.at);
      this.handlers.set(port, handler);
      return port;
    });
  }

  bindVirq(virq: number, handler: EventHandler): number {
    const s = evtchn.evtchn_bind_virq;
    return this.withArg(s.$.size, (arg) => {
      s.virq.set(this.gate.mem, arg.at, virq);
      this.op(`binding VIRQ ${virq}`, evtchn.EVTCHNOP_bind_virq, arg);
      const port = s.port.get(this.gate.mem, arg.at);
      this.handlers.set(port, handler);
      return port;
    });
  }

  notify(port: number): void {
    this.portOp('notifying', evtchn.EVTCHNOP_send, port);
  }

  /** Holds a port's events back until `unmask`. */
  mask(port: number): void {
    this.gate.mem.atomicOr(this.maskWord(port), 1 << (port & 31));
  }

  unmask(port: number): void {
    this.portOp('unmasking', evtchn.EVTCHNOP_unmask, port);
  }

  close(port: number): void {
    this.handlers.delete(port);
    this.portOp('closing', evtchn.EVTCHNOP_close, port);
  }

  private portOp(what: string, cmd: number, port: number): void {
    // send, unmask and close all take just the port
    const s = evtchn.evtchn_send;
    this.withArg(s.$.size, (arg) => {
      s.port.set(this.gate.mem, arg.at, port);
      this.op(`${what} event channel ${port}`, cmd, arg);
    });
  }

  private withArg<T>(size: number, run: (arg: Arg) => T): T {
    return this.calls.withArgs([size], (arg) => run(arg!));
  }

  private op(what: string, cmd: number, arg: Arg): void {
    this.calls.call(what, __HYPERVISOR_event_channel_op, cmd, arg.gpa);
  }

  private pendingWord(port: number): number {
    return shared_info.evtchn_pending.addr(this.shared) + (port >>> 5) * 4;
  }
  private maskWord(port: number): number {
    return shared_info.evtchn_mask.addr(this.shared) + (port >>> 5) * 4;
  }

  /** Runs the handlers of all pending ports until nothing is pending. */
  private upcall(): void {
    const { mem } = this.gate;
    mem.refresh();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      // The flag is the lowest byte of its word; cleared first, so that what comes meanwhile sets it again.
      if ((mem.atomicAnd(this.shared, ~0xff) & 0xff) === 0) return;
      const selector = vcpu_info.evtchn_pending_sel.addr(this.shared);
      this.scan(mem.atomicXchg(selector, 0), 0);
      this.scan(mem.atomicXchg(selector + 4, 0), 32);
    }
    this.timers.after(0, () => this.upcall());
  }

  /** Handles the ports of each 64-bit word whose bit is set in a half of the selector. */
  private scan(selected: number, firstWord: number): void {
    for (let bits = selected; bits !== 0; bits &= bits - 1) {
      const word = firstWord + (31 - Math.clz32(bits & -bits));
      this.handleWord(word * 64);
      this.handleWord(word * 64 + 32);
    }
  }

  private handleWord(firstPort: number): void {
    const { mem } = this.gate;
    const at = this.pendingWord(firstPort);
    for (
      let bits = mem.atomicLoad(at) & ~mem.atomicLoad(this.maskWord(firstPort));
      bits !== 0;
      bits &= bits - 1
    ) {
      const bit = bits & -bits;
      mem.atomicAnd(at, ~bit);
      this.handle(firstPort + 31 - Math.clz32(bit));
    }
  }

  private handle(port: number): void {
    const handler = this.handlers.get(port);
    if (handler === undefined) return;
    try {
      handler(port);
    } catch (e) {
      const text =
        e instanceof Error ? (e instanceof KernelError ? e.message : (e.stack ?? e.message)) : String(e);
      this.log.error(`the handler of event channel ${port} failed: ${text}`);
    }
  }
}
