/**
 * Reads Debian packages: an `ar` archive whose member data.tar.{xz,gz,zst} holds the files. The tar reader takes
 * chunks as they come and keeps only the file that is looked for.
 *
 * @spec deb(5), ar(5), tar(5): ustar, with GNU and pax long names
 */
import { latin1 } from '../../base/text.ts';

const AR_MAGIC = '!<arch>\n';
const AR_HEADER = 60;

/** The members of an ar archive, as views of it. */
export function readAr(archive: Uint8Array): Map<string, Uint8Array> {
  if (latin1(archive.subarray(0, 8)) !== AR_MAGIC) throw new Error('not a Debian package (no ar header)');
  const members = new Map<string, Uint8Array>();
  for (let at = 8; at + AR_HEADER <= archive.length; ) {
    const header = latin1(archive.subarray(at, at + AR_HEADER));
    const size = Number(header.slice(48, 58).trim() || Number.NaN);
    const data = at + AR_HEADER;
    if (header.slice(58) !== '`\n' || !Number.isInteger(size) || size < 0 || data + size > archive.length) {
      throw new Error(`damaged ar archive at byte ${at}`);
    }
    members.set(header.slice(0, 16).trimEnd().replace(/\/$/, ''), archive.subarray(data, data + size));
    at = data + size + (size & 1);
  }
  return members;
}

const TAR_BLOCK = 512;

interface TarHeader {
  readonly name: string;
  readonly type: string;
  readonly size: number;
}

const field = (block: Uint8Array, at: number, length: number): string =>
  latin1(block.subarray(at, at + length)).replace(/\0.*$/s, '');

/** Undefined for the zero block that ends an archive. */
function tarHeader(block: Uint8Array): TarHeader | undefined {
  if (block.every((b) => b === 0)) return undefined;
  const sum = block.reduce((s, b, i) => s + (i >= 148 && i < 156 ? 0x20 : b), 0);
  if (Number.parseInt(field(block, 148, 8), 8) !== sum) throw new Error('damaged tar archive (checksum)');
  const size = Number.parseInt(field(block, 124, 12) || '0', 8);
  if (!(size >= 0)) throw new Error('damaged tar archive (size)');
  const prefix = field(block, 257, 5) === 'ustar' && block[262] === 0 ? field(block, 345, 155) : '';
  const name = field(block, 0, 100);
  return { name: prefix === '' ? name : `${prefix}/${name}`, type: String.fromCharCode(block[156]!), size };
}

/** Hands out a stream of chunks in pieces of the sizes asked for. */
class Reader {
  private readonly chunks: AsyncIterator<Uint8Array>;
  private rest = new Uint8Array(0);

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.chunks = chunks;
  }

  /** The next `size` bytes; without `keep` they are passed over. Undefined at the stream's end. */
  async take(size: number, keep = true): Promise<Uint8Array | undefined> {
    const out = new Uint8Array(keep ? size : 0);
    for (let got = 0; got < size; ) {
      if (this.rest.length === 0) {
        const next = await this.chunks.next();
        if (next.done) {
          if (got === 0) return undefined;
          throw new Error('tar archive ends early');
        }
        this.rest = new Uint8Array(next.value);
      }
      const part = this.rest.subarray(0, size - got);
      if (keep) out.set(part, got);
      got += part.length;
      this.rest = this.rest.subarray(part.length);
    }
    return out;
  }
}

/** A pax header's path record, `LENGTH path=VALUE\n`. */
const paxPath = (records: string): string | undefined => /(?:^|\n)\d+ path=([^\n]*)\n/.exec(records)?.[1];

/** No name is longer; a larger name header is damage. */
const LONGEST_NAME = 65_536;

/**
 * The first regular file of a tar stream whose path (without a leading `./`) matches, with its path. Stops reading
 * there: the iterator's `return` runs.
 */
export async function findInTar(
  chunks: AsyncIterable<Uint8Array>,
  wanted: RegExp,
): Promise<{ path: string; data: Uint8Array } | undefined> {
  const iterator = chunks[Symbol.asyncIterator]();
  const reader = new Reader(iterator);
  let longName: string | undefined;
  try {
    for (;;) {
      const block = await reader.take(TAR_BLOCK);
      const header = block && tarHeader(block);
      if (!header) return undefined;
      const padded = Math.ceil(header.size / TAR_BLOCK) * TAR_BLOCK;
      if (header.type === 'L' || header.type === 'x') {
        if (header.size > LONGEST_NAME) throw new Error('damaged tar archive (name)');
        const text = latin1((await reader.take(padded))?.subarray(0, header.size) ?? new Uint8Array(0));
        longName = header.type === 'L' ? text.replace(/\0.*$/s, '') : (paxPath(text) ?? longName);
        continue;
      }
      const path = (longName ?? header.name).replace(/^\.\//, '');
      longName = undefined;
      const file = header.type === '0' || header.type === '\0';
      if (file && wanted.test(path)) {
        const data = await reader.take(padded);
        if (!data) throw new Error('tar archive ends early');
        return { path, data: data.slice(0, header.size) };
      }
      await reader.take(padded, false);
    }
  } finally {
    await iterator.return?.();
  }
}
