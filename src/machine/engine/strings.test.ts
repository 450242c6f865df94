import { describe, expect, it, vi } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { TestCpu } from '../testing.ts';

const CODE = 0x2000_0000;
const FROM = 0x3000_0000;
const TO = 0x3100_0000;
const RAX = 0;
const RCX = 1;
const RBX = 3;
const RSI = 6;
const RDI = 7;
const PAGES = 4;
const COUNT = 1000;
/** Code in the copy. */
const CODE_AT = 2000;

const REP_MOVSQ = [0xf3, 0x48, 0xa5];
const JMP_RAX = [0xff, 0xe0];
const JMP_RBX = [0xff, 0xe3];

/** Runs code that copies eight bytes COUNT times, with RBX behind its first two bytes and RAX at code in the copy; answers the walks of page tables that it took, and what is there then. */
function copy(code: readonly number[], from: number, to: number) {
  const t = new TestCpu();
  const page = t.map(CODE);
  t.m.fill(page, 4096, 0xf4);
  code.forEach((b, i) => {
    t.m.setU8(page + i, b);
  });
  const pages = (start: number) => Array.from({ length: PAGES }, (_, k) => t.map(start + 4096 * k));
  const [source, target] = [pages(FROM), pages(TO)];
  const byte = (of: number[], offset: number) => (of[offset >>> 12] as number) + (offset & 4095);
  for (let k = 0; k < 4096 * PAGES; k++) t.m.setU8(byte(source, k), (k * 7) ^ (k >>> 8));
  JMP_RBX.forEach((b, i) => {
    t.m.setU8(byte(target, i + to + CODE_AT), b);
  });
  t.user(CODE, 0);
  const set = (r: number, value: number) => t.m.setU64(cpuState.gpr.addr(t.cpu, r), BigInt(value));
  set(RAX, TO + to + CODE_AT);
  set(RBX, CODE + JMP_RAX.length);
  set(RCX, COUNT);
  set(RSI, FROM + from);
  set(RDI, TO + to);
  const walks = vi.spyOn(t.engine.core.mmu, 'translate');
  t.run();
  const bytes = (of: number[], at: number) =>
    Array.from({ length: 8 * COUNT }, (_, k) => t.m.u8(byte(of, at + k)));
  return { walks: walks.mock.calls.length, source: bytes(source, from), target: bytes(target, to) };
}

describe('a repeated MOVSQ', () => {
  it.each([
    ['its source', 4, 8],
    ['its destination', 8, 4],
    ['both', 4, 7],
  ])('goes element by element only where one of %s is in two pages', (_what, from, to) => {
    const { walks, source, target } = copy(REP_MOVSQ, from, to);
    expect(target).toEqual(source);
    expect(walks).toBeLessThan(100);
  });
  it('has code that it writes over gone before it gets there', () => {
    const { walks, source, target } = copy([...JMP_RAX, ...REP_MOVSQ], 8, 16);
    expect(target).toEqual(source);
    expect(walks).toBeLessThan(100);
  });
});
