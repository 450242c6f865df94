/** Debug registers set for one piece of code, for the guests that try them. @spec SDM 3B 18.2 */
import type { Asm } from '../asm.ts';
import type { Events, Expected } from '../events.ts';
import { cr, dr, R } from '../registers.ts';

export const DATA = 0x20c000;
const NOWHERE = DATA + 0x800;
export const CR4_DE = 8;
const ON = { exec: 0, write: 1, port: 2, access: 3 } as const;
const LEN: Readonly<Record<number, number>> = { 1: 0, 2: 1, 8: 2, 4: 3 };
export const DR7_ONE = 0x400;

/** DR7 with breakpoint `n` locally enabled. */
export const watch = (kind: keyof typeof ON, length = 1, n = 0): number =>
  DR7_ONE + 2 ** (2 * n) + ON[kind] * 2 ** (16 + 4 * n) + LEN[length]! * 2 ** (18 + 4 * n);

export function setDr(a: Asm, n: number, v: number | string): void {
  a.mov(R.eax, v);
  a.mov(dr(n), R.rax);
}
export function off(a: Asm): void {
  setDr(a, 7, DR7_ONE);
}
export function cr4(a: Asm, op: 'or' | 'and', bits: number): void {
  a.mov(R.rax, cr(4));
  a.alu(op, R.eax, bits);
  a.mov(cr(4), R.rax);
}

/** One piece of code under one breakpoint; `at` and `after` are before and behind it. */
export function under(
  e: Events,
  name: string,
  dr7: number,
  where: number | 'at' | 'after',
  expected: readonly (Expected & { where?: 'at' | 'after' | 'next' })[],
  piece: (a: Asm) => void,
): void {
  const { a } = e.g;
  const labels = { at: a.fresh('at'), after: a.fresh('after'), next: a.fresh('next') };
  const places = expected.map(({ where: w, ...x }) => (w ? { ...x, ip: labels[w] } : x));
  e.check(name, places, () => {
    const place = typeof where === 'number' ? where : labels[where];
    for (const n of [0, 1, 2, 3]) setDr(a, n, (dr7 >>> (2 * n)) & 3 ? place : NOWHERE);
    a.mov(R.ebx, DATA);
    setDr(a, 7, dr7);
    a.mov(R.eax, 0);
    a.label(labels.at);
    piece(a);
    a.label(labels.after);
    a.op('nop');
    a.label(labels.next);
    off(a);
  });
  off(a); // a fault may have skipped it
}

export const hit = (where: 'at' | 'after' | 'next', dr6 = 1, more: Partial<Expected> = {}) => ({
  vector: 1,
  where,
  dr6,
  ...more,
});
