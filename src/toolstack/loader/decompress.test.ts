import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32 } from './crc32.ts';
import { compressionOf, decompress } from './decompress.ts';
import { LoaderError } from './errors.ts';

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`./fixtures/${name}`, import.meta.url)));
const original = new Uint8Array(gunzipSync(fixture('tiny.gz')));

const files: [file: string, format: string][] = [
  ['tiny.gz', 'gzip'],
  ['tiny.xz', 'xz'],
  ['tiny-sha256.xz', 'xz'],
  ['tiny.lzma', 'lzma'],
  ['tiny.lz4', 'lz4'],
  ['tiny.zst', 'zstd'],
  ['tiny-unsized.zst', 'zstd'],
  ['tiny.bz2', 'bzip2'],
  ['tiny.lzo', 'lzop'],
];

const isOriginal = (data: Uint8Array | undefined): boolean => !!data && Buffer.compare(data, original) === 0;

function attempt(data: Uint8Array, expected = 0): Uint8Array | LoaderError | undefined {
  try {
    return decompress(data, expected);
  } catch (error) {
    if (error instanceof LoaderError) return error;
    throw error;
  }
}

describe.each(files)('%s', (file, format) => {
  const packed = fixture(file);

  it('is recognised', () => {
    expect(compressionOf(packed)).toBe(format);
  });

  it('unpacks to what was packed, whether or not the size is known, and wherever it lies', () => {
    expect(isOriginal(decompress(packed))).toBe(true);
    expect(isOriginal(decompress(packed, original.length))).toBe(true);
    const shifted = new Uint8Array(packed.length + 7);
    shifted.set(packed, 3);
    expect(isOriginal(decompress(shifted.subarray(3, 3 + packed.length)))).toBe(true);
  });

  it('is refused when it is cut short', () => {
    for (const part of [0.02, 0.1, 0.3, 0.5, 0.8, 0.95]) {
      const result = attempt(packed.subarray(0, Math.max(9, Math.floor(packed.length * part))));
      expect(result, `${part}`).toBeInstanceOf(LoaderError);
      expect(['truncated', 'corrupt']).toContain((result as LoaderError).code);
    }
  });

  it('yields data or a LoaderError, never anything else, when it is damaged', () => {
    const damage = fc.array(fc.tuple(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(damage, (places) => {
        const copy = packed.slice();
        for (const [at, flip] of places) copy[at]! ^= flip;
        attempt(copy, original.length);
      }),
      { numRuns: 60 },
    );
  });
});

describe('decompress', () => {
  it('answers undefined for what is not compressed', () => {
    expect(decompress(new Uint8Array(0))).toBeUndefined();
    expect(decompress(original)).toBeUndefined();
  });

  it.each(['tiny.gz', 'tiny.xz', 'tiny.bz2'])('finds one wrong bit in %s by its checksum', (file) => {
    const copy = fixture(file);
    copy[copy.length >> 1]! ^= 1;
    expect(attempt(copy)).toBeInstanceOf(LoaderError);
  });

  it('refuses a size that would exhaust the memory', () => {
    const bomb = fixture('tiny.gz');
    new DataView(bomb.buffer).setUint32(bomb.length - 4, 0xffff_ffff, true);
    expect(attempt(bomb)).toMatchObject({ code: 'truncated' });
  });

  it('names a filter of xz that it does not know', () => {
    const copy = fixture('tiny.xz');
    // The first filter of the first block: 7 is the filter for Arm.
    copy[14] = 7;
    new DataView(copy.buffer).setUint32(20, crc32(copy.subarray(12, 20)), true);
    expect(attempt(copy)).toMatchObject({
      code: 'unknown-compression',
      message: expect.stringContaining('(7, 33)'),
    });
  });
});

describe('crc32', () => {
  it('is that of gzip for any length', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
    expect(crc32(new TextEncoder().encode('The quick brown fox jumps over the lazy dog'))).toBe(0x414fa339);
  });
});
