/** What each exit of the engine means. Hypercall arguments are read from the registers, and the result written, here. */
import { XEN_EPERM } from '../../abi/errno.ts';
import { HVM_PARAM_TRIPLE_FAULT_REASON } from '../../abi/hvm_params.ts';
import { SHUTDOWN_poweroff } from '../../abi/sched.ts';
import type { Mem } from '../../base/mem.ts';
import { cpuState, GPR, SEG, segment } from '../../machine/cpu-state.ts';
import { type Engine, EXIT, type Exit } from '../../machine/platform.ts';
import { domainCrash, domainShutdown, forEachVcpu } from '../domain/domain.ts';
import { dumpRegisters } from '../domain/dump.ts';
import { isRunnable } from '../domain/vcpu.ts';
import { Caller } from '../guest-copy.ts';
import { hasPending } from '../hvm/irq.ts';
import { viridianFeatures } from '../hvm/viridian-assist.ts';
import { viridianHypercall } from '../hvm/viridian-hypercall.ts';
import { doHypercall } from '../hypercall/dispatch.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import { waitForWrite } from './monitor.ts';

const HYPERCALL_BYTES = 3;
/** In EAX. */
const VIRIDIAN_CALL = 0x8000_0000;
const EFER_LMA = 0x400;
const CR0_PE = 1;
const ATTR_L = 0x200;
const ARGS_64 = [GPR.rdi, GPR.rsi, GPR.rdx, GPR.r10, GPR.r8] as const;
const ARGS_32 = [GPR.rbx, GPR.rcx, GPR.rdx, GPR.rsi, GPR.rdi] as const;

export class ExitHandler {
  private readonly hv: Hypervisor;
  private readonly engine: Engine;
  private readonly mem: Mem;
  private readonly caller: Caller;

  constructor(hv: Hypervisor, engine: Engine) {
    this.hv = hv;
    this.engine = engine;
    this.mem = hv.mem;
    this.caller = new Caller(hv);
  }

  /** Handles one exit of `v`; false when another vCPU should be considered. */
  handle(v: number, exit: Exit): boolean {
    switch (exit) {
      case EXIT.hypercall:
        this.hypercall(v);
        return isRunnable(this.hv, v);
      case EXIT.hlt:
        this.hv.withLock(() => this.halt(v));
        return isRunnable(this.hv, v);
      case EXIT.mwait:
        this.hv.withLock(() => waitForWrite(this.hv, v));
        return isRunnable(this.hv, v);
      case EXIT.pause:
        this.hv.yielded = true;
        return false;
      case EXIT.tripleFault:
        this.hv.withLock(() => this.tripleFault(v));
        return false;
      case EXIT.failed:
        this.hv.withLock(() => domainCrash(this.hv, v, this.engine.lastError));
        return false;
      default:
        return true;
    }
  }

  private hypercall(v: number): void {
    const { mem, caller } = this;
    const cpu = v + VCPU_CPU_OFFSET;
    const wide = is64Bit(mem, cpu);
    const rax = cpuState.gpr.addr(cpu, GPR.rax);
    let result = -XEN_EPERM;
    if (mem.u32(cpuState.cpl.addr(cpu)) === 0) {
      if (
        (mem.u32(rax) & VIRIDIAN_CALL) !== 0 &&
        viridianFeatures(mem, vcpuRecord.domain.get(mem, v)) !== 0
      ) {
        viridianHypercall(this.hv, v, wide);
        this.engine.advance(cpu, HYPERCALL_BYTES);
        return;
      }
      caller.bind(v, wide);
      const arg = wide ? arg64 : arg32;
      result = doHypercall(
        caller,
        mem.u32(rax),
        arg(mem, cpu, 0),
        arg(mem, cpu, 1),
        arg(mem, cpu, 2),
        arg(mem, cpu, 3),
        arg(mem, cpu, 4),
      );
    }
    mem.setU32(rax, result >>> 0);
    mem.setU32(rax + 4, !wide ? 0 : result < 0 ? 0xffff_ffff : Math.floor(result / 2 ** 32));
    this.engine.advance(cpu, HYPERCALL_BYTES);
  }

  /** HLT with interrupts off is how a CPU says that it is done. */
  private halt(v: number): void {
    const { mem, hv } = this;
    vcpuRecord.monitoring.set(mem, v, 0);
    if (this.engine.interruptsOn(v + VCPU_CPU_OFFSET)) {
      if (!hasPending(mem, v)) vcpuRecord.blocked.set(mem, v, 1);
      return;
    }
    vcpuRecord.online.set(mem, v, 0);
    const dom = vcpuRecord.domain.get(mem, v);
    let online = 0;
    forEachVcpu(hv, dom, (w) => {
      online += vcpuRecord.online.get(mem, w);
    });
    if (online > 0) return;
    hv.print(`d${domainRecord.domid.get(mem, dom)}: all CPUs offline -- powering off.`, 'debug');
    dumpRegisters(hv, v);
    domainShutdown(hv, dom, SHUTDOWN_poweroff);
  }

  private tripleFault(v: number): void {
    const { mem, hv } = this;
    const dom = vcpuRecord.domain.get(mem, v);
    const reason = mem.u32(domainRecord.hvmParams.addr(dom, HVM_PARAM_TRIPLE_FAULT_REASON));
    const name = `d${domainRecord.domid.get(mem, dom)}v${vcpuRecord.id.get(mem, v)}`;
    hv.print(`${name} Triple fault - invoking HVM shutdown action ${reason}`, 'error');
    dumpRegisters(hv, v);
    domainShutdown(hv, dom, reason);
  }
}

/** 64-bit mode: protected, long mode active, and a 64-bit code segment. */
function is64Bit(m: Mem, cpu: number): boolean {
  if ((m.u32(cpuState.cr0.addr(cpu)) & CR0_PE) === 0) return false;
  const cs = cpuState.seg.addr(cpu, SEG.cs);
  return (m.u32(cpuState.efer.addr(cpu)) & EFER_LMA) !== 0 && (segment.attr.get(m, cs) & ATTR_L) !== 0;
}

/** A register as a signed number: exact for every canonical address. */
function arg64(m: Mem, cpu: number, i: number): number {
  const reg = cpuState.gpr.addr(cpu, ARGS_64[i]!);
  return m.u32(reg) + m.s32(reg + 4) * 2 ** 32;
}

const arg32 = (m: Mem, cpu: number, i: number): number => m.u32(cpuState.gpr.addr(cpu, ARGS_32[i]!));
