import { describe, expect, it } from 'vitest';
import { TestCpu } from '../testing.ts';
import { COMPILE_ALL, type CompileOptions } from './regions.ts';

const CODE = 0x40_0000;
/** Hot soon, and in the middle of what runs. */
const SOON: CompileOptions = { sampleEvery: 4, hot: 2, batch: 1, patience: 0 };

/** Runs code in ring 3 until its HLT, which is #GP there; answers RAX. */
function run(code: string, compile: CompileOptions): bigint {
  const t = new TestCpu(undefined, { compile });
  t.m.write(t.map(CODE), Uint8Array.from(Buffer.from(code.replace(/\s/g, ''), 'hex')));
  t.user(CODE, 2);
  expect(t.run().vector).toBe(13);
  return t.m.u64(t.cpu);
}

describe.each([
  ['from the start', COMPILE_ALL],
  ['once it is hot', SOON],
])('a loop compiled %s', (_, compile) => {
  it('finds the flags that were set before it, in its first turn', () => {
    // xor eax,eax; mov ecx,50; outer: mov edx,4; cmp eax,-1; inner: adc eax,0; dec edx; jnz inner; dec ecx; jnz outer; hlt
    const code = '31c0 b932000000 ba04000000 83f8ff 83d000 ffca 75f9 ffc9 75ed f4';
    expect(run(code, compile)).toBe(50n);
  });
});
