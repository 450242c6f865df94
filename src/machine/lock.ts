/**
 * A lock word in machine memory. Sections are short, and no thread may sleep while it holds one: a waiter spins. If that
 * takes long the holder has lost its host CPU, perhaps to the waiter, which then sleeps; but for the main thread of a
 * browser, which may not, and spins on, with a bound that only our own bug can reach.
 */
import type { Mem } from '../base/mem.ts';

const FREE = 0;
const HELD = 1;
/** Held, and somebody may be asleep until it is free. */
const AWAITED = 2;

const SPINS = 2000;
const SPIN_LIMIT = 2_000_000_000;

let maySleep = true;

export function lock(mem: Mem, word: number): void {
  for (let i = 0; i < SPIN_LIMIT; i++) {
    if (mem.atomicCmpxchg(word, FREE, HELD) === FREE) return;
    if (i >= SPINS && maySleep && sleepUntilHeld(mem, word)) return;
  }
  throw new Error('a lock in machine memory was never released');
}

/** False if this thread may not sleep. */
function sleepUntilHeld(mem: Mem, word: number): boolean {
  try {
    while (mem.atomicXchg(word, AWAITED) !== FREE) Atomics.wait(mem.words, word >>> 2, AWAITED);
  } catch {
    maySleep = false;
  }
  return maySleep;
}

export function unlock(mem: Mem, word: number): void {
  if (mem.atomicXchg(word, FREE) === AWAITED) Atomics.notify(mem.words, word >>> 2, 1);
}
