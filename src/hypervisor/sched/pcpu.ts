/**
 * A physical CPU: the thread that picks vCPUs, runs them in its engine, and sleeps when there is none.
 *
 * A turn runs one vCPU until there is a reason to choose again (its slice ends, it blocks, a timer is due, someone kicked
 * this CPU). The kick word is cleared before the reasons are looked at, so that no kick is lost.
 */
import { type Engine, EXIT, type Exit } from '../../machine/platform.ts';
import { nextDeadline } from '../deadline.ts';
import { budgetLeft } from '../domain/cap.ts';
import { domainCrash } from '../domain/domain.ts';
import { idleState, isRunnable, setRunstate } from '../domain/vcpu.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { drainDrops } from '../mm/code.ts';
import { drainLimbo } from '../mm/frames.ts';
import { pcpuRecord, RUNSTATE, rootRecord, VCPU_CPU_OFFSET, VCPU_FRAMES, vcpuRecord } from '../records.ts';
import { runTimers } from '../timers.ts';
import { Budget } from './budget.ts';
import { chargeVcpu, pickVcpu, SLICE_NS } from './credit2.ts';
import { enterVcpu, injectPending } from './enter.ts';
import { ExitHandler } from './exits.ts';
import { anyMonitor, pollMs, wakeMonitors } from './monitor.ts';

/** Longest time in the engine before pending events are looked at. */
const QUANTUM_NS = 500_000;
const MIN_QUANTUM_NS = 20_000;
/** Longest sleep for a vCPU that gave way to nobody. */
const YIELD_MS = 0.1;

export interface PcpuOptions {
  /** Sleeps until the kick word changes from 0 or `ms` pass (Infinity: no limit). */
  sleep?: (ms: number) => void;
}

export class PcpuLoop {
  readonly hv: Hypervisor;
  readonly engine: Engine;
  readonly id: number;
  private readonly record: number;
  private readonly exits: ExitHandler;
  private readonly budget = new Budget();
  private readonly sleep: (ms: number) => void;
  private current = 0;
  /** When the time of `current` was last charged. */
  private chargedAt = 0;
  /** Looks at monitored lines since a vCPU ran last. */
  private looks = 0;
  /** The current vCPU asked for others to be run. */
  private gaveWay = false;

  constructor(hv: Hypervisor, engine: Engine, id: number, options: PcpuOptions = {}) {
    this.hv = hv;
    this.engine = engine;
    this.id = id;
    hv.pcpu = id;
    hv.engine = engine;
    this.record = hv.pcpuAt(id);
    this.exits = new ExitHandler(hv, engine);
    this.sleep = options.sleep ?? ((ms) => this.waitForKick(ms));
  }

  /** Runs until the machine stops. */
  run(): void {
    while (pcpuRecord.stop.get(this.hv.mem, this.record) === 0) {
      if (!this.turn()) this.idle();
    }
    this.park();
  }

  /**
   * Runs what there is to run for a while; false when there was nothing. For a thread that does other things too: no vCPU
   * is on this CPU in between.
   */
  step(): boolean {
    const ran = this.turn();
    this.park();
    return ran;
  }

  private turn(): boolean {
    const before = this.gaveWay ? this.current : 0;
    const v = this.choose();
    if (v === 0) return false;
    if (v === before) this.yieldToThreads();
    this.looks = 0;
    this.gaveWay = false;
    this.runSlice(v);
    return true;
  }

  /** There is no other vCPU to run, so what this one waits for, room in a ring perhaps, is domain 0's to do. */
  private yieldToThreads(): void {
    const { hv } = this;
    const ms = Math.min(YIELD_MS, (nextDeadline(hv) - hv.now()) / 1e6);
    if (ms > 0 && hv.mem.atomicLoad(pcpuRecord.kick.addr(this.record)) === 0) this.sleep(ms);
  }

  /** Takes the current vCPU off this CPU. */
  private park(): void {
    if (this.current === 0) return;
    this.hv.withLock(() => {
      this.charge();
      this.switchTo(0);
    });
  }

  /** Sleeps until a kick or the next timer. */
  idle(): void {
    const { hv } = this;
    const began = hv.now();
    const deadline = nextDeadline(hv);
    let ms = deadline === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : (deadline - began) / 1e6;
    if (anyMonitor(hv)) ms = Math.min(ms, pollMs(this.looks++));
    // The kick of `stopPcpu` may have been taken for another one since `run` last looked.
    const stopping = pcpuRecord.stop.get(hv.mem, this.record) !== 0;
    if (ms > 0 && !stopping && hv.mem.atomicLoad(pcpuRecord.kick.addr(this.record)) === 0) this.sleep(ms);
    const spent = Math.max(0, hv.now() - began);
    pcpuRecord.idleNs.set(hv.mem, this.record, pcpuRecord.idleNs.get(hv.mem, this.record) + spent);
  }

  private waitForKick(ms: number): void {
    Atomics.wait(this.hv.mem.words, pcpuRecord.kick.addr(this.record) >>> 2, 0, ms);
  }

  /** Timers, housekeeping, and the choice of what runs now; 0 for nothing, with the CPU marked idle. */
  private choose(): number {
    const { hv } = this;
    const { mem } = hv;
    hv.enter();
    try {
      mem.atomicStore(pcpuRecord.kick.addr(this.record), 0);
      this.charge();
      if (hv.now() >= nextDeadline(hv)) runTimers(hv);
      wakeMonitors(hv);
      if (pcpuRecord.dropList.get(mem, this.record) !== 0) drainDrops(hv, this.engine);
      if (rootRecord.reap.get(mem, hv.root) !== 0) this.reap();
      const next = pickVcpu(hv, this.id, this.current, hv.yielded);
      hv.yielded = false;
      if (next !== this.current) this.switchTo(next);
      if (next !== 0) enterVcpu(hv, this.engine, next);
      drainLimbo(hv);
      mem.atomicStore(pcpuRecord.idle.addr(this.record), next === 0 ? 1 : 0);
      return next;
    } finally {
      hv.leave();
    }
  }

  private charge(): void {
    const now = this.hv.now();
    if (this.current !== 0) chargeVcpu(this.hv, this.current, now - this.chargedAt);
    this.chargedAt = now;
  }

  private switchTo(next: number): void {
    const { hv, current } = this;
    if (current !== 0) setRunstate(hv, current, idleState(hv, current));
    this.current = next;
    pcpuRecord.current.set(hv.mem, this.record, next);
    if (next === 0) return;
    vcpuRecord.pcpu.set(hv.mem, next, this.id);
    setRunstate(hv, next, RUNSTATE.running);
    vcpuRecord.entered.set(hv.mem, next, 0);
  }

  /** Has this CPU's engine forget vCPUs of domains that are gone; the last CPU to do so frees them. */
  private reap(): void {
    const { hv } = this;
    const { mem } = hv;
    const all = 2 ** hv.pcpuCount - 1;
    for (let link = rootRecord.reap.addr(hv.root); mem.u32(link) !== 0; ) {
      const v = mem.u32(link);
      const done = vcpuRecord.reaped.get(mem, v);
      if ((done & (1 << this.id)) === 0) {
        this.engine.release(v + VCPU_CPU_OFFSET);
        vcpuRecord.reaped.set(mem, v, done | (1 << this.id));
      }
      if (vcpuRecord.reaped.get(mem, v) !== all) {
        link = vcpuRecord.next.addr(v);
        continue;
      }
      mem.setU32(link, vcpuRecord.next.get(mem, v));
      hv.machine.freeFrameRun(v / 4096, VCPU_FRAMES);
    }
  }

  /** Runs the vCPU. A failure of the engine itself costs this domain its life, and nobody else. */
  private enterEngine(v: number, blocks: number): Exit {
    const { hv, engine } = this;
    try {
      injectPending(hv.mem, engine, v);
      return engine.run(v + VCPU_CPU_OFFSET, blocks);
    } catch (e) {
      const what = e instanceof Error ? (e.stack ?? e.message) : String(e);
      hv.withLock(() => domainCrash(hv, v, `the CPU's engine failed, which is a bug of Domzero: ${what}`));
      return EXIT.pause;
    }
  }

  private runSlice(v: number): void {
    const { hv, budget } = this;
    const { mem } = hv;
    const kick = pcpuRecord.kick.addr(this.record);
    let now = hv.now();
    const end = now + Math.min(SLICE_NS, budgetLeft(mem, vcpuRecord.domain.get(mem, v)));
    for (;;) {
      const until = Math.min(QUANTUM_NS, end - now, nextDeadline(hv) - now);
      const blocks = budget.blocks(Math.max(MIN_QUANTUM_NS, until));
      const exit = this.enterEngine(v, blocks);
      const after = hv.now();
      const again = this.exits.handle(v, exit);
      this.gaveWay = exit === EXIT.hypercall && hv.yielded;
      if (exit === EXIT.budget) budget.learn(blocks, after - now);
      if (!again || hv.yielded || mem.atomicLoad(kick) !== 0) return;
      now = hv.now();
      if (now >= end || now >= nextDeadline(hv) || !isRunnable(hv, v)) return;
      if (vcpuRecord.flushPending.get(mem, v) !== 0 || anyMonitor(hv)) return;
    }
  }
}
