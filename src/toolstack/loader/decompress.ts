/** Recognises and undoes the compressions that kernels come in. */
import { FlateErrorCode, gunzipSync } from 'fflate/browser';
import { decompress as unzstd, ZstdErrorCode } from 'fzstd';
import { unbzip2 } from './bzip2.ts';
import { crc32 } from './crc32.ts';
import { corrupt, LoaderError, truncated } from './errors.ts';
import { unlz4 } from './lz4.ts';
import { unlzma } from './lzma.ts';
import { unlzop } from './lzo.ts';
import { MAX_OUTPUT } from './sink.ts';
import { unxz } from './xz.ts';

interface Format {
  readonly name: string;
  readonly magic: readonly number[];
  /** `expected`: how many bytes are likely to come out, 0 if nobody knows. */
  readonly unpack: (data: Uint8Array, expected: number) => Uint8Array;
}

const formats: readonly Format[] = [
  { name: 'gzip', magic: [0x1f, 0x8b, 8], unpack: gunzip },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], unpack: unxz },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18], unpack: unlz4 },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], unpack: zstd },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], unpack: unbzip2 },
  { name: 'lzop', magic: [0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a], unpack: unlzop },
  // No magic number: the properties that everyone uses, and a dictionary of whole 64 KiB.
  { name: 'lzma', magic: [0x5d, 0, 0], unpack: unlzma },
];

/** The name of the compression that data begins with. */
export function compressionOf(data: Uint8Array): string | undefined {
  return find(data)?.name;
}

/** The unpacked data, or undefined if it is not compressed with anything we know. Throws LoaderError. */
export function decompress(data: Uint8Array, expected = 0): Uint8Array | undefined {
  const format = find(data);
  if (!format) return undefined;
  try {
    return format.unpack(data, expected);
  } catch (error) {
    if (error instanceof LoaderError) throw error;
    return corrupt(`${format.name} data is damaged: ${error instanceof Error ? error.message : error}`);
  }
}

function find(data: Uint8Array): Format | undefined {
  return formats.find(({ magic }) => magic.every((byte, i) => data[i] === byte));
}

function gunzip(data: Uint8Array): Uint8Array {
  if (data.length < 18) truncated('gzip data ends in its header');
  const trailer = new DataView(data.buffer, data.byteOffset + data.length - 8, 8);
  const size = trailer.getUint32(4, true);
  // Deflate cannot do better than 1032 to 1: what says a larger size is not the end of the data.
  if (size > MAX_OUTPUT || size > data.length * 1032) truncated('gzip data does not end with its size');
  const out = orTruncated('gzip', FlateErrorCode.UnexpectedEOF, () =>
    gunzipSync(data, { out: new Uint8Array(size) }),
  );
  if (crc32(out) !== trailer.getUint32(0, true)) corrupt('gzip data has a wrong checksum');
  return out;
}

const ZSTD_SINGLE_SEGMENT = 0x20;
const ZSTD_CHECKSUM = 0x04;
const ZSTD_DICTIONARY = 0x03;

function zstd(data: Uint8Array, expected: number): Uint8Array {
  const flags = data[4] ?? truncated('zstd data ends in its header');
  // A frame that a pipe was compressed to does not know its size, and unpacks at a quarter of the speed.
  const sized = flags >> 6 || flags & (ZSTD_SINGLE_SEGMENT | ZSTD_DICTIONARY) || !expected;
  const frame = sized ? data : withSize(data, flags, expected);
  const out = orTruncated('zstd', ZstdErrorCode.UnexpectedEOF, () => unzstd(frame));
  if (out.length > MAX_OUTPUT) corrupt(`zstd data unpacks to more than ${MAX_OUTPUT >> 20} MB`);
  return out;
}

/** The frame with its size in the header instead of its window. @spec RFC 8878 3.1.1.1 */
function withSize(data: Uint8Array, flags: number, size: number): Uint8Array {
  const out = new Uint8Array(data.length + 3);
  out.set(data.subarray(0, 4));
  out[4] = 0x80 | ZSTD_SINGLE_SEGMENT | (flags & ZSTD_CHECKSUM);
  new DataView(out.buffer).setUint32(5, size, true);
  out.set(data.subarray(6), 9);
  return out;
}

/** Runs a library's decoder, whose errors carry a code. */
function orTruncated(format: string, endCode: number, unpack: () => Uint8Array): Uint8Array {
  try {
    return unpack();
  } catch (error) {
    if ((error as { code?: unknown }).code === endCode) truncated(`${format} data ends too early`);
    throw error;
  }
}
