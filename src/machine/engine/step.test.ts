import { describe, expect, it } from 'vitest';
import { cpuState } from '../cpu-state.ts';
import { EXIT } from '../platform.ts';
import { TestCpu } from '../testing.ts';

const CODE = 0x2000_0000;
const DATA = 0x3000_0000;
const UNMAPPED = 0x4000_0000;

function cpuWith(code: readonly number[], rdi = DATA, rcx = 100) {
  const t = new TestCpu();
  const page = t.map(CODE);
  t.map(DATA);
  t.m.fill(page, 4096, 0xf4);
  code.forEach((b, i) => {
    t.m.setU8(page + i, b);
  });
  t.user(CODE, 0);
  t.m.setU64(cpuState.gpr.addr(t.cpu, 1), BigInt(rcx));
  t.m.setU64(cpuState.gpr.addr(t.cpu, 7), BigInt(rdi));
  return { t, count: () => cpuState.icount.get(t.m, t.cpu), rip: () => t.m.u64(t.cpu + cpuState.rip.offset) };
}

const NOP = 0x90;
const REP_STOSB = [0xf3, 0xaa];
const LOAD = [0x8b, 0x07]; // mov eax, [rdi]

describe('one step', () => {
  it('is one instruction, and comes back with the budget used up', () => {
    const { t, count, rip } = cpuWith([NOP, NOP, NOP]);
    expect(t.engine.step(t.cpu)).toBe(EXIT.budget);
    expect([count(), rip()]).toEqual([1, BigInt(CODE + 1)]);
  });

  it('is one element of a repeated string instruction, which counts when it is through', () => {
    const { t, count, rip } = cpuWith(REP_STOSB, DATA, 2);
    t.engine.step(t.cpu);
    expect([count(), rip()]).toEqual([0, BigInt(CODE)]);
    while (rip() === BigInt(CODE)) t.engine.step(t.cpu);
    expect([count(), rip()]).toEqual([1, BigInt(CODE + 2)]);
  });

  it('is an instruction that faults, to the first of its handler', () => {
    const { t, count, rip } = cpuWith(LOAD, UNMAPPED);
    expect(t.engine.step(t.cpu)).toBe(EXIT.budget);
    expect(count()).toBe(1);
    expect(rip()).not.toBe(BigInt(CODE));
    expect(t.engine.step(t.cpu)).toBe(EXIT.hlt);
  });
});

describe('the number of instructions', () => {
  // each ends with the #GP of a HLT in ring 3 or its own fault, and the HLT of the handler
  it.each([
    ['plain ones', [NOP, NOP, NOP], DATA, 5],
    ['a repeated string instruction in bulk', [...REP_STOSB, NOP], DATA, 4],
    ['one that runs into a page that is not there', [NOP, ...REP_STOSB], DATA + 4000, 3],
    ['a load that faults', [NOP, ...LOAD], UNMAPPED, 3],
    ['a fetch that faults', [NOP, 0xff, 0xe7], UNMAPPED, 4], // jmp rdi
  ])('is the same run and stepped: %s', (_what, code, rdi, expected) => {
    const run = cpuWith(code, rdi);
    run.t.run();
    const stepped = cpuWith(code, rdi);
    while (stepped.t.engine.step(stepped.t.cpu) !== EXIT.hlt);
    expect([run.count(), stepped.count()]).toEqual([expected, expected]);
  });

  it('does not have a repeated string instruction that the budget ends within', () => {
    const { t, count, rip } = cpuWith([NOP, ...REP_STOSB], DATA + 4000, 3000);
    t.map(DATA + 4096);
    while (rip() === BigInt(CODE)) expect(t.engine.run(t.cpu, 1)).toBe(EXIT.budget);
    expect(rip()).toBe(BigInt(CODE + 1));
    expect(t.m.u64(cpuState.gpr.addr(t.cpu, 1))).toBeLessThan(3000n);
    expect(count()).toBe(1);
  });
});
