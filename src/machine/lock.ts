/**
 * A lock word in machine memory. Sections are short; a waiter spins, with a bound that only our own bug can reach.
 * No thread may sleep while it holds one, and the main thread of a browser may not sleep at all, hence no wait here.
 */
import type { Mem } from '../base/mem.ts';

const SPIN_LIMIT = 2_000_000_000;

export function lock(mem: Mem, word: number): void {
  for (let i = 0; i < SPIN_LIMIT; i++) {
    if (mem.atomicCmpxchg(word, 0, 1) === 0) return;
  }
  throw new Error('a lock in machine memory was never released');
}

export function unlock(mem: Mem, word: number): void {
  mem.atomicStore(word, 0);
}
