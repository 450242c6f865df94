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
