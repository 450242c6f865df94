import { describe, expect, test } from 'vitest';
import * as d from '../abi/domctl.ts';
import * as e from '../abi/errno.ts';
import { e820entry } from '../abi/hvm_e820.ts';
import {
  HVMOP_get_param,
  HVMOP_set_evtchn_upcall_vector,
  HVMOP_set_param,
  xen_hvm_evtchn_upcall_vector,
  xen_hvm_param,
} from '../abi/hvm_op.ts';
import { HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CONSOLE_PFN, HVM_PARAM_STORE_PFN } from '../abi/hvm_params.ts';
import {
  HVM_FILE_MAGIC,
  HVM_SAVE_CODE,
  hvm_hw_cpu,
  hvm_save_descriptor,
  hvm_save_header,
  XEN_X86_FPU_INITIALISED,
} from '../abi/hvm_save.ts';
import * as m from '../abi/memory.ts';
import { SCHEDOP_block, SCHEDOP_poll, SCHEDOP_shutdown, sched_poll } from '../abi/sched.ts';
import * as sys from '../abi/sysctl.ts';
import * as v from '../abi/vcpu.ts';
import { XENVER_capabilities, XENVER_get_features, XENVER_version } from '../abi/version.ts';
import * as x from '../abi/xen.ts';
import { cString } from '../base/text.ts';
import { cpuState, GPR } from '../machine/cpu-state.ts';
import { EXIT } from '../machine/platform.ts';
import { raiseVirq } from './evtchn/index.ts';
import { domainRecord, RUNSTATE, VCPU_CPU_OFFSET, vcpuRecord } from './records.ts';
import { hypercall, hypercall32, rax } from './testing/engine.ts';
import { ARG, LIST, World } from './testing/world.ts';

/** A running guest with one vCPU, and what it needs to make hypercalls. */
function guest(vcpus = 1) {
  const w = new World();
  const domid = w.createDomain(vcpus);
  const dom = w.hv.domain(domid);
  const vc = w.vcpu(domid);
  const cpu = vc + VCPU_CPU_OFFSET;
  vcpuRecord.online.set(w.hv.mem, vc, 1);
  vcpuRecord.initialised.set(w.hv.mem, vc, 1);
  w.unpause(domid);
  const { mem } = w.hv;
  const gpa = (a: number): number => w.engine.linearToMaddr(cpu, BigInt(a), true);
  const start = (): void => cpuState.p2mRoot.set(mem, cpu, domainRecord.p2mRoot.get(mem, dom));
  start();
  const call = (nr: number, ...args: number[]): number => {
    w.engine.scripts.clear();
    w.engine.script(cpu, hypercall(w.engine, nr, ...args));
    w.loop.step();
    return rax(mem, cpu);
  };
  return { w, domid, dom, vc, cpu, mem, gpa, call };
}

test('a CPU that is told to stop does not go to sleep, even if its kick was taken for another', () => {
  const w = new World();
  w.hv.stopPcpu(0);
  w.loop.step();
  w.loop.idle();
  expect(w.slept).toEqual([]);
});

describe('a domain made through domctl', () => {
  test('is paused, has its pages, and is listed', () => {
    const w = new World();
    const domid = w.createDomain(2, 64);
    expect(domid).toBe(1);
    w.domctl(d.XEN_DOMCTL_getdomaininfo, domid);
    const i = d.xen_domctl_getdomaininfo;
    expect(i.tot_pages.get(w.hv.mem, w.u)).toBe(64);
    expect(i.max_vcpu_id.get(w.hv.mem, w.u)).toBe(1);
    expect(i.flags.get(w.hv.mem, w.u) & 0xff).toBe(
      d.XEN_DOMINF_paused | d.XEN_DOMINF_hvm_guest | d.XEN_DOMINF_blocked,
    );
    const at = w.dom0(ARG);
    w.hv.mem.fill(at, 256);
    sys.xen_sysctl.cmd.set(w.hv.mem, at, sys.XEN_SYSCTL_getdomaininfolist);
    sys.xen_sysctl.interface_version.set(w.hv.mem, at, sys.XEN_SYSCTL_INTERFACE_VERSION);
    const u = sys.xen_sysctl.u.addr(at);
    sys.xen_sysctl_getdomaininfolist.max_domains.set(w.hv.mem, u, 8);
    sys.xen_sysctl_getdomaininfolist.buffer.set(w.hv.mem, u, LIST);
    expect(w.gate.hypercall(x.__HYPERVISOR_sysctl, ARG)).toBe(0);
    expect(sys.xen_sysctl_getdomaininfolist.num_domains.get(w.hv.mem, u)).toBe(2);
    expect(i.domain.get(w.hv.mem, w.dom0(LIST) + i.$.size)).toBe(1);
  });

  test('cannot get more pages than its limit, and says in the log why', () => {
    const w = new World();
    const domid = w.createDomain(1, 64);
    expect(w.populate(domid, 64, 1)).toBe(0);
    expect(w.log.at(-1)).toMatch(/\(XEN\) d1 could not allocate 1 pages at gfn 64/);
  });

  test('gives all its memory back when it is destroyed', () => {
    const w = new World();
    const free = w.hv.machine.freeFrames;
    const domid = w.createDomain(2, 64);
    vcpuRecord.online.set(w.hv.mem, w.vcpu(domid), 1);
    w.unpause(domid);
    w.loop.step();
    expect(w.domctl(d.XEN_DOMCTL_destroydomain, domid)).toBe(0);
    w.loop.step();
    expect(w.engine.calls).toContain('release');
    expect(w.hv.machine.freeFrames).toBe(free);
    expect(w.domctl(d.XEN_DOMCTL_getdomaininfo, domid)).toBe(-e.XEN_ESRCH);
  });

  test('is refused with a wrong interface version, or as PV', () => {
    const w = new World();
    w.domctl(d.XEN_DOMCTL_getdomaininfo, 0);
    d.xen_domctl.interface_version.set(w.hv.mem, w.dom0(ARG), 0x16);
    expect(w.gate.hypercall(x.__HYPERVISOR_domctl, ARG)).toBe(-e.XEN_EACCES);
    const result = w.domctl(d.XEN_DOMCTL_createdomain, 0, (u) =>
      d.xen_domctl_createdomain.max_vcpus.set(w.hv.mem, u, 1),
    );
    expect(result).toBe(-e.XEN_EINVAL);
  });

  test("takes its first registers from sethvmcontext, which outlive the engine's init", () => {
    const w = new World();
    const domid = w.createDomain();
    const { mem } = w.hv;
    let at = w.dom0(LIST);
    mem.fill(at, 4096);
    const put = (code: number, size: number, fill: (a: number) => void): void => {
      hvm_save_descriptor.typecode.set(mem, at, code);
      hvm_save_descriptor.length.set(mem, at, size);
      fill(at + 8);
      at += 8 + size;
    };
    put(HVM_SAVE_CODE.HEADER, hvm_save_header.$.size, (a) => {
      hvm_save_header.magic.set(mem, a, HVM_FILE_MAGIC);
      hvm_save_header.version.set(mem, a, 1);
    });
    put(HVM_SAVE_CODE.CPU, hvm_hw_cpu.$.size, (a) => {
      hvm_hw_cpu.rip.set(mem, a, 0x100_0850n);
      hvm_hw_cpu.rbx.set(mem, a, 0x5000n);
      hvm_hw_cpu.cr0.set(mem, a, 0x11n);
      hvm_hw_cpu.rflags.set(mem, a, 2n);
      hvm_hw_cpu.cs_arbytes.set(mem, a, 0xc9b);
      hvm_hw_cpu.cs_limit.set(mem, a, 0xffff_ffff);
      hvm_hw_cpu.flags.set(mem, a, XEN_X86_FPU_INITIALISED);
    });
    put(HVM_SAVE_CODE.END, 0, () => {});
    const result = w.domctl(d.XEN_DOMCTL_sethvmcontext, domid, (u) => {
      d.xen_domctl_hvmcontext.size.set(mem, u, at - w.dom0(LIST));
      d.xen_domctl_hvmcontext.buffer.set(mem, u, LIST);
    });
    expect(result).toBe(0);
    const cpu = w.vcpu(domid) + VCPU_CPU_OFFSET;
    let rip = 0n;
    let rbx = 0n;
    w.engine.script(cpu, () => {
      rip = cpuState.rip.get(mem, cpu);
      rbx = mem.u64(cpuState.gpr.addr(cpu, GPR.rbx));
      return EXIT.hlt;
    });
    w.unpause(domid);
    w.loop.step();
    expect(w.engine.calls).toEqual(['init', 'stateChanged']);
    expect([rip, rbx]).toEqual([0x100_0850n, 0x5000n]);
  });
});

describe('a guest', () => {
  test('learns version, capabilities and features', () => {
    const g = guest();
    expect(g.call(x.__HYPERVISOR_xen_version, XENVER_version, 0)).toBe(0x40011);
    expect(g.call(x.__HYPERVISOR_xen_version, XENVER_capabilities, 0x5000)).toBe(0);
    expect(cString(g.mem.copy(g.gpa(0x5000), 100))).toMatch(
      /^hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 /,
    );
    g.mem.setU32(g.gpa(0x5000), 0);
    expect(g.call(x.__HYPERVISOR_xen_version, XENVER_get_features, 0x5000)).toBe(0);
    expect(g.mem.u32(g.gpa(0x5004))).toBe((1 << 0) | (1 << 2) | (1 << 8) | (1 << 9) | (1 << 13) | (1 << 16));
  });

  test('gets -ENOSYS for calls it does not have, with one line in the log for each', () => {
    const g = guest();
    expect(g.call(1)).toBe(-e.XEN_ENOSYS);
    expect(g.call(1)).toBe(-e.XEN_ENOSYS);
    expect(g.call(11)).toBe(-e.XEN_ENOSYS);
    expect(g.w.log.filter((l) => l.includes('unknown hypercall'))).toEqual([
      '(XEN) d1 unknown hypercall 1',
      '(XEN) d1 unknown hypercall 11',
    ]);
  });

  test('gets -EFAULT for an address that is not its memory, and -EPERM from user mode', () => {
    const g = guest();
    expect(g.call(x.__HYPERVISOR_xen_version, XENVER_get_features, 0x4000_0000)).toBe(-e.XEN_EFAULT);
    g.w.engine.script(g.cpu, () => {
      g.mem.setU32(cpuState.cpl.addr(g.cpu), 3);
      return hypercall(g.w.engine, x.__HYPERVISOR_xen_version, XENVER_version)(g.cpu);
    });
    g.w.loop.step();
    expect(rax(g.mem, g.cpu)).toBe(-e.XEN_EPERM);
  });

  test('maps shared_info where it wants it, and finds the wall clock there', () => {
    const g = guest();
    const at = g.gpa(0x5000);
    m.xen_add_to_physmap.domid.set(g.mem, at, x.DOMID_SELF);
    m.xen_add_to_physmap.space.set(g.mem, at, m.XENMAPSPACE_shared_info);
    m.xen_add_to_physmap.gpfn.set(g.mem, at, 0xfe700);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_add_to_physmap, 0x5000)).toBe(0);
    const shared = g.gpa(0xfe70_0000);
    expect(shared).toBe(domainRecord.sharedInfo.get(g.mem, g.dom));
    expect(x.shared_info.wc_sec.get(g.mem, shared)).toBe(1_700_000_000);
    expect(x.shared_info.wc_version.get(g.mem, shared) & 1).toBe(0);
    // moved elsewhere, the first place is empty again
    m.xen_add_to_physmap.gpfn.set(g.mem, at, 0xfe701);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_add_to_physmap, 0x5000)).toBe(0);
    expect(g.gpa(0xfe70_0000)).toBe(-1);
    expect(g.gpa(0xfe70_1000)).toBe(shared);
  });

  test('balloons out and in, within its limit', () => {
    const g = guest();
    const at = g.gpa(0x5000);
    g.mem.fill(at, 64);
    g.mem.setN64(g.gpa(0x6000), 10);
    m.xen_memory_reservation.extent_start.set(g.mem, at, 0x6000);
    m.xen_memory_reservation.nr_extents.set(g.mem, at, 1);
    m.xen_memory_reservation.domid.set(g.mem, at, x.DOMID_SELF);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_populate_physmap, 0x5000)).toBe(0);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_decrease_reservation, 0x5000)).toBe(1);
    expect(g.gpa(10 * 4096)).toBe(-1);
    expect(domainRecord.totPages.get(g.mem, g.dom)).toBe(63);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_populate_physmap, 0x5000)).toBe(1);
    expect(g.gpa(10 * 4096)).toBeGreaterThan(0);
    expect(g.w.engine.calls).toContain('flushTlb');
  });

  test('reads the memory map that the toolstack set', () => {
    const g = guest();
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_memory_map, 0x5000)).toBe(-e.XEN_ENOSYS);
    const at = g.w.dom0(ARG);
    m.xen_foreign_memory_map.domid.set(g.mem, at, g.domid);
    m.xen_foreign_memory_map.map_nr_entries.set(g.mem, at, 1);
    m.xen_foreign_memory_map.map_buffer.set(g.mem, at, LIST);
    e820entry.addr.set(g.mem, g.w.dom0(LIST), 0);
    e820entry.size.set(g.mem, g.w.dom0(LIST), 64 * 4096);
    e820entry.type.set(g.mem, g.w.dom0(LIST), 1);
    expect(g.w.gate.hypercall(x.__HYPERVISOR_memory_op, m.XENMEM_set_memory_map, ARG)).toBe(0);
    m.xen_memory_map.nr_entries.set(g.mem, g.gpa(0x5000), 8);
    m.xen_memory_map.buffer.set(g.mem, g.gpa(0x5000), 0x6000);
    expect(g.call(x.__HYPERVISOR_memory_op, m.XENMEM_memory_map, 0x5000)).toBe(0);
    expect(m.xen_memory_map.nr_entries.get(g.mem, g.gpa(0x5000))).toBe(1);
    expect(e820entry.size.get(g.mem, g.gpa(0x6000))).toBe(64 * 4096);
  });

  test('reads and sets only the parameters that are its own', () => {
    const g = guest();
    const param = (op: number, index: number, value = 0n): number => {
      const at = g.gpa(0x5000);
      xen_hvm_param.domid.set(g.mem, at, x.DOMID_SELF);
      xen_hvm_param.index.set(g.mem, at, index);
      xen_hvm_param.value.set(g.mem, at, value);
      return g.call(x.__HYPERVISOR_hvm_op, op, 0x5000);
    };
    expect(param(HVMOP_get_param, HVM_PARAM_STORE_PFN)).toBe(0);
    expect(param(HVMOP_set_param, HVM_PARAM_STORE_PFN, 5n)).toBe(-e.XEN_EPERM);
    expect(param(HVMOP_set_param, HVM_PARAM_CONSOLE_PFN, 5n)).toBe(-e.XEN_EPERM);
    expect(param(HVMOP_set_param, HVM_PARAM_CALLBACK_IRQ, (2n << 56n) | 0xf3n)).toBe(0);
    expect(param(HVMOP_get_param, 4)).toBe(-e.XEN_EINVAL);
    expect(param(HVMOP_get_param, 39)).toBe(-e.XEN_EINVAL);
    expect(param(HVMOP_get_param, 10)).toBe(-e.XEN_EPERM);
  });

  test('runs a multicall in order and finds each result', () => {
    const g = guest();
    const s = x.multicall_entry;
    const entry = (i: number, op: number, ...args: bigint[]): void => {
      const at = g.gpa(0x5000) + i * s.$.size;
      s.op.set(g.mem, at, op);
      args.forEach((a, k) => {
        g.mem.setU64(s.args.addr(at, k), a);
      });
    };
    entry(0, x.__HYPERVISOR_xen_version, 0n, 0n);
    entry(1, 63);
    entry(2, x.__HYPERVISOR_multicall, 0n, 0n);
    expect(g.call(x.__HYPERVISOR_multicall, 0x5000, 3)).toBe(0);
    const result = (i: number): number => s.result.get(g.mem, g.gpa(0x5000) + i * s.$.size);
    expect([result(0), result(1), result(2)]).toEqual([0x40011, -e.XEN_ENOSYS, -e.XEN_EINVAL]);
  });

  test('uses 32-bit structures in 32-bit mode', () => {
    const g = guest();
    const at = g.gpa(0x5000);
    const s = m.xen_add_to_physmap_32;
    s.domid.set(g.mem, at, x.DOMID_SELF);
    s.space.set(g.mem, at, m.XENMAPSPACE_shared_info);
    s.gpfn.set(g.mem, at, 0x100);
    g.w.engine.script(
      g.cpu,
      hypercall32(g.w.engine, x.__HYPERVISOR_memory_op, m.XENMEM_add_to_physmap, 0x5000),
    );
    g.w.loop.step();
    expect(rax(g.mem, g.cpu)).toBe(0);
    expect(g.gpa(0x10_0000)).toBe(domainRecord.sharedInfo.get(g.mem, g.dom));
    // setting the callback from there makes the shared structures 32-bit
    const p = g.gpa(0x6000);
    xen_hvm_param.domid.set(g.mem, p, x.DOMID_SELF);
    g.w.engine.script(g.cpu, hypercall32(g.w.engine, x.__HYPERVISOR_hvm_op, HVMOP_set_param, 0x6000));
    g.w.loop.step();
    expect(domainRecord.wide.get(g.mem, g.dom)).toBe(0);
    expect(x.shared_info_32.wc_sec.get(g.mem, g.gpa(0x10_0000))).toBe(1_700_000_000);
  });

  test('that shuts down stops, and domain 0 hears of it', () => {
    const g = guest();
    g.mem.setU32(g.gpa(0x5000), 1);
    g.call(x.__HYPERVISOR_sched_op, SCHEDOP_shutdown, 0x5000);
    expect(g.w.loop.step()).toBe(false);
    g.w.domctl(d.XEN_DOMCTL_getdomaininfo, g.domid);
    const flags = d.xen_domctl_getdomaininfo.flags.get(g.mem, g.w.u);
    expect(flags & d.XEN_DOMINF_shutdown).not.toBe(0);
    expect((flags >> d.XEN_DOMINF_shutdownshift) & 0xff).toBe(1);
  });

  test('that triple-faults asks for a reboot; one that halts with interrupts off powers off', () => {
    const g = guest();
    g.w.engine.script(g.cpu, () => EXIT.tripleFault);
    g.w.loop.step();
    expect(
      g.w.log.some((l) => l.startsWith('(XEN) d1v0 Triple fault - invoking HVM shutdown action 1')),
    ).toBe(true);
    expect(domainRecord.shutdownCode.get(g.mem, g.dom)).toBe(1);
    const h = guest();
    h.w.engine.script(h.cpu, () => {
      cpuState.flagsRest.set(h.mem, h.cpu, 2n);
      return EXIT.hlt;
    });
    h.w.loop.step();
    expect(domainRecord.shutdown.get(h.mem, h.dom)).toBe(1);
    expect(domainRecord.shutdownCode.get(h.mem, h.dom)).toBe(0);
  });

  test('with which the engine cannot go on crashes alone, with the reason in the log', () => {
    const g = guest();
    g.w.engine.lastError = 'no machine memory left for translated code';
    g.w.engine.script(g.cpu, () => EXIT.failed);
    g.w.loop.step();
    expect(domainRecord.shutdownCode.get(g.mem, g.dom)).toBe(3);
    expect(
      g.w.log.some((l) => /^\(XEN\) Domain 1 \(vcpu#0\) crashed on cpu#0: no machine memory left/.test(l)),
    ).toBe(true);
  });

  test('at which the engine itself fails is the only one that crashes', () => {
    const g = guest();
    g.w.engine.script(g.cpu, () => {
      throw new Error('two odd accesses');
    });
    g.w.loop.step();
    expect(domainRecord.shutdownCode.get(g.mem, g.dom)).toBe(3);
    expect(g.w.log.some((l) => l.includes('two odd accesses'))).toBe(true);
    expect(g.w.loop.step()).toBe(false);
  });
});

describe('time and events', () => {
  test("vcpu_info moves to the guest's page with its contents, and carries the clock", () => {
    const g = guest();
    const at = g.gpa(0x5000);
    v.vcpu_register_vcpu_info.mfn.set(g.mem, at, 7);
    v.vcpu_register_vcpu_info.offset.set(g.mem, at, 0x40);
    expect(g.call(x.__HYPERVISOR_vcpu_op, v.VCPUOP_register_vcpu_info, 0, 0x5000)).toBe(0);
    const info = g.gpa(0x7040);
    expect(vcpuRecord.vcpuInfo.get(g.mem, g.vc)).toBe(info);
    expect(x.vcpu_info.evtchn_upcall_pending.get(g.mem, info)).toBe(1);
    const time = x.vcpu_info.time.addr(info);
    const t = x.vcpu_time_info;
    expect(t.version.get(g.mem, time) & 1).toBe(0);
    expect([t.tsc_to_system_mul.get(g.mem, time), t.tsc_shift.get(g.mem, time)]).toEqual([0x8000_0000, 1]);
    const tsc = g.w.time + Number(BigInt.asIntN(64, cpuState.tscOffset.get(g.mem, g.cpu)));
    const then = Number(t.tsc_timestamp.get(g.mem, time));
    expect(t.system_time.get(g.mem, time) + (tsc - then)).toBe(g.w.hv.now());
    expect(g.call(x.__HYPERVISOR_vcpu_op, v.VCPUOP_register_vcpu_info, 0, 0x5000)).toBe(-e.XEN_EINVAL);
  });

  test('a one-shot timer raises VIRQ_TIMER by the callback vector, and wakes a blocked vCPU', () => {
    const g = guest();
    const callback = domainRecord.hvmParams.addr(g.dom, HVM_PARAM_CALLBACK_IRQ);
    g.mem.setU64(callback, (2n << 56n) | 0xf3n);
    g.mem.setU32(g.gpa(0x5000), x.VIRQ_TIMER);
    g.mem.setU32(g.gpa(0x5004), 0);
    expect(g.call(x.__HYPERVISOR_event_channel_op, 1, 0x5000)).toBe(0);
    expect(g.call(x.__HYPERVISOR_vcpu_op, v.VCPUOP_stop_periodic_timer, 0, 0)).toBe(0);
    const when = g.w.hv.now() + 1e6;
    g.mem.setN64(g.gpa(0x6000), when);
    g.mem.setU32(g.gpa(0x6008), 0);
    expect(g.call(x.__HYPERVISOR_vcpu_op, v.VCPUOP_set_singleshot_timer, 0, 0x6000)).toBe(0);
    expect(g.call(x.__HYPERVISOR_sched_op, SCHEDOP_block)).toBe(0);
    expect(g.w.loop.step()).toBe(false);
    expect(vcpuRecord.runstate.get(g.mem, g.vc)).toBe(RUNSTATE.blocked);
    g.w.loop.idle();
    expect(g.w.slept).toEqual([1]);
    g.w.time += 1e6;
    g.w.engine.script(g.cpu, () => EXIT.pause);
    expect(g.w.loop.step()).toBe(true);
    expect(g.w.engine.injected).toEqual([{ cpu: g.cpu, vector: 0xf3 }]);
  });

  test('an upcall vector of its own goes through the local APIC once', () => {
    const g = guest();
    xen_hvm_evtchn_upcall_vector.vcpu.set(g.mem, g.gpa(0x5000), 0);
    xen_hvm_evtchn_upcall_vector.vector.set(g.mem, g.gpa(0x5000), 0xf3);
    expect(g.call(x.__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, 0x5000)).toBe(0);
    expect(g.w.log.at(-1)).toBe('(XEN) d1v0: upcall vector f3');
    vcpuRecord.lapicDisabled.set(g.mem, g.vc, 0);
    g.mem.setU32(g.gpa(0x5000), x.VIRQ_TIMER);
    g.mem.setU32(g.gpa(0x5004), 0);
    g.call(x.__HYPERVISOR_event_channel_op, 1, 0x5000);
    g.w.hv.withLock(() => raiseVirq(g.w.hv, g.vc, x.VIRQ_TIMER));
    g.w.engine.script(
      g.cpu,
      () => EXIT.irqWindow,
      () => EXIT.pause,
    );
    g.w.loop.step();
    expect(g.w.engine.injected).toEqual([{ cpu: g.cpu, vector: 0xf3 }]);
  });

  test('a poll ends at its timeout', () => {
    const g = guest();
    const at = g.gpa(0x5000);
    sched_poll.timeout.set(g.mem, at, g.w.hv.now() + 2e6);
    expect(g.call(x.__HYPERVISOR_sched_op, SCHEDOP_poll, 0x5000)).toBe(0);
    expect(g.w.loop.step()).toBe(false);
    g.w.time += 2e6;
    g.w.engine.script(g.cpu, () => EXIT.pause);
    expect(g.w.loop.step()).toBe(true);
  });

  test('the run-state area says how long the vCPU ran', () => {
    const g = guest();
    g.mem.setN64(g.gpa(0x5000), 0x8000);
    expect(g.call(x.__HYPERVISOR_vcpu_op, v.VCPUOP_register_runstate_memory_area, 0, 0x5000)).toBe(0);
    const r = v.vcpu_runstate_info;
    expect(r.state.get(g.mem, g.gpa(0x8000))).toBe(RUNSTATE.running);
    g.w.engine.script(g.cpu, hypercall(g.w.engine, x.__HYPERVISOR_sched_op, SCHEDOP_block));
    g.w.loop.step();
    g.w.loop.step();
    g.w.time += 7e6;
    g.w.hv.withLock(() => {
      vcpuRecord.blocked.set(g.mem, g.vc, 0);
    });
    g.w.loop.step();
    expect(g.mem.n64(r.time.addr(g.gpa(0x8000), RUNSTATE.blocked))).toBe(7e6);
  });
});

describe('the scheduler', () => {
  test('shares the CPU by weight', () => {
    const w = new World();
    const doms = [w.createDomain(), w.createDomain()];
    doms.forEach((domid, i) => {
      vcpuRecord.online.set(w.hv.mem, w.vcpu(domid), 1);
      domainRecord.cpuWeight.set(w.hv.mem, w.hv.domain(domid), i === 0 ? 256 : 512);
      const cpu = w.vcpu(domid) + VCPU_CPU_OFFSET;
      for (let n = 0; n < 400; n++) {
        w.engine.script(cpu, () => {
          w.time += 1e6;
          return EXIT.budget;
        });
      }
      w.unpause(domid);
    });
    for (let i = 0; i < 60; i++) w.loop.step();
    const ran = doms.map((domid) => {
      w.domctl(d.XEN_DOMCTL_getdomaininfo, domid);
      return d.xen_domctl_getdomaininfo.cpu_time.get(w.hv.mem, w.u);
    });
    expect(ran[1]! / ran[0]!).toBeGreaterThan(1.8);
    expect(ran[1]! / ran[0]!).toBeLessThan(2.2);
  });

  test('does not run a paused domain', () => {
    const g = guest();
    expect(g.w.domctl(d.XEN_DOMCTL_pausedomain, g.domid)).toBe(0);
    expect(g.w.loop.step()).toBe(false);
    expect(g.w.unpause(g.domid)).toBe(0);
    g.w.engine.script(g.cpu, () => EXIT.pause);
    expect(g.w.loop.step()).toBe(true);
  });
});
