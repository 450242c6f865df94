/**
 * Test vectors recorded on a real CPU: the record, the file format, its reader and its writer.
 *
 * A vector is a snippet, the state before it and the state after it. The files are gzip; inside, little-endian:
 *
 *   u32 magic "DZV1", u32 memory size, u32 backgrounds, u32 forms, u32 vectors
 *   background:  gpr u64[16], xmm u8[256], u32 mxcsr, memory
 *   form:        u8 length, its name in ASCII
 *   vector:      u16 form, u8 background, u8 code length, code, u16 undefined flags, input, output,
 *                u8 fault (255: none), u8 rip (offset from CODE_BASE), and for a fault u32 error code, u64 cr2
 *   input/output (against the background / the input):
 *                u16 flags, u16 gpr mask, u16 xmm mask, u8 runs (top bit: an mxcsr follows), u32 mxcsr,
 *                u64 per gpr, 16 bytes per xmm, runs of u16 offset, u16 length, bytes
 *
 * Registers that no operand names keep the background's values, so a vector also shows what is left alone.
 */
import { gunzipSync, gzipSync } from 'node:zlib';

/** Where the snippet lies when it runs; RIP-relative operands count on it. */
export const CODE_BASE = 0x20000000;
/** Where the memory of a vector begins; the pages before and after it are not mapped. */
export const MEM_BASE = 0x10000000;
/** Two pages, so that an access may cross from one to the other. */
export const MEM_SIZE = 8192;
/** The flags a vector has: CF PF AF ZF SF DF OF. The CPU ran with IF set and IOPL 0 (RFLAGS = flags | 0x202). */
export const FLAG_MASK = 0xcd5;

export interface State {
  /** In the order of the encoding: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
  gpr: BigUint64Array;
  flags: number;
  /** xmm0 … xmm15, 16 bytes each. */
  xmm: Uint8Array;
  mxcsr: number;
  mem: Uint8Array;
  memBase: number;
}

export interface Outcome extends State {
  /** Vector of the fault or trap, -1 when the snippet ran to its end. */
  fault: number;
  /** Error code as the kernel saw it: for #PF the user bit is set (the snippet ran in ring 3). */
  errorCode: number;
  /** Faulting address; 0 unless `fault` is 14. */
  cr2: bigint;
  /** RIP, CODE_BASE + code.length unless there was a fault. */
  rip: number;
}

export interface Vector {
  /** Mnemonic and operand form, as "add rm,r /64 mem". */
  name: string;
  code: Uint8Array;
  in: State;
  /** `out.mem`, `out.xmm` and `out.gpr` are the very objects of `in` where nothing in them changed. */
  out: Outcome;
  /** Flags whose value after the snippet the manual leaves undefined. */
  undefinedFlags: number;
}

const MAGIC = 0x31565a44;

class Writer {
  private buffer = new Uint8Array(1 << 20);
  private view = new DataView(this.buffer.buffer);
  private at = 0;

  private room(n: number): number {
    if (this.at + n > this.buffer.length) {
      const bigger = new Uint8Array(this.buffer.length * 2 + n);
      bigger.set(this.buffer);
      this.buffer = bigger;
      this.view = new DataView(bigger.buffer);
    }
    this.at += n;
    return this.at - n;
  }
  u8(v: number): void {
    const at = this.room(1);
    this.view.setUint8(at, v);
  }
  u16(v: number): void {
    const at = this.room(2);
    this.view.setUint16(at, v, true);
  }
  u32(v: number): void {
    const at = this.room(4);
    this.view.setUint32(at, v, true);
  }
  u64(v: bigint): void {
    const at = this.room(8);
    this.view.setBigUint64(at, v, true);
  }
  bytes(v: Uint8Array): void {
    const at = this.room(v.length);
    this.buffer.set(v, at);
  }
  done(): Uint8Array {
    return this.buffer.subarray(0, this.at);
  }
}

class Reader {
  private readonly view: DataView;
  private readonly data: Uint8Array;
  private at = 0;

  constructor(data: Uint8Array) {
    /* Not a Buffer, whose slice() is a view. */
    this.data = new Uint8Array(data.buffer, data.byteOffset, data.length);
    this.view = new DataView(data.buffer, data.byteOffset, data.length);
  }
  u8(): number {
    return this.view.getUint8(this.at++);
  }
  u16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }
  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }
  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }
  bytes(n: number): Uint8Array {
    this.at += n;
    return this.data.slice(this.at - n, this.at);
  }
}

/** Stretches in which `b` differs from `a`; gaps of fewer than 4 equal bytes are bridged. */
function differences(a: Uint8Array, b: Uint8Array): { offset: number; bytes: Uint8Array }[] {
  const runs: { offset: number; bytes: Uint8Array }[] = [];
  if (a === b || Buffer.compare(a, b) === 0) return runs;
  let start = -1;
  let last = -1;
  for (let i = 0; i <= a.length; i++) {
    const differs = i < a.length && a[i] !== b[i];
    if (start >= 0 && (i === a.length || (differs && i - last > 4))) {
      runs.push({ offset: start, bytes: b.subarray(start, last + 1) });
      start = -1;
    }
    if (!differs) continue;
    if (start < 0) start = i;
    last = i;
  }
  return runs;
}

function writeState(w: Writer, from: State, to: State): void {
  const gprs = [...to.gpr.keys()].filter((i) => from.gpr[i] !== to.gpr[i]);
  const lane = (s: State, i: number): Uint8Array => s.xmm.subarray(i * 16, i * 16 + 16);
  const xmms = [...to.gpr.keys()].filter((i) => Buffer.compare(lane(from, i), lane(to, i)) !== 0);
  const mask = (list: number[]): number => list.reduce((m, i) => m | (1 << i), 0);
  const runs = differences(from.mem, to.mem);
  if (runs.length > 127) throw new RangeError(`${runs.length} stretches of memory changed`);
  w.u16(to.flags & FLAG_MASK);
  w.u16(mask(gprs));
  w.u16(mask(xmms));
  w.u8(runs.length | (from.mxcsr === to.mxcsr ? 0 : 0x80));
  if (from.mxcsr !== to.mxcsr) w.u32(to.mxcsr);
  for (const i of gprs) w.u64(to.gpr[i]!);
  for (const i of xmms) w.bytes(lane(to, i));
  for (const run of runs) {
    w.u16(run.offset);
    w.u16(run.bytes.length);
    w.bytes(run.bytes);
  }
}

function readState(r: Reader, from: State): State {
  const s: State = { ...from, flags: r.u16() };
  const gprs = r.u16();
  const xmms = r.u16();
  const runs = r.u8();
  if (runs & 0x80) s.mxcsr = r.u32();
  if (gprs !== 0) s.gpr = s.gpr.slice();
  for (let i = 0; i < 16; i++) if ((gprs >> i) & 1) s.gpr[i] = r.u64();
  if (xmms !== 0) s.xmm = s.xmm.slice();
  for (let i = 0; i < 16; i++) if ((xmms >> i) & 1) s.xmm.set(r.bytes(16), i * 16);
  if (runs & 0x7f) s.mem = s.mem.slice();
  for (let n = runs & 0x7f; n > 0; n--) {
    const offset = r.u16();
    s.mem.set(r.bytes(r.u16()), offset);
  }
  return s;
}

/** A vector as the recorder hands it over: which of the backgrounds its input started from is kept. */
export interface Recorded {
  vector: Vector;
  background: number;
}

export function writeVectors(backgrounds: State[], recorded: Recorded[]): Uint8Array {
  const w = new Writer();
  const names = [...new Set(recorded.map((r) => r.vector.name))];
  const index = new Map(names.map((name, i) => [name, i]));
  for (const n of [MAGIC, MEM_SIZE, backgrounds.length, names.length, recorded.length]) w.u32(n);
  for (const b of backgrounds) {
    for (const v of b.gpr) w.u64(v);
    w.bytes(b.xmm);
    w.u32(b.mxcsr);
    w.bytes(b.mem);
  }
  for (const name of names) {
    w.u8(name.length);
    w.bytes(Buffer.from(name, 'latin1'));
  }
  for (const { vector: v, background } of recorded) {
    w.u16(index.get(v.name)!);
    w.u8(background);
    w.u8(v.code.length);
    w.bytes(v.code);
    w.u16(v.undefinedFlags);
    writeState(w, backgrounds[background]!, v.in);
    writeState(w, v.in, v.out);
    w.u8(v.out.fault < 0 ? 255 : v.out.fault);
    w.u8(v.out.rip - CODE_BASE);
    if (v.out.fault >= 0) {
      w.u32(v.out.errorCode);
      w.u64(v.out.cr2);
    }
  }
  return gzipSync(w.done(), { level: 9 });
}

function readBackground(r: Reader, memSize: number): State {
  const gpr = BigUint64Array.from({ length: 16 }, () => r.u64());
  const xmm = r.bytes(256);
  const mxcsr = r.u32();
  return { gpr, flags: 0, xmm, mxcsr, mem: r.bytes(memSize), memBase: MEM_BASE };
}

/** Reads a .vec.gz file's content. States share arrays with each other: copy before writing to one. */
export function* readVectors(file: Uint8Array): Iterable<Vector> {
  const r = new Reader(gunzipSync(file));
  if (r.u32() !== MAGIC) throw new Error('not a vector file');
  const memSize = r.u32();
  const [backgroundCount, formCount, vectorCount] = [r.u32(), r.u32(), r.u32()];
  const backgrounds = Array.from({ length: backgroundCount }, () => readBackground(r, memSize));
  const names = Array.from({ length: formCount }, () => Buffer.from(r.bytes(r.u8())).toString('latin1'));
  for (let n = 0; n < vectorCount; n++) {
    const name = names[r.u16()]!;
    const background = backgrounds[r.u8()]!;
    const code = r.bytes(r.u8());
    const undefinedFlags = r.u16();
    const input = readState(r, background);
    const output = readState(r, input);
    const vectorNumber = r.u8();
    const rip = CODE_BASE + r.u8();
    const fault = vectorNumber === 255 ? -1 : vectorNumber;
    const errorCode = fault < 0 ? 0 : r.u32();
    const cr2 = fault < 0 ? 0n : r.u64();
    yield { name, code, in: input, out: { ...output, fault, errorCode, cr2, rip }, undefinedFlags };
  }
}
