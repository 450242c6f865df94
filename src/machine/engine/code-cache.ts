/**
 * Decoded code: for each (frame, mode) a table of 4096 record addresses, and the records. All in machine memory, taken
 * in chunks up to a limit; when that is reached everything goes and is decoded again as it is run.
 */
import { DECODE_OK, DECODE_TRUNCATED, decode } from '../../x86/decoder.ts';
import { type CodeSize, Insn } from '../../x86/insn.ts';
import { VEX_OPS } from '../../x86/sem/bmi.ts';
import { usesXmm } from '../../x86/sem/vector.ts';
import { CODE_INDEX } from '../interp/code-fill.ts';
import { specialOf } from '../interp/handlers.ts';
import { FLOW, Lowering } from '../interp/lower.ts';
import { REC } from '../interp/record.ts';
import { FRAME_WRITTEN, frameInfo, type Machine } from '../machine.ts';
import { decodedFor, suspect } from './limits.ts';
import { INTERCEPTABLE } from './svm/interceptable.ts';

const TABLE_BYTES = 4096 * 4;
const INDEX_BYTES = CODE_INDEX.entries * CODE_INDEX.entrySize;
const HELPER = specialOf('helper');
const STRADDLE = specialOf('straddle');
const CHUNK_FRAMES = 256;
/** One instruction is at most this many records. */
export const MAX_RECORDS = 6;
/** Instructions decoded in one go; code beyond is decoded when it is reached. */
const RUN_LIMIT = 64;

/** What the meaning of bytes depends on besides themselves. */
export interface Mode {
  codeSize: CodeSize;
  stackMask: number;
  /** SSE instructions can run (CR0.EM, TS clear and CR4.OSFXSR set). */
  sse: boolean;
  /** Neither real nor virtual-8086 mode: VEX prefixes can be. */
  vex: boolean;
  /** Segments whose uses have to be checked, see limits.ts. */
  limited: number;
  /** Ring 3 wants its accesses aligned (CR0.AM, EFLAGS.AC). */
  aligned: boolean;
  /** A guest's guest runs: what its monitor may intercept is for the helper. */
  guest: boolean;
}
const MODE_KEYS = 8192;
export const modeKey = (m: Mode): number =>
  (m.codeSize === 64 ? 2 : m.codeSize === 32 ? 1 : 0) |
  (m.stackMask === 0xffff ? 4 : 0) |
  (m.sse ? 8 : 0) |
  (decodedFor(m) << 4) |
  (m.vex ? 0 : 1024) |
  (m.aligned ? 2048 : 0) |
  (m.guest ? 4096 : 0);

export class CodeCache {
  private readonly machine: Machine;
  private readonly lowering: Lowering;
  private readonly pages = new Map<number, number>();
  private readonly frames = new Map<number, number>();
  /** Records of instructions that end in a frame, see `straddle`. */
  private readonly straddlers = new Map<number, number[]>();
  /** Mode keys that there are tables for. */
  private readonly modes = new Set<number>();
  private readonly insns: Insn[] = [new Insn()];
  private readonly insn = new Insn();
  /** Slots of instructions that are being decoded, and their records. */
  private readonly decoded: number[] = [];
  private readonly chunks: number[] = [];
  private nextChunk = 0;
  private free = 0;
  private end = 0;
  private readonly maxChunks: number;
  /** Machine address of the tables that were asked for last, by frame: for who finds them without asking. 0: none. */
  readonly index: number;
  /** Called when all translations are gone. */
  onFlush: () => void = () => {};
  /** Called before a frame first holds code, if it may be in a write TLB. */
  onProtect: (mfn: number) => void = () => {};
  flushes = 0;

  constructor(machine: Machine, limitBytes: number) {
    this.machine = machine;
    this.lowering = new Lowering(machine.mem);
    this.lowering.keep = (i) => this.insns.push(clone(i)) - 1;
    this.maxChunks = Math.max(2, Math.floor(limitBytes / (CHUNK_FRAMES * 4096)));
    this.index = Math.max(0, machine.allocFrames(INDEX_BYTES / 4096)) * 4096;
    this.clearIndex();
  }

  /** The decoded instruction a record kept, undefined for index 0. */
  kept(index: number): Insn | undefined {
    return index === 0 ? undefined : this.insns[index];
  }

  /** Machine address of the table for a frame in a mode; 0 when there is no memory for it. */
  table(mfn: number, mode: Mode): number {
    const key = mfn * MODE_KEYS + modeKey(mode);
    const found = this.pages.get(key);
    if (found !== undefined) {
      this.enterIndex(mfn, modeKey(mode), found);
      return found;
    }
    this.modes.add(modeKey(mode));
    const at = this.alloc(TABLE_BYTES);
    if (at === 0) return 0;
    // frames come cleared, but not those that are used again
    if (this.flushes > 0) this.machine.mem.fill(at, TABLE_BYTES);
    this.pages.set(key, at);
    this.frames.set(at, mfn);
    this.enterIndex(mfn, modeKey(mode), at);
    return at;
  }
  private enterIndex(mfn: number, mode: number, table: number): void {
    if (this.index === 0 || mode >= CODE_INDEX.modes) return;
    const at = this.index + (mfn & (CODE_INDEX.entries - 1)) * CODE_INDEX.entrySize;
    this.machine.mem.setU32(at, mfn + mode * 2 ** CODE_INDEX.modeShift);
    this.machine.mem.setU32(at + 4, table);
  }
  private clearIndex(): void {
    if (this.index !== 0) this.machine.mem.fill(this.index, INDEX_BYTES, 0xff);
  }
  /** Number of the frame that a table is of. */
  frameOf(table: number): number {
    return this.frames.get(table) ?? -1;
  }
  /**
   * Gives a record whose instruction `i` ends in the next page, with a table of its own, records for all of it. False
   * when there is no memory for them.
   */
  straddle(
    record: number,
    i: Insn,
    mode: Mode,
    table: number,
    next: { mfn: number; table: number },
  ): boolean {
    const { lowering: l } = this;
    const { mem } = this.machine;
    const at = this.allocKeeping((MAX_RECORDS + 1) * REC.size);
    if (at === 0) return false;
    this.prepare(mode, table, at);
    l.n = mem.u16(record + REC.n);
    l.off = mem.u16(record + REC.off);
    l.next = l.off + i.length;
    this.lowerOne(i, mode);
    l.nextPage(l.next);
    mem.setU32(record + REC.slot, at);
    mem.setU32(record + REC.imm, next.table);
    mem.setU16(record + REC.handler, STRADDLE);
    this.markCode(next.mfn, 0, mem.u16(l.at - REC.size + REC.off) - 4096);
    const known = this.straddlers.get(next.mfn);
    if (known) known.push(record);
    else this.straddlers.set(next.mfn, [record]);
    return true;
  }
  /** Instructions that end in the frame are to be looked at anew. */
  private dropStraddlers(mfn: number): void {
    for (const record of this.straddlers.get(mfn) ?? [])
      this.machine.mem.setU16(record + REC.handler, HELPER);
    this.straddlers.delete(mfn);
  }
  /** A copy of a record, for as long as that lives; 0 when there is no memory for it. */
  copyOf(record: number): number {
    const at = this.allocKeeping(REC.size);
    if (at !== 0) this.machine.mem.move(at, record, REC.size);
    return at;
  }

  /**
   * Decodes from a page offset; answers the first record, 0 when there is no memory. When `flushes` has changed
   * afterwards the table is gone, nothing was decoded, and the caller starts over.
   */
  translate(table: number, mfn: number, offset: number, mode: Mode): number {
    const before = this.flushes;
    const at = this.alloc(RUN_LIMIT * MAX_RECORDS * REC.size);
    if (at === 0 || this.flushes !== before) {
      this.free = at || this.free;
      return 0;
    }
    const end = this.decodeRun(table, mfn, offset, mode, at);
    this.free = end;
    return at;
  }

  private decodeRun(table: number, mfn: number, offset: number, mode: Mode, first: number): number {
    const { lowering: l, insn } = this;
    const { mem } = this.machine;
    const page = mfn * 4096;
    this.prepare(mode, table, first);
    let off = offset;
    for (let n = 1; ; n++) {
      const slot = table + off * 4;
      l.n = n - 1;
      if (n > 1 && off < 4096 && mem.u32(slot) !== 0) {
        l.goto(off, slot);
        break;
      }
      // a page end, a full run: go on by look-up
      if (off >= 4096 || n === RUN_LIMIT) {
        l.nextPage(off);
        break;
      }
      const status = decode(mem.bytes, page + off, page + 4096, mode.codeSize, insn);
      l.n = n;
      l.off = off;
      this.decoded.push(slot, l.at);
      if (status !== DECODE_OK) {
        this.straddler(status === DECODE_TRUNCATED, off);
        break;
      }
      l.next = off + insn.length;
      const flow = this.lowerOne(insn, mode);
      off += insn.length;
      if (flow === FLOW.end) break;
    }
    this.markCode(mfn, offset, Math.min(off, 4096));
    this.publish();
    return l.at;
  }
  /** Records are found only when they are all there: another thread may be compiling what it finds. */
  private publish(): void {
    const { decoded } = this;
    const { words } = this.machine.mem;
    for (let k = 0; k < decoded.length; k += 2)
      Atomics.store(words, (decoded[k] as number) >>> 2, decoded[k + 1] as number);
    decoded.length = 0;
  }

  private prepare(mode: Mode, table: number, at: number): void {
    const { lowering: l } = this;
    l.at = at;
    l.table = table;
    l.codeSize = mode.codeSize;
    l.stackMask = mode.stackMask;
  }

  private lowerOne(i: Insn, mode: Mode): number {
    if ((!mode.sse && usesXmm(i)) || (!mode.vex && VEX_OPS.has(i.op))) {
      this.lowering.helper(i);
      return FLOW.end;
    }
    if (suspect(i, mode, decodedFor(mode)) || (mode.guest && INTERCEPTABLE.has(i.op))) {
      this.lowering.helper(i);
      return FLOW.end;
    }
    return this.lowering.lower(i);
  }

  /** An instruction that goes on in the next page (or is too long): its helper record has no instruction. */
  private straddler(_truncated: boolean, off: number): void {
    this.lowering.next = off;
    const i = this.insn;
    i.op = 0;
    const at = this.lowering.at;
    this.lowering.helper(i);
    this.machine.mem.setU32(at + REC.insn, 0);
  }

  /** Lowers one instruction given elsewhere into scratch records at `at`; answers where they end. */
  lowerAlone(i: Insn, mode: Mode, at: number, off: number): number {
    const { lowering: l } = this;
    this.prepare(mode, 0, at);
    l.n = 1;
    l.off = off;
    l.next = off + i.length;
    this.lowerOne(i, mode);
    return l.at;
  }
  /** A stop record at `at`, after which rip is at page offset `off`. */
  stopAt(at: number, off: number): void {
    const { lowering: l } = this;
    l.at = at;
    l.n = 1;
    l.off = off;
    l.next = off;
    l.stop();
  }

  private markCode(mfn: number, from: number, to: number): void {
    const { mem } = this.machine;
    const info = this.machine.frame(mfn);
    const before = mem.u32(info + frameInfo.codeLo.offset) | mem.u32(info + frameInfo.codeHi.offset);
    let lo = mem.u32(info + frameInfo.codeLo.offset);
    let hi = mem.u32(info + frameInfo.codeHi.offset);
    for (let line = from >>> 6; line <= Math.max(from, to - 1) >>> 6; line++) {
      if (line < 32) lo |= 1 << line;
      else hi |= 1 << (line - 32);
    }
    mem.setU32(info + frameInfo.codeLo.offset, lo);
    mem.setU32(info + frameInfo.codeHi.offset, hi);
    if (before === 0 && frameInfo.flags.get(mem, info) & FRAME_WRITTEN) this.onProtect(mfn);
  }

  /** Forgets what was decoded from a frame. */
  drop(mfn: number): void {
    const { mem } = this.machine;
    this.dropStraddlers(mfn);
    const info = this.machine.frame(mfn);
    mem.setU32(info + frameInfo.codeLo.offset, 0);
    mem.setU32(info + frameInfo.codeHi.offset, 0);
    for (const key of this.modes) {
      const table = this.pages.get(mfn * MODE_KEYS + key);
      if (table !== undefined) mem.fill(table, TABLE_BYTES);
    }
  }

  /** Only where nothing must go for it. */
  private allocKeeping(bytes: number): number {
    const full = this.nextChunk === this.chunks.length && this.chunks.length >= this.maxChunks;
    return full && this.free + bytes > this.end ? 0 : this.alloc(bytes);
  }
  private alloc(bytes: number): number {
    if (this.free + bytes > this.end && !this.moreSpace()) return 0;
    const at = this.free;
    this.free += bytes;
    return at;
  }
  private moreSpace(): boolean {
    if (this.nextChunk === this.chunks.length) {
      const mfn = this.chunks.length < this.maxChunks ? this.machine.allocFrames(CHUNK_FRAMES) : -1;
      if (mfn >= 0) this.chunks.push(mfn * 4096);
      else if (this.chunks.length === 0) return false;
      else this.flush();
    }
    this.free = this.chunks[this.nextChunk++]!;
    this.end = this.free + CHUNK_FRAMES * 4096;
    return true;
  }
  private flush(): void {
    for (const key of this.pages.keys()) {
      const info = this.machine.frame(Math.floor(key / MODE_KEYS));
      this.machine.mem.setU32(info + frameInfo.codeLo.offset, 0);
      this.machine.mem.setU32(info + frameInfo.codeHi.offset, 0);
    }
    this.clearIndex();
    this.pages.clear();
    this.frames.clear();
    this.straddlers.clear();
    this.insns.length = 1;
    this.nextChunk = 0;
    this.flushes++;
    this.onFlush();
  }
}

function clone(i: Insn): Insn {
  const copy = Object.assign(new Insn(), i) as Insn;
  (copy as { operands: unknown }).operands = i.operands.map((o) => ({ ...o }));
  return copy;
}
