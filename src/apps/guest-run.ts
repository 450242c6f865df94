/**
 * The contract between the command line and the part that starts guests (run-guests.ts): what the user asked for, and
 * what a run may use of the host. The command line owns the terminal, the time limit and --expect; the run owns
 * the machine.
 */

import type { Host } from '../base/host.ts';
import type { LogSink } from '../base/log.ts';
import type { EngineName } from './args.ts';
import type { GuestProfile } from './cpu-profile.ts';
import type { ExitStatus } from './exit-status.ts';

/** One xl.cfg file as the user named it. */
export interface ConfigSource {
  readonly path: string;
  readonly text: string;
  /** The command line's key=value arguments: lines that follow the file's. */
  readonly overrides: readonly string[];
}

export interface RunOptions {
  /** False: a guest's reboot ends it, with EXIT.rebooted. */
  readonly reboot: boolean;
  /** Memory of the machine that all guests share, in MiB; undefined: what they need. */
  readonly memoryMiB: number | undefined;
  /** Where XenStore listens for tools on the host. */
  readonly xenstoreSocket: string | undefined;
  /** The hypervisor's own command line. */
  readonly xenArgs: string;
  readonly engine: EngineName;
  /** Limit of decoded code, and of compiled code. */
  readonly codeCacheBytes: number;
  /** The guests are profiled; what comes of it goes to `RunIo.profiled`. */
  readonly profile: object | undefined;
  readonly verbose: boolean;
}

/** The user's end of one guest's console. */
export interface GuestConsole {
  /** Takes all bytes (they are copied or written at once); false asks to hold back until `onDrain`. */
  write(bytes: Uint8Array): boolean;
  /** Both answer what takes the listener away again. */
  onDrain(run: () => void): () => void;
  onInput(take: (bytes: Uint8Array) => void): () => void;
}

export interface RunIo {
  readonly host: Host;
  readonly log: LogSink;
  /** A line for the user, on standard error. */
  message(line: string): void;
  /** A guest of this name has ended, and was profiled. */
  profiled(name: string, profile: GuestProfile): void;
  /** A short note on what is going on; the next one, or output, replaces it. Nothing where nobody would see it. */
  progress(note: string): void;
  /** The consoles of the guests of these names, in their order. Throws AppError where --console names none of them. */
  consoles(names: readonly string[]): GuestConsole[];
  /** The file that a config's `kernel` or `ramdisk` means. Throws AppError where there is none. */
  imagePath(name: string, configPath: string): string;
  /** Settles when the run is to end early (escape, signal, time limit, match): destroy the guests and return. */
  readonly ended: Promise<void>;
}

/** Builds and runs the guests until the last is gone. Throws AppError for what it cannot start. */
export type RunGuests = (
  configs: readonly ConfigSource[],
  options: RunOptions,
  io: RunIo,
) => Promise<ExitStatus>;
