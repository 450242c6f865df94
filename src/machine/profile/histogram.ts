/** Durations by powers of two: how many there were of each size, their sum and the longest. */

const BUCKETS = 40;

/** As plain data: `buckets[i]` is the count of durations below 2^i ns and not below half of that. */
export interface HistogramData {
  readonly count: number;
  readonly totalNs: number;
  readonly maxNs: number;
  readonly buckets: readonly number[];
}

export class Histogram {
  private readonly buckets = new Float64Array(BUCKETS);
  private count = 0;
  private total = 0;
  private max = 0;

  add(ns: number): void {
    const bucket = ns < 1 ? 0 : Math.min(BUCKETS - 1, Math.floor(Math.log2(ns)) + 1);
    this.buckets[bucket]! += 1;
    this.count++;
    this.total += ns;
    if (ns > this.max) this.max = ns;
  }

  data(): HistogramData {
    const used = this.buckets.findLastIndex((n) => n > 0) + 1;
    return {
      count: this.count,
      totalNs: this.total,
      maxNs: this.max,
      buckets: [...this.buckets.subarray(0, used)],
    };
  }
}

/** What so many (0 to 1) of the durations were no longer than, as far as the buckets tell. */
export function percentile(h: HistogramData, share: number): number {
  let left = h.count * share;
  for (const [i, n] of h.buckets.entries()) {
    left -= n;
    if (n > 0 && left <= 0) return Math.min(2 ** i, h.maxNs);
  }
  return h.maxNs;
}
