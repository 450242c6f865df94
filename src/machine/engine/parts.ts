/** What the parts of a CPU share; each takes what it needs. Where they call one another, they are given functions. */
import type { DeliveryFunction } from '../interp/delivery.ts';
import type { TlbFunctions } from '../interp/tlb-functions.ts';
import type { CodeCache } from './code-cache.ts';
import type { Core } from './core.ts';
import type { Fetcher } from './fetch.ts';
import type { Interrupts } from './interrupts.ts';
import type { Progress } from './progress.ts';
import type { Tlb } from './tlb.ts';

export interface Parts {
  readonly core: Core;
  readonly cache: CodeCache;
  readonly tlb: Tlb;
  readonly fetcher: Fetcher;
  readonly progress: Progress;
  readonly interrupts: Interrupts;
}

/** The interpreter's module. */
export interface InterpreterExports extends Runner, TlbFunctions, DeliveryFunction {
  /** As `run`, which is for single instructions: page faults of the guest's accesses are delivered, too. */
  turn(cpu: number, rp: number, fuel: number): number;
  /** What the driver asks where a region's access misses the TLB. */
  serve(cpu: number): number;
}
/** The interpreter, or what runs it and compiled regions by turns. */
export interface Runner {
  /** Goes on at a record (0: at rip), for so many blocks; answers why it left, a LEAVE. */
  run(cpu: number, rp: number, fuel: number): number;
}
