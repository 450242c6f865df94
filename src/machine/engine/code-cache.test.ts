import { expect, test } from 'vitest';
import { TestCpu } from '../testing.ts';

const CODE = 0x40_0000;
const PAGES = 24;
const ROUNDS = 4;

test('code beyond what the cache holds goes on where it was when that is emptied', () => {
  const t = new TestCpu(undefined, { codeCacheBytes: 2 << 20 });
  // inc eax all over the pages; then dec ecx, jnz back to the start, hlt
  const size = PAGES * 4096;
  const code = new Uint8Array(size + 4096).fill(0x90);
  for (let k = 0; k < size; k += 2) code.set([0xff, 0xc0], k);
  const back = new DataView(new ArrayBuffer(4));
  back.setInt32(0, -(size + 8), true);
  code.set([0xff, 0xc9, 0x0f, 0x85, ...new Uint8Array(back.buffer), 0xf4], size);
  for (let k = 0; k <= PAGES; k++) t.m.write(t.map(CODE + 4096 * k), code.subarray(4096 * k, 4096 * (k + 1)));
  t.user(CODE, 2);
  t.m.setU64(t.cpu, 0n);
  t.m.setU64(t.cpu + 8, BigInt(ROUNDS));
  expect(t.run().vector).toBe(13);
  expect(t.engine.cache.flushes).toBeGreaterThan(0);
  expect(t.m.u64(t.cpu)).toBe(BigInt((size / 2) * ROUNDS));
});

test('a record is found only when all records behind it are there, since another thread may look', () => {
  const t = new TestCpu();
  // inc eax; cpuid (which the helper keeps); hlt
  t.m.write(t.map(CODE), Uint8Array.of(0xff, 0xc0, 0x0f, 0xa2, 0xf4));
  t.user(CODE, 2);
  const { cache } = t.engine;
  const tables: number[] = [];
  const slotsThen: number[] = [];
  const { table } = cache;
  cache.table = (mfn, mode) => {
    tables.push(table.call(cache, mfn, mode));
    return tables.at(-1) as number;
  };
  const { lowering } = cache as unknown as { lowering: { keep: (i: object) => number } };
  const { keep } = lowering;
  lowering.keep = (i) => {
    slotsThen.push(t.m.u32(tables[0] as number), t.m.u32((tables[0] as number) + 8));
    return keep(i);
  };
  expect(t.run().vector).toBe(13);
  expect(slotsThen.slice(0, 2)).toEqual([0, 0]);
  expect(t.m.u32(tables[0] as number)).not.toBe(0);
});
