/** A short form of `npm run endure`: what a guest computes on code that comes and goes is what the host computes. */
import { describe, expect, it } from 'vitest';
import { compilerMissing } from '../tools/endure/files.ts';
import { main } from '../tools/endure.ts';
import { debianMissing, root } from './harness.ts';

const native = process.platform === 'linux' && process.arch === 'x64';
const missing = native
  ? (compilerMissing() ?? (await debianMissing()))
  : 'the host does not run x86-64 Linux programs';

describe.skipIf(missing)(`a guest that works for long${missing ? ` (${missing})` : ''}`, () => {
  it('computes what this CPU computes, with little room for code', async () => {
    const limits = ['--minutes', '1', '--rounds', '2', '--vcpus', '2', '--code-cache', '16M'];
    expect(await main(root, ['--parts', 'churn,forks', ...limits])).toBe(0);
  });
});
