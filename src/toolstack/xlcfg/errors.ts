/** What is wrong with a configuration, and where. */

/** A position in a configuration text; lines and columns count from 1, line 0 means the text as a whole. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export class ConfigError extends Error {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** The fault in words, without its place. */
  readonly detail: string;
  /** Further faults found in the same text, in order. */
  readonly more: readonly ConfigError[];

  constructor(place: Place, detail: string, more: readonly ConfigError[] = []) {
    super(at(place, detail));
    this.name = 'ConfigError';
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.detail = detail;
    this.more = more;
  }
}

/** `file:line:column: text`, as compilers write it; only the file where the line is 0. */
export function at(place: Place, text: string): string {
  return place.line ? `${place.file}:${place.line}:${place.column}: ${text}` : `${place.file}: ${text}`;
}

/** All faults of an error, one a line. */
export function formatConfigError(error: ConfigError): string {
  return [error, ...error.more].map((e) => e.message).join('\n');
}
