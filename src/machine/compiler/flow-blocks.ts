/** The basic blocks of a region whose records are known. */
import type { Mem } from '../../base/mem.ts';
import { SPECIAL } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import { type Block, type Ending, type Flow, type Way, waysOf } from './flow.ts';
import {
  contextOf,
  goesOn,
  JUMP_OF,
  type Jump,
  key,
  leavesAt,
  pageOf,
  recordOf,
  type Ways,
} from './flow-ways.ts';

/** A function that is part of the region, as called from one place. */
export interface Context {
  readonly depth: number;
  readonly caller: number;
  /** Its first block, and where it returns to. */
  readonly entry: number;
  readonly back: Way;
} /** What was found: records by what they are known by, see flow-ways.ts. */
export interface Found {
  readonly starts: readonly number[];
  readonly seen: ReadonlySet<number>;
  /** Where blocks begin. */
  readonly leaders: ReadonlySet<number>;
  readonly contexts: readonly Context[];
  /** Calls whose target is part of the region: its context. */
  readonly inlined: ReadonlyMap<number, number>;
  /** Where execution comes back to. */
  readonly returns: ReadonlySet<number>;
  /** Calls in the region itself, and what they call. */
  readonly direct: readonly { at: number; target: number }[];
  /** Indirect jumps may go on in the region. */
  readonly merged: boolean;
}

export class BlockBuilder {
  private readonly mem: Mem;
  private readonly ways: Ways;
  private readonly found: Found;
  private readonly numbers: ReadonlyMap<number, number>;
  private readonly indirect: boolean;

  constructor(mem: Mem, ways: Ways, found: Found) {
    this.mem = mem;
    this.ways = ways;
    this.found = found;
    const { leaders, seen, direct, inlined } = found;
    this.numbers = new Map([...leaders].filter((k) => seen.has(k)).map((k, n) => [k, n]));
    const { numbers } = this;
    this.indirect = found.merged || direct.some((c) => !inlined.has(c.at) && numbers.has(c.target));
  }

  build(): Flow {
    const { numbers, found } = this;
    const blocks = [...numbers.keys()].map((k) => this.block(k));
    const pages = new Set(blocks.flatMap((b) => [b.page, ...guardsOf(b.ending)]));
    const entries = new Set([...found.starts, ...found.returns]);
    return {
      blocks,
      pages: [...pages],
      entries: [...entries].map((k) => numbers.get(k)).filter((n) => n !== undefined),
      records: found.seen.size,
    };
  }
  private number(to: Way): Way {
    return { ...to, block: this.numbers.get(to.block) ?? -1 };
  }
  private block(k: number): Block {
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
      if (r !== first && this.found.leaders.has(at)) {
        b.ending = { kind: 'goto', to: this.number({ block: at, page, off: here }) };
        return b;
      }
      const special = SPECIAL[mem.u16(r + REC.handler)];
      if (goesOn(special)) {
        b.ending = { kind: 'goto', to: this.number(this.ways.nextOf(at, special)) };
        return b;
      }
      if (here !== off) b.count++;
      off = here;
      const jump = JUMP_OF[mem.u16(r + REC.handler)];
      if (jump !== 'jcc' && jump !== 'jmpRel') b.records.push(r);
      if (jump !== undefined) b.ending = this.ending(at, jump);
      if (jump !== undefined || leavesAt(mem, r)) return b;
    }
  }
  private ending(at: number, jump: Jump): Ending {
    const record = recordOf(at);
    const context = contextOf(at);
    switch (jump) {
      case 'jcc': {
        const block = key(context, pageOf(at), record + REC.size);
        const next = { block, page: pageOf(at), off: this.mem.u16(record + REC.next) };
        return { kind: 'if', record, taken: this.number(this.ways.target(at)), next: this.number(next) };
      }
      case 'jmpRel':
        return { kind: 'goto', to: this.number(this.ways.target(at)) };
      case 'callRel': {
        const into = this.found.inlined.get(at);
        const target = this.ways.target(at);
        const to = this.number(
          into === undefined ? target : { ...target, block: this.found.contexts[into]!.entry },
        );
        return to.block >= 0 && (into !== undefined || context === 0)
          ? { kind: 'call', to }
          : { kind: 'out' };
      }
      case 'ret': {
        const { back } = this.found.contexts[context] as Context;
        if (context === 0) return this.elsewhere();
        return {
          kind: 'return',
          to: this.number({ ...back, guard: back.page === pageOf(at) ? undefined : back.page }),
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

const guardsOf = (ending: Ending): number[] =>
  waysOf(ending)
    .map((w) => w.guard)
    .filter((page) => page !== undefined);
