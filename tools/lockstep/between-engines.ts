/**
 * Two engines of ours. They run many blocks at a time and are brought to the same instruction by single steps of the
 * one behind; when they differ there, everything is run again with the last piece in single blocks, and once more with
 * the last block in single instructions.
 */
import { differences, readState, type State } from './registers.ts';
import { type Difference, type MemoryDifference, memoryDifference } from './report.ts';
import { type EngineFactory, type Fetched, Rig } from './rig.ts';

export interface Engines {
  readonly names: readonly [string, string];
  readonly factories: readonly [EngineFactory, EngineFactory];
  /** Bytes. */
  readonly memory: number;
  /** Puts the guest into a rig. */
  load(rig: Rig): void;
}

export interface Limits {
  /** Instructions to compare. */
  readonly count: number;
  /** Instructions, or blocks of engines of ours, between full comparisons. */
  readonly every: number;
  /** Instructions of the history to show. */
  readonly before: number;
}

export interface Agreement {
  /** Instructions. */
  readonly count: number;
  /** Why there were no more; empty when there could be. */
  readonly ended: string;
}

/** Instructions in a block, at most, as far as the budget of a run goes. */
const BLOCK = 64;

class Pair {
  readonly a: Rig;
  readonly b: Rig;
  private readonly engines: Engines;

  constructor(engines: Engines) {
    this.engines = engines;
    const [a, b] = engines.factories.map((factory) => new Rig(factory, engines.memory));
    this.a = a!;
    this.b = b!;
    for (const rig of [this.a, this.b]) engines.load(rig);
  }

  get count(): number {
    return this.a.icount;
  }

  /** Both run so many blocks, then the one behind catches up. */
  advance(blocks: number): void {
    this.a.run(blocks);
    this.b.run(blocks);
    for (;;) {
      const lead = this.a.icount - this.b.icount;
      const behind = lead < 0 ? this.a : this.b;
      if (lead === 0 || behind.ended) break;
      if (Math.abs(lead) > BLOCK) behind.run(Math.floor(Math.abs(lead) / BLOCK));
      else behind.step();
    }
    this.finishStrings();
  }
  /** An instruction on both, with what it repeats. */
  step(): void {
    this.a.step();
    this.b.step();
    this.finishStrings();
  }
  private finishStrings(): void {
    if (this.a.icount !== this.b.icount) return;
    this.a.finishString();
    this.b.finishString();
  }

  states(): readonly [State, State] {
    return [readState(this.a.core), readState(this.b.core)];
  }
  /** A difference in the registers, in how far they came and how they ended. */
  differs(): boolean {
    const { a, b } = this;
    return a.icount !== b.icount || a.ended !== b.ended || differences(...this.states()).length > 0;
  }
  memory(from?: number, to?: number): MemoryDifference | undefined {
    return memoryDifference(this.a.ram, this.b.ram, from, to);
  }

  report(history: readonly Fetched[], suspects: number, before: State, remark: string): Difference {
    const { a, b, engines } = this;
    const ends =
      a.ended === b.ended
        ? ''
        : `${engines.names[0]}: ${a.ended || 'goes on'}; ${engines.names[1]}: ${b.ended || 'goes on'}`;
    return {
      names: engines.names,
      history,
      suspects,
      before,
      after: this.states(),
      undefinedFlags: 0,
      memory: this.memory(),
      remark: [remark, ends].filter(Boolean).join('\n'),
    };
  }
}

export function compareEngines(engines: Engines, limits: Limits): Difference | Agreement {
  const pair = new Pair(engines);
  for (let pieces = 0; ; pieces++) {
    const from = pair.count;
    const before = readState(pair.a.core);
    pair.advance(limits.every);
    if (pair.differs() || pair.memory())
      return new Narrowing(engines, limits, pieces, pair).find(from, before);
    if (pair.a.ended || pair.count >= limits.count) return { count: pair.count, ended: pair.a.ended };
  }
}

/** The way from a piece in which two engines came to differ to an instruction. */
class Narrowing {
  private readonly engines: Engines;
  private readonly limits: Limits;
  private readonly pieces: number;
  private readonly found: Pair;
  /** Where memory differed in the end. */
  private readonly watched: number | undefined;

  constructor(engines: Engines, limits: Limits, pieces: number, found: Pair) {
    this.engines = engines;
    this.limits = limits;
    this.pieces = pieces;
    this.found = found;
    this.watched = found.memory()?.gpa;
  }

  find(from: number, before: State): Difference {
    const { found } = this;
    const pair = this.replay();
    for (let blocks = 0; !this.over(pair, found.count); blocks++) {
      const good = { count: pair.count, state: readState(pair.a.core) };
      pair.advance(1);
      if (this.differs(pair)) return this.instruction(blocks, good.count, good.state, pair);
    }
    const remark = `in the instructions ${from} to ${found.count}, which agree when they are run block by block`;
    return found.report([], 0, before, remark);
  }

  /** `blocks` blocks of the piece agree; `wrong` came out of the next one. */
  private instruction(blocks: number, from: number, before: State, wrong: Pair): Difference {
    const lead = Math.max(0, blocks - this.limits.before);
    const pair = this.replay();
    for (let i = 0; i < lead; i++) pair.advance(1);
    const history: Fetched[] = [];
    while (!this.over(pair, wrong.count)) {
      const good = readState(pair.a.core);
      history.push(pair.a.fetch());
      pair.step();
      if (this.differs(pair)) return pair.report(history.slice(-this.limits.before - 1), 1, good, '');
    }
    const suspects = history.filter((f) => f.number >= from).length;
    const remark = 'stepped one by one, these agree: they differ when they are run together';
    return wrong.report(history.slice(-this.limits.before - suspects), suspects, before, remark);
  }

  private replay(): Pair {
    const pair = new Pair(this.engines);
    for (let i = 0; i < this.pieces; i++) pair.advance(this.limits.every);
    return pair;
  }
  private over(pair: Pair, count: number): boolean {
    return pair.count >= count || pair.a.ended !== '' || pair.b.ended !== '';
  }
  private differs(pair: Pair): boolean {
    const { watched } = this;
    return pair.differs() || (watched !== undefined && pair.memory(watched, watched + 8) !== undefined);
  }
}
