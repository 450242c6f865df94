/**
 * Looks for a pattern in a guest's console output. The pattern may span chunks and is tried on the text both as it
 * came and with terminal escapes and carriage returns removed. Only the newest `WINDOW` characters are remembered.
 */
const WINDOW = 16_384;

/** CSI sequences, OSC strings, two-character escapes, and the carriage returns of line ends. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what it is about
const ESCAPES = /\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\r/g;

export class Expectation {
  readonly pattern: RegExp;
  matched = false;
  private text = '';
  private readonly decoder = new TextDecoder('utf-8');

  /** `^` and `$` mean a line's start and end. Throws SyntaxError for a bad pattern. */
  constructor(source: string) {
    this.pattern = new RegExp(source, 'm');
  }

  /** Takes the next output; answers whether the pattern has been seen by now. */
  feed(bytes: Uint8Array): boolean {
    if (this.matched) return true;
    this.text += this.decoder.decode(bytes, { stream: true });
    this.matched = this.pattern.test(this.text) || this.pattern.test(this.text.replace(ESCAPES, ''));
    this.text = this.matched ? '' : this.text.slice(-WINDOW);
    return this.matched;
  }
}
