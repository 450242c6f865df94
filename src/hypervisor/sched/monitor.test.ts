import { describe, expect, it } from 'vitest';
import { armMonitor } from '../../machine/monitor.ts';
import { EXIT } from '../../machine/platform.ts';
import { vcpuRecord } from '../records.ts';
import { World } from '../testing/world.ts';
import { MONITOR_POLL_MS } from './monitor.ts';

/** A domain whose vCPU does MWAIT on a line of its memory; `line` is the machine address. */
function waiting() {
  const w = new World();
  const domid = w.createDomain();
  const v = w.vcpu(domid);
  const line = w.hv.machine.allocFrame() * 4096;
  let runs = 0;
  const act = (cpu: number) => {
    runs++;
    armMonitor(w.hv.mem, cpu, line + 5);
    return EXIT.mwait;
  };
  w.engine.script(vcpuRecord.cpu.get(w.hv.mem, v), act, act);
  vcpuRecord.online.set(w.hv.mem, v, 1);
  w.unpause(domid);
  w.loop.step();
  return { w, v, line, runs: () => runs };
}

describe('a vCPU in MWAIT', () => {
  it('sleeps while nobody writes, and so does the CPU between two looks', () => {
    const { w, v, runs } = waiting();
    expect(vcpuRecord.blocked.get(w.hv.mem, v)).toBe(1);
    expect(w.loop.step()).toBe(false);
    w.loop.idle();
    expect(w.slept).toEqual([MONITOR_POLL_MS]);
    expect(runs()).toBe(1);
  });

  it('is looked at ever more seldom while nothing happens', () => {
    const { w } = waiting();
    for (let i = 0; i < 7; i++) w.loop.idle();
    expect(w.slept).toEqual([2, 4, 8, 16, 32, 32, 32]);
  });

  it('wakes for a write to any word of the line, and for no other', () => {
    const { w, line, runs } = waiting();
    w.hv.mem.setU8(line + 64, 1);
    expect(w.loop.step()).toBe(false);
    w.hv.mem.setU8(line + 63, 1);
    expect(w.loop.step()).toBe(true);
    expect(runs()).toBe(2);
  });

  it('wakes for an interrupt', () => {
    const { w, v, runs } = waiting();
    vcpuRecord.nmiPending.set(w.hv.mem, v, 1);
    vcpuRecord.blocked.set(w.hv.mem, v, 0);
    expect(w.loop.step()).toBe(true);
    expect(runs()).toBe(2);
  });
});
