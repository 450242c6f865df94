/** The x87 unit of the running vCPU during one instruction: stack, tags, status, and when results may be stored. */
import type { Insn } from '../../../x86/insn.ts';
import { OPK } from '../../../x86/insn.ts';
import { cpuState } from '../../cpu-state.ts';
import type { Core } from '../core.ts';
import { checkX87 } from '../fpu.ts';
import { EXC } from '../registers.ts';
import { interceptFreeze } from '../svm/event-intercepts.ts';
import { Context, type F80, FX, INDEFINITE } from './float80.ts';

/** Bits of the status word. */
export const SW = { SF: 0x40, ES: 0x80, C0: 0x100, C1: 0x200, C2: 0x400, C3: 0x4000, B: 0x8000 } as const;
export const CC = SW.C0 | SW.C2 | SW.C3;
const CR0_NE = 0x20;
const PRECISION = [24, 24, 53, 64];

/** Raises #MF if an unmasked exception is pending. Without CR0.NE it would go to an interrupt controller we lack. */
export function checkPending(c: Core): void {
  if ((c.m.u16(c.cpu + cpuState.fsw.offset) & SW.ES) === 0) return;
  if (c.get32(cpuState.cr0) & CR0_NE) c.fault(EXC.MF);
  interceptFreeze(c);
}

/** Status word with ES and B as the exceptions and the control word's masks have it. */
export const summarised = (fsw: number, fcw: number): number =>
  fsw & ~fcw & 0x3f ? fsw | SW.ES | SW.B : fsw & ~(SW.ES | SW.B);

/**
 * Registers are written at once; the status word, tags and pointers with `commit`. So whatever may fault (a memory
 * operand) comes before the first register is written.
 */
export class Unit {
  readonly x = new Context();
  c!: Core;
  i!: Insn;
  fcw = 0;
  fsw = 0;
  /** Bit set: physical register in use. */
  private used = 0;
  private top = 0;

  /** Starts a waiting instruction, which clears C1 unless it is one of the few that keep it. */
  begin(c: Core, i: Insn, keepC1: boolean): void {
    checkX87(c);
    checkPending(c);
    this.c = c;
    this.i = i;
    const { m, cpu } = c;
    this.fcw = m.u16(cpu + cpuState.fcw.offset);
    const fsw = m.u16(cpu + cpuState.fsw.offset);
    this.used = m.u8(cpu + cpuState.ftw.offset);
    this.top = (fsw >> 11) & 7;
    this.fsw = keepC1 ? fsw : fsw & ~SW.C1;
    this.x.begin((this.fcw >> 10) & 3, PRECISION[(this.fcw >> 8) & 3]!, this.fcw);
  }
  /** Ends it: status, tags, and where it was. */
  commit(): void {
    const { c, i } = this;
    const { m, cpu } = c;
    this.fsw = summarised((this.fsw & ~0x3800) | (this.top << 11), this.fcw);
    m.setU16(cpu + cpuState.fsw.offset, this.fsw);
    m.setU8(cpu + cpuState.ftw.offset, this.used);
    m.setU16(cpu + cpuState.fop.offset, ((i.opcode & 7) << 8) | i.modrm);
    c.setLin(cpuState.fip, c.ip);
    if (i.operands[0].kind === OPK.mem) c.set(cpuState.fdp, c.offsetOf(i));
  }

  // --- stack -------------------------------------------------------------------------------------------------------

  private at(st: number): number {
    return cpuState.fpr.addr(this.c.cpu) + 16 * ((this.top + st) & 7);
  }
  empty(st: number): boolean {
    return ((this.used >> ((this.top + st) & 7)) & 1) === 0;
  }
  get(st: number): F80 {
    const at = this.at(st);
    const word = this.c.m.u16(at + 8);
    return { sign: word >> 15, exp: word & 0x7fff, sig: this.c.m.u64(at) };
  }
  set(st: number, v: F80): void {
    const at = this.at(st);
    this.c.m.setU64(at, v.sig);
    this.c.m.setU16(at + 8, (v.sign << 15) | v.exp);
    this.used |= 1 << ((this.top + st) & 7);
  }
  free(st: number): void {
    this.used &= ~(1 << ((this.top + st) & 7));
  }
  rotate(by: number): void {
    this.top = (this.top + by) & 7;
  }
  pop(): void {
    this.free(0);
    this.rotate(1);
  }
  push(v: F80): void {
    this.rotate(-1);
    this.set(0, v);
  }

  // --- exceptions --------------------------------------------------------------------------------------------------

  /** A stack fault; true: masked, the indefinite goes where the result would have. */
  stackFault(overflow: boolean): boolean {
    this.fsw = (this.fsw & ~SW.C1) | FX.IE | SW.SF | (overflow ? SW.C1 : 0);
    return (this.fcw & FX.IE) !== 0;
  }
  /** Takes over what the operation raised; false: unmasked IE, DE or ZE, and no result is to be stored. */
  accept(): boolean {
    const { x } = this;
    const first = FX.IE | FX.DE | FX.ZE;
    if (x.unmasked(first)) {
      this.fsw |= x.flags & first;
      return false;
    }
    this.fsw |= x.flags | (x.up ? SW.C1 : 0);
    return true;
  }
  /** Stores an operation's result in a register if it may; answers whether. */
  result(st: number, v: F80): boolean {
    if (!this.accept()) return false;
    this.set(st, v);
    return true;
  }
  /** With a register empty that an operation needs: the masked response in `st`. True: done with. */
  lacks(st: number, a: number, b = a): boolean {
    if (!this.empty(a) && !this.empty(b)) return false;
    if (this.stackFault(false)) this.set(st, INDEFINITE);
    return true;
  }
}
