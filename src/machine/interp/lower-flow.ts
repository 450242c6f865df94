/** Lowering of branches, calls, and what pushes and pops. */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { I } from './handler-index.ts';
import { FORM } from './handlers.ts';
import { X87Lowering } from './lower-x87.ts';
import { REC } from './record.ts';
import { FLOW, RBP, RSP } from './record-writer.ts';

export class FlowLowering extends X87Lowering {
  protected branch(i: Insn, handler: number, flow: number): number {
    const a = this.record(handler);
    this.target(a, i);
    this.mask(a, this.codeSize === 64 ? -1 : this.addrMask(i.opSize));
    return flow;
  }
  /** imm is relative to `next`; a target in this page gets its slot. */
  protected target(a: number, i: Insn): void {
    const rel = i.operands[0].kind === OPK.rel ? i.operands[0] : undefined;
    if (!rel) return;
    this.imm(a, i.imm, i.imm >> 31);
    const to = this.next + i.imm;
    // a 16-bit branch in 32-bit code leads into the first 64 KiB
    if (this.codeSize === 32 && i.opSize === 2) return;
    if (this.table !== 0 && to >= 0 && to < 4096) this.mem.setU32(a + REC.slot, this.table + to * 4);
  }
  protected jmp(i: Insn): number {
    const o = i.operands[0];
    if (o.kind === OPK.rel) return this.branch(i, this.find(I.jmpRel, 8, FORM.none), FLOW.end);
    const reg = o.kind === OPK.mem ? this.fetch(i, o.size) : this.reg(o);
    this.mem.setU16(this.record(this.find(X.jmp, i.opSize, FORM.r)) + REC.r1, reg);
    return FLOW.end;
  }
  protected call(i: Insn): number {
    const o = i.operands[0];
    const z = i.opSize;
    if (o.kind === OPK.rel) {
      if (this.addrMask(z) !== this.stackMask) return this.helper(i);
      const a = this.record(this.find(I.callRel, z, FORM.m));
      this.stack(a, RSP, -z);
      this.target(a, i);
      return FLOW.end;
    }
    const reg = o.kind === OPK.mem ? this.fetch(i, z) : this.reg(o);
    const a = this.record(this.find(X.call, z, FORM.mr));
    this.mem.setU16(a + REC.r1, reg);
    this.stack(a, RSP, -z);
    return FLOW.end;
  }
  protected ret(i: Insn): number {
    const a = this.record(this.find(X.ret, i.opSize, FORM.m));
    this.stack(a, RSP, 0);
    this.imm(a, i.count > 0 ? i.imm & 0xffff : 0, 0);
    return FLOW.end;
  }

  // --- stack -------------------------------------------------------------------------------------------------------

  protected push(i: Insn): number {
    const o = i.operands[0];
    const z = i.opSize;
    if (o.kind === OPK.sreg || (this.codeSize === 64 && z === 4)) return this.helperNext(i);
    if (o.kind === OPK.imm) {
      const a = this.record(this.find(X.push, z, FORM.mi));
      this.imm(a, i.imm, i.immHi);
      this.stack(a, RSP, -z);
      return FLOW.next;
    }
    return this.pushRegister(o.kind === OPK.mem ? this.fetch(i, z) : this.reg(o), z);
  }
  protected pushRegister(register: number, z: number): number {
    const a = this.record(this.find(X.push, z, FORM.mr));
    this.mem.setU16(a + REC.r1, register);
    this.stack(a, RSP, -z);
    return FLOW.next;
  }
  protected pop(i: Insn): number {
    const o = i.operands[0];
    if (o.kind !== OPK.gpr || (this.codeSize === 64 && i.opSize === 4)) return this.helperNext(i);
    const a = this.record(this.find(X.pop, i.opSize, FORM.rm));
    this.mem.setU16(a + REC.r1, this.reg(o));
    this.stack(a, RSP, 0);
    return FLOW.next;
  }
  protected stackOnly(i: Insn): number {
    const z = i.opSize;
    const a = this.record(this.find(i.op, z, FORM.m));
    this.stack(a, i.op === X.leave ? RBP : RSP, i.op === X.pushf ? -z : 0);
    return FLOW.next;
  }
}
