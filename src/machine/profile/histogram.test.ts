import { expect, it } from 'vitest';
import { Histogram, percentile } from './histogram.ts';

it('a histogram counts durations by powers of two, with their sum and the longest', () => {
  const h = new Histogram();
  for (const ns of [0, 1, 3, 3.5, 1000]) h.add(ns);
  expect(h.data()).toEqual({
    count: 5,
    totalNs: 1007.5,
    maxNs: 1000,
    buckets: [1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 1],
  });
  expect(new Histogram().data()).toEqual({ count: 0, totalNs: 0, maxNs: 0, buckets: [] });
});

it('what is beyond the buckets is in the last', () => {
  const h = new Histogram();
  h.add(1e15);
  expect(h.data().buckets.at(-1)).toBe(1);
  expect(percentile(h.data(), 1)).toBeLessThanOrEqual(1e15);
});

it('a percentile is the upper end of the bucket that it falls in, and never above the longest', () => {
  const h = new Histogram();
  for (let i = 0; i < 98; i++) h.add(100);
  h.add(5000);
  h.add(6000);
  const data = h.data();
  expect(percentile(data, 0.5)).toBe(128);
  expect(percentile(data, 0.98)).toBe(128);
  expect(percentile(data, 0.99)).toBe(6000);
  expect(percentile(new Histogram().data(), 0.5)).toBe(0);
});
