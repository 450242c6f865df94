/**
 * Running one instruction at a time: while TF is set, a debug register watches, or a debug trap is due.
 *
 * @spec SDM 3B 17.2, 17.3
 */
import { RF, TF } from '../../x86/flags.ts';
import { OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { EXIT } from '../platform.ts';
import type { Alone } from './alone.ts';
import type { Core } from './core.ts';
import { Breakpoints, DR6_BS, DR6_HITS, noteDebug, onlyBranches } from './debug.ts';
import type { Fetcher } from './fetch.ts';
import type { Interrupts } from './interrupts.ts';
import { isString } from './limits.ts';
import type { Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import { EXC } from './registers.ts';
import type { Tlb } from './tlb.ts';

/** In pendingDb: one instruction more comes first (after MOV SS). */
const DEFERRED = 0x8000_0000;

export class Tracer {
  private readonly c: Core;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly interrupts: Interrupts;
  private readonly alone: Alone;
  private readonly breakpoints: Breakpoints;

  constructor({ core, tlb, fetcher, progress, interrupts }: Parts, alone: Alone) {
    this.c = core;
    this.tlb = tlb;
    this.fetcher = fetcher;
    this.progress = progress;
    this.interrupts = interrupts;
    this.alone = alone;
    this.breakpoints = new Breakpoints(core);
  }

  /** One instruction, and the debug exceptions that are due before and after it. An exit, or -1 to go on. */
  step(): number {
    const c = this.c;
    const due = c.get32(cpuState.pendingDb);
    c.set32(cpuState.pendingDb, 0);
    if (due !== 0 && (due & DEFERRED) === 0) {
      this.progress.count(1);
      return this.debugTrap(due);
    }
    const flags = c.get32(cpuState.flagsRest);
    const at = c.code64 ? c.lin(cpuState.rip) : (c.lin(cpuState.rip) + c.segBase(SEG.cs)) >>> 0;
    const hits = flags & RF || due !== 0 ? 0 : this.breakpoints.atInstruction(at);
    if (hits !== 0) {
      this.progress.count(1);
      noteDebug(c, hits);
      return this.progress.raise(EXC.DB, -1, 'fault');
    }
    const deliveries = c.deliveries;
    const exit = this.watched();
    const carried = due & ~DEFERRED;
    if (c.deliveries === deliveries) return this.afterStep(exit, flags, carried);
    c.set32(cpuState.pendingDb, carried);
    return exit;
  }
  /** Runs one instruction under the eyes of the data and port breakpoints. */
  private watched(): number {
    const c = this.c;
    c.stepping = true;
    // with empty TLBs every access comes by
    if (this.breakpoints.arm()) this.tlb.flush();
    try {
      return this.alone.single();
    } finally {
      this.breakpoints.disarm();
      c.stepping = false;
    }
  }
  /** The traps of an instruction that is through; `flags` are those it began with. */
  private afterStep(exit: number, flags: number, carried: number): number {
    const c = this.c;
    const { op } = this.fetcher.insn;
    const now = c.get32(cpuState.flagsRest);
    // RF holds instruction breakpoints off until a repeated string instruction is through
    const repeats = isString(this.fetcher.insn) && c.lin(cpuState.rip) === c.ip;
    if (repeats) c.set32(cpuState.flagsRest, now | RF);
    else if (flags & RF && op !== X.iret) c.set32(cpuState.flagsRest, now & ~RF);
    // SYSCALL into a kernel that masks TF is not stepped into
    const traps = (flags & TF) !== 0 && (op !== X.syscall || (now & TF) !== 0);
    const jumped = !repeats && c.lin(cpuState.rip) !== c.nextIp;
    const why = carried | this.breakpoints.hits | (traps && (jumped || !onlyBranches(c)) ? DR6_BS : 0);
    if (exit === EXIT.hypercall || exit === EXIT.failed || exit === EXIT.tripleFault) return exit;
    if (this.loadsSs()) {
      // the instruction behind it comes first, whatever is on it, with what the data breakpoints saw here
      c.set32(cpuState.pendingDb, ((why & DR6_HITS) | DEFERRED) >>> 0);
      return exit === EXIT.irqWindow ? -1 : exit;
    }
    if (why !== 0) {
      if (repeats) this.progress.count(1);
      return this.debugTrap(why);
    }
    return exit === -1 && op !== X.sti ? this.interrupts.window() : exit;
  }
  private loadsSs(): boolean {
    const { op, operands } = this.fetcher.insn;
    const [d] = operands;
    return (op === X.mov_sreg || op === X.pop) && d.kind === OPK.sreg && d.reg === SEG.ss;
  }
  private debugTrap(why: number): number {
    noteDebug(this.c, why);
    const exit = this.progress.raise(EXC.DB, -1, 'trap');
    return exit === -1 ? this.interrupts.window() : exit;
  }
}
