/**
 * One physical CPU: runs code, interpreted or compiled, and answers what that leaves for: translations, decoding,
 * helpers, faults.
 *
 * It leaves with an instruction either wholly done or not begun (temporaries aside), so every answer here is "fill
 * something and go on" or "deliver a fault at this rip".
 */
import { TF } from '../../x86/flags.ts';
import { type CompileOptions, type FunctionTable, Regions } from '../compiler/regions.ts';
import { cpuState } from '../cpu-state.ts';
import { CPU_BYTES, LEAVE } from '../interp/record.ts';
import type { Machine } from '../machine.ts';
import { ACCESS, SMAP } from '../mmu.ts';
import { type Engine, EXIT, type Exit, type Platform } from '../platform.ts';
import { instrument } from '../profile/instrument.ts';
import type { Profiler } from '../profile/profiler.ts';
import { Alone } from './alone.ts';
import { Blocks } from './blocks.ts';
import { CodeCache } from './code-cache.ts';
import { Core } from './core.ts';
import { DR6_BS, stepping } from './debug.ts';
import { Dispatcher } from './dispatch.ts';
import { Fetcher } from './fetch.ts';
import { ForcedEmulation } from './forced.ts';
import { Interrupts } from './interrupts.ts';
import { Misses } from './misses.ts';
import type { InterpreterExports, Parts, Runner } from './parts.ts';
import { Progress } from './progress.ts';
import { INIT_KEEPS, powerOn, resetState } from './reset.ts';
import { modeChanged } from './segments.ts';
import { type ServiceOptions, Services } from './services.ts';
import { armVirtual } from './svm/injection.ts';
import { inGuest, SVM, svmState } from './svm/state.ts';
import { leaveGuest } from './svm/world-switch.ts';
import { Tlb } from './tlb.ts';
import { Tracer } from './trace.ts';
import { Turns } from './turns.ts';

export interface EngineOptions extends ServiceOptions {
  codeCacheBytes: number;
  /** The compiled module of `buildInterpreter`, for a memory that may be as large as this machine's. */
  interpreter?: object | undefined;
  /** What is hot is compiled. */
  compile?: CompileOptions | undefined;
  /** There is a forced emulation prefix, see forced.ts. */
  forcedEmulation?: boolean;
  /** Measures what the CPU does. */
  profiler?: Profiler | undefined;
}

const CPU_FRAMES = Math.ceil(CPU_BYTES / 4096);

export class SoftwareCpu implements Engine {
  readonly core: Core;
  readonly cache: CodeCache;
  readonly services: Services;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly interrupts: Interrupts;
  private readonly turns: Turns;
  private readonly misses: Misses;
  private readonly blocks: Blocks;
  private readonly dispatcher: Dispatcher;
  private readonly tracer: Tracer;
  /** vCPU blocks this engine has initialised: whose TLBs a change of a frame must reach. */
  private readonly cpus = new Set<number>();

  constructor(machine: Machine, platform: Platform, interp: InterpreterExports, options: EngineOptions) {
    const core = new Core(machine, platform);
    this.core = core;
    core.plainDelivery = interp.deliver;
    this.tlb = new Tlb(core, interp);
    this.cache = new CodeCache(machine, options.codeCacheBytes);
    this.fetcher = new Fetcher(core, (cpu) => this.tlb.clearCode(cpu));
    this.progress = new Progress(core);
    this.interrupts = new Interrupts(core);
    this.services = new Services(core, this.tlb, options);
    const parts: Parts = this.parts();
    this.turns = new Turns(parts, interp);
    this.misses = new Misses(parts, (rp) => this.dispatcher.odd(rp));
    const alone = new Alone(parts, interp, this.misses, (i) => this.dispatcher.run(i));
    this.blocks = new Blocks(parts, this.turns, alone);
    this.dispatcher = new Dispatcher(parts, this.services, alone, this.blocks);
    this.tracer = new Tracer(parts, alone);
    if (options.forcedEmulation)
      this.services.forcedEmulation = new ForcedEmulation(core, this.fetcher, () => alone.single());
    this.connect();
  }
  private parts(): Parts {
    const { core, cache, tlb, fetcher, progress, interrupts } = this;
    return { core, cache, tlb, fetcher, progress, interrupts };
  }
  /** What one part does not know that it must reach. */
  private connect(): void {
    const { core, cache, tlb, cpus } = this;
    cache.onFlush = () => {
      this.turns.compiled?.regions.clear();
      for (const cpu of cpus) tlb.clearCode(cpu);
    };
    cache.onProtect = (mfn) => tlb.dropWrites(mfn, cpus);
    core.codeWritten = (mfn) => this.dropCode(mfn);
    core.flushTlb = () => this.services.reloadTables();
    core.leaveGuest = (exit) => leaveGuest(core, exit, this.services);
  }

  /** From now on what is hot is compiled. */
  compileWith(
    driver: Runner,
    table: FunctionTable,
    routines: Record<string, unknown>,
    options: CompileOptions,
  ): void {
    const regions = new Regions(this.core, this.cache, table, routines, options);
    this.turns.compiled = { run: driver.run, regions };
  }

  /** From now on the profiler measures. */
  measure(profiler: Profiler): void {
    const { turns, misses, blocks, dispatcher } = this;
    instrument(profiler, { ...this.parts(), turns, misses, blocks, dispatcher });
  }

  /** How many frames a vCPU's record takes. */
  static frames(): number {
    return CPU_FRAMES;
  }
  get lastError(): string {
    return this.blocks.lastError;
  }

  // --- a vCPU's state ----------------------------------------------------------------------------------------------

  init(cpu: number): boolean {
    this.cpus.add(cpu);
    this.core.m.fill(cpu, CPU_BYTES);
    this.core.cpu = cpu;
    powerOn(this.core);
    this.tlb.flush();
    return true;
  }

  release(cpu: number): void {
    this.cpus.delete(cpu);
  }

  startup(cpu: number, vector: number): void {
    const { m } = this.core;
    const p2m = cpuState.p2mRoot.get(m, cpu);
    const kept = INIT_KEEPS.map((field) => field.get(m, cpu));
    this.init(cpu);
    cpuState.p2mRoot.set(m, cpu, p2m);
    INIT_KEEPS.forEach((field, i) => {
      field.set(m, cpu, kept[i]!);
    });
    resetState(this.core, vector << 8, vector << 12, 0);
    this.tlb.flush();
  }

  stateChanged(cpu: number): void {
    this.core.cpu = cpu;
    this.cpus.add(cpu);
    modeChanged(this.core);
    this.services.reloadTables();
  }

  flushTlb(cpu: number): void {
    this.core.cpu = cpu;
    this.tlb.flush();
  }

  advance(cpu: number, n: number): void {
    const c = this.core;
    c.cpu = cpu;
    const ip = c.lin(cpuState.rip) + n;
    c.setLin(cpuState.rip, c.code64 ? ip : ip >>> 0);
    if (c.get32(cpuState.flagsRest) & TF) c.set32(cpuState.pendingDb, c.get32(cpuState.pendingDb) | DR6_BS);
  }

  linearToMaddr(cpu: number, linear: bigint, write: boolean): number {
    const c = this.core;
    // a guest's page tables are not those that the address is meant for
    if (c.m.u32(cpu + svmState.flags.offset) & SVM.guest) return -1;
    const long = (c.m.u32(cpu + cpuState.efer.offset) & 0x400) !== 0;
    const s = long ? BigInt.asIntN(64, linear) : BigInt.asUintN(32, linear);
    if (long && BigInt.asIntN(48, s) !== s) return -1;
    const a = c.mmu.translate(cpu, Number(s), write ? ACCESS.write : ACCESS.read, false, SMAP.never);
    if (a < 0) return -1;
    if (write && c.mmu.holdsCode(Math.floor(a / 4096), a & 4095, 1)) this.dropCode(Math.floor(a / 4096));
    return a;
  }

  dropCode(mfn: number): void {
    this.turns.compiled?.regions.drop(mfn);
    this.cache.drop(mfn);
  }

  // --- what is delivered to it -------------------------------------------------------------------------------------

  interruptWaits(cpu: number, nmi: boolean): void {
    this.interrupts.waits(cpu, nmi);
  }
  nmiPossible(cpu: number): boolean {
    return this.interrupts.nmiPossible(cpu);
  }
  interruptsOn(cpu: number): boolean {
    return this.interrupts.interruptsOn(cpu);
  }
  interruptible(cpu: number): boolean {
    return this.interrupts.interruptible(cpu);
  }
  injectInterrupt(cpu: number, vector: number): void {
    this.interrupts.inject(cpu, vector, -1, 'external');
  }
  injectNmi(cpu: number): void {
    this.interrupts.injectNmi(cpu);
  }
  injectException(cpu: number, vector: number, errorCode: number): void {
    this.interrupts.inject(cpu, vector, errorCode, 'fault');
  }

  // --- run ---------------------------------------------------------------------------------------------------------

  run(cpu: number, maxBlocks: number): Exit {
    if (!this.begin(cpu, maxBlocks)) return EXIT.tripleFault;
    for (;;) {
      const exit = stepping(this.core) ? this.traced() : this.enter();
      if (exit >= 0) return exit as Exit;
    }
  }

  step(cpu: number): Exit {
    if (!this.begin(cpu, 1)) return EXIT.tripleFault;
    const exit = this.tracer.step();
    return exit >= 0 ? (exit as Exit) : EXIT.budget;
  }

  /** False: the vCPU is beyond running. */
  private begin(cpu: number, maxBlocks: number): boolean {
    const c = this.core;
    c.m.refresh();
    c.cpu = cpu;
    this.cpus.add(cpu);
    this.progress.begin(maxBlocks);
    c.set32(cpuState.shadow, 0);
    c.set32(cpuState.codeIndex, this.cache.index);
    c.set32(cpuState.noPorts, c.platform.ioRead ? 0 : 1);
    if (inGuest(c)) armVirtual(c);
    return !this.interrupts.takeTripleFault();
  }

  /** Enters the code once and does what it left for; -1 to go on. */
  private enter(): number {
    const { core: c, progress } = this;
    if (progress.rp === 0) {
      this.fetcher.keepMode();
      this.tlb.keepSmap();
    }
    const why = this.turns.take();
    progress.count(c.get32(cpuState.exitIc));
    switch (why) {
      case LEAVE.fetch:
        return progress.guarded(() => this.blocks.fetch());
      case LEAVE.miss:
        return progress.guarded(() => this.misses.miss(c.get32(cpuState.exitRp)));
      case LEAVE.helper:
        return progress.guarded(() => this.dispatcher.helper(c.get32(cpuState.exitRp)));
      case LEAVE.fuel:
        return this.outOfFuel(c.get32(cpuState.exitRp));
      case LEAVE.merge:
        this.turns.merge(c.get32(cpuState.exitRp));
        return -1;
      default:
        progress.syncRip(c.get32(cpuState.exitRp));
        return -1;
    }
  }
  /** The budget is used up, or just the interpreter's piece of it. */
  private outOfFuel(rp: number): number {
    const { progress } = this;
    if (progress.left >= 0) {
      this.turns.sample(rp);
      return -1;
    }
    progress.again(rp);
    return EXIT.budget;
  }
  private traced(): number {
    return --this.progress.left < 0 ? EXIT.budget : this.tracer.step();
  }
}
