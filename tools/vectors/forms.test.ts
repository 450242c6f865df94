import { describe, expect, test } from 'vitest';
import { recordedFile } from '../../tests/vector-file.ts';
import { VectorRunner } from '../../tests/vector-runner.ts';
import { EXCEPTIONS, exceptionOf } from './exceptions.ts';
import { ALL_FORMS, FILES, RECORDED_FORMS } from './files.ts';
import { generate } from './generate.ts';
import { Kase } from './record.ts';
import { formCounts } from './store.ts';

const UD = 6;
const files = FILES.map((name) => recordedFile(name));
const counts = new Map(files.flatMap((file) => [...formCounts(file)]));

describe('the recorded vectors', () => {
  test("have cases of every form in the decoder's tables that is not excepted", () => {
    const without = RECORDED_FORMS.filter((form) => (counts.get(form.key) ?? 0) < 8).map((form) => form.key);
    expect(without).toEqual([]);
  });

  test('are half a million, in less than 12 MB', () => {
    const cases = [...counts.values()].reduce((sum, n) => sum + n, 0);
    expect(cases).toBeGreaterThan(500_000);
    expect(files.reduce((sum, file) => sum + file.length, 0)).toBeLessThan(12_000_000);
  });

  test('know each form by a key of its own', () => {
    expect(new Set(ALL_FORMS.map((form) => form.key)).size).toBe(ALL_FORMS.length);
  });

  test('lack nothing for a reason that no form has', () => {
    const unused = EXCEPTIONS.filter((e) => !ALL_FORMS.some((form) => exceptionOf(form) === e));
    expect(unused).toEqual([]);
  });

  test('lack forms of extensions that this machine has not got: they are #UD', () => {
    const runner = new VectorRunner();
    const kase = new Kase();
    const other: string[] = [];
    for (const form of ALL_FORMS) {
      if (!exceptionOf(form)?.absent) continue;
      for (let n = 0; n < 8; n++) {
        generate(form, n, kase);
        runner.run(kase);
        if (runner.got.fault !== UD) other.push(`${form.key} #${n}: ${runner.got.fault}`);
      }
    }
    expect(other).toEqual([]);
  });
});
