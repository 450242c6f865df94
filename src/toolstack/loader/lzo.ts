/**
 * LZO1X in the container of the lzop program, which is how kernels carry it.
 * @spec Linux Documentation/staging/lzo.rst describes the stream. Checksums are passed over.
 */
import { corrupt, LoaderError, truncated } from './errors.ts';
import { copyMatch, Sink } from './sink.ts';

// Flags of the header.
const ADLER32_UNPACKED = 0x1;
const ADLER32_PACKED = 0x2;
const EXTRA_FIELD = 0x40;
const CRC32_UNPACKED = 0x100;
const CRC32_PACKED = 0x200;
const FILTER = 0x800;
/** The first version whose header has the later fields. */
const LATER_FIELDS = 0x0940;
const MAX_BLOCK = 64 << 20;

export function unlzop(src: Uint8Array, expected: number): Uint8Array {
  const view = new DataView(src.buffer, src.byteOffset, src.byteLength);
  const u32 = (at: number): number => {
    if (at + 4 > src.length) truncated('lzop data ends too early');
    return view.getUint32(at);
  };
  const { flags, end } = readHeader(src, u32);
  const sink = new Sink(expected);
  const unpackedSums = checksumBytes(flags, ADLER32_UNPACKED, CRC32_UNPACKED);
  const packedSums = checksumBytes(flags, ADLER32_PACKED, CRC32_PACKED);
  for (let pos = end; ; ) {
    const size = u32(pos);
    if (size === 0) return sink.finish();
    const packed = u32(pos + 4);
    pos += 8 + unpackedSums + (packed < size ? packedSums : 0);
    if (size > MAX_BLOCK || packed > size) corrupt('an lzop block has a wrong size');
    if (packed > src.length - pos)
      truncated(`an lzop block of ${packed} bytes at offset ${pos} is cut short`);
    const data = src.subarray(pos, pos + packed);
    if (packed === size) sink.push(data);
    else unlzo1x(data, size, sink);
    pos += packed;
  }
}

function checksumBytes(flags: number, one: number, other: number): number {
  return (flags & one ? 4 : 0) + (flags & other ? 4 : 0);
}

/** magic[9], version, library version, [needed version], method, [level], flags, [filter], mode, time, name, checksum. */
function readHeader(src: Uint8Array, u32: (at: number) => number): { flags: number; end: number } {
  const later = u32(9) >>> 16 >= LATER_FIELDS;
  let pos = later ? 15 : 13;
  const method = src[pos];
  pos += later ? 2 : 1;
  if (method === undefined) truncated('lzop data ends in its header');
  if (method < 1 || method > 3)
    throw new LoaderError('unknown-compression', `lzop data uses method ${method}`);
  const flags = u32(pos);
  pos += 4 + (flags & FILTER ? 4 : 0) + (later ? 12 : 8);
  pos += 1 + (u32(pos) >>> 24) + 4;
  if (flags & EXTRA_FIELD) pos += 4 + u32(pos) + 4;
  return { flags, end: pos };
}

/** Appends the `size` bytes that `src` unpacks to. */
function unlzo1x(src: Uint8Array, size: number, sink: Sink): void {
  sink.reserve(size);
  const dst = sink.bytes;
  const start = sink.length;
  const limit = start + size;
  let out = start;
  let pos = 0;

  const literals = (count: number): void => {
    if (count > src.length - pos || count > limit - out) corrupt('an LZO literal run leaves its block');
    for (let i = 0; i < count; i++) dst[out++] = src[pos++]!;
  };
  const match = (distance: number, length: number): void => {
    if (distance > out - start || length > limit - out) corrupt('an LZO match leaves its block');
    copyMatch(dst, out, distance, length);
    out += length;
  };
  /** A length that is `bits`, or goes on in further bytes where that is 0. */
  const long = (bits: number, base: number): number => {
    if (bits) return bits;
    let length = base;
    while (src[pos] === 0) {
      pos++;
      length += 255;
    }
    return length + (src[pos++] ?? 0);
  };
  const byte = (): number => src[pos++] ?? corrupt('LZO data ends without its end marker');

  /** Literals copied by the instruction before: 0 to 3, or 4 for a run of more. */
  let state = 0;
  if (src[0]! > 17) {
    const count = byte() - 17;
    literals(count);
    state = Math.min(count, 4);
  }
  for (;;) {
    const op = byte();
    let low = op;
    if (op >= 64) {
      match((byte() << 3) + ((op >> 2) & 7) + 1, op >= 128 ? 5 + ((op >> 5) & 3) : 3 + ((op >> 5) & 1));
    } else if (op >= 16) {
      const near = op >= 32;
      const length = 2 + (near ? long(op & 31, 31) : long(op & 7, 7));
      low = byte();
      const distance = (byte() << 6) + (low >> 2);
      if (near) match(distance + 1, length);
      else if ((op & 8) === 0 && distance === 0) break;
      else match(16384 + ((op & 8) << 11) + distance, length);
    } else if (state === 0) {
      literals(3 + long(op, 15));
      state = 4;
      continue;
    } else {
      const distance = (byte() << 2) + (op >> 2);
      if (state === 4) match(distance + 2049, 3);
      else match(distance + 1, 2);
    }
    state = low & 3;
    literals(state);
  }
  if (out !== limit) corrupt('an LZO block unpacks to another size than it says');
  sink.length = out;
}
