/**
 * What surrounds the vCPUs of HVM-type domains, as the engine asks for it in the middle of an instruction: CPUID, MSRs,
 * the local APIC's page, ports. One object per physical CPU.
 *
 * A PVH domain has no other devices, unless its creator gave it an HPET and an I/O APIC: ports and empty guest-physical space read all ones, writes are dropped, and the
 * first of a kind is logged.
 */
import { XEN_HVM_DEBUGCONS_IOPORT } from '../../abi/arch_x86.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import type { Platform } from '../../machine/platform.ts';
import { noteDeadline } from '../deadline.ts';
import { guestConsoleByte } from '../guest-console.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import { tscToSystem } from '../time.ts';
import { vcpuCpuid } from './cpuid.ts';
import { sendIpi } from './ipi.ts';
import { hasPending } from './irq.ts';
import { deviceRead, deviceWrite } from './mmio.ts';
import { readMsr, writeMsr } from './msr.ts';
import {
  APIC,
  APIC_BASE_ADDRESS,
  type LapicEnv,
  lapicMapped,
  lapicRead,
  lapicReg,
  lapicWrite,
} from './vlapic.ts';

/** A little more than the longest time in the engine. */
const SOON_NS = 1_000_000;
/** Kinds of access that are logged once per domain. */
const LOGGED = { msrRead: 1, msrWrite: 2, mmio: 4 } as const;

/** So many different things that a guest cannot run are named in the log. */
const NAMED_LIMIT = 64;

export class HvmPlatform implements Platform, LapicEnv {
  readonly mem: Mem;
  private readonly hv: Hypervisor;
  /** What was named as missing already. */
  private readonly named = new Set<string>();

  constructor(hv: Hypervisor) {
    this.hv = hv;
    this.mem = hv.mem;
  }

  cpuid(cpu: number, leaf: number, subleaf: number, out: Uint32Array): void {
    vcpuCpuid(this.mem, vcpuOf(cpu), leaf >>> 0, subleaf >>> 0, out);
  }

  rdmsr(cpu: number, index: number, out: Uint32Array): boolean {
    const v = vcpuOf(cpu);
    if (readMsr(this.hv, this, v, index >>> 0, out)) return true;
    this.logOnce(v, LOGGED.msrRead, () => `RDMSR ${hex(index)} unimplemented`);
    return false;
  }

  wrmsr(cpu: number, index: number, lo: number, hi: number): boolean {
    const v = vcpuOf(cpu);
    if (writeMsr(this.hv, this, v, index >>> 0, lo >>> 0, hi >>> 0)) return true;
    this.logOnce(v, LOGGED.msrWrite, () => `WRMSR ${hex(index)} val ${hex(hi)}:${hex(lo)} refused`);
    return false;
  }

  ioWrite(cpu: number, port: number, size: number, value: number): void {
    if (port !== XEN_HVM_DEBUGCONS_IOPORT || size !== 1) return;
    this.hv.enter();
    guestConsoleByte(this.hv, vcpuRecord.domain.get(this.mem, vcpuOf(cpu)), value & 0xff);
    this.hv.leave();
  }

  mmioRead(cpu: number, gpa: number, size: number, out: Uint32Array): void {
    const v = vcpuOf(cpu);
    out[0] = 0xffff_ffff;
    out[1] = 0xffff_ffff;
    if (this.isLapic(v, gpa)) {
      const offset = gpa & 0xfff;
      const word = lapicRead(this, v, offset & 0xff0) >>> ((offset & 3) * 8);
      out[0] = (offset & 0xf) < 4 ? word : 0;
      out[1] = 0;
      return;
    }
    if (deviceRead(this.hv, vcpuRecord.domain.get(this.mem, v), gpa, size, out)) return;
    this.logOnce(v, LOGGED.mmio, () => `read of ${size} bytes at ${hex(gpa)}, where nothing is`);
  }

  mmioWrite(cpu: number, gpa: number, size: number, lo: number, hi: number): void {
    const v = vcpuOf(cpu);
    if (this.isLapic(v, gpa)) {
      if ((gpa & 0xf) === 0) lapicWrite(this, v, gpa & 0xff0, lo >>> 0);
      return;
    }
    if (deviceWrite(this.hv, vcpuRecord.domain.get(this.mem, v), gpa, size, lo, hi)) return this.recheck(v);
    this.logOnce(v, LOGGED.mmio, () => `write of ${size} bytes at ${hex(gpa)}, where nothing is`);
  }

  readCr8(cpu: number): number {
    return lapicReg(this.mem, vcpuOf(cpu), APIC.TPR) >>> 4;
  }

  writeCr8(cpu: number, value: number): void {
    lapicWrite(this, vcpuOf(cpu), APIC.TPR, (value & 15) << 4);
  }

  cannotRun(cpu: number, what: string): void {
    if (this.named.has(what) || this.named.size === NAMED_LIMIT) return;
    this.named.add(what);
    this.log(vcpuOf(cpu), `tried to run ${what}`);
  }

  private isLapic(v: number, gpa: number): boolean {
    return gpa >= APIC_BASE_ADDRESS && gpa < APIC_BASE_ADDRESS + 0x1000 && lapicMapped(this.mem, v);
  }

  // What the local APIC needs

  now(): number {
    return this.hv.now();
  }

  tscToSystem(v: number, tsc: number): number {
    return tscToSystem(this.hv, v, tsc);
  }

  sendIpi(v: number, icr: number, dest: number): void {
    this.hv.enter();
    try {
      sendIpi(this.hv, v, icr, dest);
    } finally {
      this.hv.leave();
    }
    this.recheck(v);
  }

  timerArmed(v: number, deadline: number): void {
    const { hv, mem } = this;
    hv.enter();
    noteDeadline(hv, deadline);
    hv.leave();
    // what is due before the engine would come back has it come back now
    if (deadline < hv.now() + SOON_NS) cpuState.irqWindow.set(mem, vcpuRecord.cpu.get(mem, v), 2);
  }

  /** Something may be deliverable now: the engine is to leave as soon as the guest can take it. */
  recheck(v: number): void {
    if (!hasPending(this.mem, v)) return;
    const nmi = vcpuRecord.nmiPending.get(this.mem, v) !== 0;
    cpuState.irqWindow.set(this.mem, vcpuRecord.cpu.get(this.mem, v), nmi ? 2 : 1);
  }

  private logOnce(v: number, kind: number, line: () => string): void {
    const { mem, hv } = this;
    const dom = vcpuRecord.domain.get(mem, v);
    if ((domainRecord.loggedAccess.get(mem, dom) & kind) !== 0) return;
    hv.enter();
    domainRecord.loggedAccess.set(mem, dom, domainRecord.loggedAccess.get(mem, dom) | kind);
    hv.leave();
    this.log(v, `${line()} (further ones are not logged)`);
  }

  private log(v: number, line: string): void {
    const { mem, hv } = this;
    const name = `d${domainRecord.domid.get(mem, vcpuRecord.domain.get(mem, v))}v${vcpuRecord.id.get(mem, v)}`;
    hv.enter();
    hv.print(`${name} ${line}`, 'debug');
    hv.leave();
  }
}

const hex = (n: number): string => (n >= 2 ** 32 ? n : n >>> 0).toString(16).padStart(8, '0');

/** The vCPU record that a cpuState lies in. */
export const vcpuOf = (cpu: number): number => cpu - VCPU_CPU_OFFSET;
