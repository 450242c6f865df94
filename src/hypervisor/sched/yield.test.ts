import { describe, expect, it } from 'vitest';
import { SCHEDOP_yield } from '../../abi/sched.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import { EXIT } from '../../machine/platform.ts';
import { vcpuRecord } from '../records.ts';
import { World } from '../testing/world.ts';
import { Budget } from './budget.ts';

const SCHED_OP = 29;
const RAX = 0;

/** Runs a vCPU that gives way `times` times, and tells how the CPU slept meanwhile. */
function yields(times: number): number[] {
  const w = new World();
  const domid = w.createDomain();
  const v = w.vcpu(domid);
  const { mem } = w.hv;
  const give = (cpu: number) => {
    mem.setU32(cpuState.gpr.addr(cpu, RAX), SCHED_OP);
    for (let r = 1; r < 16; r++) mem.setU32(cpuState.gpr.addr(cpu, r), SCHEDOP_yield);
    return EXIT.hypercall;
  };
  const end = () => {
    w.hv.stopPcpu(0);
    return EXIT.budget;
  };
  const acts = Array.from({ length: times }, () => give);
  w.engine.script(vcpuRecord.cpu.get(mem, v), ...acts, end);
  vcpuRecord.online.set(mem, v, 1);
  w.unpause(domid);
  w.loop.run();
  return w.slept;
}

describe('a vCPU that gives way', () => {
  it('gives its host CPU to other threads for a moment when there is no other vCPU', () => {
    expect(yields(3)).toEqual([0.1, 0.1, 0.1]);
  });

  it('is the only one for which the CPU sleeps', () => {
    expect(yields(0)).toEqual([]);
  });
});

describe('the budget of a run', () => {
  it('is not made tiny by one run during which the host did something else', () => {
    const budget = new Budget();
    for (let i = 0; i < 20; i++) budget.learn(10_000, 100_000);
    budget.learn(10_000, 50_000_000);
    expect(budget.blocks(500_000)).toBeGreaterThan(20_000);
  });

  it('shrinks by and by when all runs are slow', () => {
    const budget = new Budget();
    for (let i = 0; i < 12; i++) budget.learn(10_000, 50_000_000);
    expect(budget.blocks(500_000)).toBe(100);
  });
});
