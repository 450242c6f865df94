/** The test guests of dist/guests/, each run by bin/domzero: what they say, and the status that their end means. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'domzero-guests-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs guests of these names in one machine. */
function run(names: readonly string[], options: readonly string[] = []): Promise<Result> {
  const files = names.map((name) => {
    const path = join(folder, `${name}.cfg`);
    const kernel = join(root, 'dist', 'guests', `${name}.elf`);
    writeFileSync(path, `name = "${name}"\ntype = "pvh"\nkernel = "${kernel}"\nmemory = 64\n`);
    return path;
  });
  return new Promise((resolve) => {
    const args = [join(root, 'bin', 'domzero'), 'run', ...files, '--timeout', '60', ...options];
    const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const result: Result = { status: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      result.stdout += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      result.stderr += chunk;
    });
    child.on('close', (status) => resolve({ ...result, status }));
  });
}

describe('a guest that powers off ends with 0', () => {
  it.each([
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
