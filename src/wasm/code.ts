/**
 * A growing buffer of WebAssembly code. One method per shape of instruction, not per instruction: opcodes are data in
 * opcodes.ts. @spec WebAssembly core 5.4
 */
import { OP, OP_ATOMIC, OP_BULK, OP_SIMD } from './opcodes.ts';

export class Code {
  bytes = new Uint8Array(1024);
  length = 0;

  byte(b: number): void {
    if (this.length === this.bytes.length) this.grow(1);
    this.bytes[this.length++] = b;
  }
  private grow(more: number): void {
    const bigger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    bigger.set(this.bytes);
    this.bytes = bigger;
  }

  /** Unsigned LEB128 of a 32-bit value. */
  u(n: number): void {
    n >>>= 0;
    while (n >= 0x80) {
      this.byte((n & 0x7f) | 0x80);
      n >>>= 7;
    }
    this.byte(n);
  }

  /** Signed LEB128 of a 32-bit value. */
  s(n: number): void {
    n |= 0;
    for (;;) {
      const b = n & 0x7f;
      n >>= 7;
      if ((n === 0 && (b & 0x40) === 0) || (n === -1 && (b & 0x40) !== 0)) return this.byte(b);
      this.byte(b | 0x80);
    }
  }

  /** Signed LEB128 of a 64-bit value. */
  s64(n: bigint): void {
    n = BigInt.asIntN(64, n);
    for (;;) {
      const b = Number(n & 0x7fn);
      n >>= 7n;
      if ((n === 0n && (b & 0x40) === 0) || (n === -1n && (b & 0x40) !== 0)) return this.byte(b);
      this.byte(b | 0x80);
    }
  }

  append(from: Uint8Array): void {
    if (this.length + from.length > this.bytes.length) this.grow(from.length);
    this.bytes.set(from, this.length);
    this.length += from.length;
  }

  done(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  op(opcode: number): void {
    this.byte(opcode);
  }
  i32(n: number): void {
    this.byte(OP.i32_const);
    this.s(n);
  }
  /** An i64 constant that fits in 32 signed bits. */
  i64(n: number): void {
    this.byte(OP.i64_const);
    this.s(n);
  }
  i64big(n: bigint): void {
    this.byte(OP.i64_const);
    this.s64(n);
  }
  get(local: number): void {
    this.byte(OP.local_get);
    this.u(local);
  }
  set(local: number): void {
    this.byte(OP.local_set);
    this.u(local);
  }
  tee(local: number): void {
    this.byte(OP.local_tee);
    this.u(local);
  }
  /** A load or store; `align` is log2. */
  mem(opcode: number, align: number, offset: number): void {
    this.byte(opcode);
    this.u(align);
    this.u(offset);
  }
  atomic(sub: number, align: number, offset: number): void {
    this.byte(OP_ATOMIC);
    this.u(sub);
    this.u(align);
    this.u(offset);
  }
  simd(sub: number): void {
    this.byte(OP_SIMD);
    this.u(sub);
  }
  simdMem(sub: number, align: number, offset: number): void {
    this.simd(sub);
    this.u(align);
    this.u(offset);
  }
  simdLane(sub: number, lane: number): void {
    this.simd(sub);
    this.byte(lane);
  }
  /** memory.copy or memory.fill on memory 0. */
  memoryCopy(): void {
    this.byte(OP_BULK);
    this.byte(10);
    this.byte(0);
    this.byte(0);
  }
  memoryFill(): void {
    this.byte(OP_BULK);
    this.byte(11);
    this.byte(0);
  }
  /** block, loop or if with a result type (0x40: none). */
  open(opcode: number, type = 0x40): void {
    this.byte(opcode);
    this.byte(type);
  }
  end(): void {
    this.byte(OP.end);
  }
  call(func: number): void {
    this.byte(OP.call);
    this.u(func);
  }
  /** Through table 0; the index is on the stack. */
  callIndirect(type: number): void {
    this.byte(OP.call_indirect);
    this.u(type);
    this.byte(0);
  }
  br(depth: number): void {
    this.byte(OP.br);
    this.u(depth);
  }
  brIf(depth: number): void {
    this.byte(OP.br_if);
    this.u(depth);
  }
}
