/**
 * Tokens of xl.cfg. @xen docs/man/xl.cfg.5.pod.in "SYNTAX", and what xl 4.17 does where the page is silent.
 *
 *   key       [a-z][a-z0-9._]*
 *   number    digits, octal with a leading 0, hexadecimal with 0x
 *   string    '...' or "...", on one line, with \" \' \\ \a \b \f \n \r \t \v \xHH \OOO
 *   comment   # to the end of the line, which still ends the line
 *
 * DIVERGES: xl refuses a sign before a number, capital hexadecimal digits, a carriage return before a newline and a
 * comment that the file ends in; we take them.
 */
import type { Place } from './errors.ts';

export type TokenKind =
  | 'key'
  | 'number'
  | 'string'
  | '='
  | '+='
  | '['
  | ']'
  | ','
  | ';'
  | 'newline'
  | 'end'
  | 'bad';

export interface Token {
  readonly kind: TokenKind;
  /** The value of a string, what is wrong with a bad token, the spelling of anything else. */
  readonly text: string;
  readonly place: Place;
}

const patterns: readonly (readonly [TokenKind, RegExp])[] = [
  ['key', /[a-z][._0-9a-z]*/y],
  ['number', /-?[0-9][0-9a-fA-FxX]*/y],
  ['+=', /\+=/y],
  ['=', /=/y],
  ['[', /\[/y],
  [']', /\]/y],
  [',', /,/y],
  [';', /;/y],
  ['newline', /\r?\n/y],
];
const blank = /[ \t]*(#[^\n]*)?/y;
const quoted = /'(?:[^'\\\n]|\\[^\n])*'|"(?:[^"\\\n]|\\[^\n])*"/y;
/** A word without quotes, where the caller allows one. */
const bareWord = /[^\s;,'"#[\]=][^\s;'"#[\]]*/y;
const escapeSequence = /\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)/gsu;
const offending = /[^ \t\r\n]*/y;
/** What is not a configuration at all may have very long words. */
const LONGEST_SHOWN = 40;
const numberLike = /^-?[0-9][0-9a-fA-FxX]*$/;

const simpleEscapes: Record<string, string> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

export class Lexer {
  private readonly text: string;
  private readonly file: string;
  private pos = 0;
  private line = 1;
  private lineStart = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  /** The next token. With `bare`, an unquoted word is a string. */
  next(bare = false): Token {
    this.match(blank);
    const place = this.place();
    if (this.pos >= this.text.length) return { kind: 'end', text: '', place: this.lastPlace(place) };
    const string = this.match(quoted);
    if (string !== undefined) return unquote(string, place);
    const word = bare ? this.match(bareWord) : undefined;
    if (word !== undefined) return { kind: numberLike.test(word) ? 'number' : 'string', text: word, place };
    for (const [kind, pattern] of patterns) {
      const text = this.match(pattern);
      if (text === undefined) continue;
      if (kind === 'newline') this.startLine();
      return { kind, text, place };
    }
    return { kind: 'bad', text: this.describe(this.match(offending) ?? ''), place };
  }

  /** Goes on after the end of the current line. */
  skipLine(): void {
    const end = this.text.indexOf('\n', this.pos);
    this.pos = end < 0 ? this.text.length : end + 1;
    if (end >= 0) this.startLine();
  }

  private startLine(): void {
    this.line++;
    this.lineStart = this.pos;
  }

  private place(): Place {
    return { file: this.file, line: this.line, column: this.pos - this.lineStart + 1 };
  }

  /** The end of the text belongs to the line that ends there, not to the empty one after it. */
  private lastPlace(end: Place): Place {
    if (end.column > 1 || end.line === 1) return end;
    const start = this.text.lastIndexOf('\n', this.pos - 2) + 1;
    return { ...end, line: end.line - 1, column: this.pos - start };
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.pos;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.pos += found.length;
    return found;
  }

  private describe(word: string): string {
    const quote = word[0];
    if (quote === '"' || quote === "'") return `the string that begins with ${quote} has no closing ${quote}`;
    const shown = word.length > LONGEST_SHOWN ? `${word.slice(0, LONGEST_SHOWN)}...` : word;
    return `'${visible(shown || (this.text[this.pos] ?? ''))}' is not part of a configuration`;
  }
}

/** Text as one printable line. */
export function visible(text: string): string {
  return text.replace(/[^ -~]/g, (c) => (c.charCodeAt(0) < 0x100 ? escapeByte(c) : c));
}

function escapeByte(c: string): string {
  return `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/** The string literal that reads back as `text`. */
export function quote(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replace(/\p{Cc}/gu, escapeByte)}"`;
}

/** The token of a string literal. */
function unquote(literal: string, place: Place): Token {
  let bad: Token | undefined;
  const body = literal.slice(1, -1);
  const text = body.replace(escapeSequence, (all: string, code: string, offset: number) => {
    const simple = simpleEscapes[code];
    if (simple !== undefined) return simple;
    const value = code[0] === 'x' ? Number.parseInt(code.slice(1), 16) : Number.parseInt(code, 8);
    if (value <= 0xff) return String.fromCharCode(value);
    const here = { ...place, column: place.column + 1 + offset };
    bad ??= { kind: 'bad', text: `'${visible(all)}' means nothing in a string`, place: here };
    return '';
  });
  return bad ?? { kind: 'string', text, place };
}
