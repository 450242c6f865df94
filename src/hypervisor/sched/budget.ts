/**
 * How many blocks to let an engine run before it must come back. Learned from how long earlier runs took, so that a
 * guest never waits much longer than the given time for an event, whatever the host's speed.
 */
const FIRST_NS_PER_BLOCK = 50;
const MIN_BLOCKS = 64;
const MAX_BLOCKS = 4_000_000;
const MIN_NS_PER_BLOCK = 0.25;
/** One slow run may be the host's doing, who took the CPU away. */
const MAX_SLOWER = 2;

export class Budget {
  private nsPerBlock = FIRST_NS_PER_BLOCK;

  /** Blocks that take about `ns`. */
  blocks(ns: number): number {
    return Math.max(MIN_BLOCKS, Math.min(MAX_BLOCKS, Math.floor(ns / this.nsPerBlock)));
  }

  /** A run used up `blocks` in `ns`. */
  learn(blocks: number, ns: number): void {
    const seen = Math.max(MIN_NS_PER_BLOCK, ns / blocks);
    // Slower is believed at once, within bounds; faster by and by.
    this.nsPerBlock =
      seen > this.nsPerBlock
        ? Math.min(seen, this.nsPerBlock * MAX_SLOWER)
        : this.nsPerBlock * 0.75 + seen * 0.25;
  }
}
