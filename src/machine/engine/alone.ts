/**
 * Instructions that are run by themselves, as records in a scratch buffer: those with odd accesses, which are redirected
 * meanwhile (override.ts), those whose segments' limits have to be checked first, and those that are stepped over.
 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState } from '../cpu-state.ts';
import { specialOf } from '../interp/handlers.ts';
import { KIND_READ, LEAVE, REC } from '../interp/record.ts';
import { ACCESS, MMIO } from '../mmu.ts';
import type { CodeCache } from './code-cache.ts';
import type { Core } from './core.ts';
import { AREAS } from './extent.ts';
import { checkFirst } from './fault-order.ts';
import type { Fetcher } from './fetch.ts';
import type { Interrupts } from './interrupts.ts';
import { checkBranch, checkSegments, isString, suspect } from './limits.ts';
import type { Misses } from './misses.ts';
import { Overrides } from './override.ts';
import type { InterpreterExports, Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import type { Tlb } from './tlb.ts';

const SCRATCH = cpuState.scratch.offset;
const MAX_SCRATCH_RECORDS = 7;
const ROUTINE = specialOf('routine');
const STOP = specialOf('stop');

export class Alone {
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly interrupts: Interrupts;
  private readonly interp: InterpreterExports;
  private readonly misses: Misses;
  private readonly dispatch: (i: Insn) => number;
  private readonly overrides: Overrides;

  /** `dispatch` has a helper run the instruction at rip. */
  constructor(parts: Parts, interp: InterpreterExports, misses: Misses, dispatch: (i: Insn) => number) {
    this.c = parts.core;
    this.cache = parts.cache;
    this.tlb = parts.tlb;
    this.fetcher = parts.fetcher;
    this.progress = parts.progress;
    this.interrupts = parts.interrupts;
    this.interp = interp;
    this.misses = misses;
    this.dispatch = dispatch;
    this.overrides = new Overrides(parts.core);
  }

  /** Runs what is left of an instruction from a record of it. */
  rest(rp: number): number {
    const { m, cpu } = this.c;
    this.progress.count(m.u16(rp + REC.n) - this.c.get32(cpuState.exitBn));
    const at = cpu + SCRATCH;
    const last = at + MAX_SCRATCH_RECORDS * REC.size;
    let end = at;
    for (let from = rp; m.u16(from + REC.off) === m.u16(rp + REC.off) && end < last; from += REC.size) {
      m.move(end, from, REC.size);
      end += REC.size;
    }
    this.cache.stopAt(end, m.u16(rp + REC.next));
    for (let r = at; r <= end; r += REC.size) m.setU16(r + REC.n, 1);
    return this.scratch(at);
  }

  /** Runs an instruction by itself, at offset `off` from ripBase, after its segments' limits were checked. */
  instruction(i: Insn, off: number): number {
    const c = this.c;
    const mode = this.fetcher.currentMode();
    const { limited, aligned } = mode;
    const checked = suspect(i, mode);
    if (checked) {
      checkFirst(c, i);
      checkSegments(c, i, mode);
    }
    // the bulk forms would do more than the one element that was checked, or is stepped over
    if ((checked || c.stepping) && isString(i)) return this.oneElement(i);
    // one looks at where it goes before it pushes, the others at each part of their operand
    if (checked && (i.op === X.call || AREAS.has(i.op)) && mode.codeSize !== 64) return this.dispatch(i);
    const at = c.cpu + SCRATCH;
    mode.limited = 0;
    mode.aligned = false;
    const end = this.cache.lowerAlone(i, mode, at, off);
    mode.limited = limited;
    mode.aligned = aligned;
    this.cache.stopAt(end, off + i.length);
    const [sp, cx] = [c.gpr32(4), c.gpr32(1)];
    const next = this.scratch(at);
    if (checked) checkBranch(c, i, sp, cx);
    return next;
  }
  private oneElement(i: Insn): number {
    const c = this.c;
    const before = c.stepping;
    c.stepping = true;
    try {
      return this.dispatch(i);
    } finally {
      c.stepping = before;
    }
  }

  /** Runs exactly one instruction at rip. */
  single(): number {
    return this.progress.guarded(() => {
      const c = this.c;
      this.progress.count(1);
      c.ip = c.lin(cpuState.rip);
      const linear = this.fetcher.fetchAddress();
      const i = this.fetcher.decodeAt();
      const off = (linear >>> 0) & 4095;
      c.setLin(cpuState.ripBase, c.ip - off);
      return this.instruction(i, off);
    });
  }

  /** Runs scratch records with overrides until the instruction is done or faults. rip is at the instruction. */
  private scratch(at: number): number {
    const c = this.c;
    this.overrides.begin();
    this.tlb.keepSmap();
    let rp = at;
    try {
      for (;;) {
        c.set32(cpuState.exitBn, 1);
        const why = this.interp.run(c.cpu, rp, 0);
        rp = c.get32(cpuState.exitRp);
        if (why === LEAVE.miss && !this.inParts(rp)) {
          this.missed();
          continue;
        }
        if (why === LEAVE.miss || why === LEAVE.helper) {
          this.overrides.end();
          // it turned out to be for the helper: decoded where it is
          return this.dispatch(this.fetcher.decodeAt());
        }
        this.overrides.commit();
        if (why !== LEAVE.fetch) this.progress.syncRip(rp);
        this.progress.rp = 0;
        // a device may have raised something
        return this.interrupts.window();
      }
    } finally {
      this.overrides.end();
    }
  }
  /** It has several accesses in a page, of which a bent entry would serve one: x87 numbers and environments. */
  private inParts(rp: number): boolean {
    const { m } = this.c;
    let at = rp;
    while (m.u16(at + REC.handler) !== ROUTINE) {
      if (m.u16(at + REC.handler) === STOP) return false;
      at += REC.size;
    }
    const i = this.fetcher.decodeAt();
    return i.operands[0].size === 10 || AREAS.has(i.op);
  }
  private missed(): void {
    const kind = this.c.get32(cpuState.faultKind);
    if (this.misses.plainFill(kind)) return;
    const linear = this.misses.address();
    if ((kind & 255) === KIND_READ) this.probePush(linear);
    this.overrides.add(linear, kind);
  }
  /** PUSH and CALL of a device's memory read it only if they can push. */
  private probePush(linear: number): void {
    const c = this.c;
    if (c.mmu.translate(c.cpu, linear, ACCESS.read, c.cpl === 3) !== MMIO) return;
    const i = this.fetcher.decodeAt();
    if ((i.op !== X.push && i.op !== X.call) || i.operands[0].kind !== OPK.mem) return;
    c.probe(c.stackAt(-i.opSize), i.opSize, true);
  }
}
