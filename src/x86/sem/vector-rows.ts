/** How rows of the vector tables are written down. */
import type { Access, Semantics } from './common.ts';
import type { Sem, V64, Var, Vec, VecVar } from './sem.ts';

export interface VectorSemantics extends Semantics {
  readonly name: string;
  /** Operands as in interp/handlers.ts; a general register may stand where the instruction has one. */
  readonly form: 'rr' | 'rm' | 'mr' | 'rri' | 'ri';
  /** Bytes of the memory operand, 0 for register forms. */
  readonly mem: number;
  readonly dst: Access;
  /** Operand size where REX.W tells two forms apart; else 8. */
  readonly z: 4 | 8;
  /** A misaligned memory operand faults. */
  readonly aligned: boolean;
}

export type Fn = (e: Sem) => void;
export const row = (
  form: VectorSemantics['form'],
  name: string,
  fn: Fn,
  more: Partial<VectorSemantics> = {},
): VectorSemantics => ({
  name,
  form,
  mem: 0,
  dst: 'rw',
  z: 8,
  aligned: false,
  fn,
  ...more,
});
export const rr = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rr', name, fn, { z });
export const rri = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rri', name, fn, { z });
export const load = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics =>
  row('rm', name, fn, { mem, aligned });
export const store = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics =>
  row('mr', name, fn, { mem, dst: 'w', aligned });

/** dst = dst op src */
export const two = (name: string, op: string): VectorSemantics =>
  rr(name, (e) => e.vwrite(e.v2(op, e.vread(0), e.vread(1))));
export const pairs = (list: Readonly<Record<string, string>>): VectorSemantics[] =>
  Object.entries(list).map(([name, op]) => two(name, op));
/** dst = op src */
export const one = (name: string, op: string): VectorSemantics =>
  rr(name, (e) => e.vwrite(e.v1(op, e.vread(1))));
/** The same from memory in one go, for what runs often. */
export const fromMemory = (
  rows: readonly VectorSemantics[],
  mem: number,
  ...names: readonly string[]
): VectorSemantics[] =>
  names.map((name) => {
    const r = rows.find((v) => v.name === name && v.form === 'rr');
    if (!r) throw new Error(`no row for ${name}`);
    return { ...r, form: 'rm', mem, aligned: mem === 16 };
  });
/** Both operands put aside: a is the destination. */
export const both =
  (fn: (e: Sem, a: VecVar, b: VecVar) => Vec): Fn =>
  (e) => {
    const a = e.vlet(e.vread(0));
    const b = e.vlet(e.vread(1));
    e.vwrite(fn(e, a, b));
  };

/** The byte lanes of elements of `size` bytes; 0 and up from a, from 16 bytes on from b. */
export const lanes = (size: number, elements: readonly number[]): number[] =>
  elements.flatMap((i) => Array.from({ length: size }, (_, k) => i * size + k));
export const shuffled = (name: string, size: number, elements: readonly number[]): VectorSemantics =>
  rr(
    name,
    both((e, a, b) => e.shuffle(lanes(size, elements), a, b)),
  );

// --- what several instructions are made of ---------------------------------------------------------------------------

export const repeat8 = (e: Sem, v: V64): Vec => e.splat64(e.mul(v, e.big(0x0101_0101_0101_0101n)));
const IOTA: readonly [bigint, bigint] = [0x0706_0504_0302_0100n, 0x0f0e_0d0c_0b0a_0908n];
/** The lesser of n and a constant. */
export const capped = (e: Sem, n: V64, most: number): V64 => {
  const v = e.let(n);
  const top = e.let(e.c(most));
  return e.select(v, top, e.ltu(v, top));
};
/** Byte numbers plus n: what lies outside 0-15 selects zero. */
export const offsets = (e: Sem, op: string, n: Var): Vec => e.v2(op, e.vconst(...IOTA), repeat8(e, e.get(n)));

/** Products of the even doublewords. */
export const mulEven = (op: string): Fn =>
  both((e, a, b) => {
    const x = e.vlet(e.shuffle(lanes(4, [0, 2, 0, 2]), a, a));
    const y = e.vlet(e.shuffle(lanes(4, [0, 2, 0, 2]), b, b));
    return e.v2(op, x, y);
  });
export const zero = (e: Sem): Vec => e.vconst(0n, 0n);
/** A lane moved to the bottom by the immediate (in units of 1 << log bytes). */
export const laneByImm = (e: Sem, log: number): Vec => {
  const n = e.let(e.shl(e.and(e.imm8(), e.c((16 >> log) - 1)), e.c(log)));
  return e.v2('i8x16_swizzle', e.vread(1), offsets(e, 'i8x16_add', n));
};
/** dst with the low 1 << log bytes of src in the lane the immediate names. */
export function insertByImm(e: Sem, log: number): void {
  const size = (1 << log) as 1 | 2 | 4 | 8;
  const at = e.let(e.shl(e.and(e.imm8(), e.c((16 >> log) - 1)), e.c(log)));
  // byte numbers relative to the lane: those below its size are taken from the value
  const rel = e.vlet(offsets(e, 'i8x16_sub', at));
  const mask = e.vlet(e.v2('i8x16_lt_u', e.vget(rel), repeat8(e, e.c(size))));
  const value = e.vlet(e.v2('i8x16_swizzle', e.splat64(e.read(1, size)), e.vget(rel)));
  const old = e.vlet(e.vread(0));
  e.vwrite(e.bitselect(value, old, mask));
}
