import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Terminal, type TerminalProcess } from './terminal.ts';

class FakeProcess extends EventEmitter {
  readonly stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    modes: [] as boolean[],
    setRawMode(on: boolean) {
      this.modes.push(on);
    },
  });
  stdout: Writable = new PassThrough();
  readonly pid = 1;
  readonly kills: string[] = [];
  readonly exits: number[] = [];
  kill(_pid: number, signal: string): void {
    this.kills.push(signal);
  }
  exit(status: number): never {
    this.exits.push(status);
    throw new Error('exit');
  }
}

const make = () => {
  const proc = new FakeProcess();
  const terminal = new Terminal(proc as unknown as TerminalProcess);
  return { proc, terminal };
};
const tick = () => new Promise((resolve) => setImmediate(resolve));

describe('a terminal', () => {
  it('is raw from start to close, and lets go of the process then', () => {
    const { proc, terminal } = make();
    terminal.start(true);
    terminal.close();
    expect(proc.stdin.modes).toEqual([true, false]);
    expect(proc.eventNames()).toEqual([]);
  });

  it('is restored when the process exits without closing it', () => {
    const { proc, terminal } = make();
    terminal.start(true);
    proc.emit('exit');
    expect(proc.stdin.modes).toEqual([true, false]);
  });

  it('passes keys on and ends at Ctrl-], with what was typed before it', async () => {
    const { proc, terminal } = make();
    const seen: string[] = [];
    terminal.on('input', (bytes) => seen.push(Buffer.from(bytes).toString()));
    terminal.on('escape', () => seen.push('escape'));
    terminal.start(true);
    proc.stdin.write('ab\x1dcd');
    await tick();
    expect(seen).toEqual(['ab', 'escape']);
  });

  it('passes Ctrl-] on when input is a pipe, whose end is no event', async () => {
    const { proc, terminal } = make();
    proc.stdin.isTTY = false;
    const seen: string[] = [];
    terminal.on('input', (bytes) => seen.push(Buffer.from(bytes).toString()));
    terminal.on('escape', () => seen.push('escape'));
    terminal.start(true);
    proc.stdin.end('\x1d.');
    await tick();
    expect(seen).toEqual(['\x1d.']);
    expect(proc.stdin.modes).toEqual([]);
  });

  it('restores at the first signal and leaves at once at the second', () => {
    const { proc, terminal } = make();
    const statuses: number[] = [];
    terminal.on('signal', (status) => statuses.push(status));
    terminal.start(true);
    proc.emit('SIGTERM');
    expect(proc.stdin.modes).toEqual([true, false]);
    expect(() => proc.emit('SIGTERM')).toThrow('exit');
    expect([statuses, proc.exits]).toEqual([[143], [143]]);
  });

  it('is in order while stopped and raw again when continued', () => {
    const { proc, terminal } = make();
    terminal.start(true);
    proc.emit('SIGTSTP');
    expect([proc.kills, proc.stdin.modes]).toEqual([['SIGSTOP'], [true, false]]);
    proc.emit('SIGCONT');
    expect(proc.stdin.modes).toEqual([true, false, true]);
  });

  it('that hung up has no mode to restore', () => {
    const { proc, terminal } = make();
    terminal.start(true);
    proc.stdin.setRawMode = () => {
      throw new Error('EIO');
    };
    expect(() => terminal.close()).not.toThrow();
  });
});

describe('standard output', () => {
  it('that is slow holds writers back until it drains', async () => {
    const { proc, terminal } = make();
    const small = new PassThrough({ highWaterMark: 4 });
    proc.stdout = small;
    const slow = new Terminal(proc as unknown as TerminalProcess);
    terminal.close();
    let drained = 0;
    slow.on('drain', () => drained++);
    expect(slow.write(Buffer.from('12345678'))).toBe(false);
    small.read();
    await tick();
    expect(drained).toBe(1);
  });

  it('that nobody reads any more ends the run, and writers are not held back', async () => {
    const { proc } = make();
    proc.stdout = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error('EPIPE'), { code: 'EPIPE' })),
    });
    const terminal = new Terminal(proc as unknown as TerminalProcess);
    let closed = 0;
    terminal.on('closed', () => closed++);
    terminal.write(Buffer.from('x'));
    await tick();
    expect(closed).toBe(1);
    expect(terminal.write(Buffer.from('y'))).toBe(true);
  });
});

/** Runs a command on a pseudo-terminal and prints whether echo and line mode are on before and after it. */
const PTY = `
import os, pty, select, signal, subprocess, sys, termios, time
action = sys.argv[1]
master, slave = pty.openpty()
def mode():
    return bool(termios.tcgetattr(slave)[3] & termios.ICANON)
before = mode()
child = subprocess.Popen(sys.argv[2:], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
out = b''
while b'READY' not in out:
    out += os.read(master, 1024)
raw = not mode()
if action == 'escape': os.write(master, b'\\x1d')
elif action != 'none': child.send_signal(getattr(signal, action))
status = child.wait(20)
print(before, raw, mode(), status)
`;
const hasPython = spawnSync('python3', ['--version']).status === 0;

describe.skipIf(!hasPython)('a real pseudo-terminal', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'domzero-pty-'));
    writeFileSync(join(dir, 'on-pty.py'), PTY);
    buildSync({
      stdin: {
        contents: `
          import { runProgram } from './program.ts';
          await runProgram('test', ({ terminal }) => new Promise((resolve, reject) => {
            terminal.on('escape', () => resolve(130)).on('signal', resolve);
            terminal.start(true);
            process.stdout.write('READY');
            if (process.argv[2] === 'throw') setTimeout(() => { throw new Error('uncaught'); }, 50);
            if (process.argv[2] === 'reject') setTimeout(() => reject(new Error('failed')), 50);
            if (process.argv[2] === 'return') setTimeout(() => resolve(0), 50);
            setInterval(() => {}, 1000);
          }));`,
        resolveDir: fileURLToPath(new URL('.', import.meta.url)),
        loader: 'ts',
      },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: join(dir, 'program.mjs'),
    });
  });
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it.each([
    ['a return', 'none', 'return', 0],
    ['a failure', 'none', 'reject', 1],
    ['an uncaught exception', 'none', 'throw', 1],
    ['Ctrl-]', 'escape', '', 130],
    ['SIGINT', 'SIGINT', '', 130],
    ['SIGTERM', 'SIGTERM', '', 143],
    ['SIGHUP', 'SIGHUP', '', 129],
  ])('is in order again after %s', (_name, action, argument, status) => {
    const program = [process.execPath, join(dir, 'program.mjs'), argument];
    const ran = spawnSync('python3', [join(dir, 'on-pty.py'), action, ...program], { encoding: 'utf8' });
    expect(ran.stdout.trim() || ran.stderr).toBe(`True True True ${status}`);
  });
});
