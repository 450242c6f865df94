import { expect, test } from 'vitest';
import { runFile } from '../../tests/vector-file.ts';

test('instructions on x87 and MMX registers leave what a real CPU left', () => {
  expect(runFile('unit').wrong).toEqual([]);
});
