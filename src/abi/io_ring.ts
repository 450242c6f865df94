/**
 * The shared ring of requests and responses that split devices use: a header, then the entries, a power of two of them.
 * Indices run freely; an entry's place is its index modulo the number of entries. A producer notifies the other end when
 * it passes that end's event index.
 *
 * @abi public/io/ring.h
 */
import { block, struct, u32 } from '../base/layout.ts';

export const sring = struct('sring', {
  req_prod: u32,
  req_event: u32,
  rsp_prod: u32,
  rsp_event: u32,
  pvt: block(4),
  __pad: block(44),
  ring: block(0),
});

/** Entries of `size` bytes in a ring of `bytes` bytes: the highest power of two that fits. */
export function ringEntries(bytes: number, size: number): number {
  return 2 ** Math.floor(Math.log2((bytes - sring.ring.offset) / size));
}
