import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppError } from './exit-status.ts';
import type { RunGuests, RunIo } from './guest-run.ts';
import { main } from './main.ts';
import { Progress } from './progress.ts';
import { Terminal, type TerminalProcess } from './terminal.ts';
import { xlMain } from './xl-main.ts';

let dir: string;
let cfg: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'domzero-run-'));
  cfg = join(dir, 'a.cfg');
  writeFileSync(cfg, 'name = "a"\n');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const forever = (io: RunIo): Promise<number> => io.ended.then(() => 0);

/** Runs a program with a fake terminal and a fake machine. */
async function run(program: typeof main, args: string[], runGuests: RunGuests) {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const fake = Object.assign(new EventEmitter(), { stdin, stdout, pid: 1, kill() {}, exit() {} });
  const messages: string[] = [];
  const printed: string[] = [];
  const parts = {
    terminal: new Terminal(fake as unknown as TerminalProcess),
    progress: new Progress({ write() {} }),
    message: (line: string) => void messages.push(line),
    print: (text: string) => void printed.push(text),
    runGuests: ((configs, options, io) => runGuests(configs, options, io)) as RunGuests,
  };
  const status = await program(args, parts).catch((error: unknown) => {
    if (!(error instanceof AppError)) throw error;
    messages.push(error.message);
    return error.status;
  });
  return {
    status,
    messages: messages.join('\n'),
    printed: printed.join(''),
    output: String(stdout.read() ?? ''),
  };
}

describe('a run', () => {
  it('hands over the files and overrides, and answers what the guests answer', async () => {
    const seen: unknown[] = [];
    const { status } = await run(main, ['run', cfg, 'vcpus=2', '--no-reboot'], async (configs, options) => {
      seen.push(configs, options.reboot);
      return 10;
    });
    expect(status).toBe(10);
    expect(seen).toEqual([[{ path: cfg, text: 'name = "a"\n', overrides: ['vcpus=2'] }], false]);
  });

  it('of a file that cannot be read ends with status 3 and names it', async () => {
    const { status, messages } = await run(main, ['run', join(dir, 'none.cfg')], async () => 0);
    expect(status).toBe(3);
    expect(messages).toContain('none.cfg');
  });

  it('shows a single guest raw and gives it the keyboard', async () => {
    const { output } = await run(main, ['run', cfg], async (_c, _o, io) => {
      const [console] = io.consoles(['a']);
      console!.write(bytes('a\r\nb\x1b[0m'));
      return 0;
    });
    expect(output).toBe('a\r\nb\x1b[0m');
  });

  it('names the guest on each line when there are several, and prints the last line too', async () => {
    const { output } = await run(main, ['run', cfg, cfg], async (_c, _o, io) => {
      const [a, b] = io.consoles(['a', 'b']);
      a!.write(bytes('one\r\ntw'));
      b!.write(bytes('three\n'));
      a!.write(bytes('o\n~ # '));
      return 0;
    });
    expect(output).toBe('[a] one\n[b] three\n[a] two\n[a] ~ # \n');
  });

  it('shows the chosen one of several alone', async () => {
    const { output } = await run(main, ['run', cfg, cfg, '--console', 'b'], async (_c, _o, io) => {
      const [a, b] = io.consoles(['a', 'b']);
      a!.write(bytes('one\n'));
      b!.write(bytes('two'));
      return 0;
    });
    expect(output).toBe('two');
  });

  it('refuses to choose a guest that is not there', async () => {
    const args = ['run', cfg, '--console', 'zz'];
    const { status, messages } = await run(main, args, async (_c, _o, io) => io.consoles(['a']).length);
    expect([status, messages]).toEqual([2, '--console zz: no such guest; there is a']);
  });

  it('ends with 124 at its time limit', async () => {
    const { status, messages } = await run(main, ['run', cfg, '--timeout', '0.05'], (_c, _o, io) =>
      forever(io),
    );
    expect([status, messages]).toEqual([124, 'time limit of 0.05 s reached']);
  });

  it('ends with 0 when the expected output came, from any guest', async () => {
    const { status } = await run(main, ['run', cfg, cfg, '--expect', 'rea.y'], (_c, _o, io) => {
      const [, b] = io.consoles(['a', 'b']);
      b!.write(bytes('re'));
      b!.write(bytes('ady'));
      return forever(io);
    });
    expect(status).toBe(0);
  });

  it('ends with 1 when the guest powered off without the expected output', async () => {
    const { status, messages } = await run(main, ['run', cfg, '--expect', 'ready'], async () => 0);
    expect([status, messages]).toEqual([1, 'the guest ended without printing /ready/']);
  });

  it('keeps a crash status even when output was expected', async () => {
    const { status } = await run(main, ['run', cfg, '--expect', 'ready'], async () => 10);
    expect(status).toBe(10);
  });
});

describe('other commands', () => {
  it('help and the version go to standard output', async () => {
    expect((await run(main, ['help'], async () => 0)).printed).toContain('usage: domzero');
    expect((await run(main, ['--version'], async () => 0)).printed).toMatch(/^domzero \d+\.\d+\.\d+\n$/);
  });

  it('xl create -F runs a guest in the foreground', async () => {
    expect((await run(xlMain, ['create', '-F', '-c', cfg, 'memory=64'], async () => 11)).status).toBe(11);
  });

  it('xl says what it does not support, with status 1', async () => {
    for (const args of [['list'], ['create', cfg], ['create', '-p', cfg]]) {
      const { status, messages } = await run(xlMain, args, async () => 0);
      expect(status).toBe(1);
      expect(messages).toContain('not supported yet');
    }
  });
});
