/** The host interfaces on Node: monotonic and wall clock, entropy, timers, available memory. */
import type { Clock, Entropy, Host, Timers } from '../../base/host.ts';
import { availableMemory } from './memory.ts';

/** Above this the wall clock was stepped, or drifted from the monotonic one, and is taken up anew. */
const WALL_SLACK_MS = 2;

/**
 * Difference between the system's monotonic clock, which all threads share, and this thread's `performance.now()`,
 * which starts with the thread. Both read the same source, so the closest pair of readings gives it once and for all.
 */
function threadOffset(): number {
  let best = Number.POSITIVE_INFINITY;
  let offset = 0;
  for (let i = 0; i < 100; i++) {
    const before = performance.now();
    const [s, ns] = process.hrtime();
    const after = performance.now();
    if (after - before >= best) continue;
    best = after - before;
    offset = s * 1e9 + ns - ((before + after) / 2) * 1e6;
  }
  return Math.round(offset);
}

export function nodeClock(): Clock {
  const offset = threadOffset();
  let origin = performance.timeOrigin;
  return {
    now: () => offset + Math.round(performance.now() * 1e6),
    wall() {
      const exact = Date.now();
      let ms = origin + performance.now();
      if (Math.abs(ms - exact) > WALL_SLACK_MS) {
        origin += exact - ms;
        ms = exact;
      }
      return Math.round(ms * 1e6);
    },
  };
}

/** What getRandomValues gives at a time. */
const ENTROPY_BYTES = 65536;

// The global loads its module when it is first used, which few threads ever do.
const entropy: Entropy = {
  fill(bytes) {
    for (let at = 0; at < bytes.length; at += ENTROPY_BYTES) {
      crypto.getRandomValues(bytes.subarray(at, at + ENTROPY_BYTES));
    }
  },
};

/** The longest delay that setTimeout takes; a longer one is waited for in parts. */
const LONGEST_MS = 0x7fff_ffff;

const timers: Timers = {
  after(ms, run) {
    const end = performance.now() + ms;
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const left = Math.max(0, end - performance.now());
      timer = left > LONGEST_MS ? setTimeout(arm, LONGEST_MS) : setTimeout(run, left);
    };
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
};

export function nodeHost(): Host {
  return { clock: nodeClock(), entropy, timers, availableMemory: () => availableMemory() };
}
