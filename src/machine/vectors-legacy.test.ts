import { expect, test } from 'vitest';
import { runFile } from '../../tests/vector-file.ts';

test('all instructions of 32-bit code leave what a real CPU left', () => {
  expect(runFile('code32').wrong).toEqual([]);
});

test('all instructions of 16-bit code leave what a real CPU left', () => {
  expect(runFile('code16').wrong).toEqual([]);
});
