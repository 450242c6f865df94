/**
 * One physical CPU: enters the interpreter, and does what it leaves for: translations, decoding, helpers, faults.
 *
 * The interpreter leaves with an instruction either wholly done or not begun (temporaries aside), so every answer here
 * is "fill something and go on" or "deliver a fault at this rip".
 */
import type { Clock, Entropy } from '../../base/host.ts';
import { AC, IF, TF } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { type CompileOptions, type FunctionTable, Regions } from '../compiler/regions.ts';
import { cpuState } from '../cpu-state.ts';
import { handlerOf, specialOf } from '../interp/handlers.ts';
import { CPU_BYTES, KIND_READ, LEAVE, REC } from '../interp/record.ts';
import type { Machine } from '../machine.ts';
import { ACCESS, CR0_PG, CR4_PAE, FAULT, MMIO, SMAP } from '../mmu.ts';
import { type Engine, EXIT, type Exit, type Platform } from '../platform.ts';
import { CodeCache } from './code-cache.ts';
import { Core, EXC, GuestFault, HIGH } from './core.ts';
import { DR6_BS, stepping } from './debug.ts';
import { deliver } from './exceptions.ts';
import { checkFirst } from './fault-order.ts';
import { Fetcher } from './fetch.ts';
import { ForcedEmulation } from './forced.ts';
import { checkSse } from './fpu.ts';
import { type HelperContext, NEXT, type Next, runHelper } from './helpers.ts';
import { checkBranch, checkSegments, checkWrap, isString, suspect } from './limits.ts';
import { Overrides } from './override.ts';
import { INIT_KEEPS, powerOn, resetState } from './reset.ts';
import { modeChanged } from './segments.ts';
import { Tlb } from './tlb.ts';
import { type TraceHost, Tracer } from './trace.ts';

export interface InterpreterExports {
  run(cpu: number, rp: number, fuel: number): number;
}

/** Compiled regions, and what runs them and the interpreter by turns. */
export interface Compiled extends InterpreterExports {
  readonly regions: Regions;
}

export interface EngineOptions {
  clock: Clock;
  entropy: Entropy;
  /** kHz of every guest's TSC. */
  tscKhz: number;
  codeCacheBytes: number;
  cr4Allowed: number;
  /** What is hot is compiled. */
  compile?: CompileOptions | undefined;
  /** There is a forced emulation prefix, see forced.ts. */
  forcedEmulation?: boolean;
}

const CPU_FRAMES = Math.ceil(CPU_BYTES / 4096);
const SCRATCH = cpuState.scratch.offset;
const HELPER = specialOf('helper');
const STRADDLE = specialOf('straddle');
/** Whose odd accesses the helper makes: they have several. */
const WHOLE_IN_HELPER = new Set([specialOf('movs'), specialOf('stos'), handlerOf('iretq', 8, 'm')]);

export class InterpreterEngine implements Engine, HelperContext, TraceHost {
  lastError = '';
  readonly core: Core;
  readonly cache: CodeCache;
  readonly cr4Allowed: number;
  private readonly tlb: Tlb;
  private readonly interp: InterpreterExports;
  private readonly options: EngineOptions;
  private readonly overrides: Overrides;
  private readonly fetcher: Fetcher;
  private readonly tracer: Tracer;
  private readonly forcedEmulation: ForcedEmulation | undefined;
  /** vCPU blocks this engine has initialised: whose TLBs a change of a frame must reach. */
  private readonly cpus = new Set<number>();
  private compiled: Compiled | undefined;
  /** Blocks for the interpreter before it is looked at where it is. */
  private untilSample = 0;
  private rp = 0;
  private left = 0;
  private readonly random64 = new BigUint64Array(1);

  constructor(machine: Machine, platform: Platform, interp: InterpreterExports, options: EngineOptions) {
    this.core = new Core(machine, platform);
    this.interp = interp;
    this.options = options;
    this.cr4Allowed = options.cr4Allowed;
    this.tlb = new Tlb(this.core);
    this.cache = new CodeCache(machine, options.codeCacheBytes);
    this.cache.onFlush = () => {
      this.compiled?.regions.clear();
      for (const cpu of this.cpus) this.tlb.clearCode(cpu);
    };
    this.cache.onProtect = (mfn) => this.tlb.dropWrites(mfn, this.cpus);
    this.core.codeWritten = (mfn) => this.dropCode(mfn);
    this.core.flushTlb = () => this.reloadTables();
    this.fetcher = new Fetcher(this.core, (cpu) => this.tlb.clearCode(cpu));
    this.tracer = new Tracer(this.core, this);
    this.overrides = new Overrides(this.core);
    if (options.forcedEmulation)
      this.forcedEmulation = new ForcedEmulation(this.core, this.fetcher, () => this.single());
  }

  /** The instruction that was decoded last. */
  get insn(): Insn {
    return this.fetcher.insn;
  }

  /** From now on what is hot is compiled. */
  compileWith(driver: InterpreterExports, table: FunctionTable, options: CompileOptions): void {
    const regions = new Regions(this.core, this.cache, table, options);
    this.compiled = { run: driver.run, regions };
  }

  static frames(): number {
    return CPU_FRAMES;
  }

  // --- Engine ------------------------------------------------------------------------------------------------------

  init(cpu: number): boolean {
    this.cpus.add(cpu);
    const m = this.core.m;
    m.fill(cpu, CPU_BYTES);
    this.core.cpu = cpu;
    powerOn(this.core);
    this.flush();
    return true;
  }

  release(cpu: number): void {
    this.cpus.delete(cpu);
    this.tlb.forget(cpu);
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
    this.flush();
  }

  stateChanged(cpu: number): void {
    this.core.cpu = cpu;
    this.cpus.add(cpu);
    modeChanged(this.core);
    this.reloadTables();
  }

  flushTlb(cpu: number): void {
    this.core.cpu = cpu;
    this.flush();
  }

  interruptible(cpu: number): boolean {
    const { m } = this.core;
    return (m.u32(cpu + cpuState.flagsRest.offset) & IF) !== 0 && m.u32(cpu + cpuState.shadow.offset) === 0;
  }

  injectInterrupt(cpu: number, vector: number): void {
    this.inject(cpu, vector, -1, 'external');
  }
  injectNmi(cpu: number): void {
    this.core.m.setU32(cpu + cpuState.nmiBlocked.offset, 1);
    this.inject(cpu, EXC.NMI, -1, 'external');
  }
  injectException(cpu: number, vector: number, errorCode: number): void {
    this.inject(cpu, vector, errorCode, 'fault');
  }
  private tripleFault = false;
  private inject(cpu: number, vector: number, errorCode: number, cause: 'fault' | 'external'): void {
    const c = this.core;
    c.cpu = cpu;
    if (!deliver(c, vector, errorCode, cause, c.lin(cpuState.rip))) this.tripleFault = true;
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
    const long = (c.m.u32(cpu + cpuState.efer.offset) & 0x400) !== 0;
    const s = long ? BigInt.asIntN(64, linear) : BigInt.asUintN(32, linear);
    if (long && BigInt.asIntN(48, s) !== s) return -1;
    const a = c.mmu.translate(cpu, Number(s), write ? ACCESS.write : ACCESS.read, false, SMAP.never);
    if (a < 0) return -1;
    if (write && c.mmu.holdsCode(Math.floor(a / 4096), a & 4095, 1)) this.dropCode(Math.floor(a / 4096));
    return a;
  }

  dropCode(mfn: number): void {
    this.compiled?.regions.drop(mfn);
    this.cache.drop(mfn);
  }

  flush(): void {
    this.tlb.flush();
  }
  /** CR3 was replaced with everything else. */
  private reloadTables(): void {
    const c = this.core;
    if (c.get32(cpuState.cr0) & CR0_PG && c.get32(cpuState.cr4) & CR4_PAE && !c.longMode)
      c.mmu.loadPdptes(c.cpu, c.get32(cpuState.cr3));
    this.flush();
  }
  invalidate(linear: number): void {
    this.tlb.invalidate(linear);
  }
  switchSpace(pcid: number, keep: boolean): void {
    this.tlb.switchSpace(pcid, keep);
  }
  dropSpace(pcid: number): void {
    this.tlb.dropSpace(pcid);
  }
  dropSpaces(): void {
    this.tlb.dropSpaces();
  }
  /** Entries made under EFLAGS.AC serve no longer than that. */
  private keepSmap(): void {
    const c = this.core;
    if (c.get32(cpuState.userOpen) && !(c.get32(cpuState.flagsRest) & AC)) this.tlb.closeUser();
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
    this.left = maxBlocks;
    this.rp = 0;
    c.set32(cpuState.shadow, 0);
    const fine = !this.tripleFault;
    this.tripleFault = false;
    return fine;
  }

  /** Enters the interpreter once and does what it left for; -1 to go on. */
  private enter(): number {
    const c = this.core;
    if (this.rp === 0) {
      this.fetcher.keepMode();
      this.keepSmap();
    }
    const why = this.turn();
    this.count(c.get32(cpuState.exitIc));
    switch (why) {
      case LEAVE.fetch:
        return this.guarded(() => this.fetch());
      case LEAVE.miss:
        return this.guarded(() => this.miss(c.get32(cpuState.exitRp)));
      case LEAVE.helper:
        return this.guarded(() => this.helper(c.get32(cpuState.exitRp)));
      case LEAVE.fuel:
        if (this.left >= 0) return this.sample(c.get32(cpuState.exitRp));
        this.countTo(c.get32(cpuState.exitRp), false);
        this.syncRip(c.get32(cpuState.exitRp));
        return EXIT.budget;
      default:
        return this.afterStop();
    }
  }

  /** Runs until something is to be done here. */
  private turn(): number {
    const c = this.core;
    if (!this.compiled) {
      const why = this.interp.run(c.cpu, this.rp, this.left);
      this.left = c.get32(cpuState.fuel) | 0;
      return why;
    }
    // the interpreter's budget is small, to see where it spends its time; what it left is for its next turn
    const some = Math.min(this.left, this.untilSample);
    c.set32(cpuState.regionFuel, this.left);
    const why = this.compiled.run(c.cpu, this.rp, some);
    const used = some - (c.get32(cpuState.fuel) | 0);
    this.untilSample -= used;
    this.left = (c.get32(cpuState.regionFuel) | 0) - used;
    return why;
  }
  /** The interpreter goes on where its budget ran out, at the start of a block. */
  private sample(rp: number): number {
    const regions = this.compiled?.regions;
    this.untilSample = regions?.options.sampleEvery ?? 0;
    if (regions?.sample(rp)) {
      this.countTo(rp, false);
      this.syncRip(rp);
    } else this.rp = rp;
    return -1;
  }

  count(n: number): void {
    const at = this.core.cpu + cpuState.icount.offset;
    this.core.m.setN64(at, this.core.m.n64(at) + n);
  }
  /** Counts the instructions of the run up to the record: with the one there, or without. */
  private countTo(rp: number, including: boolean): void {
    const { m } = this.core;
    this.count(m.u16(rp + REC.n) - (including ? 0 : 1) - this.core.get32(cpuState.exitBn));
  }
  private syncRip(rp: number): void {
    const c = this.core;
    c.setLin(cpuState.rip, c.lin(cpuState.ripBase) + c.m.u16(rp + REC.off));
    this.rp = 0;
  }

  /** Runs a step that may fault; a fault is delivered at rip. */
  private guarded(step: () => number): number {
    try {
      return step();
    } catch (e) {
      if (!(e instanceof GuestFault)) throw e;
      return this.raise(e.vector, e.errorCode, 'fault');
    }
  }
  raise(vector: number, errorCode: number, cause: 'fault' | 'trap'): number {
    const c = this.core;
    this.rp = 0;
    return deliver(c, vector, errorCode, cause, c.lin(cpuState.rip)) ? -1 : EXIT.tripleFault;
  }

  // --- fetch -------------------------------------------------------------------------------------------------------

  private fetch(): number {
    const c = this.core;
    // as a block that is found costs: a fault's handler that faults itself must not go on for ever
    if (--this.left < 0) return EXIT.budget;
    this.count(1); // it is an instruction that faults
    const linear = this.fetcher.fetchAddress();
    const a = this.fetcher.translateFetch(linear);
    this.count(-1);
    if (this.fetcher.limitInPage(linear)) return this.single();
    const mfn = Math.floor(a / 4096);
    const mode = this.fetcher.currentMode();
    const flushes = this.cache.flushes;
    const table = this.cache.table(mfn, mode);
    const offset = a & 4095;
    let rp = table === 0 ? 0 : c.m.u32(table + offset * 4);
    if (table !== 0 && rp === 0) rp = this.cache.translate(table, mfn, offset, mode);
    // the cache was emptied to make room: the table went too, start over
    if (this.cache.flushes !== flushes) {
      this.rp = 0;
      return -1;
    }
    if (rp === 0) {
      this.lastError = 'no machine memory left for translated code';
      return EXIT.failed;
    }
    this.tlb.fillCode(linear, table);
    c.setLin(cpuState.ripBase, c.lin(cpuState.rip) - offset);
    this.enterAt(rp);
    // where everything is compiled this must be, before it runs
    return this.compiled?.regions.options.sampleEvery === 0 ? this.sample(rp) : -1;
  }
  private enterAt(rp: number): void {
    this.rp = rp;
    this.core.set32(cpuState.exitBn, this.core.m.u16(rp + REC.n) - 1);
  }

  // --- misses ------------------------------------------------------------------------------------------------------

  private missedAddress(): number {
    const c = this.core;
    const lo = c.m.u32(c.cpu + cpuState.faultAddr.offset);
    const hi = c.m.s32(c.cpu + cpuState.faultAddr.offset + 4);
    if (!c.code64) return lo;
    if (hi >> 15 !== 0 && hi >> 15 !== -1) {
      const rp = c.get32(cpuState.exitRp);
      c.fault(this.usesStack(rp) ? EXC.SS : EXC.GP, 0);
    }
    return hi * HIGH + lo;
  }
  private usesStack(rp: number): boolean {
    return this.core.m.u8(rp + REC.stack) === 1;
  }

  private miss(rp: number): number {
    try {
      return this.missed(rp);
    } catch (e) {
      if (e instanceof GuestFault) checkFirst(this.core, this.fetcher.decodeAt());
      throw e;
    }
  }
  private missed(rp: number): number {
    const c = this.core;
    const kind = c.get32(cpuState.faultKind);
    this.atInstruction(rp);
    try {
      if (this.plainFill(kind)) {
        this.rp = rp;
        return -1;
      }
    } catch (e) {
      this.countTo(rp, true);
      throw e;
    }
    return this.special(rp);
  }
  /** rip is the instruction's, in case of a fault. */
  private atInstruction(rp: number): void {
    const c = this.core;
    c.ip = c.lin(cpuState.ripBase) + c.m.u16(rp + REC.off);
    c.nextIp = c.lin(cpuState.ripBase) + c.m.u16(rp + REC.next);
    c.setLin(cpuState.rip, c.ip);
  }

  /** Puts the page in the TLB if that is all it takes; false for straddling, misaligned locked, device and code pages. */
  plainFill(kind: number): boolean {
    const c = this.core;
    const size = kind >>> 8;
    const write = (kind & 255) !== KIND_READ;
    const ea = this.missedAddress();
    const highZero = c.code64 || c.m.u32(c.cpu + cpuState.faultAddr.offset + 4) === 0;
    const offset = (ea >>> 0) & 4095;
    if (offset + size > 4096) checkWrap(c, ea, size);
    if (!highZero || offset + size > 4096 || ((kind & 255) === 7 && offset & (size - 1))) return false;
    const a = c.mmu.translate(c.cpu, ea, write ? ACCESS.write : ACCESS.read, c.cpl === 3);
    if (a === FAULT) {
      c.setLin(cpuState.cr2, ea);
      c.fault(EXC.PF, c.mmu.errorCode);
    }
    if (a === MMIO) return false;
    const mfn = Math.floor(a / 4096);
    // what is written may be what runs next: done alone, and looked up again afterwards
    if (write && c.mmu.anyCode(mfn)) return false;
    c.watch?.data(ea, size, write);
    this.tlb.fillData(ea, a, write);
    return true;
  }

  /** Runs the rest of one instruction with its odd accesses redirected; see override.ts. */
  private special(rp: number): number {
    const c = this.core;
    const first = c.m.u16(rp + REC.handler);
    if (WHOLE_IN_HELPER.has(first)) return this.helper(rp);
    const bn = c.get32(cpuState.exitBn);
    this.count(c.m.u16(rp + REC.n) - bn);
    const at = c.cpu + SCRATCH;
    let end = at;
    for (
      let from = rp;
      c.m.u16(from + REC.off) === c.m.u16(rp + REC.off) && end < at + 7 * REC.size;
      from += REC.size
    ) {
      c.m.move(end, from, REC.size);
      end += REC.size;
    }
    this.cache.stopAt(end, c.m.u16(rp + REC.next));
    for (let r = at; r <= end; r += REC.size) c.m.setU16(r + REC.n, 1);
    return this.runAlone(at);
  }

  /** Runs scratch records with overrides until the instruction is done or faults. rip is at the instruction. */
  private runAlone(at: number): number {
    const c = this.core;
    this.overrides.begin();
    this.keepSmap();
    let rp = at;
    try {
      for (;;) {
        c.set32(cpuState.exitBn, 1);
        const why = this.interp.run(c.cpu, rp, 0);
        if (why === LEAVE.miss) {
          rp = c.get32(cpuState.exitRp);
          const kind = c.get32(cpuState.faultKind);
          this.missedAddress();
          if (!this.plainFill(kind)) {
            if ((kind & 255) === KIND_READ) this.probePush();
            this.overrides.add(this.missedAddress(), kind);
          }
          continue;
        }
        if (why === LEAVE.helper) {
          this.overrides.end();
          return this.helperAlone();
        }
        this.overrides.commit();
        if (why !== LEAVE.fetch) this.syncRip(c.get32(cpuState.exitRp));
        this.rp = 0;
        // a device may have raised something
        return this.window();
      }
    } finally {
      this.overrides.end();
    }
  }
  /** PUSH and CALL of a device's memory read it only if they can push. */
  private probePush(): void {
    const c = this.core;
    const user = c.cpl === 3;
    if (c.mmu.translate(c.cpu, this.missedAddress(), ACCESS.read, user) !== MMIO) return;
    const i = this.fetcher.decodeAt();
    if ((i.op !== X.push && i.op !== X.call) || i.operands[0].kind !== OPK.mem) return;
    c.probe(c.stackAt(-i.opSize), i.opSize, true);
  }
  /** The scratch instruction turned out to be for the helper: decode it where it is. */
  private helperAlone(): number {
    return this.dispatch(this.fetcher.decodeAt());
  }
  private afterStop(): number {
    this.syncRip(this.core.get32(cpuState.exitRp));
    return -1;
  }

  // --- helpers -----------------------------------------------------------------------------------------------------

  private helper(rp: number): number {
    const c = this.core;
    this.atInstruction(rp);
    const kept = this.cache.kept(c.m.u32(rp + REC.insn));
    const handler = c.m.u16(rp + REC.handler);
    if (handler === STRADDLE || (handler === HELPER && !kept)) return this.straddler(rp);
    const i = kept ?? this.fetcher.decodeAt();
    if (!kept) c.nextIp = c.ip + i.length;
    this.countTo(rp, true);
    if (suspect(i, this.fetcher.mode)) return this.alone(i, c.ip - c.lin(cpuState.ripBase));
    return this.dispatch(i);
  }

  /** An instruction that lies across two pages. */
  private straddler(rp: number): number {
    const c = this.core;
    const counted = c.m.n64(c.cpu + cpuState.icount.offset);
    this.countTo(rp, true);
    const i = this.fetcher.decodeAt();
    if (!this.keepStraddler(rp, i)) return this.alone(i, c.ip - c.lin(cpuState.ripBase));
    // it has records now, and is yet to be run
    c.m.setN64(c.cpu + cpuState.icount.offset, counted);
    this.rp = rp;
    return -1;
  }
  private keepStraddler(rp: number, i: Insn): boolean {
    const c = this.core;
    const mode = this.fetcher.currentMode();
    const off = c.m.u16(rp + REC.off);
    if (mode.codeSize !== 64 || off + i.length <= 4096) return false;
    const { flushes } = this.cache;
    const page = c.lin(cpuState.ripBase);
    const [table, next] = [page, page + 4096].map((linear) => {
      const mfn = Math.floor(this.fetcher.translateFetch(linear) / 4096);
      return { mfn, table: this.cache.table(mfn, mode) };
    }) as [{ table: number }, { mfn: number; table: number }];
    if (this.cache.flushes !== flushes || next.table === 0) return false;
    if (!this.cache.straddle(rp, i, mode, table.table, next)) return false;
    this.tlb.fillCode(page + 4096, next.table);
    return true;
  }

  /** Runs an instruction by itself, at offset `off` from ripBase, after its segments' limits were checked. */
  private alone(i: Insn, off: number): number {
    const c = this.core;
    const mode = this.fetcher.currentMode();
    const { limited, aligned } = mode;
    const checked = suspect(i, mode);
    if (checked) {
      checkFirst(c, i);
      checkSegments(c, i, mode);
    }
    // the bulk forms would do more than the one element that was checked, or is stepped over
    if ((checked || c.stepping) && isString(i)) return this.oneElement(i);
    const at = c.cpu + SCRATCH;
    mode.limited = 0;
    mode.aligned = false;
    const end = this.cache.lowerAlone(i, mode, at, off);
    mode.limited = limited;
    mode.aligned = aligned;
    this.cache.stopAt(end, off + i.length);
    const [sp, cx] = [c.gpr32(4), c.gpr32(1)];
    const next = this.runAlone(at);
    if (checked) checkBranch(c, i, sp, cx);
    return next;
  }
  private oneElement(i: Insn): number {
    const c = this.core;
    const before = c.stepping;
    c.stepping = true;
    try {
      return this.dispatch(i);
    } finally {
      c.stepping = before;
    }
  }

  private dispatch(i: Insn): number {
    const c = this.core;
    this.rp = 0;
    if (usesXmm(i)) checkSse(c);
    const next = runHelper(c, i, this);
    this.keepSmap();
    switch (next) {
      case NEXT.next:
        c.setLin(cpuState.rip, c.nextIp);
        return this.window();
      case NEXT.jumped:
        return this.window();
      case NEXT.again:
        this.count(-1);
        this.left -= 64;
        return this.left < 0 ? EXIT.budget : -1;
      case NEXT.shadow:
        c.setLin(cpuState.rip, c.nextIp);
        return c.stepping ? -1 : this.oneMore();
      case EXIT.hlt:
      case EXIT.mwait:
      case EXIT.pause:
        c.setLin(cpuState.rip, c.nextIp);
        return next;
      default:
        return next;
    }
  }

  /** After STI and the like: one instruction more, then interrupts may come. */
  private oneMore(): number {
    if (this.core.get32(cpuState.irqWindow) === 0 || stepping(this.core)) return -1;
    const exit = this.single();
    return exit >= 0 ? exit : this.window();
  }
  /** Leaves for what waits to be delivered, if it can be now. */
  window(): number {
    const waits = this.core.get32(cpuState.irqWindow);
    if (waits === 0) return -1;
    return waits > 1 || this.interruptible(this.core.cpu) ? EXIT.irqWindow : -1;
  }

  /** Runs exactly one instruction at rip. */
  single(): number {
    return this.guarded(() => {
      const c = this.core;
      this.count(1);
      c.ip = c.lin(cpuState.rip);
      const linear = this.fetcher.fetchAddress();
      const i = this.fetcher.decodeAt();
      const off = (linear >>> 0) & 4095;
      c.setLin(cpuState.ripBase, c.ip - off);
      return this.alone(i, off);
    });
  }

  private traced(): number {
    return --this.left < 0 ? EXIT.budget : this.tracer.step();
  }

  // --- HelperContext -------------------------------------------------------------------------------------------------

  tsc(): bigint {
    const ns = this.options.clock.now();
    const ticks = this.options.tscKhz === 1_000_000 ? ns : (ns * this.options.tscKhz) / 1e6;
    return BigInt.asUintN(64, BigInt(Math.floor(ticks)) + this.core.get(cpuState.tscOffset));
  }
  forced(): Next | undefined {
    return this.forcedEmulation?.run();
  }
  random(): bigint {
    this.options.entropy.fill(new Uint8Array(this.random64.buffer));
    return this.random64[0]!;
  }
}
