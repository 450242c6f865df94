/** For tests: a booted machine with a clock that stands still, domain 0's gate, and guests whose CPU is a script. */

import { XEN_X86_EMU_LAPIC, xen_arch_domainconfig } from '../../abi/arch_x86.ts';
import {
  XEN_DOMCTL_CDF_hap,
  XEN_DOMCTL_CDF_hvm,
  XEN_DOMCTL_createdomain,
  XEN_DOMCTL_INTERFACE_VERSION,
  XEN_DOMCTL_max_mem,
  XEN_DOMCTL_max_vcpus,
  XEN_DOMCTL_unpausedomain,
  xen_domctl,
  xen_domctl_createdomain,
  xen_domctl_max_mem,
  xen_domctl_max_vcpus,
} from '../../abi/domctl.ts';
import { XENMEM_populate_physmap, xen_memory_reservation } from '../../abi/memory.ts';
import { __HYPERVISOR_domctl, __HYPERVISOR_memory_op } from '../../abi/xen.ts';
import type { LogSink } from '../../base/log.ts';
import { Machine } from '../../machine/machine.ts';
import { sharedMemory } from '../../machine/wasm-api.ts';
import { bootHypervisor } from '../boot.ts';
import { Dom0Gate } from '../gate.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { PcpuLoop } from '../sched/pcpu.ts';
import { FakeEngine } from './engine.ts';

const MIB = 1 << 20;
/** Guest-physical page of domain 0 for arguments, and the next one for lists. */
export const ARG = 0x2000;
export const LIST = 0x3000;

export interface WorldOptions {
  mib?: number;
  pcpus?: number;
}

export class World {
  readonly hv: Hypervisor;
  readonly gate: Dom0Gate;
  readonly engine = new FakeEngine();
  readonly loop: PcpuLoop;
  readonly log: string[] = [];
  rings = 0;
  slept: number[] = [];
  /** Host time, ns. */
  time = 5e9;

  constructor(options: WorldOptions = {}) {
    const size = (options.mib ?? 32) * MIB;
    const machine = Machine.create(sharedMemory(size), size);
    const clock = { now: () => this.time, wall: () => 1_700_000_000e9 };
    const sink: LogSink = (_level, _part, line) => {
      this.log.push(line);
    };
    const doorbell = {
      ring: () => {
        this.rings++;
      },
    };
    this.hv = bootHypervisor(machine, clock, sink, { doorbell, dom0MiB: 1, pcpus: options.pcpus ?? 1 });
    this.gate = new Dom0Gate(this.hv);
    this.engine.mem = this.hv.mem;
    this.loop = new PcpuLoop(this.hv, this.engine, 0, { sleep: (ms) => void this.slept.push(ms) });
  }

  /** Machine address of one of domain 0's guest-physical addresses. */
  dom0(gpa: number): number {
    return this.gate.resolve(gpa >>> 12, true) + (gpa & 4095);
  }

  /** A domctl on `domid`: `fill` gets the machine address of the operation's structure. Its result. */
  domctl(cmd: number, domid: number, fill: (u: number) => void = () => {}): number {
    const at = this.dom0(ARG);
    const { mem } = this.hv;
    mem.fill(at, xen_domctl.$.size);
    xen_domctl.cmd.set(mem, at, cmd);
    xen_domctl.interface_version.set(mem, at, XEN_DOMCTL_INTERFACE_VERSION);
    xen_domctl.domain.set(mem, at, domid);
    fill(xen_domctl.u.addr(at));
    return this.gate.hypercall(__HYPERVISOR_domctl, ARG);
  }

  /** Machine address of the last domctl's structure. */
  get u(): number {
    return xen_domctl.u.addr(this.dom0(ARG));
  }

  /** A paused PVH domain made through domctl: its id. `more`: flags of the creation, besides those of every such domain. */
  createDomain(vcpus = 1, pages = 64, more = 0): number {
    const { mem } = this.hv;
    const s = xen_domctl_createdomain;
    const result = this.domctl(XEN_DOMCTL_createdomain, 0, (u) => {
      s.flags.set(mem, u, XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | more);
      s.max_vcpus.set(mem, u, vcpus);
      s.max_evtchn_port.set(mem, u, 1023);
      s.max_grant_frames.set(mem, u, 4);
      s.max_maptrack_frames.set(mem, u, 4);
      s.grant_opts.set(mem, u, 2);
      xen_arch_domainconfig.emulation_flags.set(mem, s.arch.addr(u), XEN_X86_EMU_LAPIC);
    });
    if (result < 0) throw new Error(`createdomain: ${result}`);
    const domid = xen_domctl.domain.get(mem, this.dom0(ARG));
    this.domctl(XEN_DOMCTL_max_vcpus, domid, (u) => xen_domctl_max_vcpus.max.set(mem, u, vcpus));
    this.domctl(XEN_DOMCTL_max_mem, domid, (u) => xen_domctl_max_mem.max_memkb.set(mem, u, pages * 4));
    if (this.populate(domid, 0, pages) !== pages) throw new Error('populate');
    return domid;
  }

  /** XENMEM_populate_physmap of single pages from `gfn`; how many were done. */
  populate(domid: number, gfn: number, count: number): number {
    const { mem } = this.hv;
    const at = this.dom0(ARG);
    mem.fill(at, xen_memory_reservation.$.size);
    for (let i = 0; i < count; i++) mem.setN64(this.dom0(LIST) + i * 8, gfn + i);
    xen_memory_reservation.extent_start.set(mem, at, LIST);
    xen_memory_reservation.nr_extents.set(mem, at, count);
    xen_memory_reservation.domid.set(mem, at, domid);
    return this.gate.hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, ARG);
  }

  vcpu(domid: number, id = 0): number {
    return this.hv.vcpu(this.hv.domain(domid), id);
  }

  unpause(domid: number): number {
    return this.domctl(XEN_DOMCTL_unpausedomain, domid);
  }
}
