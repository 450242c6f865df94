/** How the run goes on behind an instruction that a helper ran. */
import type { Exit } from '../platform.ts';

/** What a helper asks of the run loop. */
export const NEXT = {
  /** Done; go on behind the instruction. */
  next: -1,
  /** Done; rip is where it should be. */
  jumped: -2,
  /** Not through: the same instruction again. */
  again: -3,
  /** Interrupts became possible: one more instruction, then look. */
  shadow: -4,
} as const;
export type Next = Exit | (typeof NEXT)[keyof typeof NEXT];
