/**
 * All SSE instructions that handlers do, and which row does which instruction.
 *
 * A row is a register form; memory sources come through a temporary, except where a row of its own says how. An
 * instruction that differs from another only in name is an alias. @spec SDM 2
 */
import { type Insn, OPK } from '../insn.ts';
import { OP_NAMES, OP as X } from '../ops.ts';
import { VECTOR_FLOAT } from './vector-float.ts';
import { VECTOR_PACKED } from './vector-packed.ts';
import { fromMemory, lanes, type VectorSemantics } from './vector-rows.ts';
import { MOVES, SSE2 } from './vector-sse2.ts';
import { SSE4 } from './vector-sse4.ts';

export const VECTOR: readonly VectorSemantics[] = [
  ...MOVES,
  ...SSE2,
  ...fromMemory(SSE2, 16, 'pcmpeqb', 'pxor', 'pand', 'por', 'paddd', 'paddq'),
  ...SSE4,
  ...VECTOR_FLOAT,
  ...VECTOR_PACKED,
];

const field = (imm: number, i: number, bits: number): number => (imm >> (i * bits)) & ((1 << bits) - 1);
const four = [0, 1, 2, 3] as const;
/** 16 bytes of control, each below 16, that an immediate stands for: what `control` yields. */
// biome-ignore format: a table
export const CONTROL: Readonly<Record<string, (imm: number) => number[]>> = {
  pshufd: (imm) => lanes(4, four.map((i) => field(imm, i, 2))),
  pshuflw: (imm) => lanes(2, [...four.map((i) => field(imm, i, 2)), 4, 5, 6, 7]),
  pshufhw: (imm) => lanes(2, [0, 1, 2, 3, ...four.map((i) => 4 + field(imm, i, 2))]),
  shufps: (imm) => lanes(4, four.map((i) => field(imm, i, 2))),
  shufpd: (imm) => lanes(8, [field(imm, 0, 1), field(imm, 1, 1)]),
  pblendw: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 1, 1)),
  blendps: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 2, 1)),
  blendpd: (imm) => Array.from({ length: 16 }, (_, i) => field(imm, i >> 3, 1)),
};

/** What does the same as another row: by name, by name and form, or also by operand size. */
// biome-ignore format: a table
const ALIAS: Readonly<Record<string, string>> = {
  movupd: 'movups', movdqu: 'movups', lddqu: 'movups', 'movaps/rr': 'movups',
  movapd: 'movaps', movdqa: 'movaps', movntdqa: 'movaps', movntps: 'movaps', movntpd: 'movaps', movntdq: 'movaps',
  'movq/rm': 'movsd', 'movq/mr': 'movsd', 'movlps/mr': 'movsd',
  'movd/rm/4': 'movss', 'movd/mr/4': 'movss', 'movd/rm/8': 'movsd', 'movd/mr/8': 'movsd',
  movlpd: 'movlps', movhpd: 'movhps', movlhps: 'punpcklqdq',
  andps: 'pand', andpd: 'pand', andnps: 'pandn', andnpd: 'pandn', orps: 'por', orpd: 'por', xorps: 'pxor', xorpd: 'pxor',
  unpcklps: 'punpckldq', unpckhps: 'punpckhdq', unpcklpd: 'punpcklqdq', unpckhpd: 'punpckhqdq',
  comiss: 'ucomiss', comisd: 'ucomisd',
  pshuflw: 'pshufd', pshufhw: 'pshufd', shufpd: 'shufps', blendps: 'pblendw', blendpd: 'pblendw',
};
const ROWS = new Map<string, VectorSemantics[]>(VECTOR.map((row) => [row.name, []]));
for (const row of VECTOR) ROWS.get(row.name)!.push(row);
const ALIASED = new Set(Object.keys(ALIAS).map((key) => key.split('/')[0]));
/** These have a general destination: with a memory source no operand shows that they are SSE. */
const TO_GENERAL = new Uint8Array(OP_NAMES.length);
for (const op of [X.cvtss2si, X.cvttss2si, X.cvtsd2si, X.cvttsd2si]) TO_GENERAL[op] = 1;
/** An instruction that needs the SSE state enabled. */
export function usesXmm(i: Insn): boolean {
  for (let k = 0; k < i.count; k++) if (i.operands[k]?.kind === OPK.xmm) return true;
  return TO_GENERAL[i.op] === 1;
}
/** The row that does an instruction, undefined where none does. */
export function vectorRow(name: string, form: string, z: number): VectorSemantics | undefined {
  const rows = ROWS.get(name)?.filter((v) => v.form === form);
  const own = rows?.find((v) => v.z === z) ?? rows?.find((v) => v.z === 8);
  if (own || !ALIASED.has(name)) return own;
  const other = ALIAS[`${name}/${form}/${z}`] ?? ALIAS[`${name}/${form}`] ?? ALIAS[name];
  return other === undefined ? undefined : vectorRow(other, form, z);
}
