/**
 * `domzero run`: reads the files, gives the guests their consoles, and ends the run for whatever comes first: the last
 * guest's end, Ctrl-], a signal, the time limit, or the output that --expect awaits.
 */
import { readFileSync } from 'node:fs';
import type { LogLevel, LogSink } from '../base/log.ts';
import { nodeHost } from '../host/node/host.ts';
import type { RunCommand } from './args.ts';
import { Consoles } from './consoles.ts';
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import { Expectation } from './expect.ts';
import type { ConfigSource, RunGuests, RunIo } from './guest-run.ts';
import { imagePath } from './images.ts';
import { Profiles } from './profiles.ts';
import type { Progress } from './progress.ts';
import type { Terminal } from './terminal.ts';

/** How long guests may take to be destroyed once a run is to end. */
const GRACE_MS = 5000;

function readConfig(path: string, overrides: readonly string[]): ConfigSource {
  try {
    return { path, text: readFileSync(path, 'utf8'), overrides };
  } catch (error) {
    throw new AppError(EXIT.config, `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** The first reason to end a run early, and why. */
class Ending {
  status: ExitStatus | undefined;
  why: string | undefined;
  readonly promise: Promise<void>;
  private settle: () => void = () => {};

  constructor() {
    this.promise = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  end(status: ExitStatus, why?: string): void {
    if (this.status !== undefined) return;
    this.status = status;
    this.why = why;
    this.settle();
  }
}

export interface RunParts {
  readonly runGuests: RunGuests;
  readonly terminal: Terminal;
  readonly progress: Progress;
  message(line: string): void;
}

function logSink(parts: RunParts, verbose: boolean): LogSink {
  const shown: readonly LogLevel[] = verbose ? ['debug', 'info', 'warn', 'error'] : ['warn', 'error'];
  return (level, part, line) => {
    if (shown.includes(level)) parts.message(`${part}: ${level === 'info' ? '' : `${level}: `}${line}`);
  };
}

/** Whatever the guests' parts do after the run was told to end, it does not hold the user up. */
async function withGrace(run: Promise<ExitStatus>, ending: Ending): Promise<ExitStatus> {
  const late = ending.promise.then(
    () => new Promise<void>((resolve) => setTimeout(resolve, GRACE_MS).unref()),
  );
  const status = await Promise.race([run, late]);
  return ending.status ?? status ?? EXIT.failed;
}

export async function runCommand(command: RunCommand, parts: RunParts): Promise<ExitStatus> {
  const configs = command.files.map((path) => readConfig(path, command.overrides));
  const { terminal, progress } = parts;
  const ending = new Ending();
  const { expect } = command;
  const profiles = command.profile && new Profiles(command.profile, parts.message);
  const consoles = new Consoles(terminal, {
    chosen: command.console,
    expectation: expect === undefined ? undefined : () => new Expectation(expect),
    onMatch: () => ending.end(EXIT.ok),
    beforeOutput: () => progress.clear(),
  });
  const io: RunIo = {
    host: nodeHost(),
    log: logSink(parts, command.verbose),
    message: parts.message,
    profiled: (name, profile) => profiles?.add(name, profile),
    progress: (note) => progress.show(note),
    consoles: (names) => consoles.open(names),
    imagePath,
    ended: ending.promise,
  };
  terminal.on('escape', () => ending.end(EXIT.escape));
  terminal.on('signal', (status) => ending.end(status));
  terminal.on('closed', () => ending.end(EXIT.failed));
  const { timeoutMs } = command;
  const limit =
    timeoutMs === undefined
      ? undefined
      : io.host.timers.after(timeoutMs, () =>
          ending.end(EXIT.timeout, `time limit of ${timeoutMs / 1000} s reached`),
        );
  try {
    const status = await withGrace(parts.runGuests(configs, command, io), ending);
    consoles.flush();
    // The guests are gone, but whoever reads their output may take longer than the user wants to wait.
    await Promise.race([terminal.flushed(), ending.promise]);
    if (ending.why !== undefined) parts.message(ending.why);
    if (status !== EXIT.ok) return status;
    if (ending.status !== undefined || expect === undefined) return ending.status ?? status;
    throw new AppError(EXIT.failed, `the guest ended without printing /${expect}/`);
  } finally {
    limit?.cancel();
    progress.clear();
    terminal.close();
  }
}
