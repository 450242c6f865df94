/**
 * One physical CPU: enters the interpreter, and does what it leaves for: translations, decoding, helpers, faults.
 *
 * The interpreter leaves with an instruction either wholly done or not begun (temporaries aside), so every answer here
 * is "fill something and go on" or "deliver a fault at this rip".
 */
import type { Clock, Entropy } from '../../base/host.ts';
import { disassemble } from '../../x86/disasm.ts';
import { IF, TF } from '../../x86/flags.ts';
import type { Insn } from '../../x86/insn.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { cpuState } from '../cpu-state.ts';
import { specialOf } from '../interp/handlers.ts';
import { CPU_BYTES, KIND_READ, LEAVE, REC } from '../interp/record.ts';
import type { Machine } from '../machine.ts';
import { ACCESS, FAULT, MMIO } from '../mmu.ts';
import { type Engine, EXIT, type Exit, type Platform } from '../platform.ts';
import { CodeCache } from './code-cache.ts';
import { Core, EXC, GuestFault, HIGH } from './core.ts';
import { DR6_BS, stepping } from './debug.ts';
import { deliver } from './exceptions.ts';
import { Fetcher } from './fetch.ts';
import { checkSse } from './fpu.ts';
import { type HelperContext, NEXT, runHelper } from './helpers.ts';
import { checkLimits, isString, segmentsOf } from './limits.ts';
import { Overrides } from './override.ts';
import { powerOn, resetState } from './reset.ts';
import { modeChanged } from './segments.ts';
import { Tlb } from './tlb.ts';
import { type TraceHost, Tracer } from './trace.ts';

export interface InterpreterExports {
  run(cpu: number, rp: number, fuel: number): number;
}

export interface EngineOptions {
  clock: Clock;
  entropy: Entropy;
  /** kHz of every guest's TSC. */
  tscKhz: number;
  codeCacheBytes: number;
  cr4Allowed: number;
}

const CPU_FRAMES = Math.ceil(CPU_BYTES / 4096);
const SCRATCH = cpuState.scratch.offset;
const HELPER = specialOf('helper');
const MOVS = specialOf('movs');
const STOS = specialOf('stos');

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
  /** vCPU blocks this engine has initialised: whose TLBs a change of a frame must reach. */
  private readonly cpus = new Set<number>();
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
      for (const cpu of this.cpus) this.tlb.clearCode(cpu);
    };
    this.cache.onProtect = (mfn) => this.tlb.dropWrites(mfn, this.cpus);
    this.core.codeWritten = (mfn) => this.dropCode(mfn);
    this.core.flushTlb = () => this.flush();
    this.fetcher = new Fetcher(this.core, (cpu) => this.tlb.clearCode(cpu));
    this.tracer = new Tracer(this.core, this);
    this.overrides = new Overrides(this.core);
  }

  /** The instruction that was decoded last. */
  get insn(): Insn {
    return this.fetcher.insn;
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
  }

  startup(cpu: number, vector: number): void {
    const p2m = this.core.m.u32(cpu + cpuState.p2mRoot.offset);
    const tsc = this.core.m.u64(cpu + cpuState.tscOffset.offset);
    this.init(cpu);
    this.core.m.setU32(cpu + cpuState.p2mRoot.offset, p2m);
    this.core.m.setU64(cpu + cpuState.tscOffset.offset, tsc);
    resetState(this.core, vector << 8, vector << 12, 0);
    this.flush();
  }

  stateChanged(cpu: number): void {
    this.core.cpu = cpu;
    this.cpus.add(cpu);
    modeChanged(this.core);
    this.flush();
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
    // SMAP does not apply to the hypervisor's own accesses
    const flags = c.m.u32(cpu + cpuState.flagsRest.offset);
    c.m.setU32(cpu + cpuState.flagsRest.offset, flags | 0x4_0000);
    const a = c.mmu.translate(cpu, Number(s), write ? ACCESS.write : ACCESS.read, false);
    c.m.setU32(cpu + cpuState.flagsRest.offset, flags);
    if (a < 0) return -1;
    if (write && c.mmu.holdsCode(Math.floor(a / 4096), a & 4095, 1)) this.dropCode(Math.floor(a / 4096));
    return a;
  }

  dropCode(mfn: number): void {
    this.cache.drop(mfn);
  }

  flush(): void {
    this.tlb.flush();
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

  // --- run ---------------------------------------------------------------------------------------------------------

  run(cpu: number, maxBlocks: number): Exit {
    const c = this.core;
    c.m.refresh();
    c.cpu = cpu;
    this.cpus.add(cpu);
    this.left = maxBlocks;
    this.rp = 0;
    c.set32(cpuState.shadow, 0);
    if (this.tripleFault) {
      this.tripleFault = false;
      return EXIT.tripleFault;
    }
    for (;;) {
      const exit = stepping(c) ? this.traced() : this.enter();
      if (exit >= 0) return exit as Exit;
    }
  }

  /** Enters the interpreter once and does what it left for; -1 to go on. */
  private enter(): number {
    const c = this.core;
    if (this.rp === 0) this.fetcher.keepMode();
    const why = this.interp.run(c.cpu, this.rp, this.left);
    this.left = c.get32(cpuState.fuel) | 0;
    this.count(c.get32(cpuState.exitIc));
    switch (why) {
      case LEAVE.fetch:
        return this.guarded(() => this.fetch());
      case LEAVE.miss:
        return this.guarded(() => this.miss(c.get32(cpuState.exitRp)));
      case LEAVE.helper:
        return this.guarded(() => this.helper(c.get32(cpuState.exitRp)));
      case LEAVE.fuel:
        this.syncRip(c.get32(cpuState.exitRp));
        return EXIT.budget;
      default:
        return this.afterStop();
    }
  }

  private count(n: number): void {
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
    const linear = this.fetcher.fetchAddress();
    const a = this.fetcher.translateFetch(linear);
    if (a === MMIO) {
      this.lastError = this.fetcher.error;
      return EXIT.unimplemented;
    }
    const mfn = Math.floor(a / 4096);
    const mode = this.fetcher.currentMode();
    const flushes = this.cache.flushes;
    const table = this.cache.table(mfn, mode);
    const offset = a & 4095;
    let rp = table === 0 ? 0 : c.m.u32(table + offset * 4);
    if (table !== 0 && rp === 0) rp = this.cache.translate(table, mfn, offset, mode);
    // the cache was emptied to make room: the table went too, start over
    if (this.cache.flushes !== flushes) return -1;
    if (rp === 0) {
      this.lastError = 'no machine memory left for translated code';
      return EXIT.unimplemented;
    }
    this.tlb.fillCode(linear, table);
    c.setLin(cpuState.ripBase, c.lin(cpuState.rip) - offset);
    this.enterAt(rp);
    return -1;
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
    const c = this.core;
    const kind = c.get32(cpuState.faultKind);
    this.atInstruction(rp);
    try {
      if (this.plainFill(kind)) {
        this.rp = rp;
        return -1;
      }
    } catch (e) {
      this.countTo(rp, false);
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
    if (first === MOVS || first === STOS) return this.helper(rp);
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
    let rp = at;
    try {
      for (;;) {
        c.set32(cpuState.exitBn, 1);
        const why = this.interp.run(c.cpu, rp, 0);
        if (why === LEAVE.miss) {
          rp = c.get32(cpuState.exitRp);
          const kind = c.get32(cpuState.faultKind);
          this.missedAddress();
          if (!this.plainFill(kind)) this.overrides.add(this.missedAddress(), kind);
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
    const straddles = c.m.u32(rp + REC.insn) === 0 && c.m.u16(rp + REC.handler) === HELPER;
    if (straddles) {
      this.countTo(rp, true);
      return this.straddler();
    }
    const i = kept ?? this.fetcher.decodeAt();
    if (!kept) c.nextIp = c.ip + i.length;
    this.countTo(rp, true);
    if (this.fetcher.mode.limited & segmentsOf(i)) return this.alone(i, c.ip - c.lin(cpuState.ripBase));
    return this.dispatch(i);
  }

  /** An instruction that lies across two pages. */
  private straddler(): number {
    const c = this.core;
    return this.alone(this.fetcher.decodeAt(), c.ip - c.lin(cpuState.ripBase));
  }

  /** Runs an instruction by itself, at offset `off` from ripBase, after its segments' limits were checked. */
  private alone(i: Insn, off: number): number {
    const c = this.core;
    const mode = this.fetcher.currentMode();
    const { limited } = mode;
    const checked = (limited & segmentsOf(i)) !== 0;
    if (checked) checkLimits(c, i, limited);
    // the bulk forms would do more than the one element that was checked, or is stepped over
    if ((checked || c.stepping) && isString(i)) return this.oneElement(i);
    const at = c.cpu + SCRATCH;
    mode.limited = 0;
    const end = this.cache.lowerAlone(i, mode, at, off);
    mode.limited = limited;
    this.cache.stopAt(end, off + i.length);
    return this.runAlone(at);
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
    switch (next) {
      case NEXT.next:
        c.setLin(cpuState.rip, c.nextIp);
        return this.window();
      case NEXT.jumped:
        return this.window();
      case NEXT.again:
        this.left -= 64;
        return this.left < 0 ? EXIT.budget : -1;
      case NEXT.shadow:
        c.setLin(cpuState.rip, c.nextIp);
        return c.stepping ? -1 : this.oneMore();
      case NEXT.unimplemented:
        this.lastError = `the instruction '${disassemble(i)}' is not there yet`;
        return EXIT.unimplemented;
      case EXIT.hlt:
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
      c.ip = c.lin(cpuState.rip);
      const linear = this.fetcher.fetchAddress();
      const i = this.fetcher.decodeAt();
      const off = (linear >>> 0) & 4095;
      c.setLin(cpuState.ripBase, c.ip - off);
      this.count(1);
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
  random(): bigint {
    this.options.entropy.fill(new Uint8Array(this.random64.buffer));
    return this.random64[0]!;
  }
}
