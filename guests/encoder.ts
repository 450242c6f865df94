/** The half of the assembler that knows encodings: places, data, labels, prefixes, ModRM and SIB. */
import type { Bits, Imm, Mem, Reg, RegMem } from './registers.ts';

interface Fixup {
  at: number;
  bytes: 1 | 2 | 4 | 8;
  label: string;
  addend: number;
  /** Relative to the end of the field. */
  relative: boolean;
}

export const fits = (v: number | bigint, bits: number): boolean =>
  BigInt.asIntN(bits, BigInt(v)) === BigInt(v);

export class Encoder {
  mode: 16 | 32 | 64;
  readonly origin: number;
  private readonly out: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly fixups: Fixup[] = [];
  private unique = 0;

  constructor(mode: 16 | 32 | 64, origin: number) {
    this.mode = mode;
    this.origin = origin;
  }

  /* Places and data */

  get here(): number {
    return this.origin + this.out.length;
  }
  label(name: string): void {
    if (this.labels.has(name)) throw new Error(`label ${name} is defined twice`);
    this.labels.set(name, this.here);
  }
  /** A label name no one else has. */
  fresh(stem: string): string {
    return `${stem}.${this.unique++}`;
  }
  addressOf(name: string): number {
    const at = this.labels.get(name);
    if (at === undefined) throw new Error(`label ${name} is not defined`);
    return at;
  }
  db(...bytes: number[]): void {
    for (const b of bytes) this.out.push(b & 0xff);
  }
  ascii(text: string): void {
    for (const ch of text) this.db(ch.charCodeAt(0));
  }
  align(to: number): void {
    while (this.here % to !== 0) this.db(0);
  }
  zero(bytes: number): void {
    for (let i = 0; i < bytes; i++) this.out.push(0);
  }
  dw(v: Imm): void {
    this.imm(v, 2);
  }
  dd(...values: Imm[]): void {
    for (const v of values) this.imm(v, 4);
  }
  dq(v: Imm): void {
    this.imm(v, 8);
  }
  /** The image, with every label resolved. */
  finish(): Uint8Array {
    const image = Uint8Array.from(this.out);
    for (const f of this.fixups) {
      const field = this.origin + f.at + f.bytes;
      let v = BigInt(this.addressOf(f.label) + f.addend - (f.relative ? field : 0));
      for (let i = 0; i < f.bytes; i++, v >>= 8n) image[f.at + i] = Number(v & 0xffn);
    }
    return image;
  }

  /* Encoding */

  protected imm(v: Imm, bytes: 1 | 2 | 4 | 8, addend = 0): void {
    if (typeof v === 'string') {
      this.fixups.push({ at: this.out.length, bytes, label: v, addend, relative: false });
      this.zero(bytes);
      return;
    }
    let n = BigInt(v);
    if (!fits(v, bytes * 8) && BigInt.asUintN(bytes * 8, n) !== n)
      throw new RangeError(`${v} has no ${bytes} bytes`);
    for (let i = 0; i < bytes; i++, n >>= 8n) this.db(Number(n & 0xffn));
  }

  /** Operand- and address-size prefixes and REX. */
  protected prefixes(bits: Bits, reg: Reg | number, rm: RegMem): void {
    const address = rm.kind === 'mem' ? (rm.base ?? rm.index)?.bits : undefined;
    if (address === 16) throw new Error('addressing through 16-bit registers is not provided for');
    if (address !== undefined && address !== this.mode) this.db(0x67);
    if (bits !== 8 && (bits === 16) !== (this.mode === 16)) this.db(0x66);
    const high = (r: Reg | undefined): number => (r !== undefined && r.num >= 8 ? 1 : 0);
    const r = typeof reg === 'number' ? (reg >= 8 ? 1 : 0) : high(reg);
    const x = rm.kind === 'mem' ? high(rm.index) : 0;
    const b = rm.kind === 'mem' ? high(rm.base) : high(rm);
    const w = bits === 64 ? 1 : 0;
    const low = (o: Reg | RegMem | number): boolean =>
      typeof o === 'object' && o.kind === 'reg' && o.rex && o.bits === 8;
    const rex = (w << 3) | (r << 2) | (x << 1) | b;
    if (rex === 0 && !low(reg) && !low(rm)) return;
    if (this.mode !== 64) throw new Error('REX is of 64-bit code');
    this.db(0x40 | rex);
  }

  /** Prefixes, opcode, ModRM and what follows; `as` is the r/m operand whose registers count for REX. */
  protected modrm(
    opcode: number[],
    reg: Reg | number,
    rm: RegMem,
    trailer?: () => void,
    as: RegMem = rm,
  ): void {
    this.prefixes(rm.bits, reg, as);
    this.db(...opcode);
    const field = ((typeof reg === 'number' ? reg : reg.num) & 7) << 3;
    if (rm.kind === 'reg') this.db(0xc0 | field | (rm.num & 7));
    else this.memory(field, rm);
    trailer?.();
  }

  private memory(field: number, m: Mem): void {
    const displacement = (bytes: 2 | 4): void => this.imm(m.label ?? m.disp, bytes, m.disp);
    const sib = (base: number): void => {
      const index = m.index === undefined ? 4 : m.index.num & 7;
      this.db((Math.log2(m.scale) << 6) | (index << 3) | base);
    };
    const base = m.base === undefined ? 5 : m.base.num & 7;
    if (m.base === undefined) {
      /* Absolute: in 64-bit code only the form with a SIB byte is. */
      if (m.index !== undefined || this.mode === 64) {
        this.db(field | 4);
        sib(base);
      } else this.db(field | (this.mode === 16 ? 6 : 5));
      displacement(this.mode === 16 && m.index === undefined ? 2 : 4);
      return;
    }
    const short = m.label === undefined && fits(m.disp, 8);
    const mod = short && m.disp === 0 && base !== 5 ? 0 : short ? 0x40 : 0x80;
    if (m.index === undefined && base !== 4) this.db(mod | field | base);
    else {
      this.db(mod | field | 4);
      sib(base);
    }
    if (mod === 0x40) this.db(m.disp);
    else if (mod === 0x80) displacement(4);
  }

  /** A displacement to a label, as wide as the mode's near jumps have it. */
  protected relative(label: string): void {
    const bytes = this.mode === 16 ? 2 : 4;
    this.fixups.push({ at: this.out.length, bytes, label, addend: 0, relative: true });
    this.zero(bytes);
  }
}
