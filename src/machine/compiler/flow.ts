/**
 * Which records make up a region: what can be reached from some records without leaving for anything indirect, as basic
 * blocks. Short functions that it calls are part of it, once for each call; where others return to, and helpers, it can
 * be entered again. What was never decoded is not part of it, since it never ran.
 */
import type { Mem } from '../../base/mem.ts';
import { HANDLERS, originalRecord, SPECIAL, type Special } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';

/** A place in the code, in pages from the region's base page. */
export interface Place {
  readonly page: number;
  readonly off: number;
}
/** A way out of a block: to another block, or (-1) out of the region. */
export interface Way extends Place {
  readonly block: number;
  /** A page whose translation must be as it was, since the block is on it. */
  readonly guard?: number | undefined;
  /** The record to go on at in the interpreter, which finds out about the page, where the way cannot be taken. */
  readonly instead?: number;
  /** Out of the region: what the address is masked with, where that is narrower than 64 bits. */
  readonly mask?: bigint;
}

export type Ending =
  | { readonly kind: 'goto'; readonly to: Way }
  | { readonly kind: 'if'; readonly record: number; readonly taken: Way; readonly next: Way }
  /** The last record is a call, or a return that goes on at `to` if that is where it returns to. */
  | { readonly kind: 'call' | 'return'; readonly to: Way }
  /** The last record jumps to an address that may be one of the region's entries. */
  | { readonly kind: 'indirect' }
  /** The last record leaves by itself (a helper). */
  | { readonly kind: 'out' };

export interface Block {
  readonly page: number;
  /** Where its first instruction is, in its page and as a record. */
  readonly off: number;
  readonly first: number;
  /** Records but for a jump that `ending` does. */
  readonly records: number[];
  /** Instructions. */
  count: number;
  ending: Ending;
}

export interface Flow {
  readonly blocks: Block[];
  /** Blocks where the region can be entered; the first is where it was asked for. */
  readonly entries: number[];
  /** Pages that instructions of the region are on. */
  readonly pages: number[];
  /** Records in it: a measure of its size. */
  readonly records: number;
}
/** Where a region begins: a record on a page. */
export interface Start {
  readonly page: number;
  readonly record: number;
}

/** Finds the table of a page, in pages from the base page; 0 where there is none. */
export type PageTables = (page: number) => number;

/** Records, but for what it takes to bring a block to its end: of a region with one start, and of those with several. */
const MAX_RECORDS = 500;
export const MAX_MERGED = 2000;
const MAX_INLINED = 60;
const MAX_CONTEXTS = 32;
const MAX_DEPTH = 3;
const PAGES = 1 << 20;

/** What a block is known by while the flow is found: the call it is in, its page and its record, in one number. */
const key = (context: number, page: number, record: number): number =>
  (context * PAGES + page + PAGES / 2) * 0x1000_0000 + record / 16;
const recordOf = (k: number): number => (k % 0x1000_0000) * 16;
const pageOf = (k: number): number => (Math.floor(k / 0x1000_0000) % PAGES) - PAGES / 2;
const contextOf = (k: number): number => Math.floor(k / (0x1000_0000 * PAGES));

/** How a handler that jumps does so; a system call comes back like a call, but goes to another privilege level. */
const JUMPS = {
  jcc: 'jcc',
  jmpRel: 'jmpRel',
  callRel: 'callRel',
  call: 'call',
  syscall: 'enter',
  ret: 'ret',
  jmp: 'jmp',
  sysret: 'exit',
  iretq: 'exit',
} as const;
type Jump = (typeof JUMPS)[keyof typeof JUMPS];
const JUMP_OF: (Jump | undefined)[] = [
  ...SPECIAL.map(() => undefined),
  ...HANDLERS.map((h) => (JUMPS as Record<string, Jump>)[h.name]),
];

/** A function that is part of the region, as called from one place. */
interface Context {
  readonly depth: number;
  readonly caller: number;
  /** Its first block, and where it returns to. */
  readonly entry: number;
  readonly back: Way;
}
interface Call {
  readonly at: number;
  readonly target: Way;
  readonly back: Way;
}

export class FlowFinder {
  private readonly mem: Mem;
  private readonly tables: PageTables;
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
  private indirect = false;

  constructor(mem: Mem, tables: PageTables) {
    this.mem = mem;
    this.tables = tables;
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
    this.indirect = merged;
    for (const k of first) this.lead(k);
    this.function();
    for (const r of this.returns) {
      this.lead(r);
      this.function();
    }
    return this.build(first);
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
      const special = SPECIAL[mem.u16(r + REC.handler)];
      if (goesOn(special)) return this.leadTo(this.nextOf(at, special));
      if (special === 'helper' || special === 'routine') return this.comeBack(at);
      const jump = JUMP_OF[mem.u16(r + REC.handler)];
      if (jump === undefined) continue;
      this.scanJump(at, jump);
      if (jump !== 'jcc') return;
      this.leaders.add(key(context, page, r + REC.size));
    }
  }
  private scanJump(at: number, jump: Jump): void {
    if (jump === 'jcc' || jump === 'jmpRel') return this.leadTo(this.target(at));
    if (jump === 'callRel') return this.scanCall(at);
    if (jump === 'ret' && contextOf(at) !== 0) return;
    if (jump === 'call' || jump === 'enter') this.comeBack(at);
    this.leaves = true;
  }
  private scanCall(at: number): void {
    const target = this.target(at);
    const back = this.after(at);
    if (target.block >= 0 && back.block >= 0) this.calls.push({ at, target, back });
    else this.comeBack(at);
    if (contextOf(at) === 0) this.direct.push({ at, target: target.block });
  }
  /** The next instruction is run when a call returns, or after a helper. */
  private comeBack(at: number): void {
    this.leaves = true;
    const { block } = this.after(at);
    if (block >= 0 && contextOf(at) === 0) this.returns.add(block);
  }

  /** The place at an offset from the base page's start; `block` is a key as yet. */
  private way(from: number, offset: number): Way {
    const page = Math.floor(offset / 4096);
    const off = offset - page * 4096;
    const table = Math.abs(page) < PAGES / 2 ? this.tables(page) : 0;
    const record = table === 0 ? 0 : originalRecord(this.mem, this.mem.u32(table + off * 4));
    const block = record === 0 ? -1 : key(contextOf(from), page, record);
    return { block, page, off, guard: page === pageOf(from) ? undefined : page };
  }
  private after(at: number): Way {
    return this.way(at, pageOf(at) * 4096 + this.mem.u16(recordOf(at) + REC.next));
  }
  private target(at: number): Way {
    const r = recordOf(at);
    const to = this.way(at, pageOf(at) * 4096 + this.mem.u16(r + REC.next) + this.mem.s32(r + REC.imm));
    const mask = this.mem.s64(r + REC.mask);
    // addresses that wrap are only known to be where they seem to be if the decoder found them in the page
    return mask === -1n || this.mem.u32(r + REC.slot) !== 0 ? to : { ...to, block: -1, mask };
  }
  private nextOf(at: number, special: GoesOn): Way {
    const { mem } = this;
    const page = pageOf(at);
    if (special !== 'straddle') return this.after(at);
    const record = mem.u32(recordOf(at) + REC.slot);
    const to = { block: key(contextOf(at), page, record), page, off: mem.u16(record + REC.off) };
    // the rest of the instruction is on the page behind
    const known = this.tables(page + 1) === mem.u32(recordOf(at) + REC.imm);
    const instead = recordOf(at);
    return known ? { ...to, guard: page + 1, instead } : { ...to, block: -1, instead };
  }

  // --- blocks ------------------------------------------------------------------------------------------------------

  private build(first: readonly number[]): Flow {
    const order = [...this.leaders].filter((k) => this.seen.has(k));
    const numbers = new Map(order.map((k, n) => [k, n]));
    const entries = new Set([...first, ...this.returns]);
    const number = (w: Way): Way => ({ ...w, block: numbers.get(w.block) ?? -1 });
    this.indirect ||= this.direct.some((c) => !this.inlined.has(c.at) && numbers.has(c.target));
    const blocks = order.map((k) => this.block(k, number));
    const pages = new Set(blocks.flatMap((b) => [b.page, ...guardsOf(b.ending)]));
    return {
      blocks,
      pages: [...pages],
      entries: [...entries].map((k) => numbers.get(k)).filter((n) => n !== undefined),
      records: this.seen.size,
    };
  }
  private block(k: number, number: (w: Way) => Way): Block {
    const { mem } = this;
    const first = recordOf(k);
    const page = pageOf(k);
    const b: Block = {
      page,
      off: mem.u16(first + REC.off),
      first,
      records: [],
      count: 0,
      ending: { kind: 'out' },
    };
    let off = -1;
    for (let r = first; ; r += REC.size) {
      const at = key(contextOf(k), page, r);
      const here = mem.u16(r + REC.off);
      if (r !== first && this.leaders.has(at)) {
        b.ending = { kind: 'goto', to: number({ block: at, page, off: here }) };
        return b;
      }
      const special = SPECIAL[mem.u16(r + REC.handler)];
      if (goesOn(special)) {
        b.ending = { kind: 'goto', to: number(this.nextOf(at, special)) };
        return b;
      }
      if (here !== off) b.count++;
      off = here;
      const jump = JUMP_OF[mem.u16(r + REC.handler)];
      if (jump !== 'jcc' && jump !== 'jmpRel') b.records.push(r);
      if (jump !== undefined) b.ending = this.ending(at, jump, number);
      if (jump !== undefined || leavesHere(special)) return b;
    }
  }
  private ending(at: number, jump: Jump, number: (w: Way) => Way): Ending {
    const record = recordOf(at);
    const context = contextOf(at);
    switch (jump) {
      case 'jcc': {
        const block = key(context, pageOf(at), record + REC.size);
        const next = { block, page: pageOf(at), off: this.mem.u16(record + REC.next) };
        return { kind: 'if', record, taken: number(this.target(at)), next: number(next) };
      }
      case 'jmpRel':
        return { kind: 'goto', to: number(this.target(at)) };
      case 'callRel': {
        const into = this.inlined.get(at);
        const target = this.target(at);
        const to = number(into === undefined ? target : { ...target, block: this.contexts[into]!.entry });
        return to.block >= 0 && (into !== undefined || context === 0) ? { kind: 'call', to } : { kind: 'out' };
      }
      case 'ret': {
        const { back } = this.contexts[context] as Context;
        if (context === 0) return this.elsewhere();
        return {
          kind: 'return',
          to: number({ ...back, guard: back.page === pageOf(at) ? undefined : back.page }),
        };
      }
      case 'jmp':
      case 'call':
        return this.elsewhere();
      default:
        return { kind: 'out' };
    }
  }
  private elsewhere(): Ending {
    return { kind: this.indirect ? 'indirect' : 'out' };
  }
}

/** The ways that are known. */
export function waysOf(ending: Ending): Way[] {
  if (ending.kind === 'if') return [ending.taken, ending.next];
  return 'to' in ending ? [ending.to] : [];
}
const guardsOf = (ending: Ending): number[] =>
  waysOf(ending)
    .map((w) => w.guard)
    .filter((page) => page !== undefined);

type GoesOn = 'goto' | 'nextPage' | 'straddle';
const goesOn = (special: Special | undefined): special is GoesOn =>
  special === 'goto' || special === 'nextPage' || special === 'straddle';
const leavesHere = (special: Special | undefined): boolean => special === 'helper' || special === 'routine';

/** Takes away what was added to a set or map after it had a size. */
function cutTo(what: Set<number> | Map<number, number>, size: number): void {
  for (const k of [...what.keys()].slice(size)) what.delete(k);
}
