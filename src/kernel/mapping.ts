/** Memory that domain 0 can reach: pages of its own, or of others while they are mapped. */
import type { Mem } from '../base/mem.ts';

/** Pages that can be read and (if they were mapped so) written, as one range of bytes. Ends with `close`. */
export class Mapping {
  readonly mem: Mem;
  /** First guest frame in domain 0. */
  readonly gfn: number;
  readonly pages: number;
  /** Machine address of each page. */
  private readonly frames: readonly number[];
  private release: (() => void) | undefined;

  constructor(mem: Mem, gfn: number, frames: readonly number[], release: () => void) {
    this.mem = mem;
    this.gfn = gfn;
    this.pages = frames.length;
    this.frames = frames;
    this.release = release;
  }

  get open(): boolean {
    return this.release !== undefined;
  }

  /** Machine address of a byte; the ones after it follow up to the end of its page. */
  addr(offset: number): number {
    if (!this.open) throw new Error('a mapping is used after it was closed');
    const page = this.frames[offset >>> 12];
    if (page === undefined)
      throw new RangeError(`byte ${offset} is outside a mapping of ${this.pages} pages`);
    return page + (offset & 4095);
  }

  read(offset: number, len: number): Uint8Array {
    const out = new Uint8Array(len);
    this.eachPiece(offset, len, (at, n, done) => out.set(this.mem.slice(at, n), done));
    return out;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.eachPiece(offset, bytes.length, (at, n, done) => this.mem.write(at, bytes.subarray(done, done + n)));
  }

  fill(offset: number, len: number, value = 0): void {
    this.eachPiece(offset, len, (at, n) => this.mem.fill(at, n, value));
  }

  private eachPiece(offset: number, len: number, run: (at: number, n: number, done: number) => void): void {
    for (let done = 0; done < len; ) {
      const n = Math.min(len - done, 4096 - ((offset + done) & 4095));
      run(this.addr(offset + done), n, done);
      done += n;
    }
  }

  close(): void {
    const { release } = this;
    this.release = undefined;
    release?.();
  }
}
