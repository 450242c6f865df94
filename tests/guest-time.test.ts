/** A guest's clocks run as the host's do, and an idle guest costs little. bench/guest-time.mjs measures both exactly. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { debianMissing, debianShell, type Running, start } from './harness.ts';

const missing = await debianMissing();

/** busybox's adjtimex prints the wall clock as `time.tv_sec` and `time.tv_usec`. */
const WALL = /tv_sec: +(\d+)\r?\n +time\.tv_usec: +(\d+)\r?\n/;

async function wall(guest: Running): Promise<number> {
  const [, sec, usec] = await guest.type('adjtimex', WALL);
  return Number(sec) + Number(usec) / 1e6;
}

/** CPU time that a process has used so far, in seconds. */
function cpuSeconds(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

describe.skipIf(missing)(`time in Debian's kernel${missing ? ` (${missing})` : ''}`, () => {
  it("is the host's, by both its clocks", async () => {
    const guest = start(['run', debianShell('clock'), '--timeout', '240']);
    await guest.shows(/~ # /);
    const before = Date.now() / 1000;
    const first = await wall(guest);
    expect(first).toBeGreaterThan(before - 1);
    expect(first).toBeLessThan(Date.now() / 1000 + 1);

    const began = performance.now();
    const [, seconds] = await guest.type('time sleep 3', /real\s+0m ([\d.]+)s/);
    const took = (performance.now() - began) / 1000;
    expect(Number(seconds)).toBeGreaterThanOrEqual(3);
    expect(Number(seconds)).toBeLessThan(took + 0.1);
    const passed = (await wall(guest)) - first;
    expect(passed).toBeGreaterThanOrEqual(3);
    expect(passed).toBeLessThan(Date.now() / 1000 - before + 0.1);

    guest.child.stdin.write('poweroff\n');
    expect((await guest.ended).status).toBe(0);
  });

  it.skipIf(process.platform !== 'linux')('passes in a guest at its prompt almost for free', async () => {
    const guest = start(['run', debianShell('idle', ['vcpus = 2']), '--timeout', '240']);
    await guest.shows(/~ # /);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const { pid } = guest.child;
    const before = cpuSeconds(pid);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect((cpuSeconds(pid) - before) / 4).toBeLessThan(0.2);
    guest.child.kill('SIGTERM');
    await guest.ended;
  });
});
