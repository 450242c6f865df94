/** Instructions that the interpreter leaves to a helper, and how it goes on behind them. */
import type { Insn } from '../../x86/insn.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { cpuState } from '../cpu-state.ts';
import { handlerOf, isJump, specialOf } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import { EXIT } from '../platform.ts';
import type { Alone } from './alone.ts';
import type { Blocks } from './blocks.ts';
import type { CodeCache } from './code-cache.ts';
import type { Core } from './core.ts';
import { stepping } from './debug.ts';
import type { Fetcher } from './fetch.ts';
import { checkSse } from './fpu.ts';
import { type HelperContext, runHelper } from './helpers.ts';
import type { Interrupts } from './interrupts.ts';
import { limitedUnseen, suspect } from './limits.ts';
import { NEXT } from './next.ts';
import type { Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import { beforeInstruction } from './svm/instruction-intercepts.ts';
import { inGuest, svmState } from './svm/state.ts';
import type { Tlb } from './tlb.ts';

const HELPER = specialOf('helper');
const STRADDLE = specialOf('straddle');
/** Whose odd accesses the helper makes: they have several. */
const WHOLE_IN_HELPER = new Set([specialOf('movs'), specialOf('stos'), handlerOf('iretq', 8, 'm')]);
/** Blocks that a part of a repeated string instruction costs. */
const REPEAT_COST = 64;

export class Dispatcher {
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly interrupts: Interrupts;
  private readonly context: HelperContext;
  private readonly alone: Alone;
  private readonly blocks: Blocks;

  constructor(parts: Parts, context: HelperContext, alone: Alone, blocks: Blocks) {
    this.c = parts.core;
    this.cache = parts.cache;
    this.tlb = parts.tlb;
    this.fetcher = parts.fetcher;
    this.progress = parts.progress;
    this.interrupts = parts.interrupts;
    this.context = context;
    this.alone = alone;
    this.blocks = blocks;
  }

  /** A record that the interpreter has no handler for. An exit, or -1 to go on; faults. */
  helper(rp: number): number {
    const { c, progress } = this;
    progress.atInstruction(rp);
    const handler = c.m.u16(rp + REC.handler);
    const kept = isJump(handler) ? undefined : this.cache.kept(c.m.u32(rp + REC.insn));
    if (handler === STRADDLE || (handler === HELPER && !kept)) return this.blocks.straddler(rp);
    const i = kept ?? this.fetcher.decodeAt();
    if (!kept) c.nextIp = c.ip + i.length;
    progress.countTo(rp, true);
    // FS and GS may be others than when code was entered
    if (suspect(i, c.code64 ? this.fetcher.mode : this.fetcher.currentMode()))
      return this.alone.instruction(i, c.ip - c.lin(cpuState.ripBase));
    return this.run(i);
  }
  /** A record whose instruction may be through a limited FS or GS, which is looked at from its beginning. */
  private checked(rp: number): number {
    const { c, progress } = this;
    progress.atInstruction(rp);
    progress.countTo(rp, true);
    return this.alone.instruction(this.fetcher.decodeAt(), c.ip - c.lin(cpuState.ripBase));
  }

  /** A record with an access that no TLB entry can serve. An exit, or -1 to go on; faults. */
  odd(rp: number): number {
    const { c } = this;
    if (c.m.u32(c.cpu + cpuState.faultAddr.offset + 4) !== 0 && limitedUnseen(c)) return this.checked(rp);
    return WHOLE_IN_HELPER.has(c.m.u16(rp + REC.handler)) ? this.helper(rp) : this.alone.rest(rp);
  }

  /** Has the helper run the instruction at rip. An exit, or -1 to go on; faults. */
  run(i: Insn): number {
    const { c, progress } = this;
    progress.rp = 0;
    if (inGuest(c)) beforeInstruction(c, i, () => this.context.tsc());
    if (usesXmm(i)) checkSse(c);
    const next = runHelper(c, i, this.context);
    this.tlb.keepSmap();
    switch (next) {
      case NEXT.next:
        c.setLin(cpuState.rip, c.nextIp);
        return this.interrupts.window();
      case NEXT.jumped:
        return this.interrupts.window();
      case NEXT.again:
        progress.count(-1);
        progress.left -= REPEAT_COST;
        return progress.left < 0 ? EXIT.budget : -1;
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
    const { c } = this;
    const guest = inGuest(c);
    if ((c.get32(cpuState.irqWindow) === 0 && !guest) || stepping(c)) return -1;
    c.set32(svmState.shadow, guest ? 1 : 0);
    const exit = this.alone.single();
    c.set32(svmState.shadow, 0);
    return exit >= 0 ? exit : this.interrupts.window();
  }
}
