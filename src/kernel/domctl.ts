/**
 * The toolstack's operations on domains: domctl, the parts of memory_op, hvm_op and sysctl that build, run, watch and
 * end a domain. Each throws KernelError when the hypervisor refuses.
 */

import { xen_arch_domainconfig } from '../abi/arch_x86.ts';
import * as abi from '../abi/domctl.ts';
import { e820entry } from '../abi/hvm_e820.ts';
import { HVMOP_get_param, HVMOP_set_param, xen_hvm_param } from '../abi/hvm_op.ts';
import * as xenmem from '../abi/memory.ts';
import { SCHEDOP_remote_shutdown, sched_remote_shutdown } from '../abi/sched.ts';
import * as sysctl from '../abi/sysctl.ts';
import {
  __HYPERVISOR_domctl,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_sysctl,
} from '../abi/xen.ts';
import type { Timers } from '../base/host.ts';
import type { Mem } from '../base/mem.ts';
import { latin1 } from '../base/text.ts';
import { type CreateDomain, type DomainInfo, type E820Entry, readDomainInfo } from './domain-info.ts';
import type { EventChannels } from './events.ts';
import { type Arg, type Hypercalls, KernelError } from './hypercall.ts';

/** Extents of one populate_physmap call; an array of their frame numbers fits in a frame. */
const POPULATE_BATCH = 512;
/** Large extents are of 2 MiB. */
const LARGE_ORDER = 9;
const LARGE = 1 << LARGE_ORDER;
const INFO_BATCH = Math.floor(4096 / abi.xen_domctl_getdomaininfo.$.size);
/** How often a destruction that is under way is asked about. */
const DESTROY_POLL_MS = 2;

export class Domctl {
  private readonly calls: Hypercalls;
  private readonly events: EventChannels;
  private readonly timers: Timers;
  private readonly mem: Mem;

  constructor(calls: Hypercalls, events: EventChannels, timers: Timers) {
    this.calls = calls;
    this.events = events;
    this.timers = timers;
    this.mem = calls.mem;
  }

  /** A paused domain without memory or vCPUs; its domid. */
  createDomain(config: CreateDomain): number {
    const s = abi.xen_domctl_createdomain;
    const { mem } = this;
    return this.domctl('creating a domain', abi.XEN_DOMCTL_createdomain, config.domid ?? 0, (u, arg) => {
      s.ssidref.set(mem, u, config.ssidref ?? 0);
      mem.write(s.handle.addr(u), config.handle.subarray(0, 16));
      s.flags.set(mem, u, config.flags);
      s.max_vcpus.set(mem, u, config.maxVcpus);
      s.max_evtchn_port.set(mem, u, config.maxEvtchnPort);
      s.max_grant_frames.set(mem, u, config.maxGrantFrames);
      s.max_maptrack_frames.set(mem, u, config.maxMaptrackFrames);
      s.grant_opts.set(mem, u, config.grantVersion);
      xen_arch_domainconfig.emulation_flags.set(mem, s.arch.addr(u), config.emulationFlags);
      return () => abi.xen_domctl.domain.get(mem, arg);
    });
  }

  maxVcpus(domid: number, max: number): void {
    this.domctl(`giving domain ${domid} ${max} vCPUs`, abi.XEN_DOMCTL_max_vcpus, domid, (u) => {
      abi.xen_domctl_max_vcpus.max.set(this.mem, u, max);
    });
  }

  maxMem(domid: number, kib: number): void {
    this.domctl(`limiting domain ${domid} to ${kib} KiB`, abi.XEN_DOMCTL_max_mem, domid, (u) => {
      abi.xen_domctl_max_mem.max_memkb.set(this.mem, u, kib);
    });
  }

  pause(domid: number): void {
    this.domctl(`pausing domain ${domid}`, abi.XEN_DOMCTL_pausedomain, domid);
  }

  unpause(domid: number): void {
    this.domctl(`unpausing domain ${domid}`, abi.XEN_DOMCTL_unpausedomain, domid);
  }

  setTimeOffset(domid: number, seconds: number): void {
    this.domctl(`setting the clock of domain ${domid}`, abi.XEN_DOMCTL_settimeoffset, domid, (u) => {
      abi.xen_domctl_settimeoffset.time_offset_seconds.set(this.mem, u, seconds);
    });
  }

  /** Sets a domain's share of the CPUs: its weight against others, and a limit in percent of one CPU, 0 for none. */
  setScheduling(domid: number, weight: number | undefined, cap: number): void {
    const s = abi.xen_domctl_scheduler_op;
    this.domctl(`the share of domain ${domid}`, abi.XEN_DOMCTL_scheduler_op, domid, (u) => {
      s.sched_id.set(this.mem, u, abi.XEN_SCHEDULER_CREDIT2);
      s.cmd.set(this.mem, u, abi.XEN_DOMCTL_SCHEDOP_putinfo);
      s.credit2_weight.set(this.mem, u, weight ?? 0);
      s.credit2_cap.set(this.mem, u, cap);
    });
  }

  setPagingMempool(domid: number, bytes: number): void {
    this.domctl(`the paging pool of domain ${domid}`, abi.XEN_DOMCTL_set_paging_mempool_size, domid, (u) => {
      abi.xen_domctl_paging_mempool.size.set(this.mem, u, bytes);
    });
  }

  /** Destroys a domain; resolves when it is gone. */
  async destroy(domid: number): Promise<void> {
    for (;;) {
      try {
        this.domctl(`destroying domain ${domid}`, abi.XEN_DOMCTL_destroydomain, domid);
        return;
      } catch (e) {
        // A vCPU of it is still on a CPU, or there is more to free than one call does.
        if (!(e instanceof KernelError) || !['EAGAIN', 'EBUSY', 'ERESTART'].includes(e.code)) throw e;
      }
      await new Promise<void>((resolve) => this.timers.after(DESTROY_POLL_MS, resolve));
    }
  }

  /** Asks a domain's vCPUs to stop with a SHUTDOWN_* reason, as if the domain had said so itself. */
  remoteShutdown(domid: number, reason: number): void {
    const s = sched_remote_shutdown;
    this.calls.withArgs([s.$.size], (arg) => {
      s.domain_id.set(this.mem, arg!.at, domid);
      s.reason.set(this.mem, arg!.at, reason);
      this.calls.call(
        `shutting down domain ${domid}`,
        __HYPERVISOR_sched_op,
        SCHEDOP_remote_shutdown,
        arg!.gpa,
      );
    });
  }

  getDomainInfo(domid: number): DomainInfo | undefined {
    try {
      return this.domctl(`looking at domain ${domid}`, abi.XEN_DOMCTL_getdomaininfo, domid, (u) => {
        return () => {
          // Xen answers with the first domain from that number on.
          const info = readDomainInfo(this.mem, u);
          return info.domid === domid ? info : undefined;
        };
      });
    } catch (e) {
      if (e instanceof KernelError && e.code === 'ESRCH') return undefined;
      throw e;
    }
  }

  /** All domains, by number. */
  listDomains(): DomainInfo[] {
    const s = sysctl.xen_sysctl_getdomaininfolist;
    const { size } = abi.xen_domctl_getdomaininfo.$;
    const all: DomainInfo[] = [];
    for (let first = 0, more = true; more; ) {
      this.calls.withArgs([INFO_BATCH * size], (buffer) => {
        this.sysctl('listing domains', sysctl.XEN_SYSCTL_getdomaininfolist, (u) => {
          s.first_domain.set(this.mem, u, first);
          s.max_domains.set(this.mem, u, INFO_BATCH);
          s.buffer.set(this.mem, u, buffer!.gpa);
          return () => {
            const count = s.num_domains.get(this.mem, u);
            for (let i = 0; i < count; i++) all.push(readDomainInfo(this.mem, buffer!.at + i * size));
            more = count === INFO_BATCH;
          };
        });
      });
      first = (all.at(-1)?.domid ?? 0) + 1;
    }
    return all;
  }

  /** Gives a domain pages of RAM at consecutive guest frames, in large extents as far as they can be had. */
  populatePhysmap(domid: number, start: number, count: number): void {
    let large = true;
    for (let done = 0; done < count; ) {
      const gfn = start + done;
      const left = count - done;
      const order = large && gfn % LARGE === 0 && left >= LARGE ? LARGE_ORDER : 0;
      const wanted = order ? Math.floor(left / LARGE) : Math.min(left, LARGE - (gfn % LARGE));
      const extents = Math.min(wanted, POPULATE_BATCH);
      const made = this.populateExtents(domid, gfn, extents, order);
      done += made << order;
      if (made === extents) continue;
      if (!order) throw new KernelError(`memory for domain ${domid}: ${done} of ${count} pages`, 'ENOMEM');
      large = false;
    }
  }

  /** Answers how many extents the domain got. */
  private populateExtents(domid: number, start: number, count: number, order: number): number {
    const s = xenmem.xen_memory_reservation;
    return this.calls.withArgs([s.$.size, count * 8], (arg, list) => {
      for (let i = 0; i < count; i++) this.mem.setN64(list!.at + i * 8, start + (i << order));
      s.extent_start.set(this.mem, arg!.at, list!.gpa);
      s.nr_extents.set(this.mem, arg!.at, count);
      s.extent_order.set(this.mem, arg!.at, order);
      s.domid.set(this.mem, arg!.at, domid);
      const what = `memory for domain ${domid}`;
      return this.calls.call(what, __HYPERVISOR_memory_op, xenmem.XENMEM_populate_physmap, arg!.gpa);
    });
  }

  setMemoryMap(domid: number, entries: readonly E820Entry[]): void {
    const s = xenmem.xen_foreign_memory_map;
    const { size } = e820entry.$;
    this.calls.withArgs([s.$.size, entries.length * size], (arg, list) => {
      entries.forEach((entry, i) => {
        e820entry.addr.set(this.mem, list!.at + i * size, entry.addr);
        e820entry.size.set(this.mem, list!.at + i * size, entry.size);
        e820entry.type.set(this.mem, list!.at + i * size, entry.type);
      });
      s.domid.set(this.mem, arg!.at, domid);
      s.map_nr_entries.set(this.mem, arg!.at, entries.length);
      s.map_buffer.set(this.mem, arg!.at, list!.gpa);
      const what = `the memory map of domain ${domid}`;
      this.calls.call(what, __HYPERVISOR_memory_op, xenmem.XENMEM_set_memory_map, arg!.gpa);
    });
  }

  hvmSetParam(domid: number, index: number, value: number | bigint): void {
    this.hvmParam(HVMOP_set_param, domid, index, BigInt(value));
  }

  hvmGetParam(domid: number, index: number): bigint {
    return this.hvmParam(HVMOP_get_param, domid, index, 0n);
  }

  private hvmParam(op: number, domid: number, index: number, value: bigint): bigint {
    const s = xen_hvm_param;
    return this.calls.withArgs([s.$.size], (arg) => {
      s.domid.set(this.mem, arg!.at, domid);
      s.index.set(this.mem, arg!.at, index);
      s.value.set(this.mem, arg!.at, value);
      this.calls.call(`HVM parameter ${index} of domain ${domid}`, __HYPERVISOR_hvm_op, op, arg!.gpa);
      return s.value.get(this.mem, arg!.at);
    });
  }

  /** Loads a domain's HVM state: save records, the end record last. */
  setHvmContext(domid: number, records: Uint8Array): void {
    const s = abi.xen_domctl_hvmcontext;
    this.calls.withArgs([records.length], (buffer) => {
      this.mem.write(buffer!.at, records);
      this.domctl(`the state of domain ${domid}`, abi.XEN_DOMCTL_sethvmcontext, domid, (u) => {
        s.size.set(this.mem, u, records.length);
        s.buffer.set(this.mem, u, buffer!.gpa);
      });
    });
  }

  /** A port in domain `domid` that domain 0 may connect to. */
  allocUnboundFor(domid: number): number {
    return this.events.allocUnboundFor(domid, 0);
  }

  /** The hypervisor's log from `index` on, and where to go on; with `clear`, what was read is forgotten. */
  readConsole(index = 0, clear = false): { text: string; next: number } {
    const s = sysctl.xen_sysctl_readconsole;
    return this.calls.withArgs([4096], (buffer) =>
      this.sysctl("reading the hypervisor's log", sysctl.XEN_SYSCTL_readconsole, (u) => {
        s.clear.set(this.mem, u, clear ? 1 : 0);
        s.incremental.set(this.mem, u, 1);
        s.index.set(this.mem, u, index);
        s.buffer.set(this.mem, u, buffer!.gpa);
        s.count.set(this.mem, u, 4096);
        return () => {
          const text = latin1(this.mem.slice(buffer!.at, Math.min(s.count.get(this.mem, u), 4096)));
          return { text, next: s.index.get(this.mem, u) };
        };
      }),
    );
  }

  /**
   * One domctl: `fill` writes the command's own part at `u` and may answer a function that reads the results there.
   * For commands that have no method of their own.
   */
  domctl(what: string, cmd: number, domid: number): void;
  domctl<T>(what: string, cmd: number, domid: number, fill: (u: number, arg: number) => () => T): T;
  domctl(what: string, cmd: number, domid: number, fill: (u: number, arg: number) => void): void;
  domctl(what: string, cmd: number, domid: number, fill?: (u: number, arg: number) => unknown): unknown {
    const s = abi.xen_domctl;
    return this.calls.withArgs([s.$.size], (arg) => {
      s.cmd.set(this.mem, arg!.at, cmd);
      s.interface_version.set(this.mem, arg!.at, abi.XEN_DOMCTL_INTERFACE_VERSION);
      s.domain.set(this.mem, arg!.at, domid);
      return this.run(what, __HYPERVISOR_domctl, arg!, s.u.addr(arg!.at), fill);
    });
  }

  /** One sysctl, likewise. */
  sysctl<T>(what: string, cmd: number, fill: (u: number, arg: number) => () => T): T {
    const s = sysctl.xen_sysctl;
    return this.calls.withArgs([s.$.size], (arg) => {
      s.cmd.set(this.mem, arg!.at, cmd);
      s.interface_version.set(this.mem, arg!.at, sysctl.XEN_SYSCTL_INTERFACE_VERSION);
      return this.run(what, __HYPERVISOR_sysctl, arg!, s.u.addr(arg!.at), fill) as T;
    });
  }

  private run(
    what: string,
    nr: number,
    arg: Arg,
    u: number,
    fill?: (u: number, arg: number) => unknown,
  ): unknown {
    const read = fill?.(u, arg.at);
    this.calls.call(what, nr, arg.gpa);
    return typeof read === 'function' ? read() : undefined;
  }
}
