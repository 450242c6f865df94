/** `domzero run --profile` and `--code-cache`, with guests of our own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ProfileData } from '../src/machine/profile/profile.ts';
import { run as domzero, file, folder, guest } from './harness.ts';

interface Written {
  readonly guests: readonly (ProfileData & {
    readonly name: string;
    readonly domid: number;
    readonly hot: readonly { readonly where: string; readonly ns: number }[];
  })[];
}

const CONFIG = (): string => guest('apic-registers');

describe('a guest that is profiled', () => {
  it('ends as it does otherwise, and its time is all accounted for', async () => {
    const path = join(folder, 'profile.json');
    const options = ['--timeout', '60', `--profile=${path}`, '--code-cache', '2M'];
    const r = await domzero(['run', CONFIG(), ...options]);
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
    const { guests } = JSON.parse(readFileSync(path, 'utf8')) as Written;
    expect(guests.map((g) => g.name)).toEqual(['apic-registers']);
    const [g] = guests;
    const { kinds, code, exits, counters, interruptLatency, helpers, hot } = g!;
    expect(kinds.code.ns).toBeCloseTo(code.ns, -1);
    expect(code.interpretedNs + code.compiledNs).toBeCloseTo(code.ns, -1);
    expect(code.interpreted).toBeGreaterThan(100);
    expect(exits.hypercall).toBeGreaterThan(5);
    expect(helpers.find((h) => h.mnemonic === 'vmmcall')!.count).toBeGreaterThanOrEqual(exits.hypercall!);
    expect(interruptLatency.count).toBeGreaterThan(0);
    expect(interruptLatency.maxNs).toBeLessThan(10e9);
    for (const kind of Object.values(kinds)) {
      expect(kind.ns).toBeGreaterThanOrEqual(0);
      expect(kind.ns).toBeLessThan(60e9);
    }
    expect(kinds.decode.pieces.count).toBeGreaterThan(0);
    expect(kinds.hypervisor.pieces.count).toBeGreaterThan(0);
    expect(counters.regions).toBeGreaterThanOrEqual(counters.regionsMerged);
    expect(hot.length).toBeGreaterThan(0);
  });

  it('has its profile told when the run ends early, on standard error', async () => {
    const r = await domzero(['run', guest('silent'), '--timeout', '1', '--profile']);
    expect(r.status).toBe(124);
    expect(r.stderr).toMatch(/profile of silent \(domain 1\): [\d.]+ \w+ of the CPU's thread/);
    expect(r.stderr).toMatch(/guest code +[\d.]+ \w+ +[\d.]+ %/);
  });

  it('is not started where the files are not as they should be', async () => {
    const nowhere = await domzero(['run', CONFIG(), '--profile=/nowhere/p.json']);
    expect(nowhere.stderr).toContain('--profile=/nowhere/p.json: ENOENT');
    expect(nowhere.status).toBe(2);
    const map = file('System.map', 'not one\n');
    const symbols = await domzero(['run', CONFIG(), '--profile', '--symbols', map]);
    expect(symbols.stderr).toContain(`--symbols ${map}: no functions in it`);
    expect(symbols.status).toBe(2);
  });
});

it('a code cache of a size that cannot be is a usage error', async () => {
  const r = await domzero(['run', CONFIG(), '--code-cache', '1M']);
  expect(r.stderr).toContain('--code-cache 1M: expected a size from 2M to 1G');
  expect(r.status).toBe(2);
});
