import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Mem } from '../base/mem.ts';
import { lock, unlock } from './lock.ts';

const AWAITED = 2;

describe('a lock word', () => {
  it('is 0 while nobody holds it', () => {
    const mem = new Mem(new SharedArrayBuffer(8));
    lock(mem, 0);
    expect(mem.u32(0)).not.toBe(0);
    unlock(mem, 0);
    expect(mem.u32(0)).toBe(0);
  });

  it('has who waits long sleep until another thread lets it go', async () => {
    const mem = new Mem(new SharedArrayBuffer(8));
    const holder = new Worker(
      `const w = require('node:worker_threads').workerData;
       Atomics.store(w, 0, 1);
       Atomics.store(w, 1, 1);
       Atomics.notify(w, 1);
       while (Atomics.load(w, 0) !== ${AWAITED});
       setTimeout(() => { Atomics.store(w, 0, 0); Atomics.notify(w, 0); }, 10);`,
      { eval: true, workerData: mem.words },
    );
    Atomics.wait(mem.words, 1, 0);
    lock(mem, 0);
    expect(mem.u32(0)).toBe(AWAITED);
    unlock(mem, 0);
    expect(mem.u32(0)).toBe(0);
    await holder.terminate();
  });
});
