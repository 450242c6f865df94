/**
 * Guests' consoles on one terminal. A single guest, or the one that --console names, has it raw, with the keyboard;
 * otherwise every line carries its guest's name and nobody has the keyboard.
 */
import { AppError, EXIT } from './exit-status.ts';
import type { Expectation } from './expect.ts';
import type { GuestConsole } from './guest-run.ts';
import type { Terminal } from './terminal.ts';

/** A line longer than this is printed in parts. */
const LONGEST_LINE = 4096;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Splits a guest's output into lines and prints each with the guest's name before it. */
export class LinePrefixer {
  private readonly prefix: Uint8Array;
  private readonly print: (bytes: Uint8Array) => boolean;
  private line: number[] = [];

  constructor(name: string, print: (bytes: Uint8Array) => boolean) {
    this.prefix = new TextEncoder().encode(`[${name}] `);
    this.print = print;
  }

  write(bytes: Uint8Array): boolean {
    const out: number[] = [];
    for (const byte of bytes) {
      if (byte !== NEWLINE && byte !== RETURN) this.line.push(byte);
      if (byte === NEWLINE || this.line.length >= LONGEST_LINE) this.take(out);
    }
    return out.length === 0 || this.print(Uint8Array.from(out));
  }

  /** Prints a line that has not ended yet. */
  flush(): void {
    if (this.line.length === 0) return;
    const out: number[] = [];
    this.take(out);
    this.print(Uint8Array.from(out));
  }

  private take(out: number[]): void {
    out.push(...this.prefix, ...this.line, NEWLINE);
    this.line = [];
  }
}

export interface ConsoleOptions {
  /** The guest whose console is shown alone, raw. */
  readonly chosen: string | undefined;
  /** Makes the watcher of one guest's output; undefined where nothing is awaited. */
  readonly expectation: (() => Expectation) | undefined;
  /** Runs before anything is printed. */
  beforeOutput(): void;
  /** Runs when the awaited output of any guest has come. */
  onMatch(): void;
}

export class Consoles {
  private readonly terminal: Terminal;
  private readonly options: ConsoleOptions;
  private readonly prefixers: LinePrefixer[] = [];

  constructor(terminal: Terminal, options: ConsoleOptions) {
    this.terminal = terminal;
    this.options = options;
  }

  open(names: readonly string[]): GuestConsole[] {
    const { chosen } = this.options;
    if (chosen !== undefined && !names.includes(chosen)) {
      throw new AppError(EXIT.usage, `--console ${chosen}: no such guest; there is ${names.join(', ')}`);
    }
    const raw = chosen ?? (names.length === 1 ? names[0] : undefined);
    this.terminal.start(raw !== undefined);
    return names.map((name) => this.console(name, raw));
  }

  /** Prints the lines that have not ended. */
  flush(): void {
    for (const prefixer of this.prefixers) prefixer.flush();
  }

  private console(name: string, raw: string | undefined): GuestConsole {
    const { terminal } = this;
    const watch = this.watcher();
    const print = this.printer(name, raw);
    return {
      write(bytes) {
        const flowing = print(bytes);
        watch(bytes);
        return flowing;
      },
      onDrain(run) {
        terminal.on('drain', run);
        return () => terminal.off('drain', run);
      },
      onInput(take) {
        if (name === raw) terminal.on('input', take);
        return () => terminal.off('input', take);
      },
    };
  }

  private printer(name: string, raw: string | undefined): (bytes: Uint8Array) => boolean {
    const print = (bytes: Uint8Array): boolean => {
      this.options.beforeOutput();
      return this.terminal.write(bytes);
    };
    if (name === raw) return print;
    if (raw !== undefined) return () => true;
    const prefixer = new LinePrefixer(name, print);
    this.prefixers.push(prefixer);
    return (bytes) => prefixer.write(bytes);
  }

  private watcher(): (bytes: Uint8Array) => void {
    const expectation = this.options.expectation?.();
    if (!expectation) return () => {};
    return (bytes) => {
      if (!expectation.matched && expectation.feed(bytes)) this.options.onMatch();
    };
  }
}
