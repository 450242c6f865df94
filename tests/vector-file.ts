/** Runs a file of recorded vectors on an engine, for the tests. */
import { readFileSync } from 'node:fs';
import { describeInput, differences } from '../tools/vectors/compare.ts';
import { type FileName, formsIn } from '../tools/vectors/files.ts';
import { AT, FX, type Kase, type Rec } from '../tools/vectors/record.ts';
import { VectorReader } from '../tools/vectors/store.ts';
import { VectorRunner } from './vector-runner.ts';

export function recordedFile(name: FileName): Uint8Array {
  return readFileSync(new URL(`../src/x86/vectors/${name}.vec.br`, import.meta.url));
}

/** What one case of each form that differs is like, and how many cases there were. */
export interface Report {
  cases: number;
  wrong: string[];
}

type Change = (kase: Kase, want: Rec) => void;

export function runFile(name: FileName, alter: Change = () => {}, runner = new VectorRunner()): Report {
  const wrong = new Map<string, { first: string; count: number }>();
  let cases = 0;
  for (const { kase, want } of new VectorReader(recordedFile(name), formsIn(name)).cases()) {
    alter(kase, want);
    cases++;
    runner.run(kase);
    const differs = differences(kase, want, runner.got);
    if (differs.length === 0) continue;
    const known = wrong.get(kase.form.key);
    if (known) known.count++;
    else wrong.set(kase.form.key, { first: `${describeInput(kase)}\n  ${differs.join('\n  ')}`, count: 1 });
  }
  return { cases, wrong: [...wrong.values()].map((w) => `${w.count} of ${w.first}`) };
}

const PE = 0x20;
/** As after an inexact operation: the sticky flag changes nothing but itself, and the handlers' fast ways open. */
export function withPrecision(kase: Kase, want: Rec): void {
  if (/mxcsr/.test(kase.form.op)) return;
  for (const rec of [kase.input, want]) rec.setU32(AT.fx + FX.mxcsr, rec.u32(AT.fx + FX.mxcsr) | PE);
}
