import { expect, test } from 'vitest';
import { initialUnit, readX87, type UnitState, writeX87, type X87Vector } from './x87-format.ts';

function changed(change: (s: UnitState) => void): UnitState {
  const s = initialUnit();
  change(s);
  return s;
}

test('what is written comes back', () => {
  const before = changed((s) => {
    s.regs.fill(9, 70);
    s.fip = 0xffff_fff0;
    s.mem[3] = 1;
  });
  const after: UnitState = { ...before, fsw: 0x3800, regs: before.regs.slice(), mem: before.mem.slice() };
  after.regs[0] = 77;
  after.mem[127] = 5;
  const code = Uint8Array.of(0xd9, 0xe8);
  const vectors: X87Vector[] = [
    { name: 'fld1', code, in: before, out: after, fault: -1 },
    { name: 'fadd', code, in: initialUnit(), out: initialUnit(), fault: -1 },
    { name: 'fld1', code, in: before, out: undefined, fault: 16 },
  ];
  expect([...readX87(writeX87(vectors))]).toEqual(vectors);
});

test('a file of something else is refused', () => {
  const file = writeX87([]);
  expect([...readX87(file)]).toEqual([]);
  expect(() => [...readX87(file.subarray(0, 10))]).toThrow();
});
