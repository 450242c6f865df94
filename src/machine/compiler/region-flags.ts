/**
 * The semantics' algebra with a record's fields known, status flags: they are computed where they are wanted, at the latest
 * where code is left or ways meet, and a condition is told from what would set them if it can be.
 */
import type { FlagSource, V32, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { conditionFrom } from './condition.ts';
import { RegionOperands } from './region-operands.ts';

export interface Pending {
  readonly compute: () => void;
  readonly from: FlagSource | undefined;
  readonly uses: readonly Var[];
}

export abstract class RegionFlags extends RegionOperands {
  /** Flags that have not been computed: what would do it, and what conditions can be told from without. */
  protected pending: Pending | undefined;
  /** Nesting of code that may not be run, or several times. */
  private conditional = 0;

  deferFlags(uses: readonly Var[], keeps: boolean, compute: () => void, from?: FlagSource): boolean {
    if (this.conditional > 0) return false;
    if (keeps) this.settle();
    this.pending = { compute, from, uses };
    this.pin();
    return true;
  }
  private pin(): void {
    this.locals.pin(this.pending?.uses.map((v) => v.slot) ?? []);
  }
  /** Computes pending flags. */
  settle(): void {
    const { pending } = this;
    this.pending = undefined;
    pending?.compute();
  }
  /** The flags are settled, whatever way was taken here. */
  settled(): void {
    this.pending = undefined;
    this.pin();
  }
  saveFlags(): Pending | undefined {
    return this.pending;
  }
  restoreFlags(known: Pending | undefined): void {
    this.pending = known;
    this.pin();
  }
  override flagRes(): V64 {
    this.settle();
    return this.push64(cpuState.flagRes.offset);
  }
  override flagVec(): V64 {
    this.settle();
    return this.push64(cpuState.flagVec.offset);
  }
  override setFlags(res: V64 | Var, vec: V64 | Var): void {
    this.pending = undefined;
    this.push(vec);
    this.code.set(this.locals.register(cpuState.flagVec.offset, true));
    this.push(res);
    this.code.set(this.locals.register(cpuState.flagRes.offset, true));
  }
  conditionOf(cc: number): V32 | undefined {
    const from = this.pending?.from;
    return from && conditionFrom(this, from, cc >> 1);
  }
  known(i: number): number | undefined {
    return this.places[i] === 'imm' ? this.immediate : undefined;
  }
  override if(c: V32, then: () => void, otherwise?: () => void): void {
    this.settle();
    this.conditional++;
    super.if(c, then, otherwise);
    this.conditional--;
  }
  override loop(body: () => V32): void {
    this.settle();
    this.conditional++;
    super.loop(body);
    this.conditional--;
  }
}
