/** Lowering of vector instructions, and of those that are routines. */
import { type Insn, OPK, type Operand } from '../../x86/insn.ts';
import { OP_NAMES, OP as X } from '../../x86/ops.ts';
import { ROUTINES } from '../../x86/sem/routines.ts';
import { WIDE } from '../../x86/sem/text.ts';
import { CONTROL } from '../../x86/sem/vector.ts';
import { cpuState } from '../cpu-state.ts';
import { formOf, I } from './handler-index.ts';
import { FORM } from './handlers.ts';
import { REC } from './record.ts';
import { FLOW, RecordWriter, TMP, XTMP } from './record-writer.ts';

/** REX.W makes the general operand 8 bytes, not 4. */
const BY_REX_W = new Set([
  X.movd,
  X.pextrd,
  X.pinsrd,
  X.cvtsi2ss,
  X.cvtsi2sd,
  X.cvttss2si,
  X.cvttsd2si,
  X.cvtss2si,
  X.cvtsd2si,
]);
/** A memory source stands for a general register. */
const GPR_SOURCE = new Set([X.pinsrb, X.pinsrw, X.pinsrd, X.cvtsi2ss, X.cvtsi2sd]);

export class VectorLowering extends RecordWriter {
  /** Registers of a routine are counted from the start of cpuState; its immediate has REX.W above the byte. */
  protected routine(i: Insn, index: number): number {
    const [d, o] = i.operands;
    const from = (r: Operand): number => this.reg(r) + (r.kind === OPK.xmm ? cpuState.xmm.offset : 0);
    const source = o.kind === OPK.mem ? this.routineSource(i, ROUTINES[index]!.aligned) : from(o);
    const a = this.special('routine');
    this.mem.setU16(a + REC.r1, from(d));
    this.mem.setU16(a + REC.r2, source);
    this.imm(a, (i.imm & 0xff) | (i.rex & 8 ? WIDE : 0), 0);
    this.mem.setU32(a + REC.slot, index);
    return FLOW.next;
  }
  private routineSource(i: Insn, aligned: boolean): number {
    const { size } = i.operands[1];
    if (size < 16) return this.fetch(i, size);
    const a = this.record(this.find(aligned ? X.movaps : X.movups, 8, FORM.rm));
    this.mem.setU16(a + REC.r1, XTMP);
    this.address(a, i);
    return XTMP + cpuState.xmm.offset;
  }
  protected vector(i: Insn): number {
    return this.vectorForm(i) ? FLOW.next : this.helperNext(i);
  }
  protected vectorForm(i: Insn): boolean {
    const [d, o] = i.operands;
    const z = BY_REX_W.has(i.op) && !(i.rex & 8) ? 4 : 8;
    const op = i.op === X.movd && d.kind === OPK.gpr ? I.movdToGpr : i.op;
    const form = formOf(i);
    const handler = this.find(op, z, form);
    if (handler >= 0) {
      this.vectorRecord(
        i,
        handler,
        form === FORM.mr ? o : d,
        form === FORM.mr || o.kind === OPK.mem ? -1 : this.reg(o),
      );
      return true;
    }
    const row = i.operands[2].kind === OPK.imm ? FORM.rri : FORM.rr;
    if (o.kind === OPK.mem && this.find(op, z, row) >= 0) return this.vectorFrom(i, this.find(op, z, row));
    if (d.kind === OPK.mem && this.find(op, z, FORM.rri) >= 0)
      return this.vectorTo(i, this.find(op, z, FORM.rri));
    return false;
  }
  protected vectorRecord(i: Insn, handler: number, first: Operand, second: number): void {
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, this.reg(first));
    if (second >= 0) this.mem.setU16(a + REC.r2, second);
    if (i.operands[2].kind === OPK.imm || i.operands[1].kind === OPK.imm) this.vectorImm(a, i);
    if (second < 0) this.address(a, i);
  }
  /** The immediate: itself, or the shuffle it stands for, one nibble to a byte number (0-7 low, 8-15 high nibbles). */
  protected vectorImm(a: number, i: Insn): void {
    const control = CONTROL[OP_NAMES[i.op] as string];
    if (!control) return this.imm(a, i.imm & 0xff, 0);
    const bytes = control(i.imm & 0xff);
    for (let k = 0; k < 8; k++) this.mem.setU8(a + REC.imm + k, bytes[k]! | (bytes[k + 8]! << 4));
  }
  /** A memory source through a temporary: of the vectors, or of the general registers. */
  protected vectorFrom(i: Insn, handler: number): boolean {
    const [d, o] = i.operands;
    if (GPR_SOURCE.has(i.op)) {
      const tmp = this.fetch(i, o.size);
      this.vectorRecord(i, handler, d, tmp);
      return true;
    }
    const loader = o.size === 16 ? X.movaps : o.size === 8 ? X.movsd : o.size === 4 ? X.movss : I.loadWord;
    const l = this.record(this.find(loader, 8, FORM.rm));
    this.mem.setU16(l + REC.r1, XTMP);
    this.address(l, i);
    this.vectorRecord(i, handler, d, XTMP);
    return true;
  }
  /** An element to memory by way of a general temporary. */
  protected vectorTo(i: Insn, handler: number): boolean {
    const [d, o] = i.operands;
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.mem.setU16(a + REC.r2, this.reg(o));
    this.vectorImm(a, i);
    this.store(i, d.size, false);
    return true;
  }
}
