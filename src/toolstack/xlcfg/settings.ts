/** Typed reading of settings: each answers undefined where the key is absent and refuses a value of the wrong kind. */
import { at, ConfigError, type Place } from './errors.ts';
import { visible } from './lexer.ts';
import type { Config, Value } from './parser.ts';

/** `strtol` with base 0: decimal, 0x hexadecimal, 0 octal. Undefined for anything else and beyond 2^53. */
export function parseInteger(text: string): number | undefined {
  const found = /^([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))$/.exec(text.trim());
  if (!found) return undefined;
  const [, sign, hex, octal, decimal] = found;
  const value =
    hex !== undefined
      ? Number.parseInt(hex, 16)
      : decimal !== undefined
        ? Number(decimal)
        : Number.parseInt(octal || '0', 8);
  if (!Number.isSafeInteger(value)) return undefined;
  return sign === '-' && value ? -value : value;
}

export class Settings {
  private readonly config: Config;
  private readonly sink: (line: string) => void;

  constructor(config: Config, sink: (line: string) => void) {
    this.config = config;
    this.sink = sink;
  }

  has(key: string): boolean {
    return this.config.settings.has(key);
  }

  string(key: string): string | undefined {
    const value = this.value(key);
    if (value?.kind === 'list') this.fail(key, `'${key}' is a list; it should be a single value`);
    return value?.kind === 'atom' ? value.text : undefined;
  }

  int(key: string, min: number, max: number): number | undefined {
    const text = this.string(key);
    if (text === undefined) return undefined;
    if (this.config.settings.get(key)?.appended)
      this.fail(key, `'+=' cannot be used with the number '${key}'`);
    const value = parseInteger(text);
    if (value === undefined) return this.fail(key, `'${key}' is not a number: "${visible(text)}"`);
    if (value < min) this.fail(key, `'${key}' is ${value}; it must be at least ${min}`);
    if (value > max) this.fail(key, `'${key}' is ${value}; it must be at most ${max}`);
    return value;
  }

  /** A number, or -1 for the same as not given. */
  limit(key: string, min: number, max: number): number | undefined {
    return this.string(key) === '-1' ? undefined : this.int(key, min, max);
  }

  /** Absent is false; any number but 0 is true. */
  bool(key: string): boolean {
    return (this.int(key, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ?? 0) !== 0;
  }

  choice<T extends string>(key: string, choices: readonly T[]): T | undefined {
    const text = this.string(key);
    if (text === undefined) return undefined;
    const found = choices.find((c) => c === text);
    return (
      found ?? this.fail(key, `'${key}' cannot be "${visible(text)}"; it is one of ${choices.join(', ')}`)
    );
  }

  /** The strings of a list; absent is empty. */
  strings(key: string): string[] {
    const value = this.value(key);
    if (!value) return [];
    if (value.kind === 'atom') return this.fail(key, `'${key}' is a single value; it should be a list`);
    return value.items.map((item, i) =>
      item.kind === 'atom' ? item.text : this.fail(key, `item ${i + 1} of '${key}' is a list, not a string`),
    );
  }

  /** A value that may be either; undefined where it is absent. */
  stringOrList(key: string): string | string[] | undefined {
    return this.value(key)?.kind === 'list' ? this.strings(key) : this.string(key);
  }

  warn(key: string, text: string): void {
    this.sink(at(this.place(key), `warning: ${text}`));
  }

  /** Refuses the configuration because of a key: at its value, or as a whole where it is not given. */
  fail(key: string, text: string): never {
    throw new ConfigError(this.place(key), text);
  }

  private value(key: string): Value | undefined {
    return this.config.settings.get(key)?.value;
  }

  private place(key: string): Place {
    return this.value(key)?.place ?? { file: this.config.file, line: 0, column: 0 };
  }
}
