/** A line on a terminal's standard error that says what is going on, replaced in place; nothing when it is piped. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

export class Progress {
  private readonly stream: ProgressStream;
  private shown = false;

  constructor(stream: ProgressStream = process.stderr) {
    this.stream = stream;
  }

  show(note: string): void {
    if (!this.stream.isTTY) return;
    const width = (this.stream.columns ?? 80) - 1;
    this.stream.write(`\r\x1b[K${note.slice(0, width)}`);
    this.shown = true;
  }

  /** Takes the line away. */
  clear(): void {
    if (!this.shown) return;
    this.stream.write('\r\x1b[K');
    this.shown = false;
  }
}
