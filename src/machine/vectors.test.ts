import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { VectorRunner } from '../../tests/vector-runner.ts';
import { readVectors, type Vector } from '../../tools/vectors/format.ts';

const folder = new URL('../x86/vectors/', import.meta.url);

const unchanged = (v: Vector): Vector => v;
/** As after an inexact operation: the sticky flag changes nothing but itself, and the handlers' fast ways open. */
function withPrecision(v: Vector): Vector {
  const PE = 0x20;
  if (v.name.includes('mxcsr')) return v;
  return { ...v, in: { ...v.in, mxcsr: v.in.mxcsr | PE }, out: { ...v.out, mxcsr: v.out.mxcsr | PE } };
}

function runFile(name: string, alter = unchanged): Map<string, string[]> {
  const r = new VectorRunner();
  const bad = new Map<string, string[]>();
  for (const original of readVectors(readFileSync(new URL(name, folder)))) {
    const v = alter(original);
    const wrong = r.run(v);
    if (wrong.length === 0) continue;
    const list = bad.get(v.name) ?? [];
    list.push(`${Buffer.from(v.code).toString('hex')}: ${wrong.join(', ')}`);
    bad.set(v.name, list);
  }
  return bad;
}

describe('the interpreter against a real CPU', () => {
  test('integer instructions leave what the CPU left', () => {
    const bad = runFile('integer.vec.gz');
    const report = [...bad].map(([n, l]) => `${n} (${l.length}): ${l[0]}`);
    expect(report).toEqual([]);
  });

  test('bit manipulation leaves what the CPU left', () => {
    const bad = runFile('bmi.vec.gz');
    const report = [...bad].map(([n, l]) => `${n} (${l.length}): ${l[0]}`);
    expect(report).toEqual([]);
  });

  test('AES, carry-less multiplication and SHA leave what the CPU left', () => {
    const bad = runFile('crypto.vec.gz');
    const report = [...bad].map(([n, l]) => `${n} (${l.length}): ${l[0]}`);
    expect(report).toEqual([]);
  });

  test('SSE instructions leave what the CPU left', () => {
    const bad = runFile('sse.vec.gz');
    const report = [...bad].map(([n, l]) => `${n} (${l.length}): ${l[0]}`);
    expect(report).toEqual([]);
  });

  test('SSE instructions do so too once something was inexact', () => {
    const bad = runFile('sse.vec.gz', withPrecision);
    const report = [...bad].map(([n, l]) => `${n} (${l.length}): ${l[0]}`);
    expect(report).toEqual([]);
  });
});
