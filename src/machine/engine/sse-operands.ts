/** The operands of an SSE instruction, as lanes of bits. */
import { type Insn, OPK, type Operand } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core } from './core.ts';

export class Operands {
  readonly c: Core;
  readonly i: Insn;

  constructor(c: Core, i: Insn) {
    this.c = c;
    this.i = i;
  }

  private xmm(o: Operand): number {
    return cpuState.xmm.addr(this.c.cpu) + o.reg * 16;
  }
  /** Operand k's lanes of `size` (1, 2, 4, 8) bytes, unsigned; of a memory operand only what it has. */
  lanes(k: number, size: number): bigint[] {
    const { c, i } = this;
    const o = i.operands[k] as Operand;
    const bytes = o.kind === OPK.mem ? o.size : 16;
    if (o.kind === OPK.mem) c.load(c.ea(i), bytes);
    else for (let b = 0; b < 16; b += 4) c.buf.setUint32(b, c.m.u32(this.xmm(o) + b), true);
    return Array.from({ length: bytes / size }, (_, n) => c.take(size, n * size));
  }
  /** Operand k's four signed 32-bit lanes. */
  words(k: number): [number, number, number, number] {
    const { c, i } = this;
    const o = i.operands[k] as Operand;
    if (o.kind !== OPK.mem) return this.wordsAt(this.xmm(o));
    c.load(c.ea(i), 16);
    return [0, 4, 8, 12].map((at) => c.buf.getInt32(at, true)) as [number, number, number, number];
  }
  xmm0(): [number, number, number, number] {
    return this.wordsAt(cpuState.xmm.addr(this.c.cpu));
  }
  private wordsAt(at: number): [number, number, number, number] {
    const { m } = this.c;
    return [m.u32(at) | 0, m.u32(at + 4) | 0, m.u32(at + 8) | 0, m.u32(at + 12) | 0];
  }
  /** Writes operand 0 (an XMM register), modulo 2^32 each. */
  setWords(words: readonly number[]): void {
    const at = this.xmm(this.i.operands[0]);
    words.forEach((w, n) => {
      this.c.m.setU32(at + 4 * n, w >>> 0);
    });
  }
  /** The first lane of operand k. */
  lane(k: number, size: number): bigint {
    return this.lanes(k, size)[0]!;
  }
  /** A general register or memory operand, unsigned. */
  gpr(k: number): bigint {
    return this.c.operand(this.i, this.i.operands[k] as Operand);
  }
  setGpr(v: bigint): void {
    const o = this.i.operands[0];
    this.c.setGpr(o.reg, o.size, v);
  }
  /** Writes lanes of operand 0 (an XMM register) from the bottom; those above stay. */
  setLanes(size: number, values: readonly bigint[]): void {
    this.put(this.xmm(this.i.operands[0]), size, values);
  }
  setXmm0(size: number, values: readonly bigint[]): void {
    this.put(cpuState.xmm.addr(this.c.cpu), size, values);
  }
  private put(at: number, size: number, values: readonly bigint[]): void {
    values.forEach((v, n) => {
      this.c.put(size, v, 0);
      for (let b = 0; b < size; b++) this.c.m.setU8(at + n * size + b, this.c.buf.getUint8(b));
    });
  }
  /** Sets the upper half of operand 0. */
  setHigh(v: bigint): void {
    this.c.m.setU64(this.xmm(this.i.operands[0]) + 8, v);
  }
  get imm(): number {
    return this.i.imm & 0xff;
  }
  get mxcsr(): number {
    return this.c.get32(cpuState.mxcsr);
  }
}
