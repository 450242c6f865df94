/** Other programs: run to their end, or read as a stream. */
import { execFile, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Messages in English, whatever the user's language: some are read. */
const environment = (): NodeJS.ProcessEnv => ({ ...process.env, LC_ALL: 'C', LANGUAGE: 'C' });

/** True when PATH has the program. */
export function hasProgram(name: string, path = process.env.PATH ?? ''): boolean {
  return path.split(delimiter).some((dir) => {
    try {
      accessSync(join(dir, name), constants.X_OK);
      return dir !== '';
    } catch {
      return false;
    }
  });
}

/** Never rejects: a program that cannot be started has status 127. */
export function run(program: string, args: readonly string[], cwd?: string): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { cwd, env: environment(), maxBuffer: 64 << 20 };
    execFile(program, args, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 127;
      resolve({ status, stdout, stderr: stderr || (error?.message ?? '') });
    });
  });
}

/** A program's standard output in chunks. Leaving the loop early ends the program; its failure throws. */
export async function* output(program: string, args: readonly string[]): AsyncGenerator<Uint8Array> {
  const child = spawn(program, args, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-2000);
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code === 0 ? undefined : errors.trim() || `status ${code}`));
  });
  try {
    yield* child.stdout;
  } finally {
    child.kill();
  }
  const failure = await ended;
  if (failure !== undefined) throw new Error(`${program}: ${failure}`);
}
