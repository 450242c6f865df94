import { expect, test } from 'vitest';
import { runFile } from '../../tests/vector-file.ts';

test('general instructions of 64-bit code leave what a real CPU left', () => {
  expect(runFile('integer').wrong).toEqual([]);
});
