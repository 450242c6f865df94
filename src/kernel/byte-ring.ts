/**
 * One direction of a byte stream in a shared page: a buffer whose size is a power of two, and two free-running indices.
 * The other side can write anything at any time, so indices are read once per operation and checked, and no place in
 * the buffer is reached but through the mask.
 */
import type { Mem } from '../base/mem.ts';

export class ByteRing {
  private readonly mem: Mem;
  private readonly buffer: number;
  private readonly size: number;
  private readonly cons: number;
  private readonly prod: number;

  /** Machine addresses of the buffer and of the consumer's and producer's indices. */
  constructor(mem: Mem, buffer: number, size: number, cons: number, prod: number) {
    this.mem = mem;
    this.buffer = buffer;
    this.size = size;
    this.cons = cons;
    this.prod = prod;
  }

  /** Bytes in the ring; more than its size when the indices make no sense. */
  private used(): number {
    return (this.mem.atomicLoad(this.prod) - this.mem.atomicLoad(this.cons)) >>> 0;
  }

  /** Bytes that can be read, -1 when the indices make no sense. */
  available(): number {
    const used = this.used();
    return used > this.size ? -1 : used;
  }

  /** Bytes that can be written, -1 when the indices make no sense. */
  space(): number {
    const used = this.used();
    return used > this.size ? -1 : this.size - used;
  }

  /** Takes up to `max` bytes out; none when the indices make no sense. */
  read(max: number): Uint8Array {
    const cons = this.mem.atomicLoad(this.cons);
    const used = (this.mem.atomicLoad(this.prod) - cons) >>> 0;
    const n = used > this.size ? 0 : Math.min(used, max);
    const at = cons & (this.size - 1);
    const first = Math.min(n, this.size - at);
    const out = new Uint8Array(n);
    out.set(this.mem.slice(this.buffer + at, first));
    out.set(this.mem.slice(this.buffer, n - first), first);
    if (n > 0) this.mem.atomicStore(this.cons, (cons + n) >>> 0);
    return out;
  }

  /** Puts as many of the bytes in as there is room for; answers how many. */
  write(bytes: Uint8Array): number {
    const prod = this.mem.atomicLoad(this.prod);
    const used = (prod - this.mem.atomicLoad(this.cons)) >>> 0;
    const n = used > this.size ? 0 : Math.min(this.size - used, bytes.length);
    const at = prod & (this.size - 1);
    const first = Math.min(n, this.size - at);
    this.mem.write(this.buffer + at, bytes.subarray(0, first));
    this.mem.write(this.buffer, bytes.subarray(first, n));
    if (n > 0) this.mem.atomicStore(this.prod, (prod + n) >>> 0);
    return n;
  }

  /** The reader gives up what is there, whatever the indices say. */
  discard(): void {
    this.mem.atomicStore(this.cons, this.mem.atomicLoad(this.prod));
  }
}
