/**
 * Which records make up a region: what can be reached from some records without leaving for anything indirect, as basic
 * blocks. Short functions that it calls are part of it, once for each call; where others return to, and helpers, it can
 * be entered again. What was never decoded is not part of it, since it never ran, nor what hardly ever did.
 */
import type { Mem } from '../../base/mem.ts';
import { originalRecord, SPECIAL } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import type { Flow, PageTables, Start, Way } from './flow.ts';
import { BlockBuilder, type Context } from './flow-blocks.ts';
import { contextOf, goesOn, JUMP_OF, type Jump, key, leavesAt, pageOf, recordOf, Ways } from './flow-ways.ts';
import { wasSeen } from './samples.ts';

/** Records, but for what it takes to bring a block to its end: of a region with one start, and of those with several. */
const MAX_RECORDS = 500;
export const MAX_MERGED = 2000;
const MAX_INLINED = 60;
const MAX_CONTEXTS = 32;
const MAX_DEPTH = 3;
/** More than any region has: the records are being overwritten. */
const TOO_MANY = 20_000;

interface Call {
  readonly at: number;
  readonly target: Way;
  readonly back: Way;
}

export class FlowFinder {
  private readonly mem: Mem;
  private readonly samples: number;
  private readonly ways: Ways;
  private readonly seen = new Set<number>();
  private readonly leaders = new Set<number>();
  private work: number[] = [];
  private calls: Call[] = [];
  private readonly contexts: Context[] = [];
  /** Calls whose target is part of the region: its context. */
  private readonly inlined = new Map<number, number>();
  /** Where execution comes back to. */
  private readonly returns = new Set<number>();
  /** The function being looked at cannot be part of its caller. */
  private leaves = false;
  private limit = MAX_RECORDS;
  /** Calls in the region itself, and what they call. */
  private readonly direct: { at: number; target: number }[] = [];

  /** `samples`: machine address of the samples that say what ran, see Job. */
  constructor(mem: Mem, tables: PageTables, samples = 0) {
    this.mem = mem;
    this.samples = samples;
    this.ways = new Ways(mem, tables);
  }

  /**
   * The flow from records on pages that have tables. Where it is merged or calls a block of its own, its returns and
   * indirect jumps go on at entries of the region if they can.
   */
  find(starts: readonly Start[], merged = starts.length > 1): Flow {
    const nowhere = { page: 0, off: 0, block: -1 };
    const first = starts.map((s) => key(0, s.page, originalRecord(this.mem, s.record)));
    this.contexts.push({ depth: 0, caller: -1, entry: first[0] as number, back: nowhere });
    this.limit = merged ? MAX_MERGED : MAX_RECORDS;
    for (const k of first) this.lead(k);
    this.function();
    for (const r of this.returns) {
      this.lead(r);
      this.function();
    }
    const { seen, leaders, contexts, inlined, returns, direct } = this;
    const found = { starts: first, seen, leaders, contexts, inlined, returns, direct, merged };
    return new BlockBuilder(this.mem, this.ways, found).build();
  }

  /** Explores what work there is, and the functions that it calls. */
  private function(): void {
    this.explore(this.limit);
    for (let call = this.calls.shift(); call !== undefined; call = this.calls.shift()) {
      if (this.inline(call)) this.lead(call.back.block);
      else this.returns.add(call.back.block);
      this.explore(this.limit);
    }
  }
  /** Follows the work; false when there are more records than `limit` then. */
  private explore(limit: number): boolean {
    for (let k = this.work.shift(); k !== undefined; k = this.work.shift()) {
      if (this.seen.size > limit) {
        this.leaders.delete(k);
        for (const other of this.work) if (!this.seen.has(other)) this.leaders.delete(other);
        this.work = [];
        return false;
      }
      if (!this.seen.has(k)) this.scan(k);
    }
    return true;
  }

  /** Makes a called function part of the region, all of it or nothing. */
  private inline(call: Call): boolean {
    const caller = contextOf(call.at);
    const id = this.contexts.length;
    if (id === MAX_CONTEXTS || !this.mayInline(caller, call)) return false;
    const before = { seen: this.seen.size, leaders: this.leaders.size, inlined: this.inlined.size };
    const outer = { work: this.work, calls: this.calls, leaves: this.leaves };
    const entry = key(id, call.target.page, recordOf(call.target.block));
    const { depth } = this.contexts[caller] as Context;
    this.contexts.push({ depth: depth + 1, caller, entry, back: call.back });
    this.work = [];
    this.calls = [];
    this.leaves = false;
    const complete = this.whole(entry, before.seen + MAX_INLINED);
    this.work = outer.work;
    this.calls = outer.calls;
    this.leaves = outer.leaves;
    if (complete) this.inlined.set(call.at, id);
    else this.forget(before);
    return complete;
  }
  private whole(entry: number, limit: number): boolean {
    this.lead(entry);
    for (;;) {
      if (!this.explore(limit) || this.leaves) return false;
      const call = this.calls.shift();
      if (!call) return true;
      if (!this.inline(call)) return false;
      this.lead(call.back.block);
    }
  }
  private mayInline(caller: number, call: Call): boolean {
    const target = recordOf(call.target.block);
    for (let c = caller; c >= 0; c = (this.contexts[c] as Context).caller)
      if (recordOf((this.contexts[c] as Context).entry) === target) return false;
    return (this.contexts[caller] as Context).depth < MAX_DEPTH;
  }
  private forget(before: { seen: number; leaders: number; inlined: number }): void {
    cutTo(this.seen, before.seen);
    cutTo(this.leaders, before.leaders);
    cutTo(this.inlined, before.inlined);
  }

  private lead(k: number): void {
    if (this.leaders.has(k)) return;
    this.leaders.add(k);
    if (!this.seen.has(k)) this.work.push(k);
  }
  private leadTo(to: Way): void {
    if (to.block >= 0) this.lead(to.block);
  }
  private leadToWarm(to: Way): void {
    if (this.warm(to)) this.lead(to.block);
  }
  /** There is code where a jump goes, which ran often enough to be seen. */
  private warm({ block }: Way): boolean {
    return block >= 0 && (this.samples === 0 || wasSeen(this.mem, this.samples, recordOf(block)));
  }

  /** Marks a straight run of records, and what it may lead to. */
  private scan(k: number): void {
    const { mem } = this;
    const context = contextOf(k);
    const page = pageOf(k);
    for (let r = recordOf(k); ; r += REC.size) {
      const at = key(context, page, r);
      if (this.seen.has(at)) {
        this.leaders.add(at);
        return;
      }
      this.seen.add(at);
      if (this.seen.size > TOO_MANY) throw new Error('records that do not end');
      const special = SPECIAL[mem.u16(r + REC.handler)];
      if (goesOn(special)) return this.leadTo(this.ways.nextOf(at, special));
      if (leavesAt(mem, r)) return this.comeBack(at);
      const jump = JUMP_OF[mem.u16(r + REC.handler)];
      if (jump === undefined) continue;
      this.scanJump(at, jump);
      if (jump !== 'jcc') return;
      this.leaders.add(key(context, page, r + REC.size));
    }
  }
  private scanJump(at: number, jump: Jump): void {
    if (jump === 'jcc' || jump === 'jmpRel') return this.leadToWarm(this.ways.target(at));
    if (jump === 'callRel') return this.scanCall(at);
    if (jump === 'ret' && contextOf(at) !== 0) return;
    if (jump === 'call' || jump === 'enter') this.comeBack(at);
    this.leaves = true;
  }
  private scanCall(at: number): void {
    const target = this.ways.target(at);
    const back = this.ways.after(at);
    if (this.warm(target) && this.warm(back)) this.calls.push({ at, target, back });
    else this.comeBack(at);
    if (contextOf(at) === 0) this.direct.push({ at, target: target.block });
  }
  /** The next instruction is run when a call returns, or after a helper. */
  private comeBack(at: number): void {
    this.leaves = true;
    const to = this.ways.after(at);
    if (this.warm(to) && contextOf(at) === 0) this.returns.add(to.block);
  }
}

/** Takes away what was added to a set or map after it had a size. */
function cutTo(what: Set<number> | Map<number, number>, size: number): void {
  for (const k of [...what.keys()].slice(size)) what.delete(k);
}
