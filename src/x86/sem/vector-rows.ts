/** How rows of the vector tables are written down. */
import type { Access, Semantics } from './integer.ts';
import type { Sem, Vec, VecVar } from './sem.ts';

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
export const row = (form: VectorSemantics['form'], name: string, fn: Fn, more: Partial<VectorSemantics> = {}): VectorSemantics => ({
  name, form, mem: 0, dst: 'rw', z: 8, aligned: false, fn, ...more,
});
export const rr = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rr', name, fn, { z });
export const rri = (name: string, fn: Fn, z: 4 | 8 = 8): VectorSemantics => row('rri', name, fn, { z });
export const load = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics => row('rm', name, fn, { mem, aligned });
export const store = (name: string, mem: number, fn: Fn, aligned = false): VectorSemantics =>
  row('mr', name, fn, { mem, dst: 'w', aligned });

/** dst = dst op src */
export const two = (name: string, op: number): VectorSemantics => rr(name, (e) => e.vwrite(e.v2(op, e.vread(0), e.vread(1))));
export const pairs = (list: Readonly<Record<string, number>>): VectorSemantics[] =>
  Object.entries(list).map(([name, op]) => two(name, op));
/** dst = op src */
export const one = (name: string, op: number): VectorSemantics => rr(name, (e) => e.vwrite(e.v1(op, e.vread(1))));
/** The same from memory in one go, for what runs often. */
export const fromMemory = (rows: readonly VectorSemantics[], mem: number, ...names: readonly string[]): VectorSemantics[] =>
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
