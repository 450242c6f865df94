/**
 * A small x86 assembler as a class: 16-, 32- and 64-bit code, labels, data. Guests of the test suite are
 * written in it, so that no toolchain is needed to build them.
 *
 * Code is placed at a fixed address below 2 GB; a label is an absolute address of 32 bits, also in 64-bit
 * code. Jumps to labels are always near ones with the longest displacement.
 */
import { Encoder, fits } from './encoder.ts';
import type { Imm, Mem, Reg, RegMem, SystemReg } from './registers.ts';

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'] as const;
const SHIFT = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sal', 'sar'] as const;
const UNARY = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;
const CC = ['o', 'no', 'b', 'ae', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'] as const;
export type Condition = (typeof CC)[number];

/** Instructions without operands. */
const PLAIN = {
  nop: [0x90],
  pause: [0xf3, 0x90],
  hlt: [0xf4],
  cli: [0xfa],
  sti: [0xfb],
  cld: [0xfc],
  std: [0xfd],
  clc: [0xf8],
  stc: [0xf9],
  ret: [0xc3],
  int3: [0xcc],
  ud2: [0x0f, 0x0b],
  cpuid: [0x0f, 0xa2],
  rdtsc: [0x0f, 0x31],
  rdmsr: [0x0f, 0x32],
  wrmsr: [0x0f, 0x30],
  wbinvd: [0x0f, 0x09],
  clts: [0x0f, 0x06],
  vmcall: [0x0f, 0x01, 0xc1],
  vmmcall: [0x0f, 0x01, 0xd9],
  vmrun: [0x0f, 0x01, 0xd8],
  vmload: [0x0f, 0x01, 0xda],
  vmsave: [0x0f, 0x01, 0xdb],
  stgi: [0x0f, 0x01, 0xdc],
  clgi: [0x0f, 0x01, 0xdd],
  skinit: [0x0f, 0x01, 0xde],
  invlpga: [0x0f, 0x01, 0xdf],
  mfence: [0x0f, 0xae, 0xf0],
  lfence: [0x0f, 0xae, 0xe8],
  iretd: [0xcf],
  iretw: [0x66, 0xcf],
  retf: [0xcb],
  pushad: [0x60],
  popad: [0x61],
  leave: [0xc9],
  into: [0xce],
  sysenter: [0x0f, 0x34],
  sysexit: [0x0f, 0x35],
  sysretl: [0x0f, 0x07],
  iretq: [0x48, 0xcf],
  syscall: [0x0f, 0x05],
  sysretq: [0x48, 0x0f, 0x07],
  swapgs: [0x0f, 0x01, 0xf8],
  pushf: [0x9c],
  popf: [0x9d],
  movsb: [0xa4],
  movsd: [0xa5],
  movsq: [0x48, 0xa5],
  stosb: [0xaa],
  stosd: [0xab],
  stosq: [0x48, 0xab],
  lodsb: [0xac],
  repMovsb: [0xf3, 0xa4],
  repStosb: [0xf3, 0xaa],
  repStosd: [0xf3, 0xab],
  repOutsb: [0xf3, 0x6e],
} as const;
export type PlainName = keyof typeof PLAIN;

type AluOp = (typeof ALU)[number];
type ShiftOp = (typeof SHIFT)[number];

export class Asm extends Encoder {
  op(...names: PlainName[]): void {
    for (const name of names) this.db(...PLAIN[name]);
  }
  /** add or adc sbb and sub xor cmp */
  alu(op: AluOp, dst: RegMem, src: RegMem | Imm): void {
    const n = ALU.indexOf(op);
    const wide = dst.bits === 8 ? 0 : 1;
    if (typeof src !== 'object') {
      const short = typeof src !== 'string' && fits(src, 8);
      const bytes = wide === 0 || short ? 1 : dst.bits === 16 ? 2 : 4;
      this.modrm([0x80 | wide | (wide && short ? 2 : 0)], n, dst, () => this.imm(src, bytes));
    } else if (src.kind === 'reg') this.modrm([(n << 3) | wide], src, dst);
    else this.modrm([(n << 3) | 2 | wide], dst as Reg, src);
  }
  mov(dst: RegMem | SystemReg, src: RegMem | SystemReg | Imm): void {
    if (typeof src !== 'object') this.movImm(dst as RegMem, src);
    else if (src.kind !== 'reg' && src.kind !== 'mem') this.movSystem(src, dst as RegMem, 0);
    else if (dst.kind !== 'reg' && dst.kind !== 'mem') this.movSystem(dst, src, 2);
    else if (src.kind === 'reg') this.modrm([src.bits === 8 ? 0x88 : 0x89], src, dst);
    else this.modrm([src.bits === 8 ? 0x8a : 0x8b], dst as Reg, src);
  }
  private movSystem(system: SystemReg, other: RegMem, direction: 0 | 2): void {
    const rm = { ...other, bits: this.mode === 64 ? 32 : this.mode } as const;
    const opcode = { sreg: [0x8c], cr: [0x0f, 0x20], dr: [0x0f, 0x21] }[system.kind];
    this.modrm([...opcode.slice(0, -1), opcode.at(-1)! | direction], system.num, rm);
  }
  private movImm(dst: RegMem, v: Imm): void {
    const signed = typeof v === 'string' || fits(v, 32);
    if (dst.kind === 'mem' || (dst.bits === 64 && signed && typeof v !== 'string' && v < 0)) {
      const bytes = dst.bits === 64 ? 4 : ((dst.bits / 8) as 1 | 2 | 4);
      this.modrm([dst.bits === 8 ? 0xc6 : 0xc7], 0, dst, () => this.imm(v, bytes));
      return;
    }
    const unsigned = typeof v === 'string' || (v >= 0 && BigInt(v) < 1n << 32n);
    const reg: Reg = dst.bits === 64 && unsigned ? { ...dst, bits: 32 } : dst;
    this.prefixes(reg.bits, 0, reg);
    this.db((reg.bits === 8 ? 0xb0 : 0xb8) | (reg.num & 7));
    this.imm(v, (reg.bits / 8) as 1 | 2 | 4 | 8);
  }
  lea(dst: Reg, src: Mem): void {
    this.modrm([0x8d], dst, { ...src, bits: dst.bits });
  }
  test(dst: RegMem, src: Reg | Imm): void {
    const bytes = dst.bits === 8 ? 1 : dst.bits === 16 ? 2 : 4;
    if (typeof src === 'object') this.modrm([dst.bits === 8 ? 0x84 : 0x85], src, dst);
    else this.modrm([dst.bits === 8 ? 0xf6 : 0xf7], 0, dst, () => this.imm(src, bytes));
  }
  xchg(dst: RegMem, src: Reg): void {
    this.modrm([dst.bits === 8 ? 0x86 : 0x87], src, dst);
  }
  movzx(dst: Reg, src: RegMem): void {
    this.modrm([0x0f, src.bits === 8 ? 0xb6 : 0xb7], dst, { ...src, bits: dst.bits }, undefined, src);
  }
  inc(dst: RegMem): void {
    this.modrm([dst.bits === 8 ? 0xfe : 0xff], 0, dst);
  }
  dec(dst: RegMem): void {
    this.modrm([dst.bits === 8 ? 0xfe : 0xff], 1, dst);
  }
  unary(op: keyof typeof UNARY, dst: RegMem): void {
    this.modrm([dst.bits === 8 ? 0xf6 : 0xf7], UNARY[op], dst);
  }
  shift(op: ShiftOp, dst: RegMem, count: number | 'cl'): void {
    const wide = dst.bits === 8 ? 0 : 1;
    const n = SHIFT.indexOf(op);
    if (count === 'cl') this.modrm([0xd2 | wide], n, dst);
    else this.modrm([0xc0 | wide], n, dst, () => this.db(count));
  }
  set(cc: Condition, dst: RegMem): void {
    this.modrm([0x0f, 0x90 | CC.indexOf(cc)], 0, dst);
  }
  push(v: Reg | Mem | Imm): void {
    if (typeof v === 'string' || typeof v === 'number' || typeof v === 'bigint') {
      this.db(0x68);
      this.imm(v, this.mode === 16 ? 2 : 4);
    } else this.stack(v, 0x50, 0xff, 6);
  }
  pop(v: RegMem): void {
    this.stack(v, 0x58, 0x8f, 0);
  }
  private stack(v: RegMem, short: number, long: number, digit: number): void {
    /* In 64-bit code the operand has 64 bits without REX.W. */
    const plain = { ...v, bits: this.mode === 64 ? 32 : v.bits } as const;
    if (plain.kind === 'mem') this.modrm([long], digit, plain);
    else {
      this.prefixes(plain.bits, 0, plain);
      this.db(short | (plain.num & 7));
    }
  }

  /* Control flow */

  j(cc: Condition, label: string): void {
    this.db(0x0f, 0x80 | CC.indexOf(cc));
    this.relative(label);
  }
  jmp(to: string | RegMem): void {
    this.transfer(to, 0xe9, 4);
  }
  call(to: string | RegMem): void {
    this.transfer(to, 0xe8, 2);
  }
  private transfer(to: string | RegMem, direct: number, digit: number): void {
    if (typeof to === 'string') {
      this.db(direct);
      this.relative(to);
    } else this.modrm([0xff], digit, { ...to, bits: this.mode === 64 ? 32 : to.bits });
  }
  /** Far jump to selector:offset, with an offset of 32 bits. */
  farJmp(selector: number, label: Imm): void {
    if (this.mode === 64) throw new Error('a direct far jump does not exist in 64-bit code');
    if (this.mode === 16) this.db(0x66);
    this.db(0xea);
    this.imm(label, 4);
    this.dw(selector);
  }
  int(vector: number): void {
    this.db(0xcd, vector);
  }

  /* System */

  lgdt(at: Mem): void {
    this.modrm([0x0f, 0x01], 2, { ...at, bits: 32 });
  }
  lidt(at: Mem): void {
    this.modrm([0x0f, 0x01], 3, { ...at, bits: 32 });
  }
  invlpg(at: Mem): void {
    this.modrm([0x0f, 0x01], 7, { ...at, bits: 32 });
  }
  /** DX is the port; `data` is AL, AX or EAX. */
  outDx(data: Reg): void {
    this.prefixes(data.bits, 0, data);
    this.db(data.bits === 8 ? 0xee : 0xef);
  }
  inDx(data: Reg): void {
    this.prefixes(data.bits, 0, data);
    this.db(data.bits === 8 ? 0xec : 0xed);
  }
}
