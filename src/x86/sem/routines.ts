/** All instructions that are routines, and which is which. */
import { OP_NAMES } from '../ops.ts';
import { AES } from './aes.ts';
import { POLYNOMIAL } from './polynomial.ts';
import type { Routine } from './routine.ts';

export type { Routine } from './routine.ts';

import { SHA } from './sha.ts';
import { TEXT } from './text.ts';
import { X87_ROUTINES } from './x87.ts';
import { X87_ENVIRONMENT } from './x87-environment.ts';
import { X87_STACK } from './x87-stack.ts';
import { X87_STORES } from './x87-store.ts';
import { X87_UNARY } from './x87-unary.ts';

/** What is done whole by the routine of its name; those of the x87 do parts and several (interp/lower-x87.ts). */
const WHOLE: readonly Routine[] = [...AES, ...SHA, ...POLYNOMIAL, ...TEXT];
export const ROUTINES: readonly Routine[] = [
  ...WHOLE,
  ...X87_ROUTINES,
  ...X87_UNARY,
  ...X87_STACK,
  ...X87_STORES,
  ...X87_ENVIRONMENT,
];

const byOp = OP_NAMES.map((name) => WHOLE.findIndex((r) => r.name === name));
/** Index of the routine that does an instruction whose source operand has z bytes; -1 if none does. */
export function routineOf(op: number, z: number): number {
  const first = byOp[op] ?? -1;
  if (first < 0 || WHOLE[first]!.z === z) return first;
  const { name } = WHOLE[first]!;
  return WHOLE.findIndex((r) => r.name === name && r.z === z);
}
export const routineNamed = (name: string): number => ROUTINES.findIndex((r) => r.name === name);
