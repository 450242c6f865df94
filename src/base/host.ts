/** The host, as the core sees it. `src/host/` implements these for Node (and later a browser). */

export interface Clock {
  /** Monotonic time in nanoseconds; the same clock in every thread of the process. Exact below 2^53. */
  now(): number;
  /** Wall-clock time in nanoseconds since 1970-01-01 UTC, as of now. Microseconds are meaningful, not more. */
  wall(): number;
}

export interface Entropy {
  fill(bytes: Uint8Array): void;
}

/** A wake-up for another thread that may be asleep. Cheap when it is awake. */
export interface Doorbell {
  ring(): void;
}

/** Timers of the event loop. Delays are in milliseconds. */
export interface Timers {
  after(ms: number, run: () => void): { cancel(): void };
}

export interface Host {
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly timers: Timers;
  /** Bytes of memory the host could still give; Infinity where it cannot tell. */
  availableMemory(): number;
}
