/**
 * The .xz container: blocks of LZMA2, behind at most the x86 filter, which is what kernels are packed with.
 * @spec xz-file-format.txt. Of the checks, CRC32 is verified; the others are passed over.
 */
import { undoX86Filter } from './bcj-x86.ts';
import { crc32 } from './crc32.ts';
import { corrupt, LoaderError, truncated } from './errors.ts';
import { LzmaDecoder, MAX_MATCH } from './lzma.ts';
import { Sink } from './sink.ts';

const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
const CHECK_CRC32 = 1;
/** Bytes of each kind of check. */
const checkSizes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

export function unxz(src: Uint8Array, expected: number): Uint8Array {
  const view = new DataView(src.buffer, src.byteOffset, src.byteLength);
  if (src.length < 12) truncated('xz data ends in its header');
  if (crc32(src.subarray(6, 8)) !== view.getUint32(8, true)) corrupt('the xz header has a wrong checksum');
  const check = src[7]! & 15;
  const sink = new Sink(expected + MAX_MATCH);
  let pos = 12;
  while (src[pos] !== 0) {
    if (pos >= src.length) truncated('xz data ends before its index');
    const header = readBlockHeader(src, pos);
    const start = sink.length;
    pos = unpackLzma2(src, header.end, sink);
    pos += (header.end - pos) & 3;
    if (header.x86) undoX86Filter(sink.bytes.subarray(start, sink.length));
    if (pos + checkSizes[check]! > src.length) truncated('xz data ends before the checksum of a block');
    if (
      check === CHECK_CRC32 &&
      crc32(sink.bytes.subarray(start, sink.length)) !== view.getUint32(pos, true)
    ) {
      corrupt('a block of xz data has a wrong checksum');
    }
    pos += checkSizes[check]!;
  }
  return sink.finish();
}

function readBlockHeader(src: Uint8Array, start: number): { end: number; x86: boolean } {
  const end = start + (src[start]! + 1) * 4;
  if (end > src.length) truncated('xz data ends in the header of a block');
  const view = new DataView(src.buffer, src.byteOffset, src.byteLength);
  if (crc32(src.subarray(start, end - 4)) !== view.getUint32(end - 4, true)) {
    corrupt('the header of an xz block has a wrong checksum');
  }
  let pos = start + 2;
  const number = (): number => {
    let value = 0;
    for (let shift = 0; pos < end; shift += 7) {
      const byte = src[pos++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  const flags = src[start + 1]!;
  if (flags & 0x40) number();
  if (flags & 0x80) number();
  const filters: number[] = [];
  for (let i = 0; i <= (flags & 3); i++) {
    filters.push(number());
    const properties = number();
    pos += properties;
  }
  const x86 = filters.length === 2 && filters[0] === FILTER_X86;
  if (filters.at(-1) !== FILTER_LZMA2 || filters.length > (x86 ? 2 : 1)) {
    throw new LoaderError(
      'unknown-compression',
      `xz data uses filters (${filters.join(', ')}) that we do not know`,
    );
  }
  return { end, x86 };
}

/** Unpacks the chunks at `pos`; answers where they end. */
function unpackLzma2(src: Uint8Array, pos: number, sink: Sink): number {
  const decoder = new LzmaDecoder(sink);
  decoder.resetDictionary();
  let ready = false;
  for (;;) {
    const control = src[pos];
    if (control === undefined) truncated('xz data ends between two chunks');
    if (control === 0) return pos + 1;
    if (control === 1 || control >= 0xe0) decoder.resetDictionary();
    if (control < 0x80) {
      if (control > 2) corrupt(`xz data has a chunk of unknown kind ${control}`);
      pos = storedChunk(src, pos, sink);
      continue;
    }
    if (src.length - pos < 6) truncated('xz data ends in the header of a chunk');
    const size = (((control & 0x1f) << 16) | (src[pos + 1]! << 8) | src[pos + 2]!) + 1;
    const packed = ((src[pos + 3]! << 8) | src[pos + 4]!) + 1;
    pos += 5;
    if (control >= 0xc0) decoder.setProperties(src[pos++]!);
    else if (control >= 0xa0) decoder.resetState();
    ready ||= control >= 0xc0;
    if (!ready) corrupt('xz data begins without its properties');
    if (packed > src.length - pos)
      truncated(`a chunk of ${packed} bytes at offset ${pos} of xz data is cut short`);
    decoder.start(src, pos);
    pos += packed;
    const ended = decoder.run(sink.length + size);
    if (ended || !decoder.finish() || decoder.position !== pos) corrupt('a chunk of xz data is damaged');
  }
}

function storedChunk(src: Uint8Array, pos: number, sink: Sink): number {
  const size = (((src[pos + 1] ?? 0) << 8) | (src[pos + 2] ?? 0)) + 1;
  const data = src.subarray(pos + 3, pos + 3 + size);
  if (data.length < size)
    truncated(`a stored chunk of ${size} bytes at offset ${pos} of xz data is cut short`);
  sink.push(data);
  return pos + 3 + size;
}
