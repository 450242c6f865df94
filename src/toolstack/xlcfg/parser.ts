/**
 * The grammar of xl.cfg: text to settings.
 *
 *   file        { [ key ( '=' | '+=' ) value ] ( newline | ';' ) }     the last line needs no newline
 *   value       string | number | list
 *   list        '[' [ value { ',' value } [ ',' ] ] ']'               newlines allowed after '[', ',' and a value
 *
 * A key given again replaces what it was; `+=` appends to a string or a list. Assignments from a command line are read
 * after the file, as if they were its last lines.
 */
import { ConfigError, type Place } from './errors.ts';
import { Lexer, quote, type Token, type TokenKind, visible } from './lexer.ts';

export type Value = Atom | List;

export interface Atom {
  readonly kind: 'atom';
  readonly text: string;
  readonly place: Place;
}

export interface List {
  readonly kind: 'list';
  readonly items: readonly Value[];
  readonly place: Place;
}

export interface Setting {
  readonly key: string;
  readonly value: Value;
  /** Where the key stands. */
  readonly place: Place;
  /** Made with `+=`. */
  readonly appended: boolean;
}

/** The settings of a configuration: for each key the one that counts, in the order in which the keys first came. */
export interface Config {
  readonly file: string;
  readonly settings: ReadonlyMap<string, Setting>;
}

/** Nesting of lists that no configuration needs; the limit keeps a hostile text from exhausting the stack. */
const MAX_DEPTH = 64;
/** Faults reported for one text. */
const MAX_ERRORS = 20;

/**
 * Reads a configuration. `overrides` are the `key=value` arguments of a command line; there, and only there, a value
 * may be a word without quotes (`type=pvh`). DIVERGES: xl wants quotes there too.
 */
export function parseConfig(text: string, file: string, overrides: readonly string[] = []): Config {
  const settings = new Map<string, Setting>();
  const errors: ConfigError[] = [];
  new Parser(text, file, false, settings, errors).run();
  if (overrides.length) new Parser(overrides.join('\n'), 'command line', true, settings, errors).run();
  const [first, ...rest] = errors;
  if (first) throw new ConfigError(first, first.detail, rest);
  return { file, settings };
}

/** A configuration as text that parses to the same settings. */
export function printConfig(config: Config): string {
  return [...config.settings.values()].map((s) => `${s.key} = ${printValue(s.value)}\n`).join('');
}

export function printValue(value: Value): string {
  if (value.kind === 'list') return `[${value.items.map((v) => ` ${printValue(v)}`).join(',')} ]`;
  return /^(0|[1-9][0-9]*)$/.test(value.text) ? value.text : quote(value.text);
}

class Parser {
  private readonly lexer: Lexer;
  private readonly bareWords: boolean;
  private readonly settings: Map<string, Setting>;
  private readonly errors: ConfigError[];
  private token: Token = { kind: 'newline', text: '', place: { file: '', line: 0, column: 0 } };

  constructor(
    text: string,
    file: string,
    bareWords: boolean,
    settings: Map<string, Setting>,
    errors: ConfigError[],
  ) {
    this.lexer = new Lexer(text, file);
    this.bareWords = bareWords;
    this.settings = settings;
    this.errors = errors;
  }

  /** Reads all statements; after a faulty one it goes on with the next line. */
  run(): void {
    let more = true;
    while (more && this.errors.length < MAX_ERRORS) {
      try {
        more = this.statement();
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        this.errors.push(error);
        if (this.token.kind === 'end') return;
        if (this.token.kind !== 'newline') this.lexer.skipLine();
      }
    }
  }

  /** Answers whether there may be more. */
  private statement(): boolean {
    const { kind, text: key, place } = this.advance();
    if (kind === 'newline' || kind === ';') return true;
    if (kind === 'end') return false;
    if (kind !== 'key') this.fail("the name of an option, as in 'memory = 256'");
    const operator = this.advance().kind;
    if (operator !== '=' && operator !== '+=') this.fail(`'=' or '+=' after '${key}'`);
    this.advance(this.bareWords);
    const value = this.value(key, 0);
    const end = this.advance().kind;
    if (end !== 'newline' && end !== ';' && end !== 'end') {
      this.fail(`a new line or ';' after the value of '${key}'`);
    }
    this.store(key, value, place, operator === '+=');
    return end !== 'end';
  }

  /** The value that begins with the current token; ends on its last token. */
  private value(key: string, depth: number): Value {
    const { kind, text, place } = this.token;
    if (kind === 'string' || kind === 'number') return { kind: 'atom', text, place };
    if (kind !== '[') {
      this.fail(`a string, a number or '[' for '${key}'`, kind === 'key' ? '; a string needs quotes' : '');
    }
    if (depth === MAX_DEPTH) throw new ConfigError(place, `lists in '${key}' are nested too deeply`);
    const items: Value[] = [];
    let next = this.advancePastNewlines();
    while (next !== ']') {
      items.push(this.value(key, depth + 1));
      next = this.advancePastNewlines();
      if (next === ',') next = this.advancePastNewlines();
      else if (next !== ']') this.fail(`',' or ']' in the list '${key}' that begins on line ${place.line}`);
    }
    return { kind: 'list', items, place };
  }

  private store(key: string, value: Value, place: Place, appended: boolean): void {
    const old = this.settings.get(key);
    const whole = appended && old ? concat(key, old.value, value) : value;
    this.settings.set(key, { key, value: whole, place, appended });
  }

  private advance(bare = false): Token {
    this.token = this.lexer.next(bare);
    if (this.token.kind === 'bad') throw new ConfigError(this.token.place, this.token.text);
    return this.token;
  }

  private advancePastNewlines(): TokenKind {
    while (this.advance().kind === 'newline');
    return this.token.kind;
  }

  private fail(expected: string, hint = ''): never {
    throw new ConfigError(this.token.place, `expected ${expected}, found ${describe(this.token)}${hint}`);
  }
}

function describe(token: Token): string {
  if (token.kind === 'newline') return 'the end of the line';
  if (token.kind === 'end') return 'the end of the text';
  return token.kind === 'string' ? visible(quote(token.text)) : `'${token.text}'`;
}

function concat(key: string, old: Value, added: Value): Value {
  if (old.kind === 'list' && added.kind === 'list') {
    return { kind: 'list', items: [...old.items, ...added.items], place: added.place };
  }
  if (old.kind === 'atom' && added.kind === 'atom') {
    return { kind: 'atom', text: old.text + added.text, place: added.place };
  }
  const [what, to] = added.kind === 'list' ? ['a list', 'a single value'] : ['a single value', 'a list'];
  throw new ConfigError(added.place, `'+=' cannot add ${what} to '${key}', which is ${to}`);
}
