import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { buildSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { nodeClock, nodeHost } from './host.ts';
import { availableMemory } from './memory.ts';

describe('the clock', () => {
  it('is the system monotonic clock in integer nanoseconds', () => {
    const clock = nodeClock();
    const before = Number(process.hrtime.bigint());
    const now = clock.now();
    const after = Number(process.hrtime.bigint());
    expect(Number.isInteger(now)).toBe(true);
    expect(now).toBeGreaterThan(before - 20_000);
    expect(now).toBeLessThan(after + 20_000);
  });

  it('agrees with the system clock in a worker, whose own time starts later', async () => {
    const entry = fileURLToPath(new URL('./host.ts', import.meta.url));
    const bundled = buildSync({
      stdin: { contents: probe, resolveDir: dirname(entry), loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      write: false,
    });
    const worst = await new Promise<number>((resolve, reject) => {
      new Worker(bundled.outputFiles[0]!.text, { eval: true }).on('message', resolve).on('error', reject);
    });
    expect(worst).toBeLessThan(20_000);
  });

  it('tells the time of day', () => {
    expect(Math.abs(nodeClock().wall() / 1e6 - Date.now())).toBeLessThan(50);
  });
});

/** Runs in a worker: how far, in nanoseconds, its clock ever lay outside two readings of the system's. */
const probe = `
  import { parentPort } from 'node:worker_threads';
  import { nodeClock } from './host.ts';
  const clock = nodeClock();
  let worst = 0;
  for (let i = 0; i < 100; i++) {
    const before = Number(process.hrtime.bigint());
    const now = clock.now();
    const after = Number(process.hrtime.bigint());
    worst = Math.max(worst, before - now, now - after);
  }
  parentPort.postMessage(worst);`;

describe('timers and entropy', () => {
  it('a cancelled timer does not run', async () => {
    const { timers } = nodeHost();
    const ran: string[] = [];
    timers.after(1, () => ran.push('cancelled')).cancel();
    await new Promise<void>((resolve) => timers.after(15, resolve));
    expect(ran).toEqual([]);
  });

  it('a delay longer than setTimeout takes does not run at once', async () => {
    const { timers } = nodeHost();
    let ran = false;
    const timer = timers.after(2 ** 40, () => {
      ran = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    timer.cancel();
    expect(ran).toBe(false);
  });

  it('entropy fills the whole array', () => {
    const bytes = new Uint8Array(200_000);
    nodeHost().entropy.fill(bytes);
    expect(new Set(bytes).size).toBe(256);
    expect(new Set(bytes.subarray(-4096)).size).toBeGreaterThan(200);
  });
});

describe('available memory', () => {
  const files = (table: Record<string, string>) => (path: string) => table[path];
  const meminfo = 'MemTotal: 9000 kB\nMemAvailable:    8000 kB\n';

  it('is what the kernel calls available', () => {
    expect(availableMemory(files({ '/proc/meminfo': meminfo }))).toBe(8_192_000);
  });

  it('is lowered by a version 2 control group above this one, whose cache counts as free', () => {
    const read = files({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '0::/a/b\n',
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/b/memory.current': '5\n',
      '/sys/fs/cgroup/a/memory.max': '1000000\n',
      '/sys/fs/cgroup/a/memory.current': '700000\n',
      '/sys/fs/cgroup/a/memory.stat': 'anon 5\ninactive_file 100000\n',
    });
    expect(availableMemory(read)).toBe(400_000);
  });

  it('is lowered by a version 1 control group seen from inside a container', () => {
    const read = files({
      '/proc/meminfo': meminfo,
      '/proc/self/cgroup': '12:cpu,cpuacct:/x\n4:memory:/docker/abc\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '500000\n',
      '/sys/fs/cgroup/memory/memory.usage_in_bytes': '600000\n',
    });
    expect(availableMemory(read)).toBe(0);
  });

  it('is known on this machine', () => {
    expect(nodeHost().availableMemory()).toBeGreaterThan(0);
  });
});
