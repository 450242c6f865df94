/** Debian's stock kernel as a PVH guest, started as a user starts it. Needs `domzero fetch debian` to work here. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cache } from '../src/apps/fetch/cache.ts';
import { utf8 } from '../src/base/text.ts';
import { writeCpio } from '../src/toolstack/initramfs/cpio.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const domzero = join(root, 'bin', 'domzero');
const folder = mkdtempSync(join(tmpdir(), 'domzero-debian-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

function run(
  args: readonly string[],
  input?: (out: string, type: (line: string) => void) => void,
): Promise<Result> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [domzero, ...args], { cwd: folder });
    const result: Result = { status: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      result.stdout += chunk;
      input?.(result.stdout, (line) => child.stdin.write(`${line}\n`));
    });
    child.stderr.on('data', (chunk: Buffer) => {
      result.stderr += chunk;
    });
    child.on('close', (status) => resolve({ ...result, status }));
  });
}

/** A ramdisk like the one that was fetched, with another /init laid over it. */
function ramdisk(name: string, script: string): string {
  const base = readFileSync(new Cache().path('debian', 'initrd') as string);
  const padding = new Uint8Array((4 - (base.length % 4)) % 4);
  const init = writeCpio([
    { type: 'file', path: 'init', mode: 0o755, data: utf8(`#!/bin/busybox sh\n${script}\n`) },
  ]);
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([base, padding, init]));
  return path;
}

function config(name: string, lines: readonly string[]): string {
  const path = join(folder, `${name}.cfg`);
  const common = [
    `name = "${name}"`,
    'type = "pvh"',
    'kernel = "cache:debian/vmlinuz"',
    'extra = "console=hvc0 quiet"',
  ];
  writeFileSync(path, [...common, ...lines, ''].join('\n'));
  return path;
}

const fetched = await run(['fetch', 'debian']);
const missing = fetched.status === 0 ? undefined : fetched.stderr.trim();

describe.skipIf(missing)(`Debian's kernel${missing ? ` (${missing})` : ''}`, () => {
  let initrd = '';
  beforeAll(() => {
    const script =
      'busybox mount -t proc proc /proc\necho "UP $(busybox nproc) cpus"\nexec busybox poweroff -f';
    initrd = ramdisk('up.initrd', script);
  });

  it.each([
    [1, 128],
    [4, 128],
    [1, 1536],
    [4, 1536],
  ])('runs its init with %i vCPUs and %i MiB, and powers off', async (vcpus, memory) => {
    const name = `up-${vcpus}-${memory}`;
    const file = config(name, [`vcpus = ${vcpus}`, `memory = ${memory}`, `ramdisk = "${initrd}"`]);
    const r = await run(['run', file, '--timeout', '100']);
    expect(r.stdout).toContain(`UP ${vcpus} cpus`);
    expect(r.status).toBe(0);
  });

  it('runs as two guests of one machine', async () => {
    const files = ['alice', 'bob'].map((n) => config(n, ['memory = 256', `ramdisk = "${initrd}"`]));
    const r = await run(['run', ...files, '--timeout', '100']);
    expect(r.stdout).toContain('[alice] UP 1 cpus');
    expect(r.stdout).toContain('[bob] UP 1 cpus');
    expect(r.status).toBe(0);
  });

  it('gives the user a shell that works, until poweroff', async () => {
    const sent = new Set<string>();
    const r = await run(
      ['run', join(root, 'examples', 'debian-pvh.cfg'), '--timeout', '100'],
      (out, type) => {
        const once = (when: string, line: string): void => {
          if (!out.includes(when) || sent.has(line)) return;
          sent.add(line);
          type(line);
        };
        once('~ # ', 'uname -r; nproc; grep -c ^processor /proc/cpuinfo; dmesg | grep -ci xen; echo asked');
        once('\nasked', 'poweroff');
      },
    );
    expect(r.stdout).toMatch(/\n6\.\d+\.\d+-\d+-cloud-amd64\r?\n2\r?\n2\r?\n\d\d+\r?\n/);
    expect(r.status).toBe(0);
  });
});
