/** One case in the making: what the preparations of instructions, the address and the encoder share. */
import { K, SIZE } from '../../src/x86/opcode-form.ts';
import type { Operand, Path, VectorForm } from './forms.ts';
import { edgeInt, Random } from './random.ts';
import {
  AT,
  BASED_BASE,
  CODE_BASE,
  CODE_START,
  ENDING_BASE,
  FX,
  type Kase,
  LARGE_WINDOW,
  MEM_BASE,
  MEM_SIZE,
  READ_ONLY,
  type Rec,
  SEG,
  SELECTOR,
  WINDOW,
} from './record.ts';

const LARGE = /^fx|^xsave|^xrstor/;

export class Builder {
  readonly r = new Random();
  kase!: Kase;
  rec!: Rec;
  form!: VectorForm;
  path!: Path;
  /** ModRM fields with their REX bits, the register in the opcode, VEX.vvvv. */
  reg = 0;
  rm = 0;
  vvvv = 0;
  rex40 = false;
  /** Bytes of the memory operand and what its address must be a multiple of, mostly. */
  bytes = 0;
  align = 1;
  /** Where the memory operand lies. */
  target = 0n;
  /** Registers with a task of their own, which hold no address: a bit for each. */
  avoid = 0;
  /** Bytes of the immediate operands; `branch` is a target for a relative one instead. */
  imm: number[] = [];
  branch = -1;
  /** Address size and segment override of operands that are not in ModRM. */
  implicit: { size?: number; seg?: number } = {};

  /** RIP at the snippet: an offset in 16-bit code, whose segment has a base. */
  get start(): number {
    return CODE_START + (this.mode === 16 ? 0 : CODE_BASE);
  }
  get mode(): number {
    return this.form.mode;
  }
  /** Bits of the operand size. */
  get bits(): number {
    return this.form.size * 8;
  }
  get windowLength(): number {
    return LARGE.test(this.form.op) ? LARGE_WINDOW : WINDOW;
  }

  /** Bytes of an operand size letter. */
  sizeOf(letter: number): number {
    const { size, w, mode } = this.form;
    switch (letter) {
      case SIZE.v:
        return size;
      case SIZE.y:
        return w ? 8 : 4;
      case SIZE.z:
        return Math.min(size, 4);
      case SIZE.n:
        return mode === 64 ? 8 : 4;
      case SIZE.p:
        return size + 2;
      case SIZE.a:
        return size * 2;
      case SIZE.s:
        return mode === 64 ? 10 : 6;
      case SIZE.e:
        return size === 2 ? 14 : 28;
      case SIZE.f:
        return size === 2 ? 94 : 108;
      case SIZE.k:
        return 512;
      default:
        return letter;
    }
  }
  operand(...kinds: number[]): Operand | undefined {
    return this.form.operands.find((o) => kinds.includes(o.kind));
  }

  gpr(n: number): bigint {
    return this.rec.gpr[n]!;
  }
  /** Gives a register a value and keeps addresses off it; outside 64-bit code it has 32 bits. */
  setGpr(n: number, v: bigint): void {
    this.rec.gpr[n] = this.mode === 64 ? v : v & 0xffff_ffffn;
    this.avoid |= 1 << n;
  }
  /** An edge of `bits` bits. */
  edge(bits: number): bigint {
    edgeInt(this.r, bits);
    return (BigInt(this.r.hi) << 32n) | BigInt(this.r.lo);
  }
  get flags(): number {
    return this.rec.u32(AT.flags);
  }
  set flags(v: number) {
    this.rec.setU32(AT.flags, v >>> 0);
  }
  get mxcsr(): number {
    return this.rec.u32(AT.fx + FX.mxcsr);
  }
  set mxcsr(v: number) {
    this.rec.setU32(AT.fx + FX.mxcsr, v);
  }

  /** Base of a segment register's segment, by what the case's selectors name. */
  segBase(seg: number): bigint {
    if (this.mode === 64)
      return seg === SEG.fs ? this.rec.u64(AT.fsBase) : seg === SEG.gs ? this.rec.u64(AT.gsBase) : 0n;
    switch (this.rec.u16(AT.sel + 2 * seg)) {
      case SELECTOR.code16:
        return BigInt(CODE_BASE);
      case SELECTOR.data16:
      case SELECTOR.short:
      case SELECTOR.down:
        return BigInt(MEM_BASE);
      case SELECTOR.based:
        return BigInt(BASED_BASE);
      case SELECTOR.ending:
        return BigInt(ENDING_BASE);
      default:
        return 0n;
    }
  }

  /** Places the window: across the two pages, or at the end of the second. */
  placeWindow(): void {
    const length = this.windowLength;
    const base = this.r.chance(22) ? MEM_BASE + MEM_SIZE - length : MEM_BASE + 4096 - length / 2;
    this.rec.setU32(AT.window, base);
    this.rec.setU32(AT.windowLength, length);
  }

  /** An address for `bytes` bytes: in the window, off its end, or where nothing can be read or written. */
  chooseTarget(bytes: number, align = 1, bad = true): bigint {
    const { r, rec } = this;
    const atEnd = rec.window + rec.windowLength === MEM_BASE + MEM_SIZE;
    if (bad && r.chance(4)) return r.chance(80) ? this.badTarget() & ~BigInt(align - 1) : this.badTarget();
    if (bad && atEnd && r.chance(12)) return BigInt(MEM_BASE + MEM_SIZE - r.below(bytes + 1));
    const room = Math.max(1, rec.windowLength - bytes + 1);
    const at = rec.window + r.below(room);
    return BigInt(align > 1 && r.chance(90) ? at - (at % align) : at);
  }
  private badTarget(): bigint {
    const { r } = this;
    const near = [() => BigInt(READ_ONLY + r.below(4080)), () => BigInt(MEM_BASE + 0x4000 + r.below(4080))];
    if (this.mode === 16) return r.pick(near)();
    const far = [
      ...near,
      () => BigInt(MEM_BASE - 1 - r.below(16)),
      () => BigInt(r.below(0x10000)),
      () => 0xc000_0000n + BigInt(r.below(0x1000_0000)),
    ];
    if (this.mode === 32) return r.pick(far)();
    const wide = [
      ...far,
      () => (1n << 47n) + r.u64() / 4n,
      () => 0xffff_8000_0000_0000n + r.u64() / 0x2_0000n,
    ];
    return r.pick(wide)();
  }

  /** Writes a value to the window, as far as it lies inside. */
  poke(address: bigint, bytes: number, value: bigint): void {
    const { rec } = this;
    const at = Number(BigInt.asIntN(64, address)) - rec.window;
    for (let i = Math.max(0, -at); i < bytes && at + i < rec.windowLength; i++)
      rec.bytes[AT.mem + at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  /** Is all of it in the window? Then its offset in the record, or else -1. */
  inWindow(address: bigint, bytes: number): number {
    const at = Number(BigInt.asIntN(64, address)) - this.rec.window;
    return at >= 0 && at + bytes <= this.rec.windowLength ? AT.mem + at : -1;
  }

  /** Gives the r/m operand a value. */
  setRm(bytes: number, value: bigint): void {
    if (this.form.rm === 'm') this.poke(this.target, bytes, value);
    else this.setByEncoding(this.rm, bytes, value);
  }
  /** Byte registers 4 to 7 without REX are the second bytes of 0 to 3. */
  setByEncoding(reg: number, bytes: number, value: bigint): void {
    if (bytes > 1 || reg < 4 || reg > 7 || this.hasRex) return this.setGpr(reg, value);
    this.setGpr(reg - 4, (this.gpr(reg - 4) & ~0xff00n) | ((value & 0xffn) << 8n));
  }
  get hasRex(): boolean {
    const { form } = this;
    const opcodeReg = this.operand(K.opcodeReg) !== undefined;
    return (
      this.rex40 ||
      form.w === 1 ||
      this.reg > 7 ||
      (form.rm !== 'm' && (this.rm > 7 || (opcodeReg && this.reg > 7)))
    );
  }
}
