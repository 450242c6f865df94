/** What all programs share: the terminal, messages, and ending with a status once everything was printed. */
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import { Progress } from './progress.ts';
import { Terminal } from './terminal.ts';

export interface ProgramParts {
  readonly terminal: Terminal;
  readonly progress: Progress;
  /** A line for the user, on standard error. */
  message(line: string): void;
  /** Text that was asked for, on standard output. */
  print(text: string): void;
}

const written = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write('', () => resolve());
  });

function failure(error: unknown): { status: ExitStatus; text: string } {
  if (error instanceof AppError) return { status: error.status, text: error.message };
  return {
    status: EXIT.failed,
    text: error instanceof Error ? (error.stack ?? error.message) : String(error),
  };
}

/** Runs a program and ends the process with its status, whatever else is still going on in it. */
export async function runProgram(
  name: string,
  body: (parts: ProgramParts) => Promise<ExitStatus>,
): Promise<never> {
  const progress = new Progress();
  const terminal = new Terminal();
  const message = (line: string): void => {
    progress.clear();
    terminal.freshLine();
    process.stderr.write(`${name}: ${line}\n`);
  };
  process.stderr.on('error', () => {}); // nobody reads messages any more: go on without
  // Node ends a process in which nothing can happen any more; a signal may still come.
  const alive = setInterval(() => {}, 0x7fff_ffff);
  let status: ExitStatus;
  try {
    status = await body({ terminal, progress, message, print: (text) => void process.stdout.write(text) });
  } catch (error) {
    const failed = failure(error);
    status = failed.status;
    message(failed.text);
  }
  clearInterval(alive);
  progress.clear();
  terminal.close();
  await Promise.all([written(process.stdout), written(process.stderr)]);
  process.exit(status);
}
