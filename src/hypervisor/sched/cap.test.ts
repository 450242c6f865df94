import { describe, expect, it } from 'vitest';
import * as d from '../../abi/domctl.ts';
import { EXIT } from '../../machine/platform.ts';
import { domainRecord, RUNSTATE, vcpuRecord } from '../records.ts';
import { World } from '../testing/world.ts';

const MS = 1_000_000;
/** How long a guest that is always busy runs before it looks up. */
const STRIDE = MS / 2;

/** A world with a busy guest of one vCPU for each cap; 0 is none. */
function busy(...caps: number[]) {
  const w = new World({ mib: 64 });
  const guests = caps.map((cap) => {
    const domid = w.createDomain();
    const v = w.vcpu(domid);
    vcpuRecord.online.set(w.hv.mem, v, 1);
    vcpuRecord.initialised.set(w.hv.mem, v, 1);
    if (cap > 0) expect(setCap(w, domid, cap)).toBe(0);
    w.unpause(domid);
    return v;
  });
  w.engine.run = () => {
    w.time += STRIDE;
    return EXIT.budget;
  };
  /** Lets `ms` of time pass, the CPU sleeping when nothing is to run. */
  const pass = (ms: number): void => {
    for (const end = w.time + ms * MS; w.time < end; ) {
      if (w.loop.step()) continue;
      w.loop.idle();
      w.time += (w.slept.at(-1) ?? 1) * MS;
    }
  };
  /** Milliseconds that each has run. */
  const ran = (): number[] =>
    guests.map((v) => w.hv.mem.n64(vcpuRecord.runstateTime.addr(v, RUNSTATE.running)) / MS);
  return { w, guests, pass, ran };
}

function setCap(w: World, domid: number, cap: number): number {
  return w.domctl(d.XEN_DOMCTL_scheduler_op, domid, (u) => {
    d.xen_domctl_scheduler_op.sched_id.set(w.hv.mem, u, d.XEN_SCHEDULER_CREDIT2);
    d.xen_domctl_scheduler_op.cmd.set(w.hv.mem, u, d.XEN_DOMCTL_SCHEDOP_putinfo);
    d.xen_domctl_scheduler_op.credit2_cap.set(w.hv.mem, u, cap);
  });
}

describe('a cap', () => {
  it.each([10, 25, 50, 100])('of %i percent lets an otherwise idle CPU rest', (cap) => {
    const { pass, ran } = busy(cap);
    pass(1000);
    expect(ran()[0]! / 10).toBeGreaterThan(cap - 1);
    expect(ran()[0]! / 10).toBeLessThan(cap + 1);
  });

  it('leaves the rest to others', () => {
    const { pass, ran } = busy(20, 0);
    pass(1000);
    const [capped, free] = ran() as [number, number];
    expect(capped / 10).toBeGreaterThan(19);
    expect(capped / 10).toBeLessThan(21);
    expect(capped + free).toBeGreaterThan(999);
  });

  it('is taken back, at once', () => {
    const { w, guests, pass, ran } = busy(10);
    pass(5);
    expect(vcpuRecord.runstate.get(w.hv.mem, guests[0]!)).toBe(RUNSTATE.offline);
    const before = ran()[0]!;
    setCap(w, 1, 0);
    pass(10);
    expect(ran()[0]! - before).toBeGreaterThan(9);
  });

  it('is no more than all vCPUs can use', () => {
    const { w, guests } = busy(30);
    expect(setCap(w, 1, 101)).toBe(-22);
    expect(domainRecord.cpuCap.get(w.hv.mem, vcpuRecord.domain.get(w.hv.mem, guests[0]!))).toBe(30);
  });
});
