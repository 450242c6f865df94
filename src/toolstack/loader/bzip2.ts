/**
 * bzip2. There is no formal specification; the names are those of the program's manual: blocks of Huffman-coded,
 * run-length and move-to-front coded Burrows-Wheeler transforms.
 */
import { corrupt, LoaderError, truncated } from './errors.ts';
import { Sink } from './sink.ts';

const BLOCK_MAGIC = 0x314159265359;
const END_MAGIC = 0x177245385090;
const GROUP = 50;
const MAX_CODE = 20;

/** Bits, the highest of each byte first. */
class Bits {
  private readonly src: Uint8Array;
  private pos: number;
  private held = 0;
  private count = 0;

  constructor(src: Uint8Array, pos: number) {
    this.src = src;
    this.pos = pos;
  }

  /** Up to 24 bits. */
  read(n: number): number {
    while (this.count < n) {
      if (this.pos >= this.src.length) truncated('bzip2 data ends too early');
      this.held = ((this.held & 0xffffff) << 8) | this.src[this.pos++]!;
      this.count += 8;
    }
    this.count -= n;
    return (this.held >>> this.count) & ((1 << n) - 1);
  }
}

/** A canonical Huffman code: for each length the highest code, and what to take off one to get its symbol's index. */
interface Code {
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
}

export function unbzip2(src: Uint8Array, expected: number): Uint8Array {
  const level = (src[3] ?? 0) - 0x30;
  if (level < 1 || level > 9) corrupt('bzip2 data has a wrong header');
  const bits = new Bits(src, 4);
  const sink = new Sink(expected);
  const block = new Int32Array(level * 100_000);
  for (;;) {
    const magic = bits.read(24) * 2 ** 24 + bits.read(24);
    const checksum = ((bits.read(16) << 16) | bits.read(16)) >>> 0;
    if (magic === END_MAGIC) return sink.finish();
    if (magic !== BLOCK_MAGIC) corrupt('bzip2 data has no block where one should begin');
    if (bits.read(1))
      throw new LoaderError('unknown-compression', 'bzip2 data of a very old program (randomised)');
    const origin = bits.read(24);
    const length = readBlock(bits, block);
    if (origin >= length) corrupt('a bzip2 block has a wrong origin');
    if (writeBlock(block, length, origin, sink) !== checksum) corrupt('a bzip2 block has a wrong checksum');
  }
}

/** The bytes of a block before the inverse transform, to the low bytes of `block`; answers how many. */
function readBlock(bits: Bits, block: Int32Array): number {
  const order = readSymbolMap(bits);
  const end = order.length + 1;
  const groups = bits.read(3);
  if (groups < 2 || groups > 6) corrupt('a bzip2 block has a wrong number of tables');
  const selectors = readSelectors(bits, groups);
  const codes = Array.from({ length: groups }, () => readCode(bits, end + 1));
  let length = 0;
  let run = 0;
  let runBit = 1;
  for (let i = 0; ; i++) {
    const selector = selectors[Math.floor(i / GROUP)];
    if (selector === undefined) corrupt('a bzip2 block has too few selectors');
    const symbol = readSymbol(bits, codes[selector]!);
    if (symbol <= 1) {
      // Runs are numbers in bijective base 2.
      run += runBit << symbol;
      runBit *= 2;
      if (run > block.length) corrupt('a bzip2 block is too long');
      continue;
    }
    if (run) {
      if (run > block.length - length) corrupt('a bzip2 block is too long');
      block.fill(order[0]!, length, (length += run));
      run = 0;
      runBit = 1;
    }
    if (symbol === end) return length;
    if (length === block.length) corrupt('a bzip2 block is too long');
    block[length++] = moveToFront(order, symbol - 1);
  }
}

/** The bytes that occur in the block, in ascending order. */
function readSymbolMap(bits: Bits): Uint8Array {
  const ranges = bits.read(16);
  const used: number[] = [];
  for (let high = 0; high < 16; high++) {
    if (!(ranges & (0x8000 >> high))) continue;
    const map = bits.read(16);
    for (let low = 0; low < 16; low++) if (map & (0x8000 >> low)) used.push(high * 16 + low);
  }
  if (!used.length) corrupt('a bzip2 block uses no bytes');
  return Uint8Array.from(used);
}

/** Which table each group of 50 symbols uses. */
function readSelectors(bits: Bits, groups: number): Uint8Array {
  const order = Uint8Array.from({ length: groups }, (_, i) => i);
  const selectors = new Uint8Array(bits.read(15));
  for (let i = 0; i < selectors.length; i++) {
    let index = 0;
    while (bits.read(1)) if (++index >= groups) corrupt('a bzip2 selector is out of range');
    selectors[i] = moveToFront(order, index);
  }
  return selectors;
}

function moveToFront(order: Uint8Array, index: number): number {
  if (index >= order.length) corrupt('a bzip2 symbol is out of range');
  const value = order[index]!;
  order.copyWithin(1, 0, index);
  order[0] = value;
  return value;
}

function readCode(bits: Bits, symbolCount: number): Code {
  const lengths = new Uint8Array(symbolCount);
  let length = bits.read(5);
  for (let i = 0; i < symbolCount; i++) {
    while (bits.read(1)) length += bits.read(1) ? -1 : 1;
    if (length < 1 || length > MAX_CODE) corrupt('a bzip2 code length is out of range');
    lengths[i] = length;
  }
  const limit = new Int32Array(MAX_CODE + 1).fill(-1);
  const base = new Int32Array(MAX_CODE + 1);
  const symbols = new Uint16Array(symbolCount);
  let code = 0;
  let index = 0;
  for (let n = 1; n <= MAX_CODE; n++) {
    base[n] = code - index;
    for (let i = 0; i < symbolCount; i++) {
      if (lengths[i] !== n) continue;
      symbols[index++] = i;
      limit[n] = code++;
    }
    code *= 2;
  }
  return { limit, base, symbols };
}

function readSymbol(bits: Bits, { limit, base, symbols }: Code): number {
  let code = 0;
  for (let n = 1; n <= MAX_CODE; n++) {
    code = (code << 1) | bits.read(1);
    if (code <= limit[n]!) return symbols[code - base[n]!] ?? corrupt('bzip2 data holds an impossible code');
  }
  return corrupt('bzip2 data holds an unknown code');
}

/** Undoes the transform and the outer run-length coding; answers the checksum of what it wrote. */
function writeBlock(block: Int32Array, length: number, origin: number, sink: Sink): number {
  const starts = new Int32Array(257);
  for (let i = 0; i < length; i++) starts[(block[i]! & 0xff) + 1]!++;
  for (let i = 0; i < 256; i++) starts[i + 1]! += starts[i]!;
  for (let i = 0; i < length; i++) block[starts[block[i]! & 0xff]!++]! |= i << 8;
  let next = block[origin]! >>> 8;
  let crc = -1;
  let same = 0;
  let last = -1;
  for (let i = 0; i < length; i++) {
    const entry = block[next]!;
    const byte = entry & 0xff;
    next = entry >>> 8;
    // Four equal bytes are followed by the number of further ones.
    const count = same === 4 ? byte : 1;
    if (same === 4) same = 0;
    else {
      same = byte === last ? same + 1 : 1;
      last = byte;
    }
    sink.reserve(count);
    for (let k = 0; k < count; k++) {
      sink.bytes[sink.length++] = last;
      crc = (crc << 8) ^ crcTable[((crc >>> 24) ^ last) & 0xff]!;
    }
    if (same === 0) last = -1;
  }
  return ~crc >>> 0;
}

/** CRC-32 with the highest bit first, polynomial 0x04c11db7. */
const crcTable = Int32Array.from({ length: 256 }, (_, i) => {
  let c = i << 24;
  for (let k = 0; k < 8; k++) c = (c << 1) ^ (c < 0 ? 0x04c11db7 : 0);
  return c;
});
