/** What all programs share: the terminal, messages, and ending with a status once everything was printed. */
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import { Progress } from './progress.ts';
import { Terminal } from './terminal.ts';

/** How long a program that was told to end waits for a reader of its output who does not read. */
const READER_MS = 500;

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

/** Everything printed has been taken; of a program that was told to end, as far as its reader is quick about it. */
async function allWritten(status: ExitStatus): Promise<void> {
  const all = Promise.all([written(process.stdout), written(process.stderr)]).then(() => {});
  const limit = new Promise<void>((resolve) => setTimeout(resolve, READER_MS).unref());
  await (status >= EXIT.timeout ? Promise.race([all, limit]) : all);
}

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
  progress.clear();
  terminal.close();
  await allWritten(status);
  clearInterval(alive);
  process.exit(status);
}
