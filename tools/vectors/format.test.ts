import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  CODE_BASE,
  FLAG_MASK,
  MEM_BASE,
  MEM_SIZE,
  type Outcome,
  readVectors,
  type State,
  type Vector,
  writeVectors,
} from './format.ts';

const folder = new URL('../../src/x86/vectors/', import.meta.url);

const blank = (): State => ({
  gpr: new BigUint64Array(16),
  flags: 0,
  xmm: new Uint8Array(256),
  mxcsr: 0x1f80,
  mem: new Uint8Array(MEM_SIZE),
  memBase: MEM_BASE,
});

function sample(change: (out: Outcome) => void): Vector {
  const input = { ...blank(), flags: 0x41 };
  const out: Outcome = { ...blank(), fault: -1, errorCode: 0, cr2: 0n, rip: CODE_BASE + 2 };
  change(out);
  return { name: 'sample', code: Uint8Array.of(0x0f, 0x0b), in: input, out, undefinedFlags: 0x10 };
}

test('a vector reads back as it was written', () => {
  const vectors = [
    sample((out) => {
      out.gpr[15] = 0xffff_ffff_ffff_ffffn;
      out.flags = 0x801;
    }),
    sample((out) => {
      out.xmm.fill(7, 240);
      out.mxcsr = 0x1fa1;
      out.mem.set([1, 0, 0, 2], 0);
      out.mem.set([3], MEM_SIZE - 1);
    }),
    sample((out) => Object.assign(out, { fault: 14, errorCode: 6, cr2: 0x1234n, rip: CODE_BASE })),
  ];
  const file = writeVectors(
    [blank()],
    vectors.map((vector) => ({ vector, background: 0 })),
  );
  expect([...readVectors(file)]).toEqual(vectors);
});

test('a file of something else is refused', () => {
  const file = writeVectors([blank()], []);
  expect([...readVectors(file)]).toEqual([]);
  expect(() => [...readVectors(file.subarray(0, 10))]).toThrow();
});

/** x87.vec.gz has a format of its own. */
const files = readdirSync(folder).filter((name) => name.endsWith('.vec.gz') && !name.startsWith('x87'));

test.each(files)('%s is sound', (name) => {
  let count = 0;
  for (const v of readVectors(readFileSync(new URL(name, folder)))) {
    count++;
    const ends = v.out.fault < 0 ? v.out.rip === CODE_BASE + v.code.length : v.out.rip >= CODE_BASE;
    const flags = ((v.in.flags | v.out.flags | v.undefinedFlags) & ~FLAG_MASK) === 0;
    if (!ends || !flags) expect.fail(`${v.name} ${Buffer.from(v.code).toString('hex')}`);
  }
  expect(count).toBeGreaterThan(1000);
});
