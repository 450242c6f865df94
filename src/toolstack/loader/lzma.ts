/**
 * The LZMA decoder, and the format with no container (`.lzma`, "LZMA alone"). @spec lzma-specification.txt
 *
 * The hot part, literals, keeps the range coder's state in local variables; the rest works on the fields. `range` and
 * `code` are unsigned numbers kept as int32.
 */
import { corrupt, truncated } from './errors.ts';
import { copyMatch, Sink } from './sink.ts';

// Where each group of probabilities begins.
const IS_MATCH = 0;
const IS_REP = 192;
const IS_REP_G0 = 204;
const IS_REP_G1 = 216;
const IS_REP_G2 = 228;
const IS_REP0_LONG = 240;
const POS_SLOT = 432;
const POS_SPECIAL = 688;
const ALIGN = 816;
const MATCH_LEN = 832;
const REP_LEN = 1346;
const LITERAL = 1860;
// Within a length coder.
const LEN_CHOICE = 0;
const LEN_CHOICE2 = 1;
const LEN_LOW = 2;
const LEN_MID = 130;
const LEN_HIGH = 258;

const HALF = 1024;
/** The longest match, and so the room that one step may take. */
export const MAX_MATCH = 273;
/** The distance that says that the data ends here. */
const END_MARKER = 0xffffffff;

export class LzmaDecoder {
  private readonly sink: Sink;
  private probs = new Uint16Array(0);
  private literalContextBits = 0;
  private literalPosMask = 0;
  private posMask = 0;
  private state = 0;
  private rep0 = 0;
  private rep1 = 0;
  private rep2 = 0;
  private rep3 = 0;
  /** Where in the output the dictionary begins. */
  private dictionary = 0;
  private range = -1;
  private code = 0;
  private src: Uint8Array = new Uint8Array(0);
  private pos = 0;

  constructor(sink: Sink) {
    this.sink = sink;
  }

  /** Where in the source the decoder has come to. */
  get position(): number {
    return this.pos;
  }

  resetDictionary(): void {
    this.dictionary = this.sink.length;
  }

  /** Takes the properties byte and resets the state. */
  setProperties(byte: number): void {
    if (byte >= 225) corrupt(`LZMA properties ${byte} are out of range`);
    const lc = byte % 9;
    const rest = (byte - lc) / 9;
    const lp = rest % 5;
    this.literalContextBits = lc;
    this.literalPosMask = (1 << lp) - 1;
    this.posMask = (1 << ((rest - lp) / 5)) - 1;
    this.probs = new Uint16Array(LITERAL + (0x300 << (lc + lp)));
    this.resetState();
  }

  resetState(): void {
    this.probs.fill(HALF);
    this.state = this.rep0 = this.rep1 = this.rep2 = this.rep3 = 0;
  }

  /** Begins to read `src` at `pos`. */
  start(src: Uint8Array, pos: number): void {
    if (src.length - pos < 5) truncated('LZMA data ends in its first bytes');
    if (src[pos] !== 0) corrupt('LZMA data does not begin with a zero byte');
    this.src = src;
    this.range = -1;
    this.code = (src[pos + 1]! << 24) | (src[pos + 2]! << 16) | (src[pos + 3]! << 8) | src[pos + 4]!;
    this.pos = pos + 5;
  }

  /** Decodes until the output is `limit` long, or to an end marker; answers whether there was one. */
  run(limit: number): boolean {
    const { sink, probs } = this;
    while (sink.length < limit) {
      if (this.pos > this.src.length) truncated('LZMA data ends too early');
      sink.reserve(MAX_MATCH);
      const posState = (sink.length - this.dictionary) & this.posMask;
      if (this.bit(IS_MATCH + (this.state << 4) + posState) === 0) {
        this.literal(probs);
        continue;
      }
      const length = this.match(posState);
      if (length === 0) return true;
      if (this.rep0 >= sink.length - this.dictionary) corrupt('an LZMA match begins before its dictionary');
      if (length > limit - sink.length) corrupt('an LZMA match is longer than the data');
      copyMatch(sink.bytes, sink.length, this.rep0 + 1, length);
      sink.length += length;
    }
    return false;
  }

  /** Whether the range coder, too, is at its end, as it must be where the data ends. */
  finish(): boolean {
    if (this.range >>> 24 === 0) this.normalize();
    return this.code === 0;
  }

  private literal(probs: Uint16Array): void {
    const { sink, src, state } = this;
    const out = sink.length;
    const dst = sink.bytes;
    const before = out > this.dictionary ? dst[out - 1]! : 0;
    const lc = this.literalContextBits;
    const context = (((out - this.dictionary) & this.literalPosMask) << lc) + (before >> (8 - lc));
    const base = LITERAL + 0x300 * context;
    let matched = state >= 7 ? dst[out - this.rep0 - 1]! : 0;
    // While the bits agree with the byte that the last match would go on with, its bits choose the probabilities.
    let offset = state >= 7 ? 0x100 : 0;
    let { range, code, pos } = this;
    let symbol = 1;
    while (symbol < 0x100) {
      matched <<= 1;
      const matchBit = matched & offset;
      const i = base + offset + matchBit + symbol;
      const p = probs[i]!;
      if (range >>> 24 === 0) {
        range <<= 8;
        code = (code << 8) | src[pos++]!;
      }
      const bound = Math.imul(range >>> 11, p);
      if (code >>> 0 < bound >>> 0) {
        range = bound;
        probs[i] = p + ((2048 - p) >> 5);
        symbol <<= 1;
        offset &= ~matchBit;
      } else {
        range = (range - bound) | 0;
        code = (code - bound) | 0;
        probs[i] = p - (p >> 5);
        symbol = (symbol << 1) | 1;
        offset &= matchBit;
      }
    }
    this.range = range;
    this.code = code;
    this.pos = pos;
    dst[out] = symbol;
    sink.length = out + 1;
    this.state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
  }

  /** Reads a match: its distance goes to rep0, its length is the answer, 0 for an end marker. */
  private match(posState: number): number {
    const { state } = this;
    if (this.bit(IS_REP + state) === 0) return this.newMatch(posState);
    if (this.bit(IS_REP_G0 + state) === 0) {
      if (this.bit(IS_REP0_LONG + (state << 4) + posState) === 0) {
        this.state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      let distance = this.rep1;
      if (this.bit(IS_REP_G1 + state) === 1) {
        distance = this.rep2;
        if (this.bit(IS_REP_G2 + state) === 1) {
          distance = this.rep3;
          this.rep3 = this.rep2;
        }
        this.rep2 = this.rep1;
      }
      this.rep1 = this.rep0;
      this.rep0 = distance;
    }
    this.state = state < 7 ? 8 : 11;
    return this.matchLength(REP_LEN, posState);
  }

  private newMatch(posState: number): number {
    this.rep3 = this.rep2;
    this.rep2 = this.rep1;
    this.rep1 = this.rep0;
    this.state = this.state < 7 ? 7 : 10;
    const length = this.matchLength(MATCH_LEN, posState);
    this.rep0 = this.distance(Math.min(length - 2, 3));
    return this.rep0 === END_MARKER ? 0 : length;
  }

  private matchLength(coder: number, posState: number): number {
    if (this.bit(coder + LEN_CHOICE) === 0) return 2 + this.tree(coder + LEN_LOW + (posState << 3), 3);
    if (this.bit(coder + LEN_CHOICE2) === 0) return 10 + this.tree(coder + LEN_MID + (posState << 3), 3);
    return 18 + this.tree(coder + LEN_HIGH, 8);
  }

  private distance(lengthState: number): number {
    const slot = this.tree(POS_SLOT + (lengthState << 6), 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) << bits;
    if (slot < 14) return base + this.reverseTree(POS_SPECIAL + base - slot, bits);
    return (base + (this.directBits(bits - 4) << 4) + this.reverseTree(ALIGN, 4)) >>> 0;
  }

  /** One bit with an adaptive probability. */
  private bit(i: number): number {
    const { probs } = this;
    const p = probs[i]!;
    if (this.range >>> 24 === 0) this.normalize();
    const bound = Math.imul(this.range >>> 11, p);
    if (this.code >>> 0 < bound >>> 0) {
      this.range = bound;
      probs[i] = p + ((2048 - p) >> 5);
      return 0;
    }
    this.range = (this.range - bound) | 0;
    this.code = (this.code - bound) | 0;
    probs[i] = p - (p >> 5);
    return 1;
  }

  private normalize(): void {
    this.range <<= 8;
    this.code = (this.code << 8) | this.src[this.pos++]!;
  }

  /** `bits` bits, the highest first, each with the bits before it as its context. */
  private tree(base: number, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.bit(base + symbol);
    return symbol - (1 << bits);
  }

  private reverseTree(base: number, bits: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.bit(base + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  private directBits(bits: number): number {
    let value = 0;
    for (let i = 0; i < bits; i++) {
      if (this.range >>> 24 === 0) this.normalize();
      this.range >>>= 1;
      const one = this.code >>> 0 >= this.range >>> 0 ? 1 : 0;
      if (one) this.code = (this.code - this.range) | 0;
      value = (value << 1) | one;
    }
    return value;
  }
}

/** `.lzma`: properties, dictionary size, 8 bytes of unpacked size (all ones: up to an end marker), data. */
export function unlzma(src: Uint8Array, expected: number): Uint8Array {
  if (src.length < 13) truncated('LZMA data ends in its header');
  const view = new DataView(src.buffer, src.byteOffset, src.byteLength);
  const size = view.getUint32(5, true) + view.getUint32(9, true) * 2 ** 32;
  const known = size < 2 ** 53;
  const sink = new Sink((known ? size : expected) + MAX_MATCH);
  const decoder = new LzmaDecoder(sink);
  decoder.setProperties(src[0]!);
  decoder.start(src, 13);
  const ended = decoder.run(known ? size : Number.POSITIVE_INFINITY);
  if (known && sink.length !== size) corrupt('LZMA data ends before its unpacked size');
  if (ended && !decoder.finish()) corrupt('LZMA data does not end as it should');
  return sink.finish();
}
