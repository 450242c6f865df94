/**
 * Byte-addressed little-endian memory: the whole machine, or one image while it is being built.
 *
 * One concrete class, so that every accessor stays monomorphic. The buffer may be a growing shared one: another
 * thread can grow it, so whoever enters from outside (a hypercall, a wake-up) calls `refresh` first.
 */
export class Mem {
  /** Yields the buffer as it is now; a grown shared memory yields a longer one. */
  readonly source: () => ArrayBufferLike;
  bytes: Uint8Array;
  view: DataView;
  words: Int32Array;

  constructor(source: ArrayBufferLike | (() => ArrayBufferLike)) {
    this.source = typeof source === 'function' ? source : () => source;
    const buffer = this.source();
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }

  /** A private memory of `size` bytes, zeroed. */
  static alloc(size: number): Mem {
    return new Mem(new ArrayBuffer(size));
  }

  get size(): number {
    return this.bytes.length;
  }

  /** Takes up the buffer's present length. */
  refresh(): void {
    const buffer = this.source();
    if (buffer.byteLength === this.bytes.length) return;
    this.bytes = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.words = new Int32Array(buffer, 0, buffer.byteLength >> 2);
  }

  u8(a: number): number {
    return this.bytes[a]!;
  }
  u16(a: number): number {
    return this.view.getUint16(a, true);
  }
  u32(a: number): number {
    return this.view.getUint32(a, true);
  }
  s8(a: number): number {
    return this.view.getInt8(a);
  }
  s16(a: number): number {
    return this.view.getInt16(a, true);
  }
  s32(a: number): number {
    return this.view.getInt32(a, true);
  }
  u64(a: number): bigint {
    return this.view.getBigUint64(a, true);
  }
  s64(a: number): bigint {
    return this.view.getBigInt64(a, true);
  }
  /** A 64-bit field as a number; exact below 2^53. */
  n64(a: number): number {
    return this.view.getUint32(a, true) + this.view.getUint32(a + 4, true) * 0x1_0000_0000;
  }
  f64(a: number): number {
    return this.view.getFloat64(a, true);
  }

  setU8(a: number, v: number): void {
    this.bytes[a] = v;
  }
  setU16(a: number, v: number): void {
    this.view.setUint16(a, v, true);
  }
  setU32(a: number, v: number): void {
    this.view.setUint32(a, v, true);
  }
  setU64(a: number, v: bigint): void {
    this.view.setBigUint64(a, v, true);
  }
  /** Stores a non-negative exact number as a 64-bit field. */
  setN64(a: number, v: number): void {
    this.view.setUint32(a, v >>> 0, true);
    this.view.setUint32(a + 4, Math.floor(v / 0x1_0000_0000), true);
  }
  setF64(a: number, v: number): void {
    this.view.setFloat64(a, v, true);
  }

  /** A live view of `len` bytes; valid until the memory grows. */
  slice(a: number, len: number): Uint8Array {
    return this.bytes.subarray(a, a + len);
  }
  /** A private copy of `len` bytes. */
  copy(a: number, len: number): Uint8Array {
    return this.bytes.slice(a, a + len);
  }
  write(a: number, from: Uint8Array): void {
    this.bytes.set(from, a);
  }
  fill(a: number, len: number, value = 0): void {
    this.bytes.fill(value, a, a + len);
  }
  move(to: number, from: number, len: number): void {
    this.bytes.copyWithin(to, from, from + len);
  }

  // Atomics on naturally aligned 32-bit words. Each answers the value before the operation, as unsigned.
  atomicLoad(a: number): number {
    return Atomics.load(this.words, a >>> 2) >>> 0;
  }
  atomicStore(a: number, v: number): void {
    Atomics.store(this.words, a >>> 2, v | 0);
  }
  atomicOr(a: number, v: number): number {
    return Atomics.or(this.words, a >>> 2, v | 0) >>> 0;
  }
  atomicAnd(a: number, v: number): number {
    return Atomics.and(this.words, a >>> 2, v | 0) >>> 0;
  }
  atomicAdd(a: number, v: number): number {
    return Atomics.add(this.words, a >>> 2, v | 0) >>> 0;
  }
  atomicXchg(a: number, v: number): number {
    return Atomics.exchange(this.words, a >>> 2, v | 0) >>> 0;
  }
  /** Answers the value found; the store happened iff that equals `expected`. */
  atomicCmpxchg(a: number, expected: number, v: number): number {
    return Atomics.compareExchange(this.words, a >>> 2, expected | 0, v | 0) >>> 0;
  }
}
