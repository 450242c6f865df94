import { describe, expect, it } from 'vitest';
import { HVMOP_set_param, xen_hvm_param } from '../../abi/hvm_op.ts';
import * as p from '../../abi/hvm_params.ts';
import { __HYPERVISOR_hvm_op, DOMID_SELF } from '../../abi/xen.ts';
import { Mem } from '../../base/mem.ts';
import { cpuState, GPR } from '../../machine/cpu-state.ts';
import { EXIT } from '../../machine/platform.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import { longMode } from '../testing/engine.ts';
import { ARG, World } from '../testing/world.ts';
import { HvmPlatform } from './platform.ts';
import { loadRecord } from './save.ts';
import type { SaveRecord } from './save-record.ts';
import { HV_MSR, HV_STATUS_INVALID_PARAMETER, HVCALL, HVMSG_TIMER_EXPIRED } from './viridian-abi.ts';
import { viridianDomainRecord, viridianVcpuRecord } from './viridian-save.ts';
import { APIC, lapicAck, lapicPending, lapicReg, lapicSetIrq, lapicSetReg, lapicWrite } from './vlapic.ts';

const EVERYTHING = 0x1fff & ~p.HVMPV_no_freq;
const ENABLED = 1n;
const PAGE = 0x8000;

/** Domain 0 sets a domain's features: 0 or -errno. */
function setFeatures(w: World, domid: number, features: number): number {
  const at = w.dom0(ARG);
  xen_hvm_param.domid.set(w.hv.mem, at, domid);
  xen_hvm_param.index.set(w.hv.mem, at, p.HVM_PARAM_VIRIDIAN);
  xen_hvm_param.value.set(w.hv.mem, at, BigInt(features));
  return w.gate.hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, ARG);
}

/** A domain with enlightenments; its local APICs are on, and vCPU 0 runs. */
function guest(features = EVERYTHING, vcpus = 1) {
  const w = new World();
  const { mem } = w.hv;
  const domid = w.createDomain(vcpus);
  if (features !== 0) expect(setFeatures(w, domid, features)).toBe(0);
  const platform = new HvmPlatform(w.hv);
  const ids = Array.from({ length: vcpus }, (_, id) => w.vcpu(domid, id));
  for (const v of ids) {
    vcpuRecord.online.set(mem, v, v === ids[0] ? 1 : 0);
    vcpuRecord.initialised.set(mem, v, 1);
    cpuState.p2mRoot.set(mem, v + VCPU_CPU_OFFSET, domainRecord.p2mRoot.get(mem, w.hv.domain(domid)));
    lapicWrite(platform, v, APIC.SVR, 0x1ff);
  }
  w.unpause(domid);
  const [v] = ids as [number];
  const cpu = v + VCPU_CPU_OFFSET;
  const out = new Uint32Array(4);
  return {
    w,
    mem,
    v,
    ids,
    platform,
    gpa: (a: number): number => w.engine.linearToMaddr(cpu, BigInt(a), true),
    cpuid(leaf: number): number[] {
      platform.cpuid(cpu, leaf, 0, out);
      return [...out];
    },
    rdmsr: (msr: number): bigint | '#GP' =>
      platform.rdmsr(cpu, msr, out) ? BigInt(out[0]!) + (BigInt(out[1]!) << 32n) : '#GP',
    wrmsr: (msr: number, value: bigint | number): boolean =>
      platform.wrmsr(cpu, msr, Number(BigInt(value) & 0xffff_ffffn), Number(BigInt(value) >> 32n)),
    /** A hypercall in 64-bit mode: RAX after it. */
    call(control: bigint | number, input: bigint | number = 0, output: bigint | number = 0): bigint {
      w.engine.scripts.clear();
      w.engine.script(cpu, () => {
        longMode(mem, cpu);
        mem.setU64(cpuState.gpr.addr(cpu, GPR.rax), 0x8000_0000n);
        mem.setU64(cpuState.gpr.addr(cpu, GPR.rcx), BigInt(control));
        mem.setU64(cpuState.gpr.addr(cpu, GPR.rdx), BigInt(input));
        mem.setU64(cpuState.gpr.addr(cpu, GPR.r8), BigInt(output));
        return EXIT.hypercall;
      });
      w.loop.step();
      return mem.u64(cpuState.gpr.addr(cpu, GPR.rax));
    },
    words(at: number, words: readonly bigint[]): void {
      for (const [i, word] of words.entries()) mem.setU64(at + i * 8, word);
    },
    /** Lets time pass and timers run. */
    pass(ns: number): void {
      w.time += ns;
      w.loop.step();
    },
  };
}

const text = (words: number[]): string =>
  words
    .map((w) => String.fromCharCode(w & 255, (w >>> 8) & 255, (w >>> 16) & 255, w >>> 24))
    .join('')
    .replace(/\0/g, '');

describe('the features', () => {
  it('want their base, exist, and stay', () => {
    const w = new World();
    const domid = w.createDomain();
    expect(setFeatures(w, domid, p.HVMPV_synic)).toBe(-22);
    expect(setFeatures(w, domid, p.HVMPV_base_freq | (1 << 13))).toBe(-22);
    expect(setFeatures(w, domid, p.HVMPV_base_freq)).toBe(0);
    expect(setFeatures(w, domid, p.HVMPV_base_freq | p.HVMPV_synic)).toBe(-17);
    expect(setFeatures(w, DOMID_SELF, p.HVMPV_base_freq)).toBeLessThan(0);
  });

  it("show in CPUID, Xen's leaves behind them", () => {
    const g = guest();
    expect(text(g.cpuid(0x4000_0000).slice(1))).toBe('Microsoft Hv');
    expect(text(g.cpuid(0x4000_0001))).toBe('Hv#1');
    expect(g.cpuid(0x4000_0003)).toEqual([0xa7e, 0, 0, 0x2_0408]);
    expect(g.cpuid(0x4000_0005)[0]).toBe(0xffff_ffff);
    expect(text(g.cpuid(0x4000_0100).slice(1))).toBe('XenVMMXenVMM');
    expect(g.cpuid(0x4000_0102)[1]).toBe(0x4000_0200);
    const plain = guest(0);
    expect(text(plain.cpuid(0x4000_0000).slice(1))).toBe('XenVMMXenVMM');
    expect(plain.cpuid(0x4000_0100)).toEqual([0, 0, 0, 0]);
  });

  it('have version and advice for a guest that says what it is', () => {
    const g = guest();
    expect(g.cpuid(0x4000_0002)).toEqual([0, 0, 0, 0]);
    expect(g.cpuid(0x4000_0004)).toEqual([0, 0, 0, 0]);
    expect(g.wrmsr(HV_MSR.GUEST_OS_ID, 0x0001_0406_0000_1772n)).toBe(true);
    expect(g.cpuid(0x4000_0002)).toEqual([0x1772, 0x6_0000, 0, 0]);
    expect(g.cpuid(0x4000_0004)).toEqual([0xc2c, 2047, 0, 0]);
  });

  it('that were not asked for have no MSRs', () => {
    const g = guest(p.HVMPV_base_freq | p.HVMPV_no_freq);
    for (const msr of [HV_MSR.TSC_FREQUENCY, HV_MSR.TIME_REF_COUNT, HV_MSR.REFERENCE_TSC, HV_MSR.SIMP])
      expect(g.rdmsr(msr)).toBe('#GP');
    for (const msr of [HV_MSR.REFERENCE_TSC, HV_MSR.SINT0, HV_MSR.STIMER0_CONFIG])
      expect(g.wrmsr(msr, 0x20)).toBe(false);
    expect(g.rdmsr(HV_MSR.VP_INDEX)).toBe(0n);
    expect(guest(0).rdmsr(HV_MSR.VP_INDEX)).toBe('#GP');
  });
});

describe('pages that the guest names', () => {
  it('may be the hypercall page, which marks its calls', () => {
    const g = guest();
    expect(g.wrmsr(HV_MSR.HYPERCALL, BigInt(PAGE) | ENABLED)).toBe(true);
    const bytes = [...g.mem.slice(g.gpa(PAGE), 10)];
    expect(bytes).toEqual([0x0d, 0, 0, 0, 0x80, 0x0f, 0x01, 0xd9, 0xc3, 0xcc]);
    // Xen's own page is at another MSR now
    expect(g.wrmsr(0x4000_0200, PAGE)).toBe(true);
    expect(g.mem.u8(g.gpa(PAGE))).toBe(0xb8);
  });

  it('may be anything at all', () => {
    const g = guest();
    for (const msr of [HV_MSR.HYPERCALL, HV_MSR.REFERENCE_TSC, HV_MSR.SIMP, HV_MSR.VP_ASSIST_PAGE]) {
      for (const bad of [2n ** 64n - 1n, 0xff_f001n]) {
        expect(g.wrmsr(msr, bad)).toBe(true);
        expect(g.rdmsr(msr)).toBe(bad);
      }
    }
  });
});

describe('time', () => {
  it('has a reference count of 100 ns, which a page makes of the TSC', () => {
    const g = guest();
    g.w.time += 1_000_000;
    const count = g.rdmsr(HV_MSR.TIME_REF_COUNT) as bigint;
    expect(count).toBeGreaterThanOrEqual(9_999n);
    expect(count).toBeLessThanOrEqual(10_000n);
    g.wrmsr(HV_MSR.REFERENCE_TSC, BigInt(PAGE) | ENABLED);
    const page = g.gpa(PAGE);
    expect(g.mem.u32(page)).toBe(1);
    expect((1_000_000n * g.mem.u64(page + 8)) >> 64n).toBe(count);
    expect(g.wrmsr(HV_MSR.TIME_REF_COUNT, 0)).toBe(false);
  });

  it('has frequencies', () => {
    const g = guest();
    expect(g.rdmsr(HV_MSR.TSC_FREQUENCY)).toBe(1_000_000_000n);
    expect(g.rdmsr(HV_MSR.APIC_FREQUENCY)).toBe(100_000_000n);
  });

  it('has timers, which send messages and interrupts', () => {
    const g = guest();
    const slot = (): number => g.gpa(PAGE) + 2 * 256;
    g.wrmsr(HV_MSR.SIMP, BigInt(PAGE) | ENABLED);
    g.wrmsr(HV_MSR.SINT0 + 2, 0x51);
    g.wrmsr(HV_MSR.STIMER0_CONFIG + 2, 0x2_0003); // timer 1, periodic, source 2
    expect(g.rdmsr(HV_MSR.STIMER0_CONFIG + 2)).toBe(0x2_0002n); // not without a count
    g.wrmsr(HV_MSR.STIMER0_CONFIG + 3, 1000);
    g.wrmsr(HV_MSR.STIMER0_CONFIG + 2, 0x2_0003);
    g.pass(99_000);
    expect(g.mem.u32(slot())).toBe(0);
    g.pass(2_000);
    expect(g.mem.u32(slot())).toBe(HVMSG_TIMER_EXPIRED);
    expect(g.mem.u32(slot() + 16)).toBe(1);
    expect(g.w.engine.injected.at(-1)?.vector).toBe(0x51);
    // the next one waits until there is room for its message
    g.pass(100_000);
    g.mem.setU32(slot(), 0);
    g.wrmsr(HV_MSR.EOM, 0);
    expect(g.mem.u32(slot())).toBe(HVMSG_TIMER_EXPIRED);
  });

  it('lets a timer of the past expire, though there is nowhere for its message', () => {
    const g = guest();
    g.w.time += 1000;
    expect(g.wrmsr(HV_MSR.STIMER0_CONFIG + 1, 1)).toBe(true);
    expect(g.wrmsr(HV_MSR.STIMER0_CONFIG, 0x1_0001)).toBe(true);
    expect(g.rdmsr(HV_MSR.STIMER0_CONFIG)).toBe(0x1_0000n);
    g.pass(1_000_000);
    g.wrmsr(HV_MSR.SIMP, BigInt(PAGE) | ENABLED);
    g.pass(0);
    expect(g.mem.u32(g.gpa(PAGE) + 256)).toBe(HVMSG_TIMER_EXPIRED);
  });
});

describe('interrupts', () => {
  it('have MSRs for the local APIC', () => {
    const g = guest();
    g.wrmsr(HV_MSR.TPR, 0x20);
    expect(lapicReg(g.mem, g.v, APIC.TPR)).toBe(0x20);
    expect(g.rdmsr(HV_MSR.TPR)).toBe(0x20n);
    g.wrmsr(HV_MSR.ICR, 0x4_0041); // to itself
    expect(g.rdmsr(HV_MSR.ICR)).toBe(0x4_0041n);
    expect(lapicPending(g.mem, g.v)).toBe(0x41);
    lapicAck(g.mem, g.v, 0x41);
    g.wrmsr(HV_MSR.EOI, 0);
    expect(lapicReg(g.mem, g.v, APIC.ISR + 0x20)).toBe(0);
    expect(g.rdmsr(HV_MSR.EOI)).toBe('#GP');
  });

  it('can do without an EOI, if the guest says so in the assist page', () => {
    const g = guest();
    const { mem, v } = g;
    g.wrmsr(HV_MSR.VP_ASSIST_PAGE, BigInt(PAGE) | ENABLED);
    const word = g.gpa(PAGE);
    lapicSetIrq(mem, v, 0x41);
    lapicAck(mem, v, 0x41);
    expect(mem.u32(word)).toBe(1);
    // one of the same class has to wait, so the EOI is wanted after all
    lapicSetIrq(mem, v, 0x42);
    g.pass(0);
    expect(mem.u32(word)).toBe(0);
    lapicWrite(g.platform, v, APIC.EOI, 0);
    lapicAck(mem, v, 0x42);
    expect(mem.u32(word)).toBe(1);
    // this time the guest takes the offer
    mem.setU32(word, 0);
    lapicSetIrq(mem, v, 0x43);
    g.pass(0);
    expect(g.w.engine.injected.at(-1)?.vector).toBe(0x43);
  });

  it('of a synthetic source may end by themselves', () => {
    const g = guest();
    g.wrmsr(HV_MSR.SINT0 + 3, 0x2_0051);
    expect(g.rdmsr(HV_MSR.SINT0 + 3)).toBe(0x2_0051n);
    expect(g.rdmsr(HV_MSR.SINT0 + 4)).toBe(0x1_0000n);
    expect(g.wrmsr(HV_MSR.SINT0, 0x0f)).toBe(false);
    lapicSetIrq(g.mem, g.v, 0x51);
    lapicAck(g.mem, g.v, 0x51);
    expect(lapicReg(g.mem, g.v, APIC.ISR + 0x20)).toBe(0);
    lapicSetReg(g.mem, g.v, APIC.TPR, 0);
  });
});

describe('hypercalls', () => {
  it('that are unknown, or say what cannot be, are refused', () => {
    const g = guest();
    expect(g.call(0x77)).toBe(2n);
    expect(g.call(HVCALL.EXT_CALL_QUERY_CAPABILITIES)).toBe(2n);
    expect(g.call(HVCALL.NOTIFY_LONG_SPIN_WAIT)).toBe(0n);
    const refused = BigInt(HV_STATUS_INVALID_PARAMETER);
    expect(g.call(HVCALL.FLUSH_VIRTUAL_ADDRESS_SPACE, 2n ** 63n)).toBe(refused);
    expect(g.call(HVCALL.FLUSH_VIRTUAL_ADDRESS_SPACE | 0x1_0000, 0)).toBe(refused);
    expect(g.call(HVCALL.SEND_IPI | 0x1_0000, 0x0f, 1)).toBe(refused);
    expect(g.call(HVCALL.SEND_IPI | 0x1_0000, 0x1_0000_0041n, 1)).toBe(refused);
    g.mem.setU64(g.gpa(PAGE), 0x1_0000_0041n); // a trust level above 0
    expect(g.call(HVCALL.SEND_IPI, PAGE)).toBe(refused);
    g.mem.setU64(g.gpa(PAGE + 8), 2n); // no such format
    g.mem.setU64(g.gpa(PAGE), 0x41n);
    expect(g.call(HVCALL.SEND_IPI_EX, PAGE)).toBe(refused);
  });

  it('send interrupts to the vCPUs of a mask or a set', () => {
    const g = guest(EVERYTHING, 3);
    const waiting = (vector: number): boolean[] =>
      g.ids.map((v) => ((lapicReg(g.mem, v, APIC.IRR + 0x20) >>> (vector - 0x40)) & 1) !== 0);
    for (const v of g.ids) lapicSetReg(g.mem, v, APIC.TPR, 0xf0);
    expect(g.call(HVCALL.SEND_IPI | 0x1_0000, 0x41, 0b110)).toBe(0n);
    expect(waiting(0x41)).toEqual([false, true, true]);
    const at = g.gpa(PAGE);
    g.words(at, [0x42n, 0n, 0b10n, 0xffff_ffffn]);
    expect(g.call(HVCALL.SEND_IPI_EX, PAGE)).toBe(0n); // bank 1 alone: vCPUs 64 to 127
    expect(waiting(0x42)).toEqual([false, false, false]);
    g.words(at, [0x42n, 0n, 0b11n, 0b101n, 0n]);
    expect(g.call(HVCALL.SEND_IPI_EX, PAGE)).toBe(0n);
    expect(waiting(0x42)).toEqual([true, false, true]);
    g.words(at, [0x43n, 1n]);
    expect(g.call(HVCALL.SEND_IPI_EX, PAGE)).toBe(0n);
    expect(waiting(0x43)).toEqual([true, true, true]);
  });

  it('flush the TLBs of vCPUs, and count what they were asked to do', () => {
    const g = guest(EVERYTHING, 2);
    for (const v of g.ids) vcpuRecord.cpuReady.set(g.mem, v, 1);
    g.words(g.gpa(PAGE), [0n, 0n, 0b10n]);
    expect(g.call(BigInt(HVCALL.FLUSH_VIRTUAL_ADDRESS_LIST) | (5n << 32n), PAGE)).toBe(5n << 32n);
    expect(g.ids.map((v) => vcpuRecord.flushPending.get(g.mem, v))).toEqual([0, 1]);
  });
});

it('a crash that a guest announces is one, whatever it does next', () => {
  const g = guest();
  g.wrmsr(HV_MSR.CRASH_P0, 0xdead);
  g.wrmsr(HV_MSR.CRASH_CTL, 1n << 63n);
  expect(g.rdmsr(HV_MSR.CRASH_P0)).toBe(0xdeadn);
  g.w.engine.script(g.v + VCPU_CPU_OFFSET, () => EXIT.tripleFault);
  g.w.loop.step();
  expect(domainRecord.shutdownCode.get(g.mem, vcpuRecord.domain.get(g.mem, g.v))).toBe(3);
  expect(g.w.log.some((line) => line.includes('VIRIDIAN CRASH: dead'))).toBe(true);
});

it('saved state is there again after it was loaded, and only for domains that have it', () => {
  const saved = Mem.alloc(512);
  const g = guest();
  const load = (to: ReturnType<typeof guest>, record: SaveRecord): number =>
    loadRecord(to.w.hv, vcpuRecord.domain.get(to.mem, to.v), record.code, 0, saved, 0, record.size);
  g.wrmsr(HV_MSR.GUEST_OS_ID, 0x1234);
  g.wrmsr(HV_MSR.SIMP, BigInt(PAGE) | ENABLED);
  g.wrmsr(HV_MSR.SINT0 + 5, 0x51);
  g.wrmsr(HV_MSR.STIMER0_CONFIG + 1, 1000);
  g.wrmsr(HV_MSR.STIMER0_CONFIG, 0x5_0003);
  for (const record of [viridianDomainRecord, viridianVcpuRecord]) {
    record.save(g.w.hv, g.v, saved, 0);
    const h = guest();
    expect(load(h, record)).toBe(0);
    const again = Mem.alloc(512);
    record.save(h.w.hv, h.v, again, 0);
    expect([...again.slice(0, record.size)]).toEqual([...saved.slice(0, record.size)]);
    expect(load(guest(0), record)).toBe(-22);
    saved.fill(0, 512);
  }
});
