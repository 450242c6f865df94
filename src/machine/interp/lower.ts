/**
 * From a decoded instruction to records. An instruction that a handler does whole becomes one record; others load into a
 * temporary, operate, and store; what has no handler for its operation runs in the helper.
 */
import type { Mem } from '../../base/mem.ts';
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from '../../x86/insn.ts';
import { OP_NAMES, OP as X } from '../../x86/ops.ts';
import { CONTROL, usesXmm, vectorRow } from '../../x86/sem/vector.ts';
import { cpuState, SEG, SEG_NONE } from '../cpu-state.ts';
import { FORM, type Form, HANDLERS, handlerOf, type Special, specialOf } from './handlers.ts';
import { REC } from './record.ts';

const ZERO = cpuState.zero.offset;
const RIP_BASE = cpuState.ripBase.offset;
const TMP = [0, 1, 2].map((i) => cpuState.tmp.offset + 8 * i) as [number, number, number];
/** A memory source of a vector operation goes through this register (xmm offset). */
const XTMP = cpuState.xtmp.offset - cpuState.xmm.offset;
const RSP = 4;
const RBP = 5;

/** What ends a straight run of code after the instruction. */
export const FLOW = { next: 0, end: 1 } as const;

const Z_INDEX: Record<number, number> = { 1: 0, 2: 1, 4: 2, 8: 3 };
const SUBS = 16;
const FORMS = Object.keys(FORM).length;
const names = new Map<string, number>(OP_NAMES.map((n, i) => [n, i]));
// operations that exist only for the interpreter
for (const extra of ['imul1', 'imul2', 'imul3', 'jmpRel', 'callRel', 'cmpxchgPair', 'movdToGpr', 'loadWord'])
  names.set(extra, names.size);
for (const h of HANDLERS) if (h.name.startsWith('lock.')) names.set(h.name, names.get(h.name) ?? names.size);

const LOOKUP = new Int16Array(names.size * 4 * FORMS * SUBS).fill(-1);
const HAS = new Uint8Array(names.size);
HANDLERS.forEach((h) => {
  const id = names.get(h.name) as number;
  HAS[id] = 1;
  LOOKUP[((id * 4 + Z_INDEX[h.z]!) * FORMS + FORM[h.form]) * SUBS + h.s] = handlerOf(
    h.name,
    h.z,
    h.form,
    h.s,
  );
});
const ID = (name: string): number => names.get(name) as number;
for (const [name, id] of names)
  for (const form of ['rr', 'rm', 'mr', 'rri', 'ri'] as const)
    for (const z of [4, 8]) {
      const row = vectorRow(name, form, z);
      const at = ((id * 4 + Z_INDEX[z]!) * FORMS + FORM[form]) * SUBS;
      if (row) LOOKUP[at] = handlerOf(row.name, row.z, form);
    }
const I = {
  imul1: ID('imul1'),
  imul2: ID('imul2'),
  imul3: ID('imul3'),
  jmpRel: ID('jmpRel'),
  callRel: ID('callRel'),
  pair: ID('cmpxchgPair'),
  movdToGpr: ID('movdToGpr'),
  loadWord: ID('loadWord'),
} as const;
const LOCKED = new Int16Array(OP_NAMES.length).fill(-1);
for (const [name, id] of names) if (name.startsWith('lock.')) LOCKED[names.get(name.slice(5)) as number] = id;

/** Operation after the address has been taken from a register operand's bits. */
const BIT_OPS = new Set([X.bt, X.bts, X.btr, X.btc]);
const SHIFTS = new Set([X.shl, X.shr, X.sar, X.rol, X.ror, X.rcl, X.rcr]);
/** Read operand 0 without writing it. */
const READ_ONLY = new Set([X.cmp, X.test, X.bt, X.mul, X.div, X.idiv]);
const NO_FORM = new Set([X.lahf, X.sahf, X.clc, X.stc, X.cmc, X.cld, X.std, X.cli, X.sti, X.nop, X.prefetch]);

export class Lowering {
  mem: Mem;
  /** Where the next record goes; the first one of the instruction. */
  at = 0;
  n = 0;
  off = 0;
  next = 0;
  /** Machine address of the page's table, 0 to give branches no direct target. */
  table = 0;
  codeSize = 64;
  /** 0xffffffff or 0xffff (or all ones, -1): the stack pointer's width. */
  stackMask = -1;
  /** Keeps an instruction for the helper; answers its index. */
  keep: (i: Insn) => number = () => 0;

  constructor(mem: Mem) {
    this.mem = mem;
  }

  /** Writes the records of one instruction. */
  lower(i: Insn): number {
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
        return this.stringOp(i);
      case X.mov:
      case X.lea:
      case X.movzx:
      case X.movsx:
        return this.move(i);
      default:
        return this.general(i);
    }
  }

  /** A record that goes on at page offset `off` by a look-up (page end, or a decode limit). */
  nextPage(off: number): void {
    this.off = off;
    this.next = off;
    this.record(specialOf('nextPage'));
  }
  goto(record: number): void {
    this.mem.setU32(this.record(specialOf('goto')) + REC.slot, record);
  }
  stop(): void {
    this.record(specialOf('stop'));
  }

  helper(i: Insn): number {
    const a = this.record(specialOf('helper'));
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.end;
  }
  /** As `helper`, but code after it is likely to be run next. */
  private helperNext(i: Insn): number {
    this.helper(i);
    return FLOW.next;
  }

  private find(op: number, z: number, form: number, s = 0): number {
    return LOOKUP[((op * 4 + Z_INDEX[z]!) * FORMS + form) * SUBS + s] as number;
  }

  private record(handler: number): number {
    const { mem, at } = this;
    mem.fill(at, REC.size);
    mem.setU16(at + REC.handler, handler);
    mem.setU16(at + REC.n, this.n);
    mem.setU16(at + REC.off, this.off);
    mem.setU16(at + REC.next, this.next);
    mem.setU16(at + REC.base, ZERO);
    mem.setU16(at + REC.index, ZERO);
    mem.setU8(at + REC.seg, SEG_NONE * 8);
    this.mask(at, -1);
    this.at = at + REC.size;
    return at;
  }
  private special(name: Special): number {
    return this.record(specialOf(name));
  }
  /** mask: -1 for all 64 bits, else an unsigned 32-bit mask. */
  private mask(a: number, mask: number): void {
    this.mem.setU32(a + REC.mask, mask >>> 0);
    this.mem.setU32(a + REC.mask + 4, mask === -1 ? 0xffff_ffff : 0);
  }
  private imm(a: number, lo: number, hi: number): void {
    this.mem.setU32(a + REC.imm, lo >>> 0);
    this.mem.setU32(a + REC.imm + 4, hi >>> 0);
  }
  private addrMask(size: number): number {
    return size === 8 ? -1 : size === 4 ? 0xffff_ffff : 0xffff;
  }

  /** Fills the memory operand of the record at `a`. */
  private address(a: number, i: Insn): void {
    const { mem } = this;
    mem.setU16(a + REC.base, i.base === NO_REG ? ZERO : i.base === BASE_RIP ? RIP_BASE : i.base * 8);
    mem.setU16(a + REC.index, i.index === NO_REG ? ZERO : i.index * 8);
    mem.setU8(a + REC.scale, i.scale);
    mem.setU32(a + REC.disp, (i.base === BASE_RIP ? i.disp + this.next : i.disp) >>> 0);
    this.segment(a, i.seg);
    this.mask(a, this.addrMask(i.addrSize));
  }
  private segment(a: number, seg: number): void {
    const flat = this.codeSize === 64 && seg !== SEG.fs && seg !== SEG.gs;
    this.mem.setU8(a + REC.seg, (flat ? SEG_NONE : seg) * 8);
    this.mem.setU8(a + REC.stack, seg === SEG.ss ? 1 : 0);
  }
  private stack(a: number, base: number, disp: number): void {
    this.mem.setU16(a + REC.base, base * 8);
    this.mem.setU32(a + REC.disp, disp >>> 0);
    this.segment(a, SEG.ss);
    this.mask(a, this.stackMask);
  }

  /** A moffs64 whose address does not fit a displacement goes through a temporary; false: nothing was needed. */
  private farAddress(i: Insn): boolean {
    if (i.addrSize !== 8 || i.base !== NO_REG || i.dispHi === i.disp >> 31) return false;
    this.load(TMP[2], i.disp, i.dispHi);
    return true;
  }
  private load(reg: number, lo: number, hi: number): void {
    const a = this.record(this.find(X.mov, 8, FORM.ri));
    this.mem.setU16(a + REC.r1, reg);
    this.imm(a, lo, hi);
  }
  /** The memory operand of `i` in record `a`, `far` if it went through TMP[2]. */
  private memory(a: number, i: Insn, far: boolean): void {
    if (!far) return this.address(a, i);
    this.mem.setU16(a + REC.base, TMP[2]);
    this.segment(a, i.seg);
    this.mask(a, this.addrMask(i.addrSize));
  }

  private reg(o: Operand): number {
    if (o.kind === OPK.xmm) return o.reg * 16;
    return o.reg >= 16 ? (o.reg - 16) * 8 + 1 : o.reg * 8;
  }

  // --- control -----------------------------------------------------------------------------------------------------

  private branch(i: Insn, handler: number, flow: number): number {
    const a = this.record(handler);
    this.target(a, i);
    this.mask(a, this.codeSize === 64 ? -1 : this.addrMask(i.opSize));
    return flow;
  }
  /** imm is relative to `next`; a target in this page gets its slot. */
  private target(a: number, i: Insn): void {
    const rel = i.operands[0].kind === OPK.rel ? i.operands[0] : undefined;
    if (!rel) return;
    this.imm(a, i.imm, i.imm >> 31);
    const to = this.next + i.imm;
    if (this.table !== 0 && to >= 0 && to < 4096) this.mem.setU32(a + REC.slot, this.table + to * 4);
  }
  private jmp(i: Insn): number {
    const o = i.operands[0];
    if (o.kind === OPK.rel) return this.branch(i, this.find(I.jmpRel, 8, FORM.none), FLOW.end);
    const reg = o.kind === OPK.mem ? this.fetch(i, o.size) : this.reg(o);
    this.mem.setU16(this.record(this.find(X.jmp, i.opSize, FORM.r)) + REC.r1, reg);
    return FLOW.end;
  }
  private call(i: Insn): number {
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
  private ret(i: Insn): number {
    const a = this.record(this.find(X.ret, i.opSize, FORM.m));
    this.stack(a, RSP, 0);
    this.imm(a, i.count > 0 ? i.imm & 0xffff : 0, 0);
    return FLOW.end;
  }

  // --- stack -------------------------------------------------------------------------------------------------------

  private push(i: Insn): number {
    const o = i.operands[0];
    const z = i.opSize;
    if (o.kind === OPK.sreg || (this.codeSize === 64 && z === 4)) return this.helperNext(i);
    if (o.kind === OPK.imm) {
      const a = this.record(this.find(X.push, z, FORM.mi));
      this.imm(a, i.imm, i.immHi);
      this.stack(a, RSP, -z);
      return FLOW.next;
    }
    const reg = o.kind === OPK.mem ? this.fetch(i, z) : this.reg(o);
    const a = this.record(this.find(X.push, z, FORM.mr));
    this.mem.setU16(a + REC.r1, reg);
    this.stack(a, RSP, -z);
    return FLOW.next;
  }
  private pop(i: Insn): number {
    const o = i.operands[0];
    if (o.kind !== OPK.gpr || (this.codeSize === 64 && i.opSize === 4)) return this.helperNext(i);
    const a = this.record(this.find(X.pop, i.opSize, FORM.rm));
    this.mem.setU16(a + REC.r1, this.reg(o));
    this.stack(a, RSP, 0);
    return FLOW.next;
  }
  private stackOnly(i: Insn): number {
    const z = i.opSize;
    const a = this.record(this.find(i.op, z, FORM.m));
    this.stack(a, i.op === X.leave ? RBP : RSP, i.op === X.pushf ? -z : 0);
    return FLOW.next;
  }

  // --- data --------------------------------------------------------------------------------------------------------

  private stringOp(i: Insn): number {
    const a = this.special(i.op === X.movs ? 'movs' : 'stos');
    this.imm(a, i.opSize | (i.rep ? 0x100 : 0), 0);
    this.mask(a, this.addrMask(i.addrSize));
    this.segment(a, i.seg);
    // ES is flat in 64-bit mode: its base is kept 0 there
    this.mem.setU32(a + REC.insn, this.keep(i));
    return FLOW.next;
  }

  /** Loads the memory operand into a temporary, sign-extended or not as the size gives. */
  private fetch(i: Insn, z: number): number {
    const far = this.farAddress(i);
    const a = this.record(this.find(X.mov, z, FORM.rm));
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.memory(a, i, far);
    return TMP[0];
  }
  private store(i: Insn, z: number, far: boolean): void {
    const a = this.record(this.find(X.mov, z, FORM.mr));
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.memory(a, i, far);
  }

  private move(i: Insn): number {
    const [d, s] = i.operands;
    let z = i.opSize;
    if (i.op === X.lea) {
      const a = this.record(this.find(X.lea, z, FORM.r));
      this.mem.setU16(a + REC.r1, this.reg(d));
      this.address(a, i);
      return FLOW.next;
    }
    if (i.op === X.mov) return this.simple(i, X.mov, z, 0);
    const from = s.size;
    if (from >= z) return this.simple(i, X.mov, z, 0);
    if (i.op === X.movzx && z === 8) z = 4;
    return this.simple(i, i.op, z, from);
  }

  /** One record: registers, immediate and memory as the form says. Answers false where there is no such handler. */
  private one(i: Insn, op: number, z: number, form: Form, s: number, far: boolean): boolean {
    const handler = this.find(op, z, FORM[form], s);
    if (handler < 0) return false;
    const a = this.record(handler);
    const [d, o, third] = i.operands;
    const regOperand = form === 'mr' ? o : d;
    if (regOperand.kind === OPK.gpr) this.mem.setU16(a + REC.r1, this.reg(regOperand));
    if (o.kind === OPK.gpr && form !== 'mr') this.mem.setU16(a + REC.r2, this.reg(o));
    if (o.kind === OPK.imm || third.kind === OPK.imm) this.imm(a, i.imm, i.immHi);
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
    const handler = this.find(op, z, FORM[form], s);
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
      this.record(this.find(op === X.prefetch ? X.nop : op, 8, FORM.none));
      return FLOW.next;
    }
    if (op === X.cbw || op === X.cwd) {
      this.record(this.find(op, i.opSize, FORM.none));
      return FLOW.next;
    }
    const d = i.operands[0];
    if (d.kind === OPK.mm || i.operands[1].kind === OPK.mm) return this.helperNext(i);
    if (usesXmm(i)) return this.vector(i);
    if (i.lock || (op === X.xchg && d.kind === OPK.mem)) return this.locked(i);
    if (BIT_OPS.has(op)) return this.bit(i, op);
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
  private imul(i: Insn): number {
    if (i.count === 1) return this.simple(i, I.imul1, i.opSize, 0);
    return this.simple(i, i.count === 2 ? I.imul2 : I.imul3, i.opSize, 0);
  }
  private unknown(i: Insn): number {
    return ENDS.has(i.op) ? this.helper(i) : this.helperNext(i);
  }

  private locked(i: Insn): number {
    const op = LOCKED[i.op] as number;
    const z = i.opSize;
    // the forms without an atomic handler are plain read-modify-writes: one physical CPU runs guests
    if (op < 0) {
      if (i.op === X.cmpxchg8b || i.op === X.cmpxchg16b) {
        const far = this.farAddress(i);
        this.memory(this.record(this.find(I.pair, i.op === X.cmpxchg8b ? 4 : 8, FORM.m)), i, far);
        return FLOW.next;
      }
      return this.simple(i, i.op, z, 0);
    }
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

  // --- vectors -----------------------------------------------------------------------------------------------------

  private vector(i: Insn): number {
    return this.vectorForm(i) ? FLOW.next : this.helperNext(i);
  }
  private vectorForm(i: Insn): boolean {
    const [d, o] = i.operands;
    const z = BY_REX_W.has(i.op) && !(i.rex & 8) ? 4 : 8;
    const op = i.op === X.movd && d.kind === OPK.gpr ? I.movdToGpr : i.op;
    const form = formOf(i);
    const handler = this.find(op, z, FORM[form]);
    if (handler >= 0) {
      this.vectorRecord(
        i,
        handler,
        form === 'mr' ? o : d,
        form === 'mr' || o.kind === OPK.mem ? -1 : this.reg(o),
      );
      return true;
    }
    const row = i.operands[2].kind === OPK.imm ? FORM.rri : FORM.rr;
    if (o.kind === OPK.mem && this.find(op, z, row) >= 0) return this.vectorFrom(i, this.find(op, z, row));
    if (d.kind === OPK.mem && this.find(op, z, FORM.rri) >= 0)
      return this.vectorTo(i, this.find(op, z, FORM.rri));
    return false;
  }
  private vectorRecord(i: Insn, handler: number, first: Operand, second: number): void {
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, this.reg(first));
    if (second >= 0) this.mem.setU16(a + REC.r2, second);
    if (i.operands[2].kind === OPK.imm || i.operands[1].kind === OPK.imm) this.vectorImm(a, i);
    if (second < 0) this.address(a, i);
  }
  /** The immediate: itself, or the shuffle it stands for, one nibble to a byte number (0-7 low, 8-15 high nibbles). */
  private vectorImm(a: number, i: Insn): void {
    const control = CONTROL[OP_NAMES[i.op] as string];
    if (!control) return this.imm(a, i.imm & 0xff, 0);
    const bytes = control(i.imm & 0xff);
    for (let k = 0; k < 8; k++) this.mem.setU8(a + REC.imm + k, bytes[k]! | (bytes[k + 8]! << 4));
  }
  /** A memory source through a temporary: of the vectors, or of the general registers. */
  private vectorFrom(i: Insn, handler: number): boolean {
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
  private vectorTo(i: Insn, handler: number): boolean {
    const [d, o] = i.operands;
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.mem.setU16(a + REC.r2, this.reg(o));
    this.vectorImm(a, i);
    this.store(i, d.size, false);
    return true;
  }
}

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

function formOf(i: Insn): Form {
  const [d, o, third] = i.operands;
  const cl = third.kind === OPK.gpr;
  if (d.kind === OPK.mem) {
    if (third.kind !== OPK.none) return 'none';
    return o.kind === OPK.none ? 'm' : o.kind === OPK.imm ? 'mi' : SHIFTS.has(i.op) ? 'none' : 'mr';
  }
  if (o.kind === OPK.none) return 'r';
  if (o.kind === OPK.mem) return third.kind === OPK.none ? 'rm' : 'none';
  if (third.kind !== OPK.none) return cl ? 'rrc' : 'rri';
  if (o.kind === OPK.imm) return 'ri';
  return SHIFTS.has(i.op) ? 'rc' : 'rr';
}

/** The register form of an instruction whose memory operand became a temporary. */
function splitForm(i: Insn): Form {
  const [, o, third] = i.operands;
  if (o.kind === OPK.none) return 'r';
  if (third.kind === OPK.gpr) return 'rrc';
  if (third.kind === OPK.imm) return 'rri';
  if (o.kind === OPK.imm) return 'ri';
  return SHIFTS.has(i.op) ? 'rc' : 'rr';
}
