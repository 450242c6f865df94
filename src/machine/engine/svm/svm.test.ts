/** A vCPU that runs a guest of its own, as the hypervisor sees it. What the guest and its monitor see: guests/programs/svm-*.ts. */
import { describe, expect, test } from 'vitest';
import { maxCpuid } from '../../../x86/cpuid.ts';
import { cpuState, SEG, segment } from '../../cpu-state.ts';
import { EXIT } from '../../platform.ts';
import { nullPlatform, TestCpu } from '../../testing.ts';
import { SAVE_AT, VMEXIT, vmcbControl, vmcbSave } from './vmcb.ts';

const MONITOR = 0x40_0000;
const GUEST = 0x50_0000;
const DATA = 0x60_0000;
const IF = 0x200;
const UD = 6;
const VMRUN = [0x0f, 0x01, 0xd8];
const STGI = [0x0f, 0x01, 0xdc];
const HLT = 0xf4;
const EFER_SVME = 0x1000n;

/** A monitor about to run `code` as its guest; it ends with #UD behind VMRUN and STGI. */
class World {
  readonly t = new TestCpu({
    ...nullPlatform,
    cpuid: (_c, leaf, subleaf, out) => maxCpuid(leaf, subleaf, out),
  });
  readonly vmcb = this.t.machine.allocFrame() * 4096;

  constructor(code: readonly number[], flags = 0) {
    const { t } = this;
    this.put(t.map(MONITOR, false), [...VMRUN, ...STGI, 0x90, 0x0f, 0x0b]);
    this.put(t.map(GUEST, false), code);
    t.map(DATA, false);
    t.supervisor(MONITOR);
    const c = t.engine.core;
    c.set(cpuState.efer, c.get(cpuState.efer) | EFER_SVME);
    t.m.setU64(cpuState.gpr.addr(t.cpu), BigInt(this.vmcb));
    this.guest(flags);
    this.intercept(VMEXIT.vmrun);
  }
  private put(at: number, bytes: readonly number[]): void {
    bytes.forEach((b, k) => {
      this.t.m.setU8(at + k, b);
    });
  }
  /** The monitor's own state, at the guest's code. */
  private guest(flags: number): void {
    const { t, vmcb } = this;
    const { m } = t;
    const c = t.engine.core;
    const at = vmcb + SAVE_AT;
    vmcbControl.asid.set(m, vmcb, 1);
    for (const s of [SEG.es, SEG.cs, SEG.ss, SEG.ds])
      m.move(vmcbSave.seg.addr(at, s), c.seg(s), segment.$.size);
    vmcbSave.efer.set(m, at, c.get(cpuState.efer));
    vmcbSave.cr0.set(m, at, c.get(cpuState.cr0));
    vmcbSave.cr3.set(m, at, c.get(cpuState.cr3));
    vmcbSave.cr4.set(m, at, c.get(cpuState.cr4));
    vmcbSave.rflags.set(m, at, BigInt(flags | 2));
    vmcbSave.rip.set(m, at, BigInt(GUEST));
  }
  intercept(code: number): void {
    const at = vmcbControl.intercepts.addr(this.vmcb, (code - 0x60) >> 5);
    this.t.m.setU32(at, this.t.m.u32(at) | (1 << (code & 31)));
  }
  get exitCode(): number {
    return Number(vmcbControl.exitCode.get(this.t.m, this.vmcb));
  }
  get rip(): number {
    return this.t.engine.core.lin(cpuState.rip);
  }
}

describe('a guest of a guest that halts', () => {
  test('halts the vCPU, if its monitor lets it', () => {
    const w = new World([HLT], IF);
    const { engine, cpu } = w.t;
    expect(engine.run(cpu, 1000)).toBe(EXIT.hlt);
    expect(w.rip).toBe(GUEST + 1);
    expect(engine.interruptsOn(cpu)).toBe(true);
  });

  test('or leaves it', () => {
    const w = new World([HLT]);
    w.intercept(VMEXIT.hlt);
    expect(w.t.run()).toMatchObject({ vector: UD, rip: BigInt(MONITOR + 7) });
    expect(w.exitCode).toBe(VMEXIT.hlt);
    expect(vmcbSave.rip.get(w.t.m, w.vmcb + SAVE_AT)).toBe(BigInt(GUEST));
  });
});

describe('an interrupt', () => {
  test('leaves the guest if its monitor wants that, and waits for STGI', () => {
    const w = new World([HLT], IF);
    const { engine, cpu } = w.t;
    w.intercept(VMEXIT.intr);
    engine.run(cpu, 1000);
    engine.interruptWaits(cpu, false);
    expect(w.exitCode).toBe(VMEXIT.intr);
    expect(w.rip).toBe(MONITOR + VMRUN.length);
    expect([engine.interruptible(cpu), engine.nmiPossible(cpu)]).toEqual([false, false]);
    w.t.run();
    expect(engine.nmiPossible(cpu)).toBe(true);
  });

  test("is the guest's own where it does not", () => {
    const w = new World([HLT], IF);
    const { engine, cpu } = w.t;
    engine.run(cpu, 1000);
    engine.interruptWaits(cpu, false);
    expect(w.rip).toBe(GUEST + 1);
    expect(engine.interruptible(cpu)).toBe(true);
  });

  test("asks the monitor's flag where interrupts are virtual", () => {
    const w = new World([HLT], IF);
    const { engine, cpu } = w.t;
    w.intercept(VMEXIT.intr);
    vmcbControl.virtual.set(w.t.m, w.vmcb, 1 << 24);
    engine.run(cpu, 1000);
    engine.interruptWaits(cpu, false);
    expect(w.rip).toBe(GUEST + 1);
    expect(engine.interruptsOn(cpu)).toBe(false);
  });

  test('that cannot be masked leaves it, too', () => {
    const w = new World([HLT]);
    const { engine, cpu } = w.t;
    w.intercept(VMEXIT.nmi);
    engine.run(cpu, 1000);
    engine.interruptWaits(cpu, true);
    expect(w.exitCode).toBe(VMEXIT.nmi);
  });
});

test("the monitor's linear addresses lead nowhere while its guest runs", () => {
  const w = new World([HLT]);
  const { engine, cpu } = w.t;
  expect(engine.linearToMaddr(cpu, BigInt(DATA), true)).toBeGreaterThan(0);
  engine.run(cpu, 1000);
  expect(engine.linearToMaddr(cpu, BigInt(DATA), true)).toBe(-1);
});
