/** A set of free frame numbers, as sorted ranges that never touch. */
interface Range {
  start: number;
  count: number;
}

export class FrameRanges {
  private readonly free: Range[];

  constructor(start: number, end: number) {
    this.free = end > start ? [{ start, count: end - start }] : [];
  }

  /** The first of `count` consecutive frames, -1 when there is no such run. */
  take(count: number): number {
    const i = this.free.findIndex((r) => r.count >= count);
    if (i < 0) return -1;
    const range = this.free[i]!;
    const { start } = range;
    range.start += count;
    range.count -= count;
    if (range.count === 0) this.free.splice(i, 1);
    return start;
  }

  give(start: number, count: number): void {
    let lo = 0;
    let hi = this.free.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.free[mid]!.start < start) lo = mid + 1;
      else hi = mid;
    }
    const before = this.free[lo - 1];
    const after = this.free[lo];
    if ((before && before.start + before.count > start) || (after && start + count > after.start)) {
      throw new Error(`frames from ${start} on are given back twice`);
    }
    const joinsBefore = before && before.start + before.count === start;
    const joinsAfter = after && start + count === after.start;
    if (joinsBefore) {
      before.count += count + (joinsAfter ? after.count : 0);
      if (joinsAfter) this.free.splice(lo, 1);
    } else if (joinsAfter) {
      after.start = start;
      after.count += count;
    } else {
      this.free.splice(lo, 0, { start, count });
    }
  }
}
