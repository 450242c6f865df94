/**
 * One thread's handle on the hypervisor: the shared records in machine memory, and what only this thread has (its clock,
 * its log, its engine if it is a physical CPU, the doorbell of domain 0).
 *
 * Locks, in the order they are taken: the hypervisor lock (`Machine.rootLock`), then the frame allocator's. A hypercall
 * takes the first once, at its top; nothing below takes it again, which `enter` checks.
 */
import type { Clock, Doorbell } from '../base/host.ts';
import { type Logger, type LogSink, makeLogger } from '../base/log.ts';
import type { Mem } from '../base/mem.ts';
import { lock, unlock } from '../machine/lock.ts';
import type { Machine } from '../machine/machine.ts';
import type { Engine } from '../machine/platform.ts';
import { consoleAppend } from './console.ts';
import { vcpuKickEvent } from './domain/vcpu.ts';
import { domainRecord, MAX_DOMAINS, MAX_VCPUS, pcpuRecord, rootRecord } from './records.ts';

export interface HypervisorOptions {
  /** Rung when an event is pending for domain 0. */
  doorbell?: Doorbell;
}

export class Hypervisor {
  readonly machine: Machine;
  readonly mem: Mem;
  readonly clock: Clock;
  readonly log: Logger;
  readonly root: number;
  /** The physical CPU that this thread is; -1 for domain 0's thread. */
  pcpu = -1;
  /** The engine of this thread; a thread that runs no guest may have none. */
  engine: Engine | undefined;
  doorbell: Doorbell | undefined;
  /** Domain 0's doorbell rings once the lock is free again: who hears it will want the lock. */
  ringDue = false;
  /** The vCPU on this CPU gave up the rest of its slice. */
  yielded = false;
  private locked = false;
  private readonly bootNs: number;

  /** Attaches to a machine whose root record exists; `boot` in boot.ts makes one. */
  constructor(machine: Machine, clock: Clock, sink: LogSink, options: HypervisorOptions = {}) {
    this.machine = machine;
    this.mem = machine.mem;
    this.mem.refresh();
    this.clock = clock;
    this.log = makeLogger('xen', sink);
    this.root = machine.root;
    if (this.root === 0) throw new Error('no hypervisor has been booted in this machine');
    this.bootNs = rootRecord.bootNs.get(this.mem, this.root);
    this.doorbell = options.doorbell;
  }

  /** System time: nanoseconds since boot. */
  now(): number {
    return this.clock.now() - this.bootNs;
  }

  /** Booted with `hvm_fep`. */
  get forcedEmulation(): boolean {
    return rootRecord.hvmFep.get(this.mem, this.root) !== 0;
  }

  /** The domain's record, 0 when there is none. */
  domain(domid: number): number {
    return domid < MAX_DOMAINS ? this.mem.u32(rootRecord.domains.addr(this.root, domid)) : 0;
  }

  /** A vCPU's record, 0 when there is none. */
  vcpu(dom: number, id: number): number {
    return id < MAX_VCPUS ? this.mem.u32(domainRecord.vcpus.addr(dom, id)) : 0;
  }

  get pcpuCount(): number {
    return rootRecord.pcpuCount.get(this.mem, this.root);
  }

  pcpuAt(id: number): number {
    return this.mem.u32(rootRecord.pcpus.addr(this.root, id));
  }

  /** Makes a physical CPU look around: at its timers, its current vCPU's pending events, the run queue. */
  kickPcpu(id: number): void {
    const word = pcpuRecord.kick.addr(this.pcpuAt(id));
    this.mem.atomicStore(word, 1);
    Atomics.notify(this.mem.words, word >>> 2);
  }

  /** Ends a physical CPU's loop at its next look around. */
  stopPcpu(id: number): void {
    this.mem.atomicStore(pcpuRecord.stop.addr(this.pcpuAt(id)), 1);
    this.kickPcpu(id);
  }

  /** An event is pending for a vCPU, or it should look again at what it polls. */
  kickEvent(vcpu: number): void {
    vcpuKickEvent(this, vcpu);
  }

  enter(): void {
    if (this.locked) throw new Error('the hypervisor lock is taken twice by one thread');
    this.mem.refresh();
    lock(this.mem, this.machine.rootLock);
    this.locked = true;
  }

  leave(): void {
    this.locked = false;
    unlock(this.mem, this.machine.rootLock);
    if (!this.ringDue) return;
    this.ringDue = false;
    this.doorbell?.ring();
  }

  withLock<T>(run: () => T): T {
    this.enter();
    try {
      return run();
    } finally {
      this.leave();
    }
  }

  /** A line of the hypervisor's own console. Called with the lock held. */
  print(line: string, level: keyof Logger = 'info'): void {
    this.emit(`(XEN) ${line}`, level);
  }

  /** A line that a guest wrote to its debug console. Called with the lock held. */
  printGuest(domid: number, line: string): void {
    this.emit(`(d${domid}) ${line}`, 'info');
  }

  private emit(line: string, level: keyof Logger): void {
    consoleAppend(this.mem, this.root, `${line}\n`);
    this.log[level](line);
  }
}
