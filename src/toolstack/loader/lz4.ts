/**
 * LZ4 in the legacy frame that kernels use: a magic number, then blocks of at most 8 MiB each with its compressed size
 * before it. @spec lz4_Frame_format.md "Legacy frame", lz4_Block_format.md
 */
import { corrupt, truncated } from './errors.ts';
import { copyMatch, Sink } from './sink.ts';

const MAGIC = 0x184c2102;
const BLOCK = 8 << 20;
/** Short copies are made in whole words; so far beyond its end may one write. */
const SLACK = 16;

export function unlz4(src: Uint8Array, expected: number): Uint8Array {
  const view = new DataView(src.buffer, src.byteOffset, src.byteLength);
  const sink = new Sink(expected + BLOCK + SLACK);
  // Fewer bytes than a block size are padding; a magic number here begins another frame.
  for (let pos = 4; src.length - pos >= 4; ) {
    const size = view.getUint32(pos, true);
    pos += 4;
    if (size === MAGIC) continue;
    if (size === 0) break;
    if (size > src.length - pos) truncated(`an LZ4 block of ${size} bytes at offset ${pos} is cut short`);
    sink.reserve(BLOCK + SLACK);
    sink.length = block(src, pos, pos + size, sink.bytes, sink.length);
    pos += size;
  }
  return sink.finish();
}

/** Decodes one block to `dst` at `out`; answers where it ended. */
function block(src: Uint8Array, pos: number, end: number, dst: Uint8Array, out: number): number {
  const start = out;
  const limit = out + BLOCK;
  const from = new DataView(src.buffer, src.byteOffset, src.byteLength);
  const to = new DataView(dst.buffer, dst.byteOffset, dst.byteLength);
  while (pos < end) {
    const token = src[pos++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255 && pos < end) literals += more = src[pos++]!;
    }
    if (literals > end - pos || literals > limit - out) corrupt('an LZ4 literal run leaves its block');
    if (literals <= SLACK && end - pos >= SLACK) {
      for (let i = 0; i < literals; i += 4) to.setInt32(out + i, from.getInt32(pos + i, true), true);
    } else dst.set(src.subarray(pos, pos + literals), out);
    pos += literals;
    out += literals;
    if (pos >= end) break;
    const distance = src[pos]! | (src[pos + 1]! << 8);
    pos += 2;
    let length = token & 15;
    if (length === 15) {
      let more = 255;
      while (more === 255 && pos < end) length += more = src[pos++]!;
    }
    length += 4;
    if (distance === 0 || distance > out - start || length > limit - out) {
      corrupt('an LZ4 match leaves its block');
    }
    // a word that is copied has been written by then
    if (distance >= 4 && length <= 64) {
      for (let i = 0; i < length; i += 4) to.setInt32(out + i, to.getInt32(out + i - distance, true), true);
    } else copyMatch(dst, out, distance, length);
    out += length;
  }
  return out;
}
