import { describe, expect, it } from 'vitest';
import { vcpuSetIrq } from '../hypervisor/domain/vcpu.ts';
import { rootRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../hypervisor/records.ts';
import { World } from '../hypervisor/testing/world.ts';
import { EXIT } from '../machine/platform.ts';
import { Profiler } from '../machine/profile/profiler.ts';
import { CpuProfile, type GuestProfile } from './cpu-profile.ts';

const VECTOR = 0x40;

/** A world that is profiled, with a guest of one vCPU that takes interrupts of its local APIC. */
function profiled() {
  const w = new World();
  const { hv } = w;
  rootRecord.profiling.set(hv.mem, hv.root, 1);
  const told: GuestProfile[] = [];
  const profile = new CpuProfile(hv, new Profiler({ now: () => w.time, wall: () => 0 }), (p) => told.push(p));
  profile.watch(w.engine, w.loop);
  const domid = w.createDomain();
  const v = w.vcpu(domid);
  vcpuRecord.online.set(hv.mem, v, 1);
  vcpuRecord.initialised.set(hv.mem, v, 1);
  vcpuRecord.lapicDisabled.set(hv.mem, v, 0);
  w.unpause(domid);
  /** Runs the guest once, for so many ns. */
  const run = (ns: number): void => {
    w.engine.script(v + VCPU_CPU_OFFSET, () => {
      w.time += ns;
      return EXIT.pause;
    });
    w.loop.step();
  };
  // at system time 0 nothing can be due
  w.time += 1000;
  run(0);
  return { w, hv, v, domid, profile, told, run };
}

describe("a CPU's profile", () => {
  it('has the time of each guest, in and out of the engine, but not that of sleep', () => {
    const { w, profile, told, run, domid } = profiled();
    run(300);
    w.time += 50;
    run(200);
    w.loop.idle();
    profile.end();
    expect(told.map((p) => p.domid)).toEqual([domid]);
    const [p] = told;
    expect(p!.kinds.engine).toMatchObject({ ns: 500, pieces: { count: 3, maxNs: 300 } });
    expect(p!.kinds.hypervisor.ns).toBe(50);
    expect(p!.exits).toMatchObject({ pause: 3, hlt: 0 });
  });

  it('has the time from when an interrupt was raised until it was delivered', () => {
    const { w, hv, v, profile, told, run } = profiled();
    hv.mem.setU32(vcpuRecord.lapic.addr(v) + 0xf0, 0x1ff);
    hv.withLock(() => vcpuSetIrq(hv, v, VECTOR));
    w.time += 700;
    run(10);
    expect(w.engine.injected.map((i) => i.vector)).toEqual([VECTOR]);
    profile.end();
    expect(told[0]!.interruptLatency).toMatchObject({ count: 1, maxNs: 700 });
  });

  it('counts a timer from when it was due, however late it was looked at', () => {
    const { w, hv, v, profile, told, run } = profiled();
    const apic = vcpuRecord.lapic.addr(v);
    hv.mem.setU32(apic + 0xf0, 0x1ff);
    hv.mem.setU32(apic + 0x320, VECTOR);
    vcpuRecord.lapicDeadline.set(hv.mem, v, hv.now() + 100);
    rootRecord.nextDeadline.set(hv.mem, hv.root, hv.now() + 100);
    w.time += 1000;
    run(10);
    expect(w.engine.injected.map((i) => i.vector)).toEqual([VECTOR]);
    profile.end();
    expect(told[0]!.interruptLatency).toMatchObject({ count: 1, maxNs: 900 });
  });
});
