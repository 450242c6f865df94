/** Growing output of a decoder. What was written is also the dictionary that later matches copy from. */
import { corrupt } from './errors.ts';

/** No kernel unpacks to more; the limit stops what is made to fill the memory. */
export const MAX_OUTPUT = 1 << 29;

export class Sink {
  bytes: Uint8Array;
  length = 0;

  /** `expected` bytes are likely to come. */
  constructor(expected: number) {
    this.bytes = new Uint8Array(Math.min(expected, MAX_OUTPUT));
  }

  /** Makes room for `count` more bytes; `bytes` may be another array afterwards. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    if (needed > MAX_OUTPUT) corrupt(`it unpacks to more than ${MAX_OUTPUT >> 20} MB`);
    const grown = new Uint8Array(Math.min(Math.max(needed, this.bytes.length * 2), MAX_OUTPUT));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  push(data: Uint8Array): void {
    this.reserve(data.length);
    this.bytes.set(data, this.length);
    this.length += data.length;
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** Copies within `bytes` from `distance` bytes before `to`; source and target may overlap, as a repetition. */
export function copyMatch(bytes: Uint8Array, to: number, distance: number, length: number): void {
  if (distance >= length && length > 24) {
    bytes.copyWithin(to, to - distance, to - distance + length);
    return;
  }
  for (const end = to + length; to < end; to++) bytes[to] = bytes[to - distance]!;
}
