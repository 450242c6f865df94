/**
 * The user's terminal: raw while a guest has it, and put back in order on every way out. Ctrl-] ends the run.
 *
 * Standard input may also be a pipe or closed: its end leaves the guest running. Standard output may be slow (then
 * `write` answers false) or go away (EPIPE ends the run quietly).
 */
import { EventEmitter } from 'node:events';
import { SIGNAL_STATUS } from './exit-status.ts';

const ESCAPE = 0x1d;
const NEWLINE = 0x0a;

/** The parts of `process` that are used; tests give others. */
export interface TerminalProcess {
  readonly stdin:
    | NodeJS.ReadStream
    | (NodeJS.ReadableStream & { isTTY?: boolean; setRawMode?(on: boolean): unknown });
  readonly stdout: NodeJS.WritableStream & { isTTY?: boolean };
  readonly pid: number;
  on(event: string, run: (...args: never[]) => void): unknown;
  off(event: string, run: (...args: never[]) => void): unknown;
  kill(pid: number, signal: string): unknown;
  exit(status: number): never;
}

export interface TerminalEvents {
  input: [Uint8Array];
  /** Output flows again after `write` answered false. */
  drain: [];
  /** Ctrl-] was typed. */
  escape: [];
  /** SIGINT, SIGTERM or SIGHUP came; the number is the exit status for it. */
  signal: [number];
  /** Nobody reads standard output any more. */
  closed: [];
}

export class Terminal extends EventEmitter<TerminalEvents> {
  private readonly process: TerminalProcess;
  private raw = false;
  private wantRaw = false;
  private signalled = false;
  private gone = false;
  private midLine = false;
  private readonly undo: (() => void)[] = [];

  constructor(proc: TerminalProcess = process as unknown as TerminalProcess) {
    super();
    this.process = proc;
    for (const [signal, status] of Object.entries(SIGNAL_STATUS)) {
      this.listen(signal, () => this.onSignal(status));
    }
    this.listen('exit', () => this.restore());
    this.listen('SIGTSTP', () => {
      this.restore();
      proc.kill(proc.pid, 'SIGSTOP');
    });
    this.listen('SIGCONT', () => this.setRaw(this.wantRaw));
    const { stdin, stdout } = proc;
    const onError = (error: NodeJS.ErrnoException): void => this.onOutputError(error);
    const onDrain = (): void => void this.emit('drain');
    stdout.on('error', onError).on('drain', onDrain);
    this.undo.push(() => stdout.off('drain', onDrain));
    const onInputError = (): void => {};
    stdin.on('error', onInputError);
  }

  /** Begins to read input; with `raw`, keys reach the guest as they are typed. */
  start(raw: boolean): void {
    const { stdin } = this.process;
    this.wantRaw = raw;
    this.setRaw(raw);
    const onData = (chunk: Uint8Array): void => this.onInput(chunk);
    stdin.on('data', onData).resume();
    this.undo.push(() => stdin.off('data', onData).pause());
  }

  /** False asks to hold back until 'drain'. */
  write(bytes: Uint8Array): boolean {
    if (this.gone || bytes.length === 0) return true;
    this.midLine = bytes[bytes.length - 1] !== NEWLINE;
    return this.process.stdout.write(bytes.slice());
  }

  /** Settles once everything written was taken, or nobody reads any more. */
  flushed(): Promise<void> {
    if (this.gone) return Promise.resolve();
    return new Promise((resolve) => this.process.stdout.write('', () => resolve()));
  }

  /** Ends a line that a guest left unfinished on the screen, so that what follows stands on its own. */
  freshLine(): void {
    if (!this.midLine || this.gone) return;
    this.midLine = false;
    if (this.process.stdout.isTTY) this.process.stdout.write('\r\n');
  }

  /** Puts the terminal in order and lets go of the process. */
  close(): void {
    this.wantRaw = false;
    this.freshLine();
    this.restore();
    for (const run of this.undo.splice(0)) run();
  }

  private listen(event: string, run: () => void): void {
    this.process.on(event, run);
    this.undo.push(() => this.process.off(event, run));
  }

  private restore(): void {
    if (this.raw) this.setRaw(false);
  }

  private setRaw(on: boolean): void {
    const { stdin } = this.process;
    if (!stdin.isTTY || !stdin.setRawMode) return;
    try {
      stdin.setRawMode(on);
      this.raw = on;
    } catch {
      this.raw = false; // the terminal itself is gone (hung up): there is nothing to put in order
    }
  }

  private onInput(chunk: Uint8Array): void {
    const end = this.process.stdin.isTTY ? chunk.indexOf(ESCAPE) : -1;
    const input = end < 0 ? chunk : chunk.subarray(0, end);
    if (input.length > 0) this.emit('input', input);
    if (end >= 0) this.emit('escape');
  }

  /** The first signal asks for an orderly end, the second does not wait for it. */
  private onSignal(status: number): void {
    this.restore();
    if (this.signalled) this.process.exit(status);
    this.signalled = true;
    this.emit('signal', status);
  }

  private onOutputError(error: NodeJS.ErrnoException): void {
    if (this.gone) return;
    this.gone = true;
    if (error.code !== 'EPIPE' && error.code !== 'EIO')
      process.stderr.write(`standard output: ${error.message}\n`);
    this.emit('drain');
    this.emit('closed');
  }
}
