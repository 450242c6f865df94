/**
 * From a decoded instruction to records. An instruction that a handler does whole becomes one record; others load into a
 * temporary, operate, and store; what has no handler for its operation runs in the helper.
 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP_NAMES, OP as X } from '../../x86/ops.ts';
import { SIZED_BY_OPERAND } from '../../x86/sem/bmi.ts';
import { RAX, RDI, RSI } from '../../x86/sem/common.ts';
import { routineOf } from '../../x86/sem/routines.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { SEG } from '../cpu-state.ts';
import { BIT_OPS, formOf, HAS, I, LOCKED, NO_FORM, NOTHING, READ_ONLY, splitForm } from './handler-index.ts';
import { FORM } from './handlers.ts';
import { SystemLowering } from './lower-system.ts';
import { REC } from './record.ts';
import { FLOW, TMP, ZERO } from './record-writer.ts';
import { SCAN } from './scan-routines.ts';
import { SAVE } from './state-routines.ts';

export { FLOW } from './record-writer.ts';

/** The prefix; what is repeated with the other one goes on while elements differ. */
const REPE = 0xf3;
/** Integer operations that are all in their handlers: nothing about them has to be looked at but the operands. */
const PLAIN = new Uint8Array(OP_NAMES.length);
for (const op of [
  ...[X.mov, X.add, X.adc, X.sub, X.sbb, X.and, X.or, X.xor, X.cmp, X.test, X.inc, X.dec, X.neg, X.not],
  ...[X.shl, X.shr, X.sar, X.rol, X.ror, X.rcl, X.rcr],
])
  PLAIN[op] = 1;

export class Lowering extends SystemLowering {
  /** Writes the records of one instruction. */
  lower(i: Insn): number {
    return PLAIN[i.op] === 1 && !i.lock ? this.simple(i, i.op, i.opSize, 0) : this.other(i);
  }
  private other(i: Insn): number {
    switch (i.op) {
      case X.jcc:
        return this.branch(i, this.find(X.jcc, 8, FORM.none, i.cc), FLOW.next);
      case X.jmp:
        return this.jmp(i);
      case X.call:
        return this.call(i);
      case X.ret:
        return this.ret(i);
      case X.push:
        return this.push(i);
      case X.pop:
        return this.pop(i);
      case X.pushf:
      case X.popf:
      case X.leave:
        return this.stackOnly(i);
      case X.movs:
      case X.stos:
        return this.bulkString(i);
      case X.lods:
      case X.scas:
      case X.cmps:
        return this.string(i);
      case X.int:
        return this.interrupt(i);
      case X.iret:
        return this.iret(i);
      case X.syscall:
      case X.sysret:
      case X.swapgs:
        return this.system(i);
      case X.sysenter:
      case X.sysexit:
        return this.fastCall(i, i.op === X.sysenter ? 'sysenter' : 'sysexit');
      case X.mov_sreg:
        return this.segmentRegister(i);
      case X.mov_cr:
        return this.controlRegister(i);
      case X.rdtsc:
      case X.rdtscp:
        return this.systemRoutine(i, i.op === X.rdtsc ? 'rdtsc' : 'rdtscp', 0, ZERO);
      case X.in:
        return this.systemRoutine(i, 'in', Math.min(i.opSize, 4), ZERO);
      case X.invlpg:
        return this.ofAddress(i, 'invlpg', 0);
      case X.xsave:
        return this.stateRoutine(i, 'xsave', 0);
      case X.xsaveopt:
        return this.stateRoutine(i, 'xsave', SAVE.optimised);
      case X.xsavec:
        return this.stateRoutine(i, 'xsave', SAVE.compacted);
      case X.xrstor:
        return this.stateRoutine(i, 'xrstor', 0);
      case X.fxsave:
      case X.fxrstor:
        return this.stateRoutine(i, OP_NAMES[i.op]!, 0);
      case X.ldmxcsr:
      case X.stmxcsr:
        return this.ofAddress(i, OP_NAMES[i.op]!, 0);
      case X.lea:
      case X.movzx:
      case X.movsx:
        return this.move(i);
      default:
        return this.general(i);
    }
  }

  private string(i: Insn): number {
    const { op, opSize: z } = i;
    if (i.rep) return this.repeated(i);
    if (op === X.cmps) this.element(this.find(X.mov, z, FORM.rm), TMP[0], i, RSI, i.seg);
    const handler = this.find(op, z, FORM.rm);
    if (op === X.lods) this.element(handler, RAX * 8, i, RSI, i.seg);
    else this.element(handler, op === X.cmps ? TMP[0] : RAX * 8, i, RDI, SEG.es);
    return FLOW.next;
  }
  /** Nobody repeats LODS. */
  private repeated(i: Insn): number {
    if (i.op === X.lods) return this.helperNext(i);
    const source = (i.op === X.cmps ? i.seg : 0) << SCAN.segment;
    const sizes = Math.log2(i.opSize) | (Math.log2(i.addrSize) << SCAN.addressSize);
    const repe = i.rep === REPE ? SCAN.repe : 0;
    return this.systemRoutine(i, i.op === X.scas ? 'scas' : 'cmps', sizes | source | repe, ZERO);
  }
  /** A record of a register and the element that an address register points at. */
  private element(handler: number, register: number, i: Insn, at: number, seg: number): void {
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, register);
    this.mem.setU16(a + REC.base, at * 8);
    this.mask(a, this.addrMask(i.addrSize));
    this.segment(a, seg);
  }
  private bulkString(i: Insn): number {
    const a = this.special(i.op === X.movs ? 'movs' : 'stos');
    this.imm(a, i.opSize | (i.rep ? 0x100 : 0), 0);
    this.mask(a, this.addrMask(i.addrSize));
    this.segment(a, i.seg);
    // ES is flat in 64-bit mode: its base is kept 0 there
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.next;
  }

  private move(i: Insn): number {
    let z = i.opSize;
    if (i.op === X.lea) {
      const a = this.record(this.find(X.lea, z, FORM.r));
      this.mem.setU16(a + REC.r1, this.reg(i.operands[0]));
      this.address(a, i);
      return FLOW.next;
    }
    const from = i.operands[1].size;
    if (from >= z) return this.simple(i, X.mov, z, 0);
    if (i.op === X.movzx && z === 8) z = 4;
    return this.simple(i, i.op, z, from);
  }

  /** One record: registers, immediate and memory as the form says. Answers false where there is no such handler. */
  private one(i: Insn, op: number, z: number, form: number, s: number, far: boolean): boolean {
    const handler = this.find(op, z, form, s);
    if (handler < 0) return false;
    const a = this.record(handler);
    const { operands } = i;
    const d = operands[0];
    const o = operands[1];
    const regOperand = form === FORM.mr ? o : d;
    if (regOperand.kind === OPK.gpr) this.mem.setU16(a + REC.r1, this.reg(regOperand));
    if (o.kind === OPK.gpr && form !== FORM.mr) this.mem.setU16(a + REC.r2, this.reg(o));
    if (o.kind === OPK.imm || operands[2].kind === OPK.imm) this.imm(a, i.imm, i.immHi);
    if (d.kind === OPK.mem || o.kind === OPK.mem) this.memory(a, i, far);
    return true;
  }
  private simple(i: Insn, op: number, z: number, s: number): number {
    const far = this.farAddress(i);
    if (this.one(i, op, z, formOf(i), s, far)) return FLOW.next;
    return this.split(i, op, z, s, far);
  }

  /** Load, operate on the temporary, store. */
  private split(i: Insn, op: number, z: number, s: number, far: boolean): number {
    const [d, o] = i.operands;
    const memDst = d.kind === OPK.mem;
    const form = splitForm(i);
    const handler = this.find(op, z, form, s);
    if (handler < 0 || (!memDst && o.kind !== OPK.mem)) return this.helperNext(i);
    const readOnly = READ_ONLY.has(i.op) || op === I.imul1;
    if (memDst && !readOnly && i.op !== X.setcc) {
      const a = this.special('loadRmw');
      this.mem.setU16(a + REC.r1, TMP[0]);
      this.imm(a, z, 0);
      this.memory(a, i, far);
    } else if (i.op !== X.setcc) {
      const from = memDst ? z : o.size;
      const a = this.record(this.find(X.mov, from, FORM.rm));
      this.mem.setU16(a + REC.r1, TMP[0]);
      this.memory(a, i, far);
    }
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, memDst ? TMP[0] : this.reg(d));
    if (o.kind === OPK.gpr) this.mem.setU16(a + REC.r2, this.reg(o));
    else if (o.kind === OPK.mem) this.mem.setU16(a + REC.r2, TMP[0]);
    if (o.kind === OPK.imm || i.operands[2].kind === OPK.imm) this.imm(a, i.imm, i.immHi);
    if (memDst && !readOnly) this.store(i, z, far);
    return FLOW.next;
  }

  private general(i: Insn): number {
    const { op } = i;
    if (NO_FORM.has(op)) {
      this.record(this.find(NOTHING.has(op) ? X.nop : op, 8, FORM.none));
      return FLOW.next;
    }
    if (op === X.cbw || op === X.cwd) {
      this.record(this.find(op, i.opSize, FORM.none));
      return FLOW.next;
    }
    const d = i.operands[0];
    if (d.kind === OPK.mm || i.operands[1].kind === OPK.mm) return this.helperNext(i);
    if (this.x87(i)) return FLOW.next;
    const routine = routineOf(op, i.operands[1].size);
    if (routine >= 0) return this.routine(i, routine);
    if (usesXmm(i)) return this.vector(i);
    if (i.lock || (op === X.xchg && d.kind === OPK.mem)) return this.locked(i);
    if (BIT_OPS.has(op)) return this.bit(i, op);
    if (SIZED_BY_OPERAND.has(op)) return this.sizedByOperand(i);
    switch (op) {
      case X.imul:
        return this.imul(i);
      case X.cmpxchg8b:
      case X.cmpxchg16b: {
        const far = this.farAddress(i);
        const a = this.record(this.find(I.pair, op === X.cmpxchg8b ? 4 : 8, FORM.m));
        this.memory(a, i, far);
        return FLOW.next;
      }
      case X.setcc:
        return this.simple(i, op, 1, i.cc);
      case X.cmovcc:
        return this.simple(i, op, i.opSize, i.cc);
      case X.xchg:
        return this.simple(i, op, i.opSize, 0);
      default:
        if (!HAS[op] || i.addrSize === 0) return this.unknown(i);
        return this.simple(i, op, i.opSize, 0);
    }
  }
  private sizedByOperand(i: Insn): number {
    const z = i.operands[0].size;
    const handler = this.find(i.op, z, FORM.rrr);
    if (handler < 0) return this.simple(i, i.op, z, 0);
    this.three(i, handler);
    return FLOW.next;
  }
  private imul(i: Insn): number {
    if (i.count === 1) return this.simple(i, I.imul1, i.opSize, 0);
    return this.simple(i, i.count === 2 ? I.imul2 : I.imul3, i.opSize, 0);
  }
  private locked(i: Insn): number {
    const op = LOCKED[i.op] as number;
    const z = i.opSize;
    if (i.op === X.cmpxchg8b || i.op === X.cmpxchg16b) {
      const far = this.farAddress(i);
      const handler = i.op === X.cmpxchg8b ? this.find(op, 8, FORM.m) : this.find(I.pair, 8, FORM.m);
      this.memory(this.record(handler), i, far);
      return FLOW.next;
    }
    if (op < 0) return this.simple(i, i.op, z, 0);
    const o = i.operands[1];
    if (BIT_OPS.has(i.op)) return this.bit(i, op);
    const far = this.farAddress(i);
    if (o.kind === OPK.imm) this.load(TMP[1], i.imm, i.immHi);
    const a = this.record(this.find(op, z, o.kind === OPK.none ? FORM.m : FORM.mr));
    this.mem.setU16(a + REC.r1, o.kind === OPK.imm ? TMP[1] : this.reg(o));
    this.memory(a, i, far);
    return FLOW.next;
  }

  /** Bit operations on memory: a register's bit number reaches beyond the operand. */
  private bit(i: Insn, op: number): number {
    const [d, o] = i.operands;
    const z = i.opSize;
    if (d.kind !== OPK.mem) return this.simple(i, op, z, 0);
    const far = this.farAddress(i);
    const lea = this.record(this.find(X.lea, 8, FORM.r));
    this.mem.setU16(lea + REC.r1, TMP[2]);
    this.memory(lea, i, far);
    if (o.kind === OPK.gpr) {
      const a = this.special('bitAddress');
      this.mem.setU16(a + REC.r1, TMP[2]);
      this.mem.setU16(a + REC.r2, this.reg(o));
      this.imm(a, z, 0);
    }
    if (op !== i.op) {
      if (o.kind === OPK.imm) this.load(TMP[1], i.imm, i.immHi);
      const a = this.record(this.find(op, z, FORM.mr));
      this.mem.setU16(a + REC.r1, o.kind === OPK.imm ? TMP[1] : this.reg(o));
      this.memory(a, i, true);
      return FLOW.next;
    }
    return this.split(i, op, z, 0, true);
  }
}
