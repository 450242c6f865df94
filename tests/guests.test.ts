/** The test guests of dist/guests/, each run by bin/domzero: what they say, and the status that their end means. */
import { describe, expect, it } from 'vitest';
import type { GuestName } from '../guests/build.ts';
import { run as domzero, guest, type Result } from './harness.ts';

/** Runs guests of these names in one machine. */
const run = (names: readonly GuestName[], options: readonly string[] = []): Promise<Result> =>
  domzero(['run', ...names.map((name) => guest(name)), '--timeout', '60', ...options]);

describe('a guest that powers off ends with 0', () => {
  it.each<[GuestName, string]>([
    ['hello', 'Hello from a Domzero guest (64-bit)'],
    ['hello32', 'Hello from a Domzero guest (32-bit)'],
    ['hypercall-probe', 'hypercalls probed'],
    ['hypercall-probe32', 'hypercalls probed'],
    ['fault-probe', 'exceptions probed'],
  ])('%s', async (name, says) => {
    const r = await run([name]);
    expect(r.stdout).toContain(says);
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
  });
});

describe('a guest that ends otherwise', () => {
  it('ends with 10 when it says that it crashed', async () => {
    const r = await run(['crash']);
    expect(r.stdout).toContain('PANIC: this guest was made to crash');
    expect(r.stderr).toContain('crash');
    expect(r.status).toBe(10);
  });

  it('ends with 11 when it rebooted and may not', async () => {
    const r = await run(['reboot'], ['--no-reboot']);
    expect(r.stdout).toContain('About to reboot');
    expect(r.status).toBe(11);
  });

  it('is rebooted for a triple fault, as Xen does', async () => {
    const r = await run(['triple-fault'], ['--no-reboot']);
    expect(r.stdout).toContain('About to triple-fault');
    expect(r.stderr).toContain('Triple fault');
    expect(r.status).toBe(11);
  });

  it('ends with 124 when it never ends by itself', async () => {
    const r = await run(['silent'], ['--timeout', '2']);
    expect(r.stdout).toBe('');
    expect(r.status).toBe(124);
  });
});

it('several guests share a machine, each line under its name', async () => {
  const r = await run(['hello', 'hello32']);
  expect(r.stdout).toContain('[hello] Test result: SUCCESS');
  expect(r.stdout).toContain('[hello32] Test result: SUCCESS');
  expect(r.status).toBe(0);
});
