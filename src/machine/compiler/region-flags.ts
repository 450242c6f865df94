import type { FlagSource, Size, V32, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { RSP } from './addresses.ts';
import { conditionFrom } from './condition.ts';
import { RegionOperands } from './region-operands.ts';
import type { KnownRegisters } from './region-registers.ts';

export interface Pending {
  readonly compute: () => void;
  readonly from: FlagSource | undefined;
  readonly uses: readonly Var[];
}
/** What a record does with the flags first: it goes by what they were, or sets them all. */
export type FlagEffect = 'use' | 'set';

const _V = {} as V64;
/** In cpuState.flagKind, if the flags are described: always, for a subtraction, and from here up what bit 63 is above the sign. */
const KIND = { described: 1, down: 2, shift: 4 } as const;
/** What flags are described by. */
export const DESCRIPTION = [cpuState.flagX, cpuState.flagY, cpuState.flagRes, cpuState.flagKind].map(
  (f) => f.offset,
);
/** Values that flags may wait for, about. */
const MANY = 8;
const TOP2 = -0x4000_0000_0000_0000n;

export abstract class RegionFlags extends RegionOperands {
  /** Flags that have not been computed: what would do it, and what conditions can be told from without. */
  protected pending: Pending | undefined;
  /** Of the record. */
  effect: FlagEffect | undefined;
  /** There are flags that are described somewhere. */
  protected describes = false;
  /** They are described, or not, by what way was taken. */
  private readonly described: Pending = { compute: () => this.undescribe(), from: undefined, uses: [] };

  deferFlags(uses: readonly Var[], keeps: boolean, compute: () => void, from?: FlagSource): boolean {
    if (this.conditional > 0) return false;
    this.effect ??= keeps ? 'use' : 'set';
    const before = keeps ? this.pending : undefined;
    if (before && before.uses.length > MANY) this.settle();
    this.pending = before && this.pending ? this.after(before, compute, from, uses) : { compute, from, uses };
    this.pin();
    return true;
  }
  /** What goes by flags that have not been computed either. */
  private after(
    before: Pending,
    compute: () => void,
    from: FlagSource | undefined,
    uses: readonly Var[],
  ): Pending {
    const both = (): void => {
      this.pending = before;
      this.settle();
      compute();
    };
    return { compute: both, from, uses: [...before.uses, ...uses] };
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
  /** Ways meet, at which flags are settled if they are wanted, else described. */
  meet(wanted: boolean): void {
    this.pending = wanted ? undefined : this.described;
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
    this.effect ??= 'use';
    this.settle();
    return this.push64(cpuState.flagRes.offset);
  }
  override flagVec(): V64 {
    this.effect ??= 'use';
    this.settle();
    return this.push64(cpuState.flagVec.offset);
  }
  override setFlags(res: V64 | Var, vec: V64 | Var): void {
    this.effect ??= this.conditional > 0 ? 'use' : 'set';
    this.pending = undefined;
    this.push(vec);
    this.assign(cpuState.flagVec.offset);
    this.push(res);
    this.assign(cpuState.flagRes.offset);
    this.computed();
  }
  /** Nothing is described. */
  protected computed(): void {
    this.setKind(0);
  }
  private setKind(kind: number): void {
    this.c(kind);
    this.assign(cpuState.flagKind.offset);
  }
  conditionOf(cc: number): V32 | undefined {
    this.effect ??= 'use';
    const from = this.pending?.from;
    return from && conditionFrom(this, from, cc >> 1);
  }
  known(i: number): number | undefined {
    return this.places[i] === 'imm' ? this.immediate : undefined;
  }
  override stackAdd(z: Size, by: number): void {
    super.stackAdd(z, by);
    if (this.conditional > 0) this.addresses.change(RSP);
  }
  override if(c: V32, then: () => void, otherwise?: () => void): void {
    this.settle();
    const { registers } = this;
    this.conditional++;
    super.if(c, () => this.arm(then, registers), otherwise && (() => this.arm(otherwise, registers)));
    this.conditional--;
  }
  override loop(body: () => V32): void {
    this.settle();
    const { registers } = this;
    this.conditional++;
    super.loop(body);
    this.conditional--;
    this.registers = registers;
  }

  /** What registers an arm has read or written into locals only counts in it. */
  private arm(code: () => void, registers: KnownRegisters): void {
    this.registers = registers;
    code();
    this.registers = registers;
  }
  /** Code that goes on in several ways, which meet behind it. */
  branching(code: () => void): void {
    this.settle();
    const { registers } = this;
    this.conditional++;
    this.arm(code, registers);
    this.conditional--;
  }

  // --- described flags -----------------------------------------------------------------------------------------------

  /** Pending flags can be computed later, wherever code goes from here. */
  describe(): void {
    const from = this.pending?.from;
    if (this.pending === this.described) return;
    if (from === undefined || !('x' in from)) return this.settle();
    this.describes = true;
    for (const [value, at] of [
      [from.x, cpuState.flagX],
      [from.y, cpuState.flagY],
      [from.r, cpuState.flagRes],
    ] as const) {
      this.get(value);
      this.assign(at.offset);
    }
    this.forgetRegister(cpuState.flagVec.offset);
    this.setKind(KIND.described | (from.kind === 'add' ? 0 : KIND.down) | ((64 - 8 * from.z) * KIND.shift));
    this.pending = this.described;
  }
  /** Computes the flags if they are described: the carry vector is maj(a, y, ~sum), see x86/flags.ts. */
  protected undescribe(): void {
    const [x, y, r, kind] = DESCRIPTION.map((at) => ({ slot: this.fetch(at) })) as [Var, Var, Var, Var];
    const down = (): V32 => this.ne(this.and(this.get(kind), this.c(KIND.down)), this.c(0));
    this.if(this.ne(this.get(kind), this.c(0)), () => {
      const a = this.let(this.select(r, x, down()));
      const sum = this.let(this.select(x, r, down()));
      const carries = this.let(this.or(this.and(a, y), this.and(this.or(a, y), this.not(sum))));
      const top = this.shl(this.get(carries), this.shru(this.get(kind), this.c(Math.log2(KIND.shift))));
      const vec = this.or(this.and(top, this.big(TOP2)), this.and(this.get(carries), this.c(8)));
      this.setFlags(r, vec);
    });
  }
}
