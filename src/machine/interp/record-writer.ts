/** Writes records, one after the other: the parts of the lowering that every kind of instruction needs. */
import type { Mem } from '../../base/mem.ts';
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState, SEG, SEG_NONE } from '../cpu-state.ts';
import { FORMS, LOOKUP, SUBS, Z_INDEX } from './handler-index.ts';
import { FORM, type Special, specialOf } from './handlers.ts';
import { REC } from './record.ts';

export const ZERO = cpuState.zero.offset;
export const RIP_BASE = cpuState.ripBase.offset;
export const TMP = [0, 1, 2].map((i) => cpuState.tmp.offset + 8 * i) as [number, number, number];
/** A memory source of a vector operation goes through this register (xmm offset). */
export const XTMP = cpuState.xtmp.offset - cpuState.xmm.offset;
/** The word of a record with its scale and segment, for an operand in none. */
const NO_SEGMENT = (SEG_NONE * 8) << 8;
export const RSP = 4;
export const RBP = 5;

/** What ends a straight run of code after the instruction. */
export const FLOW = { next: 0, end: 1 } as const;

export class RecordWriter {
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
  /** A record that goes on at page offset `off` by a look-up (page end, or a decode limit). */
  nextPage(off: number): void {
    this.off = off;
    this.next = off;
    this.record(specialOf('nextPage'));
  }
  /** A record that goes on at page offset `off` with the record in that slot, as a jump there would. */
  goto(off: number, slot: number): void {
    this.off = off;
    this.next = off;
    this.mem.setU32(this.record(specialOf('goto')) + REC.slot, slot);
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
  helperNext(i: Insn): number {
    this.helper(i);
    return FLOW.next;
  }

  protected find(op: number, z: number, form: number, s = 0): number {
    return LOOKUP[((op * 4 + Z_INDEX[z]!) * FORMS + form) * SUBS + s] as number;
  }

  /** A record without operands. */
  protected record(handler: number): number {
    const { at } = this;
    const { words } = this.mem;
    const w = at >>> 2;
    words[w] = (handler & 0xffff) | (this.n << 16);
    words[w + 1] = this.off | (this.next << 16);
    words[w + 2] = 0;
    words[w + 3] = ZERO | (ZERO << 16);
    words[w + 4] = 0;
    words[w + 5] = NO_SEGMENT;
    words[w + 6] = words[w + 7] = 0;
    words[w + 8] = words[w + 9] = -1;
    words[w + 10] = words[w + 11] = 0;
    this.at = at + REC.size;
    return at;
  }
  protected special(name: Special): number {
    return this.record(specialOf(name));
  }
  /** mask: -1 for all 64 bits, else an unsigned 32-bit mask. */
  protected mask(a: number, mask: number): void {
    const { words } = this.mem;
    words[(a + REC.mask) >>> 2] = mask;
    words[(a + REC.mask + 4) >>> 2] = mask === -1 ? -1 : 0;
  }
  protected imm(a: number, lo: number, hi: number): void {
    const { words } = this.mem;
    words[(a + REC.imm) >>> 2] = lo;
    words[(a + REC.imm + 4) >>> 2] = hi;
  }
  protected addrMask(size: number): number {
    return size === 8 ? -1 : size === 4 ? 0xffff_ffff : 0xffff;
  }

  /** Fills the memory operand of the record at `a`. */
  protected address(a: number, i: Insn): void {
    const { words } = this.mem;
    const base = i.base === NO_REG ? ZERO : i.base === BASE_RIP ? RIP_BASE : i.base * 8;
    const index = i.index === NO_REG ? ZERO : i.index * 8;
    words[(a + REC.base) >>> 2] = base | (index << 16);
    words[(a + REC.disp) >>> 2] = i.base === BASE_RIP ? i.disp + this.next : i.disp;
    this.mem.bytes[a + REC.scale] = i.scale;
    this.segment(a, i.seg);
    this.mask(a, this.addrMask(i.addrSize));
  }
  protected segment(a: number, seg: number): void {
    const flat = this.codeSize === 64 && seg !== SEG.fs && seg !== SEG.gs;
    const { bytes } = this.mem;
    bytes[a + REC.seg] = (flat ? SEG_NONE : seg) * 8;
    bytes[a + REC.stack] = seg === SEG.ss ? 1 : 0;
  }
  protected stack(a: number, base: number, disp: number): void {
    this.mem.setU16(a + REC.base, base * 8);
    this.mem.words[(a + REC.disp) >>> 2] = disp;
    this.segment(a, SEG.ss);
    this.mask(a, this.stackMask);
  }

  /** A moffs64 whose address does not fit a displacement goes through a temporary; false: nothing was needed. */
  protected farAddress(i: Insn): boolean {
    if (i.addrSize !== 8 || i.base !== NO_REG || i.dispHi === i.disp >> 31) return false;
    this.load(TMP[2], i.disp, i.dispHi);
    return true;
  }
  protected load(reg: number, lo: number, hi: number): void {
    const a = this.record(this.find(X.mov, 8, FORM.ri));
    this.mem.setU16(a + REC.r1, reg);
    this.imm(a, lo, hi);
  }
  /** The memory operand of `i` in record `a`, `far` if it went through TMP[2]. */
  protected memory(a: number, i: Insn, far: boolean): void {
    if (!far) return this.address(a, i);
    this.mem.setU16(a + REC.base, TMP[2]);
    this.segment(a, i.seg);
    this.mask(a, this.addrMask(i.addrSize));
  }

  protected reg(o: Operand): number {
    if (o.kind === OPK.xmm) return o.reg * 16;
    return o.reg >= 16 ? (o.reg - 16) * 8 + 1 : o.reg * 8;
  }

  /** Loads the memory operand into a temporary, sign-extended or not as the size gives. */
  protected fetch(i: Insn, z: number): number {
    const far = this.farAddress(i);
    const a = this.record(this.find(X.mov, z, FORM.rm));
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.memory(a, i, far);
    return TMP[0];
  }
  /** One record for an operation of two sources, one of which may be in memory. */
  protected three(i: Insn, handler: number): void {
    const [d, first, second] = i.operands;
    const tmp = first.kind === OPK.mem || second.kind === OPK.mem ? this.fetch(i, d.size) : 0;
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, this.reg(d));
    this.mem.setU16(a + REC.r2, first.kind === OPK.mem ? tmp : this.reg(first));
    this.mem.setU16(a + REC.r3, second.kind === OPK.mem ? tmp : this.reg(second));
  }
  protected store(i: Insn, z: number, far: boolean): void {
    const a = this.record(this.find(X.mov, z, FORM.mr));
    this.mem.setU16(a + REC.r1, TMP[0]);
    this.memory(a, i, far);
  }
}
