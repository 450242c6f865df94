import { describe, expect, it } from 'vitest';
import { XEN_X86_EMU_HPET, XEN_X86_EMU_IOAPIC, XEN_X86_EMU_LAPIC } from '../../abi/arch_x86.ts';
import { HVM_PARAM_HPET_ENABLED } from '../../abi/hvm_params.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import { World } from '../testing/world.ts';
import { HPET_BASE, IOAPIC_BASE } from './devices.ts';
import { HvmPlatform } from './platform.ts';
import { APIC, lapicReg, lapicWrite } from './vlapic.ts';

const TICK_NS = 16;
const CONFIG = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const timer = (i: number): number => 0x100 + 0x20 * i;
const [LEVEL, ENABLE, PERIODIC, SET_VALUE] = [2, 4, 8, 0x40] as const;

function guest(devices = true) {
  const w = new World();
  const { mem } = w.hv;
  const domid = w.createDomain();
  const dom = w.hv.domain(domid);
  if (devices) {
    domainRecord.emulationFlags.set(mem, dom, XEN_X86_EMU_LAPIC | XEN_X86_EMU_HPET | XEN_X86_EMU_IOAPIC);
    mem.setN64(domainRecord.hvmParams.addr(dom, HVM_PARAM_HPET_ENABLED), 1);
  }
  const v = w.vcpu(domid);
  const cpu = v + VCPU_CPU_OFFSET;
  vcpuRecord.online.set(mem, v, 1);
  vcpuRecord.initialised.set(mem, v, 1);
  w.unpause(domid);
  const platform = new HvmPlatform(w.hv);
  lapicWrite(platform, v, APIC.SVR, 0x1ff);
  lapicWrite(platform, v, APIC.TPR, 0xf0);
  const out = new Uint32Array(2);
  const read = (gpa: number, size = 8): bigint => {
    platform.mmioRead(cpu, gpa, size, out);
    return BigInt(out[0]!) + (BigInt(out[1]!) << 32n);
  };
  const write = (gpa: number, value: bigint, size: number): void =>
    platform.mmioWrite(cpu, gpa, size, Number(value & 0xffff_ffffn), Number(value >> 32n));
  const ioapic = (index: number, value?: number): number => {
    write(IOAPIC_BASE, BigInt(index), 4);
    if (value !== undefined) write(IOAPIC_BASE + 0x10, BigInt(value), 4);
    return Number(read(IOAPIC_BASE + 0x10, 4));
  };
  return {
    read: (offset: number, size = 8) => read(HPET_BASE + offset, size),
    write: (offset: number, value: number | bigint, size = 8) =>
      write(HPET_BASE + offset, BigInt(value), size),
    ioapic,
    pass(ns: number): void {
      w.time += ns;
      w.loop.step();
    },
    /** The vector waits in the local APIC; it does so once only. */
    came(vector: number): boolean {
      const at = vcpuRecord.lapic.addr(v) + APIC.IRR + 0x20;
      const bit = 1 << (vector - 0x40);
      const there = (lapicReg(mem, v, APIC.IRR + 0x20) & bit) !== 0;
      mem.setU32(at, mem.u32(at) & ~bit);
      return there;
    },
  };
}

describe('the HPET', () => {
  it('is there for domains that were given one', () => {
    expect(guest(false).read(0)).toBe(0xffff_ffff_ffff_ffffn);
    const g = guest();
    expect(g.read(0)).toBe(0xf4_2400_8086_a201n);
    expect(g.read(4, 4)).toBe(0xf4_2400n);
    expect(g.read(timer(2))).toBe(0x00f0_0000_0000_0030n);
    expect(g.read(1, 4)).toBe(0xffff_ffffn);
  });

  it('counts while it is enabled', () => {
    const g = guest();
    g.write(COUNTER, 1000);
    g.pass(1600);
    expect(g.read(COUNTER)).toBe(1000n);
    g.write(CONFIG, 1);
    g.pass(1600);
    expect(g.read(COUNTER)).toBe(1100n);
    g.write(CONFIG, 0);
    g.pass(1600);
    expect(g.read(COUNTER)).toBe(1100n);
  });

  it('routes to the pins that there are', () => {
    const g = guest();
    g.write(timer(0), ENABLE | (22 << 9), 4);
    expect(g.read(timer(0), 4)).toBe(BigInt(0x30 | ENABLE | (22 << 9)));
    g.write(timer(0), ENABLE | (16 << 9), 4);
    expect(g.read(timer(0), 4)).toBe(BigInt(0x30 | ENABLE | (20 << 9)));
  });

  it('interrupts once, or again and again', () => {
    const g = guest();
    g.ioapic(0x10 + 2 * 20, 0x41);
    g.ioapic(0x10 + 2 * 21, 0x42);
    g.write(timer(0), ENABLE | (20 << 9));
    g.write(timer(0) + 8, 1000);
    g.write(timer(1), ENABLE | PERIODIC | SET_VALUE | (21 << 9));
    g.write(timer(1) + 8, 10_000);
    g.write(timer(1) + 8, 10_000);
    g.write(CONFIG, 1);
    g.pass(999 * TICK_NS);
    expect(g.came(0x41)).toBe(false);
    g.pass(2 * TICK_NS);
    expect([g.came(0x41), g.came(0x42)]).toEqual([true, false]);
    for (let i = 0; i < 3; i++) {
      g.pass(10_000 * TICK_NS);
      expect([g.came(0x41), g.came(0x42)]).toEqual([false, true]);
    }
    expect(g.read(timer(1) + 8)).toBe(40_000n);
  });

  it('waits for its status to be cleared where it is level-triggered', () => {
    const g = guest();
    g.ioapic(0x10 + 2 * 23, 0x8041);
    g.write(timer(2), ENABLE | PERIODIC | LEVEL | SET_VALUE | (23 << 9));
    g.write(timer(2) + 8, 10_000);
    g.write(timer(2) + 8, 10_000);
    g.write(CONFIG, 1);
    g.pass(10_000 * TICK_NS);
    expect([g.came(0x41), g.read(STATUS)]).toEqual([true, 4n]);
    g.pass(10_000 * TICK_NS);
    expect(g.came(0x41)).toBe(false);
    g.write(STATUS, 4);
    expect(g.read(STATUS)).toBe(0n);
    g.pass(10_000 * TICK_NS);
    expect(g.came(0x41)).toBe(true);
  });

  it('survives any period', () => {
    const g = guest();
    g.write(timer(0), ENABLE | PERIODIC | (20 << 9));
    g.write(CONFIG, 1);
    for (const period of [0n, 1n, 2n ** 32n, 2n ** 64n - 1n]) {
      g.write(timer(0) + 8, period);
      g.write(timer(0), ENABLE | PERIODIC | 0x100 | (20 << 9));
      g.pass(1_000_000);
      g.write(timer(0), ENABLE | PERIODIC | (20 << 9));
    }
  });
});

describe('the I/O APIC', () => {
  it('has masked pins', () => {
    const g = guest();
    expect(g.ioapic(1)).toBe(0x2f_0011);
    expect(g.ioapic(0x10)).toBe(0x1_0000);
    expect(g.ioapic(0x10 + 2 * 47 + 1, 0x0200_0000)).toBe(0x0200_0000);
    expect(g.ioapic(0x10 + 2 * 47, 0x1041)).toBe(0x41);
    expect(g.ioapic(0x70, 0x41)).toBe(0);
    expect(g.ioapic(0, 0x0500_0000)).toBe(0x0500_0000);
  });
});

it('a domain record fits its page', () => {
  expect(domainRecord.$.size).toBeLessThanOrEqual(4096);
  expect(vcpuRecord.$.size).toBeLessThanOrEqual(VCPU_CPU_OFFSET);
});
