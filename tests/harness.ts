/** What the end-to-end tests share: bin/domzero started as a user starts it, its files, and Debian's kernel. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import type { GuestName } from '../guests/build.ts';
import { Cache } from '../src/apps/fetch/cache.ts';
import { utf8 } from '../src/base/text.ts';
import { writeCpio } from '../src/toolstack/initramfs/cpio.ts';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const domzero = join(root, 'bin', 'domzero');

/** A folder for one test file's own files, gone after its tests. The programs run in it. */
export const folder = mkdtempSync(join(tmpdir(), 'domzero-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

export function file(name: string, data: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, data);
  return path;
}

/** An xl.cfg file of a PVH guest. */
export function config(name: string, lines: readonly string[]): string {
  return file(`${name}.cfg`, [`name = "${name}"`, 'type = "pvh"', ...lines, ''].join('\n'));
}

export const guestImage = (name: GuestName): string => join(root, 'dist', 'guests', `${name}.elf`);

/** An xl.cfg file of one of our test guests. */
export const guest = (kernel: GuestName, name: string = kernel, lines: readonly string[] = []): string =>
  config(name, [`kernel = "${guestImage(kernel)}"`, 'memory = 16', ...lines]);

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that runs. Unless it is paused, its output is read as it comes. */
export class Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Result>;
  stdout = '';
  stderr = '';
  private over = false;
  private waiting: (() => void)[] = [];

  constructor(command: string, args: readonly string[]) {
    this.child = spawn(command, args, { cwd: folder });
    const { child } = this;
    child.stdin.on('error', () => {}); // it may be gone before it has read everything
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.more('stdout', text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => this.more('stderr', text));
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => {
        this.over = true;
        this.wake();
        resolve({ status, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  /** Waits until standard output, from character `from` on, matches; fails if the program ends before. */
  shows(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return this.until(`${pattern}`, () => pattern.exec(this.stdout.slice(from)) ?? undefined);
  }

  /** The same of standard error. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return this.until(`${pattern}`, () => pattern.exec(this.stderr) ?? undefined);
  }

  /** Waits for so many more characters on standard output. */
  async prints(more: number): Promise<void> {
    const wanted = this.stdout.length + more;
    await this.until(`${more} more characters`, () => this.stdout.length >= wanted || undefined);
  }

  /** Types a line, and waits until what is printed from then on matches. */
  type(line: string, pattern: RegExp): Promise<RegExpExecArray> {
    const from = this.stdout.length;
    this.child.stdin.write(`${line}\n`);
    return this.shows(pattern, from);
  }

  private async until<T>(what: string, look: () => T | undefined): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.over) throw new Error(`ended without ${what}:\n${this.stdout.slice(-2000)}${this.stderr}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  private more(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

export const start = (args: readonly string[]): Running => new Running(process.execPath, [domzero, ...args]);

/** Runs it to its end, with nothing on standard input. */
export function run(args: readonly string[]): Promise<Result> {
  const running = start(args);
  running.child.stdin.end();
  return running.ended;
}

/** The steps of a session on a terminal: once `wait` has come on the screen, `send` is typed or a signal is sent. */
export type Step = { wait: string; send: string } | { wait: string; signal: string };

const ON_TERMINAL = `
import json, os, pty, select, signal, subprocess, sys, termios, time
steps = json.loads(sys.argv[1])
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
child = subprocess.Popen(sys.argv[2:], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
screen, raw = b'', None
def read():
    return os.read(master, 65536) if select.select([master], [], [], 0.05)[0] else b''
for step in steps:
    while step['wait'].encode() not in screen:
        if child.poll() is not None: sys.exit('ended before ' + repr(step) + ' after ' + repr(screen[-2000:]))
        screen += read()
    raw = not termios.tcgetattr(slave)[3] & termios.ICANON
    screen, began = b'', time.monotonic()
    if 'signal' in step: child.send_signal(getattr(signal, step['signal']))
    else: os.write(master, step['send'].encode())
while child.poll() is None: read()
print(json.dumps(dict(raw=raw, restored=termios.tcgetattr(slave) == before, status=child.returncode,
    seconds=time.monotonic() - began)))
`;

export interface TerminalResult {
  /** The terminal was raw at the last step. */
  readonly raw: boolean;
  /** Afterwards it was as it was before. */
  readonly restored: boolean;
  readonly status: number;
  /** From the last step to the end. */
  readonly seconds: number;
}

/** Runs domzero on a pseudo-terminal. Needs python3. */
export async function onTerminal(args: readonly string[], steps: readonly Step[]): Promise<TerminalResult> {
  const command = [JSON.stringify(steps), process.execPath, domzero, ...args];
  const { stdout, stderr } = await new Running('python3', ['-c', ON_TERMINAL, ...command]).ended;
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as TerminalResult;
}

/** Fetches Debian's kernel; answers why it cannot be had, undefined where it is there. */
export async function debianMissing(): Promise<string | undefined> {
  const { status, stderr } = await run(['fetch', 'debian']);
  return status === 0 ? undefined : stderr.trim();
}

/** A ramdisk like the one that was fetched, with another /init laid over it. */
export function ramdisk(name: string, script: string): string {
  const base = readFileSync(new Cache().path('debian', 'initrd') as string);
  const padding = new Uint8Array((4 - (base.length % 4)) % 4);
  const init = writeCpio([
    { type: 'file', path: 'init', mode: 0o755, data: utf8(`#!/bin/busybox sh\n${script}\n`) },
  ]);
  return file(name, Buffer.concat([base, padding, init]));
}

/** An xl.cfg file of Debian's kernel. */
export const debian = (name: string, lines: readonly string[]): string =>
  config(name, ['kernel = "cache:debian/vmlinuz"', 'extra = "console=hvc0 quiet"', ...lines]);

/** The same with the ramdisk that was fetched, which gives a shell. */
export const debianShell = (name: string, lines: readonly string[] = []): string =>
  debian(name, ['ramdisk = "cache:debian/initrd"', 'memory = 256', ...lines]);
export const PROMPT = '~ # ';
