import { describe, expect, it } from 'vitest';
import { Machine } from '../machine.ts';
import { TestCpu } from '../testing.ts';
import { sharedMemory } from '../wasm-api.ts';
import { formRegion, type Job } from './job.ts';
import type { Compiler } from './service.ts';

const CODE = 0x40_0000;
const STACK = 0x50_0000;
const MEMORY = 16 << 20;

describe('a region', () => {
  it('leaves out what a loop did once', () => {
    // xor eax,eax; mov ecx,100000; loop: cmp ecx,99999; je once; back: dec ecx; jnz loop; hlt
    // once: thirty times inc eax; jmp back
    const code = `31c0b9a086010081f99f8601007405ffc975f4f4${'ffc0'.repeat(30)}ebbd`;
    const memory = sharedMemory(MEMORY);
    const machine = Machine.create(memory, MEMORY);
    const sizes: { sampled: number; whole: number }[] = [];
    const sizeOf = (job: Job): number => formRegion(machine.mem, job)?.formed.size ?? 0;
    const compiler: Compiler = {
      ready: false,
      post: (job) => sizes.push({ sampled: sizeOf(job), whole: sizeOf({ ...job, samples: 0 }) }) > 0,
      take: () => undefined,
    };
    const t = new TestCpu(
      undefined,
      { compile: { sampleEvery: 64, hot: 8, batch: 1, patience: 0, compiler } },
      machine,
    );
    t.m.write(t.map(CODE), Uint8Array.from(Buffer.from(code, 'hex')));
    t.map(STACK - 4096);
    t.user(CODE, 2);
    t.run();
    expect(t.m.u64(t.cpu)).toBe(30n);
    expect(sizes[0]?.whole).toBeGreaterThan(30);
    expect(sizes[0]?.sampled).toBeGreaterThan(3);
    expect(sizes[0]?.sampled).toBeLessThan(10);
  });
});
