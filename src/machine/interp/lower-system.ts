/** Lowering of system instructions: handlers and routines for the plain case, helpers for what is left. */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { OPERAND_SEGMENT } from './function.ts';
import { INT_NEXT } from './gate-routines.ts';
import { I } from './handler-index.ts';
import { FORM } from './handlers.ts';
import { FlowLowering } from './lower-flow.ts';
import { REC } from './record.ts';
import { FLOW, RSP, TMP } from './record-writer.ts';
import { systemRoutineNamed } from './routine-list.ts';
import { SAVE } from './state-routines.ts';

/** Helpers after which the next instruction in memory is not what runs. */
const ENDS = new Set([
  X.invalid,
  X.retf,
  X.jmpf,
  X.callf,
  X.iret,
  X.int,
  X.int3,
  X.int1,
  X.loop,
  X.loope,
  X.loopne,
  X.jrcxz,
  X.ud0,
  X.ud1,
  X.ud2,
  X.hlt,
  X.syscall,
  X.sysret,
  X.sysenter,
  X.sysexit,
]);

/** Those that are fields of the vCPU's state, by number. */
const CONTROL_REGISTERS: readonly ({ offset: number } | undefined)[] = [
  cpuState.cr0,
  undefined,
  cpuState.cr2,
  cpuState.cr3,
  cpuState.cr4,
];

/** Segment registers that are loaded without more to it; in 64-bit code with a null selector, whatever the privilege. */
const DATA = new Set<number>([SEG.es, SEG.ds, SEG.fs, SEG.gs]);

export class SystemLowering extends FlowLowering {
  /** What has no handler. */
  protected unknown(i: Insn): number {
    return ENDS.has(i.op) ? this.helper(i) : this.helperNext(i);
  }

  /** In 64-bit code, and SYSRET to it; other forms are the helper's. */
  protected system(i: Insn): number {
    if (this.codeSize !== 64 || (i.op === X.sysret && i.opSize !== 8)) return this.unknown(i);
    const a = this.record(this.find(i.op, 8, FORM.none));
    this.mem.setU32(a + REC.insn, this.keep(i));
    return i.op === X.swapgs ? FLOW.next : FLOW.end;
  }
  /** MOV from a segment register to another register is a load of the vCPU's state; MOV to one has a plain case. */
  protected segmentRegister(i: Insn): number {
    const [d, s] = i.operands;
    if (d.kind === OPK.sreg && DATA.has(d.reg)) {
      if (this.codeSize !== 64)
        return this.systemRoutine(
          i,
          'loadSegment',
          d.reg,
          s.kind === OPK.mem ? this.fetch(i, 2) : this.reg(s),
        );
      if (s.kind === OPK.gpr) return this.systemRoutine(i, 'loadNull', d.reg, this.reg(s));
    }
    if (d.kind !== OPK.gpr) return this.helperNext(i);
    const z = i.opSize === 2 ? 2 : 4;
    const a = this.record(z === 2 ? this.find(X.mov, 2, FORM.rr) : this.find(X.movzx, 4, FORM.rr, 2));
    this.mem.setU16(a + REC.r1, this.reg(d));
    this.mem.setU16(a + REC.r2, cpuState.seg.addr(0, s.reg) + segment.sel.offset);
    return FLOW.next;
  }
  protected override push(i: Insn): number {
    const o = i.operands[0];
    if (o.kind !== OPK.sreg || this.codeSize === 64) return super.push(i);
    const a = this.record(this.find(X.movzx, 4, FORM.rr, 2));
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.mem.setU16(a + REC.r2, cpuState.seg.addr(0, o.reg) + segment.sel.offset);
    return this.pushRegister(TMP[0], i.opSize);
  }
  protected override pop(i: Insn): number {
    const o = i.operands[0];
    if (o.kind === OPK.mem) return this.popToMemory(i);
    if (o.kind !== OPK.sreg || !DATA.has(o.reg) || this.codeSize === 64 || this.stackMask === 0xffff)
      return super.pop(i);
    const load = this.record(this.find(X.mov, i.opSize, FORM.rm));
    this.mem.setU16(load + REC.r1, TMP[0]);
    this.stack(load, RSP, 0);
    this.systemRoutine(i, 'loadSegment', o.reg, TMP[0]);
    return this.popped(i);
  }
  /** The address is of the stack pointer behind the word. */
  private popToMemory(i: Insn): number {
    const z = i.opSize;
    const disp = i.base === RSP ? i.disp + z : i.disp;
    if (this.stackMask === 0xffff || disp !== (disp | 0)) return super.pop(i);
    const load = this.record(this.find(X.mov, z, FORM.rm));
    this.mem.setU16(load + REC.r1, TMP[0]);
    this.stack(load, RSP, 0);
    const store = this.record(this.find(X.mov, z, FORM.mr));
    this.mem.setU16(store + REC.r1, TMP[0]);
    this.address(store, i);
    if (i.base === RSP) this.mem.words[(store + REC.disp) >>> 2] = disp;
    return this.popped(i);
  }
  /** The stack pointer moves over a word, once nothing can fault any more. */
  private popped(i: Insn): number {
    const a = this.record(this.find(X.lea, this.codeSize === 64 ? 8 : 4, FORM.r));
    this.mem.setU16(a + REC.r1, RSP * 8);
    this.stack(a, RSP, i.opSize);
    return FLOW.next;
  }
  protected fastCall(i: Insn, name: 'sysenter' | 'sysexit'): number {
    if (this.codeSize === 64) return this.helper(i);
    return this.leading(i, name, 0);
  }
  /** A routine that leaves where to go on. */
  private leading(i: Insn, name: string, bits: number): number {
    this.systemRoutine(i, name, bits, TMP[0]);
    this.mem.setU16(this.record(this.find(X.jmp, 4, FORM.r)) + REC.r1, TMP[0]);
    return FLOW.end;
  }
  protected controlRegister(i: Insn): number {
    const [d, s] = i.operands;
    if (d.kind === OPK.cr && d.reg === 3 && this.codeSize !== 16) {
      this.systemRoutine(i, 'movToCr3', 0, this.reg(s));
      // what is behind may be another page
      this.nextPage(this.next);
      return FLOW.end;
    }
    const field = d.kind === OPK.gpr && this.codeSize !== 16 ? CONTROL_REGISTERS[s.reg] : undefined;
    if (field === undefined) return this.helperNext(i);
    const a = this.record(this.find(I.movFromCr, this.codeSize / 8, FORM.rr));
    this.mem.setU16(a + REC.r1, this.reg(d));
    this.mem.setU16(a + REC.r2, field.offset);
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.next;
  }
  protected stateRoutine(i: Insn, name: string, bits: number): number {
    if (this.codeSize === 64) return i.opSize === 8 ? this.ofAddress(i, name, bits) : this.helperNext(i);
    return this.ofAddress(i, name, bits | SAVE.narrow);
  }
  /** A routine whose operand is the offset of the memory operand, in a segment that may have no limit. */
  protected ofAddress(i: Insn, name: string, bits: number): number {
    if (i.seg === SEG.fs || i.seg === SEG.gs) return this.helperNext(i);
    const a = this.record(this.find(X.lea, 8, FORM.r));
    this.mem.setU16(a + REC.r1, TMP[2]);
    this.address(a, i);
    return this.systemRoutine(i, name, bits | (i.seg << OPERAND_SEGMENT), TMP[2]);
  }
  protected systemRoutine(i: Insn, name: string, bits: number, operand: number): number {
    const a = this.special('routine');
    this.mem.setU16(a + REC.r1, operand);
    this.mem.setU16(a + REC.r2, operand);
    this.imm(a, bits, 0);
    this.mem.setU32(a + REC.slot, systemRoutineNamed(name));
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.next;
  }
  protected iret(i: Insn): number {
    if (this.codeSize === 32 && i.opSize === 4) return this.leading(i, 'iret', 0);
    if (this.codeSize !== 64 || i.opSize !== 8) return this.unknown(i);
    const a = this.record(this.find(I.iretq, 8, FORM.m));
    this.stack(a, RSP, 0);
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.end;
  }
  protected interrupt(i: Insn): number {
    if (this.codeSize !== 32) return this.unknown(i);
    return this.leading(i, 'int', (i.imm & 255) | (this.next << INT_NEXT));
  }
}
