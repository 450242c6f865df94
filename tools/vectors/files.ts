/** Which forms are recorded in which file, and how many cases of each. */
import { K } from '../../src/x86/opcode-form.ts';
import { exceptionOf } from './exceptions.ts';
import { formsOf, type VectorForm } from './forms.ts';
import { usesUnit } from './prepare-unit.ts';

export const FILES = ['integer', 'vector', 'unit', 'code32', 'code16'] as const;
export type FileName = (typeof FILES)[number];

function fileOf(form: VectorForm): FileName {
  if (form.mode !== 64) return form.mode === 32 ? 'code32' : 'code16';
  if (usesUnit(form)) return 'unit';
  return form.operands.some((o) => o.kind === K.xmmRm || o.kind === K.xmmReg) ? 'vector' : 'integer';
}

/** Every form of the decoder's tables, and those of them that are recorded. */
export const ALL_FORMS: readonly VectorForm[] = [64, 32, 16].flatMap((mode) => formsOf(mode as 16 | 32 | 64));
export const RECORDED_FORMS: readonly VectorForm[] = ALL_FORMS.filter((form) => !exceptionOf(form));

export function formsIn(file: FileName): VectorForm[] {
  return RECORDED_FORMS.filter((form) => fileOf(form) === file);
}

/** 64-bit code is what guests run most; elsewhere the same forms differ in addresses and stack. */
const CASES: Readonly<Record<FileName, number>> = {
  integer: 150,
  vector: 140,
  unit: 150,
  code32: 50,
  code16: 32,
};

/** Cases of a form: fewer of LOCK, which changes nothing in them. */
export function casesOf(form: VectorForm): number {
  const all = CASES[fileOf(form)];
  return form.lock ? Math.ceil(all / 3) : all;
}
