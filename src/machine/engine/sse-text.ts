/** SSE instructions on whole vectors that Wasm has nothing like: string compares and a few others. @spec SDM 2 */

import { AF, CF, OF, PF, SF, ZF } from '../../x86/flags.ts';
import { OP as X } from '../../x86/ops.ts';
import type { Operands } from './sse-operands.ts';

type Register = (op: number, run: (o: Operands) => void) => void;

const RAX = 0;
const RCX = 1;
const RDX = 2;

interface Strings {
  readonly a: readonly bigint[];
  readonly b: readonly bigint[];
  /** Elements that count. */
  readonly lengthA: number;
  readonly lengthB: number;
}

/** A length register's absolute value, at most `most`. */
function explicitLength(o: Operands, r: number, most: number): number {
  const v = BigInt.asIntN(o.i.rex & 8 ? 64 : 32, o.c.gpr(r));
  const size = v < 0n ? -v : v;
  return size > BigInt(most) ? most : Number(size);
}
function implicitLength(v: readonly bigint[]): number {
  const end = v.indexOf(0n);
  return end < 0 ? v.length : end;
}
function strings(o: Operands, explicit: boolean): Strings {
  const words = (o.imm & 1) !== 0;
  const size = words ? 2 : 1;
  const element = (v: bigint): bigint => (o.imm & 2 ? BigInt.asIntN(8 * size, v) : v);
  const b = o.lanes(1, size).map(element);
  const a = o.lanes(0, size).map(element);
  return {
    a,
    b,
    lengthA: explicit ? explicitLength(o, RAX, a.length) : implicitLength(a),
    lengthB: explicit ? explicitLength(o, RDX, b.length) : implicitLength(b),
  };
}

/** Whether element j of b matches, for each way to aggregate. */
const AGGREGATES: readonly ((s: Strings, j: number) => boolean)[] = [
  ({ a, b, lengthA, lengthB }, j) => j < lengthB && a.slice(0, lengthA).includes(b[j]!),
  ({ a, b, lengthA, lengthB }, j) => {
    for (let i = 0; i + 1 < lengthA; i += 2)
      if (j < lengthB && a[i]! <= b[j]! && b[j]! <= a[i + 1]!) return true;
    return false;
  },
  ({ a, b, lengthA, lengthB }, j) =>
    j < lengthA && j < lengthB ? a[j] === b[j] : j >= lengthA && j >= lengthB,
  ({ a, b, lengthA, lengthB }, j) => {
    for (let i = 0; i < lengthA && i + j < b.length; i++)
      if (i + j >= lengthB || a[i] !== b[i + j]) return false;
    return true;
  },
];

/** The result's bits, one to an element; sets the flags. */
function compareStrings(o: Operands, explicit: boolean): { bits: number; n: number } {
  const s = strings(o, explicit);
  const n = s.a.length;
  const matches = AGGREGATES[(o.imm >> 2) & 3]!;
  let bits = 0;
  for (let j = 0; j < n; j++) {
    const negate = o.imm & 0x10 && (!(o.imm & 0x20) || j < s.lengthB);
    if (matches(s, j) !== Boolean(negate)) bits |= 1 << j;
  }
  const flags = (bits ? CF : 0) | (s.lengthB < n ? ZF : 0) | (s.lengthA < n ? SF : 0) | (bits & 1 ? OF : 0);
  o.c.setStatus(flags & ~(AF | PF));
  return { bits, n };
}
function stringIndex(o: Operands, explicit: boolean): void {
  const { bits, n } = compareStrings(o, explicit);
  const at = o.imm & 0x40 ? 31 - Math.clz32(bits) : 31 - Math.clz32(bits & -bits);
  o.c.setGpr32(RCX, bits === 0 ? n : at);
}
function stringMask(o: Operands, explicit: boolean): void {
  const { bits, n } = compareStrings(o, explicit);
  const size = 16 / n;
  const ones = (1n << BigInt(8 * size)) - 1n;
  if (o.imm & 0x40)
    o.setXmm0(
      size,
      Array.from({ length: n }, (_, j) => ((bits >> j) & 1 ? ones : 0n)),
    );
  else o.setXmm0(8, [BigInt(bits), 0n]);
}

/** Eight sums of four absolute differences. */
function mpsadbw(o: Operands): void {
  const src = o.lanes(1, 1).map(Number);
  const dst = o.lanes(0, 1).map(Number);
  const from = (o.imm & 3) * 4;
  const to = (o.imm & 4) !== 0 ? 4 : 0;
  const sum = (i: number): number =>
    [0, 1, 2, 3].reduce((all, k) => all + Math.abs(dst[to + i + k]! - src[from + k]!), 0);
  o.setLanes(
    2,
    Array.from({ length: 8 }, (_, i) => BigInt(sum(i))),
  );
}
function phminposuw(o: Operands): void {
  const words = o.lanes(1, 2).map(Number);
  const least = Math.min(...words);
  o.setLanes(8, [BigInt(least + words.indexOf(least) * 0x1_0000), 0n]);
}
function insertps(o: Operands): void {
  const src = o.lanes(1, 4);
  const out = o.lanes(0, 4);
  out[(o.imm >> 4) & 3] = src.length === 4 ? src[o.imm >> 6]! : src[0]!;
  o.setLanes(
    4,
    out.map((v, n) => ((o.imm >> n) & 1 ? 0n : v)),
  );
}

export function registerSseText(register: Register): void {
  register(X.pcmpestri, (o) => stringIndex(o, true));
  register(X.pcmpistri, (o) => stringIndex(o, false));
  register(X.pcmpestrm, (o) => stringMask(o, true));
  register(X.pcmpistrm, (o) => stringMask(o, false));
  register(X.mpsadbw, mpsadbw);
  register(X.phminposuw, phminposuw);
  register(X.insertps, insertps);
}
