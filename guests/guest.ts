/**
 * What every guest is made of: an assembler, registers and words of its width, a data section, and macros for
 * hypercalls, output and the end. The routines they call are in runtime.ts.
 *
 * Convention: routines and macros keep only the stack pointer and (e/r)bp.
 */
import { HVMOP_get_param } from '../src/abi/hvm_op.ts';
import { SCHEDOP_shutdown, SHUTDOWN_crash } from '../src/abi/sched.ts';
import { __HYPERVISOR_hvm_op, __HYPERVISOR_sched_op } from '../src/abi/xen.ts';
import { Asm } from './asm.ts';
import { type Classic, type Imm, type Mem, mem, R, type Reg, widen } from './registers.ts';

export const LOAD_ADDRESS = 0x100000;
/** Physical memory beyond the image that a guest uses; all of it is zero at the start. */
export const LAYOUT = {
  stackTop: 0x1f0000,
  pml4: 0x200000,
  pdpt: 0x201000,
  /** Four page directories of 2 MB pages: the first 4 GB, one to one. */
  pd: 0x202000,
  idt: 0x206000,
  line: 0x207000,
  end: 0x210000,
} as const;

/** Results, from best to worst; a guest ends with the worst that it noted. */
export const OUTCOME = { SUCCESS: 0, SKIP: 1, ERROR: 2, FAILURE: 3 } as const;

/** Something to print: text, or the value of an operand in hexadecimal or signed decimal. */
export type Part =
  | string
  | { hex: Reg | Mem }
  | { dec: Reg | Mem }
  | { text: string | Reg | Mem; length: Mem };

/** A hypercall argument: a number, an address (label, or label and offset), or a word in memory. */
export type Arg = Imm | { label: string; disp: number } | Mem;

export class Guest {
  readonly a: Asm;
  readonly bits: 32 | 64;
  private readonly strings = new Map<string, string>();
  private readonly sections: (() => void)[] = [];

  constructor(bits: 32 | 64) {
    this.bits = bits;
    this.a = new Asm(32, LOAD_ADDRESS);
  }

  get wordBytes(): 4 | 8 {
    return this.bits === 64 ? 8 : 4;
  }
  /** A register of the guest's width. */
  r(name: Classic): Reg {
    return widen(name, this.bits);
  }
  /** A memory operand of the guest's width. */
  word(at: Reg | string | number, disp = 0): Mem {
    return mem(this.bits, at, disp);
  }

  /* Data */

  /** Runs `emit` after the code, under `label`. */
  data(label: string, emit: (a: Asm) => void, align = 8): string {
    this.sections.push(() => {
      this.a.align(align);
      this.a.label(label);
      emit(this.a);
    });
    return label;
  }
  variable(label: string, bytes: number): string {
    return this.data(label, (a) => a.zero(bytes));
  }
  /** A value as wide as a pointer of the guest. */
  emitWord(v: Imm): void {
    if (this.bits === 64) this.a.dq(v);
    else this.a.dd(v);
  }
  string(text: string): string {
    const known = this.strings.get(text);
    if (known !== undefined) return known;
    const label = this.a.fresh('string');
    this.strings.set(text, label);
    return this.data(label, (a) => a.ascii(text), 1);
  }
  finish(): Uint8Array {
    for (const emit of this.sections) emit();
    return this.a.finish();
  }

  /* Macros */

  private loadArg(reg: Reg, arg: Arg): void {
    if (typeof arg !== 'object') this.a.mov(reg, arg);
    else if ('kind' in arg) {
      const narrow: Reg = arg.bits === 32 ? { ...reg, bits: 32 } : reg;
      this.a.mov(narrow, arg);
    } else this.a.lea(reg, this.word(arg.label, arg.disp));
  }
  /** The result is in (e/r)ax. */
  hypercall(nr: number, ...args: Arg[]): void {
    const { a } = this;
    const regs = this.bits === 64 ? [R.rdi, R.rsi, R.rdx, R.r10, R.r8] : [R.ebx, R.ecx, R.edx, R.esi, R.edi];
    args.forEach((arg, i) => {
      this.loadArg(regs[i]!, arg);
    });
    a.mov(R.eax, nr);
    a.call('rt.hypercall');
  }
  /** Prints the parts as one message. A register must be one that its own printing has not used yet: give it first. */
  print(...parts: Part[]): void {
    const { a } = this;
    for (const part of parts) {
      if (typeof part === 'string') {
        a.mov(this.r('si'), this.string(part));
        a.mov(this.r('cx'), part.length);
        a.call('rt.appendText');
      } else if ('text' in part) {
        a.mov(this.r('si'), part.text);
        this.load(this.r('cx'), part.length);
        a.call('rt.appendText');
      } else {
        const [source, routine] = 'hex' in part ? [part.hex, 'rt.appendHex'] : [part.dec, 'rt.appendDec'];
        this.load(this.r('ax'), source);
        a.call(routine);
      }
    }
    a.call('rt.flush');
  }
  private load(to: Reg, from: Reg | Mem): void {
    if (from.bits === this.bits || from.kind === 'reg') {
      if (from.kind === 'mem' || from.num !== to.num) this.a.mov(to, from);
    } else if (from.bits === 32) this.a.mov({ ...to, bits: 32 }, from);
    else this.a.movzx({ ...to, bits: 32 }, from);
  }
  /** Notes an outcome; worse ones stay. */
  note(outcome: keyof typeof OUTCOME): void {
    const { a } = this;
    const skip = a.fresh('note');
    a.alu('cmp', mem(32, 'rt.outcome'), OUTCOME[outcome]);
    a.j('ae', skip);
    a.mov(mem(32, 'rt.outcome'), OUTCOME[outcome]);
    a.label(skip);
  }
  fail(...parts: Part[]): void {
    this.note('FAILURE');
    this.print('Fail: ', ...parts, '\n');
  }
  /** Prints the result that was noted and powers off. */
  end(): void {
    this.a.jmp('rt.end');
  }
  /** Does not return. Without Xen the guest halts. */
  shutdown(reason: number): void {
    const { a } = this;
    a.alu('cmp', mem(32, 'rt.xenBase'), 0);
    a.j('z', 'rt.stop');
    a.mov(mem(32, 'rt.shutdownReason'), reason);
    this.hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, 'rt.shutdownReason');
    a.jmp('rt.stop');
  }
  panic(...parts: Part[]): void {
    this.print('PANIC: ', ...parts, '\n');
    this.shutdown(SHUTDOWN_crash);
  }
  /** HVMOP_get_param of the guest's own domain: the result of the call in ax, the value in `rt.param` + 8. */
  getParam(index: number): void {
    this.a.mov(mem(32, 'rt.param', 4), index);
    this.hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, 'rt.param');
  }
  /** Code for each outcome of a comparison that has just been made. */
  when(cc: 'z' | 'nz', then: () => void): void {
    const skip = this.a.fresh('when');
    this.a.j(cc === 'z' ? 'nz' : 'z', skip);
    then();
    this.a.label(skip);
  }
}
