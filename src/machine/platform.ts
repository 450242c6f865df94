/**
 * What surrounds a vCPU, supplied by the hypervisor. The engine calls these in the middle of an instruction, once per
 * access, and finishes the instruction afterwards; everything that ends or suspends execution is an `Exit` instead.
 *
 * A register-sized value crosses as two halves (lo, hi), both unsigned 32-bit, without BigInt.
 */
export interface Platform {
  /** Fills out[0..3] with EAX, EBX, ECX, EDX (unsigned). */
  cpuid(cpu: number, leaf: number, subleaf: number, out: Uint32Array): void;
  /** Reads an MSR that the engine does not own: out[0] low, out[1] high. False: #GP(0). */
  rdmsr(cpu: number, index: number, out: Uint32Array): boolean;
  wrmsr(cpu: number, index: number, lo: number, hi: number): boolean;
  /** size 1, 2 or 4. Where it is left out no port is there to be read: all of them read as ones. */
  ioRead?(cpu: number, port: number, size: number): number;
  ioWrite(cpu: number, port: number, size: number, value: number): void;
  /** Guest-physical accesses to p2m type mmio and to holes. size 1 to 8: out[0] low, out[1] high. */
  mmioRead(cpu: number, gpa: number, size: number, out: Uint32Array): void;
  mmioWrite(cpu: number, gpa: number, size: number, lo: number, hi: number): void;
  /** MOV CR8: the task priority, 0 to 15. */
  readCr8(cpu: number): number;
  writeCr8(cpu: number, value: number): void;
  /**
   * The guest wants to run what is not there, by name: an instruction that the engine or its CPU lacks, or code where
   * there is no RAM. It has a fault for it; this is for the log, and is called each time.
   */
  cannotRun(cpu: number, what: string): void;
}

/** Why `Engine.run` came back. */
export const EXIT = {
  /** The time slice is used up, or someone called `Engine.kick`; look at timers and pending events. */
  budget: 0,
  /** HLT retired; rip is behind it. */
  hlt: 1,
  /** VMCALL or VMMCALL; rip still at it. Set RAX and call `advance(cpu, 3)`, or leave rip to run it again. */
  hypercall: 2,
  /** `irqWindow` was set and the guest can now take an interrupt. */
  irqWindow: 3,
  /** Triple fault. */
  tripleFault: 4,
  /** PAUSE in a loop: another vCPU could use the time. */
  pause: 5,
  /** The engine cannot go on, for no fault of the guest's; `Engine.lastError` says why. */
  failed: 6,
  /** MWAIT retired, with the line of `cpuState.monitorAt` unchanged: wait for a write there, or an interrupt. */
  mwait: 7,
} as const;
export type Exit = (typeof EXIT)[keyof typeof EXIT];

/** One physical CPU. `cpu` is always the machine address of a `cpuState` record. */
export interface Engine {
  /** Runs until something needs the hypervisor. `maxBlocks` bounds the time before `EXIT.budget`. */
  run(cpu: number, maxBlocks: number): Exit;
  /** Runs one instruction, of a repeated string instruction one element: `EXIT.budget` unless there is something else. */
  step(cpu: number): Exit;
  lastError: string;
  /**
   * An interrupt or an NMI waits and is about to be delivered, if that is possible. A guest of the vCPU's own that is to
   * be left for it is left here; what waits goes on waiting then.
   */
  interruptWaits(cpu: number, nmi: boolean): void;
  /** True when a maskable interrupt could be delivered now: IF set, no shadow. */
  interruptible(cpu: number): boolean;
  nmiPossible(cpu: number): boolean;
  /** Whether an interrupt would end a HLT. */
  interruptsOn(cpu: number): boolean;
  /** Delivers an external interrupt through the IDT; only when `interruptible`. */
  injectInterrupt(cpu: number, vector: number): void;
  injectNmi(cpu: number): void;
  /** Delivers an exception; errorCode -1 for vectors without one. */
  injectException(cpu: number, vector: number, errorCode: number): void;
  /** rip += n, within the mode's width. */
  advance(cpu: number, n: number): void;
  /** Prepares a zeroed record: TLBs, reset state as after INIT (real mode, f000:fff0). */
  init(cpu: number): boolean;
  /** Frees what `init` took. */
  release(cpu: number): void;
  /** INIT, then start at vector << 12 in real mode. */
  startup(cpu: number, vector: number): void;
  /** To be called after registers that shape translation were written from outside (cr0, cr3, cr4, efer, segments). */
  stateChanged(cpu: number): void;
  flushTlb(cpu: number): void;
  /**
   * Linear to machine address of one byte, with the vCPU's present page tables at supervisor privilege, SMAP ignored.
   * -1 if it does not translate, is not RAM, or `write` is not allowed, and while a guest of the vCPU's own runs. Honours
   * no segment bases.
   */
  linearToMaddr(cpu: number, linear: bigint, write: boolean): number;
  /** Someone outside the engine wrote to this frame or it changes hands: forget code translated from it. */
  dropCode(mfn: number): void;
}
