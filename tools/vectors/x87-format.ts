/**
 * x87 vectors recorded on a real CPU: the record, the file format, its reader and its writer.
 *
 * A vector is a snippet, the unit before it and the unit after it. The file is gzip; inside, little-endian:
 *
 *   u32 magic "DZX1", u32 forms, u32 vectors
 *   form:    u8 length, its name in ASCII
 *   vector:  u16 form, u8 code length, code, input, u8 fault (255: none), output unless there was a fault
 *   input/output (against `initialUnit` / the input):
 *            u16 fcw, u16 fsw, u16 tags, u16 fop, u32 fip, u32 fdp, u16 ax, u16 flags,
 *            u8 mask of registers that differ, 10 bytes for each, u8 length, bytes of memory from its start
 */
import { gunzipSync, gzipSync } from 'node:zlib';

/** Where RDI points, at the memory operand. */
export const MEM_BASE = 0x10000000;
export const CODE_BASE = 0x20000000;
export const MEM_SIZE = 128;
export const FLAG_MASK = 0xcd5;

export interface UnitState {
  fcw: number;
  fsw: number;
  /** Full tag word, two bits for each physical register. */
  tags: number;
  fop: number;
  fip: number;
  fdp: number;
  ax: number;
  flags: number;
  /** Eight physical registers of 10 bytes. */
  regs: Uint8Array;
  mem: Uint8Array;
}

export interface X87Vector {
  name: string;
  code: Uint8Array;
  in: UnitState;
  /** Undefined where the snippet faulted. */
  out: UnitState | undefined;
  /** Vector of the fault, -1 for none. */
  fault: number;
}

/** What inputs are described against. */
export function initialUnit(): UnitState {
  const regs = new Uint8Array(80);
  for (let r = 0; r < 8; r++) regs.set([r, 0, 0, 0, 0, 0, 0, 0x80 + 16 * r, 0xfe + (r & 1), 0x3f], r * 10);
  const mem = new Uint8Array(MEM_SIZE).fill(0xaa);
  return { fcw: 0x37f, fsw: 0, tags: 0xffff, fop: 0, fip: 0, fdp: 0, ax: 0, flags: 0, regs, mem };
}

const WORDS = ['fcw', 'fsw', 'tags', 'fop', 'fip', 'fdp', 'ax', 'flags'] as const;
const wide = (name: string): boolean => name === 'fip' || name === 'fdp';
const MAGIC = 0x3158_5a44;

function changedRegisters(a: UnitState, b: UnitState): number[] {
  const differs = (r: number): boolean =>
    a.regs.subarray(r * 10, r * 10 + 10).some((v, k) => v !== b.regs[r * 10 + k]);
  return [0, 1, 2, 3, 4, 5, 6, 7].filter(differs);
}

function putState(out: number[], from: UnitState, s: UnitState): void {
  for (const name of WORDS) {
    const v = s[name];
    out.push(v & 255, (v >>> 8) & 255);
    if (wide(name)) out.push((v >>> 16) & 255, v >>> 24);
  }
  const changed = changedRegisters(from, s);
  out.push(changed.reduce((mask, r) => mask | (1 << r), 0));
  for (const r of changed) out.push(...s.regs.subarray(r * 10, r * 10 + 10));
  let length = MEM_SIZE;
  while (length > 0 && s.mem[length - 1] === from.mem[length - 1]) length--;
  out.push(length, ...s.mem.subarray(0, length));
}

export function writeX87(vectors: readonly X87Vector[]): Uint8Array {
  const names = [...new Set(vectors.map((v) => v.name))];
  const out: number[] = [];
  const u32 = (v: number): void => void out.push(v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24);
  u32(MAGIC);
  u32(names.length);
  u32(vectors.length);
  for (const name of names) out.push(name.length, ...[...name].map((c) => c.charCodeAt(0)));
  const initial = initialUnit();
  for (const v of vectors) {
    const form = names.indexOf(v.name);
    out.push(form & 255, form >> 8, v.code.length, ...v.code);
    putState(out, initial, v.in);
    out.push(v.fault & 255);
    if (v.out) putState(out, v.in, v.out);
  }
  return gzipSync(Uint8Array.from(out), { level: 9 });
}

class Reader {
  private readonly bytes: Uint8Array;
  private at = 0;

  constructor(bytes: Uint8Array) {
    // a plain array: slices of a Buffer would be views
    this.bytes = new Uint8Array(bytes);
  }
  u8(): number {
    return this.bytes[this.at++]!;
  }
  u16(): number {
    return this.u8() | (this.u8() << 8);
  }
  u32(): number {
    return (this.u16() | (this.u16() << 16)) >>> 0;
  }
  take(n: number): Uint8Array {
    this.at += n;
    return this.bytes.slice(this.at - n, this.at);
  }
}

function takeState(r: Reader, from: UnitState): UnitState {
  const s = { ...from, regs: from.regs.slice(), mem: from.mem.slice() };
  for (const name of WORDS) s[name] = wide(name) ? r.u32() : r.u16();
  const mask = r.u8();
  for (let n = 0; n < 8; n++) if ((mask >> n) & 1) s.regs.set(r.take(10), n * 10);
  s.mem.set(r.take(r.u8()));
  return s;
}

export function* readX87(file: Uint8Array): Generator<X87Vector> {
  const r = new Reader(gunzipSync(file));
  if (r.u32() !== MAGIC) throw new Error('not a file of x87 vectors');
  const forms = r.u32();
  const count = r.u32();
  const names = Array.from({ length: forms }, () => String.fromCharCode(...r.take(r.u8())));
  const initial = initialUnit();
  for (let n = 0; n < count; n++) {
    const name = names[r.u16()]!;
    const code = r.take(r.u8());
    const before = takeState(r, initial);
    const fault = (r.u8() << 24) >> 24;
    const out = fault < 0 ? takeState(r, before) : undefined;
    yield { name, code, in: before, out, fault };
  }
}
