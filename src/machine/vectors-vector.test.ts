import { expect, test } from 'vitest';
import { runFile, withPrecision } from '../../tests/vector-file.ts';

test('instructions on XMM registers leave what a real CPU left', () => {
  expect(runFile('vector').wrong).toEqual([]);
});

test('they do so too once something was inexact', () => {
  expect(runFile('vector', withPrecision).wrong).toEqual([]);
});
