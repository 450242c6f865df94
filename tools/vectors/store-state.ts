/** How the parts of a case's outcome are stored: each against the input, in as few bytes as what is usual takes. */
import type { ColumnReader, Columns } from './columns.ts';
import { AT, FAULT_NONE, FX, type Kase, type Rec } from './record.ts';

/** How a register's new value is put. */
const PUT = {
  byte: 0,
  high: 1,
  word: 2,
  double: 3,
  all: 4,
  step: 5,
  small: 6,
  zero: 7,
  negative: 8,
  wordZero: 9,
} as const;
const ONES = (1n << 64n) - 1n;

function changes(input: Rec, out: Rec, n: number): boolean {
  return input.u32(8 * n) !== out.u32(8 * n) || input.u32(8 * n + 4) !== out.u32(8 * n + 4);
}

/** Outside 64-bit code registers have 32 bits; what the recorder saw above them does not count. */
export function writeGpr(c: Columns, kase: Kase, out: Rec): void {
  const { input, form } = kase;
  let mask = 0;
  const count = form.mode === 64 ? 16 : 8;
  for (let n = 0; n < count; n++) {
    if (form.mode !== 64) out.setU32(8 * n + 4, 0);
    if (changes(input, out, n)) mask |= 1 << n;
  }
  c.u16('gpr', mask);
  for (let n = 0; n < count; n++) if (mask & (1 << n)) writeRegister(c, input.gpr[n]!, out.gpr[n]!);
}

function writeRegister(c: Columns, before: bigint, after: bigint): void {
  const differs = before ^ after;
  const step = BigInt.asIntN(64, after - before);
  const put = (how: number, bytes: number, v: bigint): void => {
    c.u8('put', how);
    for (let i = 0; i < bytes; i++) c.u8(`r${bytes}`, Number((v >> BigInt(8 * i)) & 0xffn));
  };
  if (after === 0n) put(PUT.zero, 0, 0n);
  else if (differs < 0x100n) put(PUT.byte, 1, after);
  else if ((differs & ~0xff00n) === 0n) put(PUT.high, 1, after >> 8n);
  else if (step >= -128n && step < 128n) put(PUT.step, 1, step);
  else if (after < 0x100n) put(PUT.small, 1, after);
  else if (after > ONES - 0x100n) put(PUT.negative, 1, after);
  else if (differs < 0x1_0000n) put(PUT.word, 2, after);
  else if (after < 0x1_0000n) put(PUT.wordZero, 2, after);
  else if (after < 1n << 32n) put(PUT.double, 4, after);
  else put(PUT.all, 8, after);
}

const BYTES = [1, 1, 2, 4, 8, 1, 1, 0, 1, 2];

export function readGpr(c: ColumnReader, kase: Kase, want: Rec): void {
  const mask = c.u16('gpr');
  const { gpr } = kase.input;
  for (let n = 0; mask >> n !== 0; n++) if (mask & (1 << n)) want.gpr[n] = readRegister(c, gpr[n]!);
}

function readRegister(c: ColumnReader, before: bigint): bigint {
  const how = c.u8('put');
  let v = 0n;
  const bytes = BYTES[how]!;
  for (let i = 0; i < bytes; i++) v |= BigInt(c.u8(`r${bytes}`)) << BigInt(8 * i);
  switch (how) {
    case PUT.byte:
      return (before & ~0xffn) | v;
    case PUT.high:
      return (before & ~0xff00n) | (v << 8n);
    case PUT.word:
      return (before & ~0xffffn) | v;
    case PUT.step:
      return BigInt.asUintN(64, before + BigInt.asIntN(8, v));
    case PUT.negative:
      return (ONES & ~0xffn) | v;
    default:
      return v;
  }
}

/** MXCSR and the XMM registers, by the words that changed. */
export function writeXmm(c: Columns, input: Rec, out: Rec): void {
  const at = AT.fx + FX.xmm;
  c.varint('mxcsr', BigInt(input.u32(AT.fx + FX.mxcsr) ^ out.u32(AT.fx + FX.mxcsr)));
  const words = (n: number): number => {
    let mask = 0;
    for (let k = 0; k < 4; k++)
      if (input.u32(at + 16 * n + 4 * k) !== out.u32(at + 16 * n + 4 * k)) mask |= 1 << k;
    return mask;
  };
  const masks = Array.from({ length: 16 }, (_, n) => words(n));
  c.u16(
    'xmm',
    masks.reduce((all, mask, n) => all | (mask ? 1 << n : 0), 0),
  );
  masks.forEach((mask, n) => {
    if (mask) c.u8('xmm words', mask);
    for (let k = 0; k < 4; k++) {
      const from = at + 16 * n + 4 * k;
      if (mask & (1 << k)) c.bytes('xmm values', out.bytes.subarray(from, from + 4));
    }
  });
}

export function readXmm(c: ColumnReader, want: Rec): void {
  const at = AT.fx + FX.xmm;
  want.words[(AT.fx + FX.mxcsr) >> 2]! ^= Number(c.varint('mxcsr'));
  const mask = c.u16('xmm');
  for (let n = 0; mask >> n !== 0; n++) {
    if (!(mask & (1 << n))) continue;
    const words = c.u8('xmm words');
    for (let k = 0; k < 4; k++)
      if (words & (1 << k)) want.bytes.set(c.bytes('xmm values', 4), at + 16 * n + 4 * k);
  }
}

const POINTERS = { kept: 0, usual: 1, other: 2 } as const;

/** FOP, FIP and FDP as an instruction with this code and operand leaves them. */
function usualPointers(kase: Kase): readonly [fop: number, fip: number, fdp: number] {
  const { code } = kase.input;
  const at = code.findIndex((byte) => byte >= 0xd8 && byte <= 0xdf);
  const fop = at < 0 ? 0 : ((code[at]! & 7) << 8) | (code[at + 1] ?? 0);
  const fdp =
    kase.form.rm === 'm' ? Number(BigInt.asUintN(32, kase.address)) : kase.input.u32(AT.fx + FX.fdp);
  return [fop, kase.start, fdp];
}

const pointersOf = (rec: Rec): readonly [number, number, number] => [
  rec.u16(AT.fx + FX.fop),
  rec.u32(AT.fx + FX.fip),
  rec.u32(AT.fx + FX.fdp),
];
const same = (a: readonly number[], b: readonly number[]): boolean => a.every((v, i) => v === b[i]);

function writePointers(c: Columns, kase: Kase, out: Rec): void {
  const after = pointersOf(out);
  if (out.fault !== FAULT_NONE || same(after, pointersOf(kase.input))) c.u8('pointers', POINTERS.kept);
  else if (same(after, usualPointers(kase))) c.u8('pointers', POINTERS.usual);
  else {
    c.u8('pointers', POINTERS.other);
    for (const v of after) c.varint('pointer', BigInt(v));
  }
}

function readPointers(c: ColumnReader, kase: Kase, want: Rec): void {
  const how = c.u8('pointers');
  if (how === POINTERS.kept) return;
  const [fop, fip, fdp] =
    how === POINTERS.usual
      ? usualPointers(kase)
      : ([0, 1, 2].map(() => Number(c.varint('pointer'))) as [number, number, number]);
  want.setU16(AT.fx + FX.fop, fop);
  want.setU32(AT.fx + FX.fip, fip);
  want.setU32(AT.fx + FX.fdp, fdp);
}

const stAt = (fsw: number, register: number): number => AT.fx + FX.st + 16 * ((register - (fsw >> 11)) & 7);

/** The registers are compared by number: a push would move them all on the stack. */
export function writeUnit(c: Columns, kase: Kase, out: Rec): void {
  const { input } = kase;
  const [before, after] = [input.u16(AT.fx + FX.fsw), out.u16(AT.fx + FX.fsw)];
  c.u16('fcw', input.u16(AT.fx + FX.fcw) ^ out.u16(AT.fx + FX.fcw));
  c.u16('fsw', before ^ after);
  c.u8('ftw', input.bytes[AT.fx + FX.ftw]! ^ out.bytes[AT.fx + FX.ftw]!);
  writePointers(c, kase, out);
  let mask = 0;
  for (let n = 0; n < 8; n++) {
    const [from, to] = [stAt(before, n), stAt(after, n)];
    if (input.u64(from) !== out.u64(to) || input.u16(from + 8) !== out.u16(to + 8)) mask |= 1 << n;
  }
  c.u8('st', mask);
  for (let n = 0; n < 8; n++) {
    const to = stAt(after, n);
    if (!(mask & (1 << n))) continue;
    c.bytes('significand', out.bytes.subarray(to, to + 8));
    c.u16('exponent', out.u16(to + 8));
  }
}

export function readUnit(c: ColumnReader, kase: Kase, want: Rec): void {
  const { input } = kase;
  const before = input.u16(AT.fx + FX.fsw);
  want.setU16(AT.fx + FX.fcw, input.u16(AT.fx + FX.fcw) ^ c.u16('fcw'));
  const after = before ^ c.u16('fsw');
  want.setU16(AT.fx + FX.fsw, after);
  want.bytes[AT.fx + FX.ftw]! ^= c.u8('ftw');
  readPointers(c, kase, want);
  const mask = c.u8('st');
  for (let n = 0; n < 8; n++) {
    const [from, to] = [stAt(before, n), stAt(after, n)];
    if (mask & (1 << n)) {
      want.bytes.set(c.bytes('significand', 8), to);
      want.setU16(to + 8, c.u16('exponent'));
    } else want.bytes.set(input.bytes.subarray(from, from + 10), to);
  }
}

/** Gaps of fewer equal bytes than this do not end a stretch of changed ones. */
const GAP = 3;

export function writeMemory(c: Columns, kase: Kase, out: Rec): void {
  const { input } = kase;
  const end = AT.mem + input.windowLength;
  const origin = memoryOrigin(kase);
  let runs = 0;
  for (let at = AT.mem; at < end; ) {
    if (input.words[at >> 2] === out.words[at >> 2] && (at & 3) === 0) {
      at += 4;
      continue;
    }
    if (input.bytes[at] === out.bytes[at]) {
      at++;
      continue;
    }
    let last = at;
    for (let k = at; k < end && k - last <= GAP; k++) if (input.bytes[k] !== out.bytes[k]) last = k;
    c.varint('memory at', BigInt(at - origin));
    c.varint('memory length', BigInt(last + 1 - at));
    c.bytes('memory', out.bytes.subarray(at, last + 1));
    runs++;
    at = last + 1;
  }
  c.u8('memory runs', runs);
}

/** Changes are likely where the operand is. */
function memoryOrigin(kase: Kase): number {
  const at = Number(BigInt.asIntN(64, kase.address)) - kase.input.window;
  return at >= 0 && at < kase.input.windowLength ? AT.mem + at : AT.mem;
}

export function readMemory(c: ColumnReader, kase: Kase, want: Rec): void {
  const origin = memoryOrigin(kase);
  for (let runs = c.u8('memory runs'); runs > 0; runs--) {
    const at = origin + Number(c.varint('memory at'));
    want.bytes.set(c.bytes('memory', Number(c.varint('memory length'))), at);
  }
}
