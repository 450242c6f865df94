/** xenctl_bitmap arguments: masks of at most 32 bits, in the caller's memory as bytes. @abi public/xen.h */
import { xenctl_bitmap } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';

/** The low 32 bits of the bitmap whose descriptor is at `at` in scratch; -1 when it cannot be read. */
export function getBitmap(c: Caller, at: number): number {
  const bits = Math.min(32, xenctl_bitmap.nr_bits.get(c.scratch, at));
  const copy = c.alloc(4);
  if (!c.copyInTo(copy, xenctl_bitmap.bitmap.get(c.scratch, at), Math.ceil(bits / 8))) return -1;
  const mask = bits === 32 ? 0xffff_ffff : 2 ** bits - 1;
  return (c.scratch.u32(copy) & mask) >>> 0;
}

/** Writes `mask` (of `valid` bits) there, zeroes to the descriptor's end; false when it cannot be written. */
export function putBitmap(c: Caller, at: number, mask: number, valid: number): boolean {
  const bytes = Math.ceil(xenctl_bitmap.nr_bits.get(c.scratch, at) / 8);
  const size = Math.min(bytes, 1024);
  const copy = c.alloc(Math.max(4, size));
  c.scratch.setU32(copy, mask >>> 0);
  if (bytes * 8 > valid) xenctl_bitmap.nr_bits.set(c.scratch, at, valid);
  return c.copyOut(xenctl_bitmap.bitmap.get(c.scratch, at), copy, size);
}
