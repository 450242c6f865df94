/**
 * Instructions whose bodies are long: each is a function of its own beside the interpreter's, written in the same algebra
 * (see interp/routines.ts). Operands are registers or temporaries; memory is loaded before and stored after.
 */
import type { Size } from './sem.ts';
import type { UnitSem } from './x87-unit.ts';

export interface Routine {
  readonly name: string;
  /** Bytes of the source operand. */
  readonly z: Size | 16;
  /** A misaligned memory operand faults. */
  readonly aligned: boolean;
  readonly fn: (e: UnitSem) => void;
}
export const routine = (name: string, fn: (e: UnitSem) => void, more: Partial<Routine> = {}): Routine => ({
  name,
  z: 16,
  aligned: true,
  fn,
  ...more,
});
