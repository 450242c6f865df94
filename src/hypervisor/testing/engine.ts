/**
 * For tests: an engine whose vCPUs do what a script says. Linear addresses are guest-physical, and the code and segments
 * are whatever the test wrote.
 */
import { Mem } from '../../base/mem.ts';
import { cpuState, GPR, SEG, segment } from '../../machine/cpu-state.ts';
import { P2M, p2mGet, p2mMfn, p2mType, p2mWritable } from '../../machine/p2m.ts';
import { type Engine, EXIT, type Exit } from '../../machine/platform.ts';
import { IF } from '../../x86/flags.ts';

/** What the guest does when it is run: answers the exit that ends it. */
export type Act = (cpu: number) => Exit;

export class FakeEngine implements Engine {
  mem: Mem = Mem.alloc(0);
  lastError = '';
  /** Acts of each vCPU, consumed one a run; none left: it gives way. */
  readonly scripts = new Map<number, Act[]>();
  readonly calls: string[] = [];
  readonly injected: Array<{ cpu: number; vector: number }> = [];
  /** Whether interrupts can be delivered. */
  takesInterrupts = true;

  script(cpu: number, ...acts: Act[]): void {
    this.scripts.set(cpu, [...(this.scripts.get(cpu) ?? []), ...acts]);
  }

  run(cpu: number): Exit {
    const act = this.scripts.get(cpu)?.shift();
    return act === undefined ? EXIT.pause : act(cpu);
  }
  step(cpu: number): Exit {
    return this.run(cpu);
  }
  interruptWaits(): void {}
  interruptible(): boolean {
    return this.takesInterrupts;
  }
  nmiPossible(cpu: number): boolean {
    return cpuState.nmiBlocked.get(this.mem, cpu) === 0;
  }
  interruptsOn(cpu: number): boolean {
    return (this.mem.u32(cpuState.flagsRest.addr(cpu)) & IF) !== 0;
  }
  injectInterrupt(cpu: number, vector: number): void {
    this.injected.push({ cpu, vector });
  }
  injectNmi(cpu: number): void {
    this.injected.push({ cpu, vector: 2 });
  }
  injectException(): void {}
  advance(cpu: number, n: number): void {
    cpuState.rip.set(this.mem, cpu, cpuState.rip.get(this.mem, cpu) + BigInt(n));
  }
  init(cpu: number): boolean {
    this.mem.fill(cpu, cpuState.$.size);
    this.calls.push('init');
    return true;
  }
  release(): void {
    this.calls.push('release');
  }
  startup(_cpu: number, vector: number): void {
    this.calls.push(`startup ${vector}`);
  }
  stateChanged(): void {
    this.calls.push('stateChanged');
  }
  flushTlb(): void {
    this.calls.push('flushTlb');
  }
  dropCode(mfn: number): void {
    this.calls.push(`dropCode ${mfn}`);
  }
  linearToMaddr(cpu: number, linear: bigint, write: boolean): number {
    const gpa = Number(linear);
    const e = p2mGet(this.mem, cpuState.p2mRoot.get(this.mem, cpu), Math.floor(gpa / 4096));
    if (p2mType(e) === P2M.none || (write && !p2mWritable(p2mType(e)))) return -1;
    return p2mMfn(e) * 4096 + (gpa % 4096);
  }
}

/** Puts the vCPU in 64-bit mode. */
export function longMode(mem: Mem, cpu: number): void {
  cpuState.cr0.set(mem, cpu, 0x8000_0011n);
  cpuState.efer.set(mem, cpu, 0x500n);
  segment.attr.set(mem, cpuState.seg.addr(cpu, SEG.cs), 0xa9b);
}

/** An act that makes a 64-bit hypercall, and hands its result to the next. */
export function hypercall(engine: FakeEngine, nr: number, ...args: number[]): Act {
  return (cpu) => {
    const { mem } = engine;
    longMode(mem, cpu);
    const set = (reg: number, v: number): void =>
      mem.setU64(cpuState.gpr.addr(cpu, reg), BigInt.asUintN(64, BigInt(v)));
    set(GPR.rax, nr);
    [GPR.rdi, GPR.rsi, GPR.rdx, GPR.r10, GPR.r8].forEach((reg, i) => {
      set(reg, args[i] ?? 0);
    });
    return EXIT.hypercall;
  };
}

/** The same by the 32-bit ABI, in flat protected mode. */
export function hypercall32(engine: FakeEngine, nr: number, ...args: number[]): Act {
  return (cpu) => {
    const { mem } = engine;
    cpuState.cr0.set(mem, cpu, 0x11n);
    const set = (reg: number, v: number): void => mem.setU64(cpuState.gpr.addr(cpu, reg), BigInt(v >>> 0));
    set(GPR.rax, nr);
    [GPR.rbx, GPR.rcx, GPR.rdx, GPR.rsi, GPR.rdi].forEach((reg, i) => {
      set(reg, args[i] ?? 0);
    });
    return EXIT.hypercall;
  };
}

/** RAX as a signed number. */
export const rax = (mem: Mem, cpu: number): number =>
  Number(BigInt.asIntN(64, mem.u64(cpuState.gpr.addr(cpu, GPR.rax))));
