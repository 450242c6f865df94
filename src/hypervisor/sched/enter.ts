/** What happens between choosing a vCPU and running it: its engine state, its published times, its interrupts. */
import { hvm_hw_cpu } from '../../abi/hvm_save.ts';
import { Mem } from '../../base/mem.ts';
import { cpuState } from '../../machine/cpu-state.ts';
import type { Engine } from '../../machine/platform.ts';
import { domainCrash } from '../domain/domain.ts';
import { loadCpu, saveCpu } from '../hvm/context.ts';
import { syncTsc } from '../hvm/initialise.ts';
import { pendingInterrupt } from '../hvm/irq.ts';
import { pollTimers } from '../hvm/viridian-time.ts';
import { lapicAck } from '../hvm/vlapic.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { domainRecord, VCPU_CPU_OFFSET, vcpuRecord } from '../records.ts';
import { publishRunstate, publishTime, publishTimeArea, timeIsStale } from '../time.ts';

/** Makes the engine and the guest's own records ready for the vCPU to run. Called with the hypervisor lock held. */
export function enterVcpu(hv: Hypervisor, engine: Engine, v: number): void {
  const { mem } = hv;
  const cpu = v + VCPU_CPU_OFFSET;
  if (vcpuRecord.cpuReady.get(mem, v) === 0 && !prepareEngine(hv, engine, v)) {
    domainCrash(hv, v, 'no memory for its CPU state');
    return;
  }
  const sipi = vcpuRecord.sipi.get(mem, v);
  if (sipi !== 0) {
    vcpuRecord.sipi.set(mem, v, 0);
    engine.startup(cpu, sipi & 0xff);
    syncTsc(hv, v);
  }
  if (vcpuRecord.cpuDirty.get(mem, v) !== 0) {
    vcpuRecord.cpuDirty.set(mem, v, 0);
    engine.stateChanged(cpu);
  }
  if (vcpuRecord.flushPending.get(mem, v) !== 0) {
    vcpuRecord.flushPending.set(mem, v, 0);
    engine.flushTlb(cpu);
  }
  pollTimers(hv, v);
  if (vcpuRecord.entered.get(mem, v) !== 0) return;
  vcpuRecord.entered.set(mem, v, 1);
  if (timeIsStale(mem, v)) {
    publishTime(hv, v);
    publishTimeArea(hv, v);
  }
  publishRunstate(hv, v);
}

const saved = Mem.alloc(hvm_hw_cpu.$.size);

/** An engine's `init` resets the record, so registers that were set before outlive it in a copy. */
function prepareEngine(hv: Hypervisor, engine: Engine, v: number): boolean {
  const { mem } = hv;
  const cpu = v + VCPU_CPU_OFFSET;
  const dom = vcpuRecord.domain.get(mem, v);
  const offset = cpuState.tscOffset.get(mem, cpu);
  const adjust = cpuState.tscAdjust.get(mem, cpu);
  const pat = cpuState.pat.get(mem, cpu);
  saveCpu(mem, cpu, saved, 0, 0n);
  cpuState.p2mRoot.set(mem, cpu, domainRecord.p2mRoot.get(mem, dom));
  if (!engine.init(cpu)) return false;
  cpuState.p2mRoot.set(mem, cpu, domainRecord.p2mRoot.get(mem, dom));
  cpuState.tscOffset.set(mem, cpu, offset);
  cpuState.tscAdjust.set(mem, cpu, adjust);
  vcpuRecord.cpuReady.set(mem, v, 1);
  if (vcpuRecord.sipi.get(mem, v) !== 0) return true;
  if (pat !== 0n) cpuState.pat.set(mem, cpu, pat);
  loadCpu(mem, cpu, saved, 0);
  vcpuRecord.cpuDirty.set(mem, v, 1);
  return true;
}

/** Delivers what the guest can take now; otherwise has the engine leave as soon as it can. */
export function injectPending(mem: Mem, engine: Engine, v: number): void {
  const cpu = v + VCPU_CPU_OFFSET;
  if (vcpuRecord.nmiPending.get(mem, v) !== 0) engine.interruptWaits(cpu, true);
  if (vcpuRecord.nmiPending.get(mem, v) !== 0 && engine.nmiPossible(cpu)) {
    vcpuRecord.nmiPending.set(mem, v, 0);
    engine.injectNmi(cpu);
  }
  let pending = pendingInterrupt(mem, v);
  if (pending >= 0) engine.interruptWaits(cpu, false);
  if (pending >= 0 && engine.interruptible(cpu)) {
    if ((pending & 0x100) === 0) lapicAck(mem, v, pending);
    engine.injectInterrupt(cpu, pending & 0xff);
    pending = pendingInterrupt(mem, v);
  }
  // an NMI that is blocked waits for an IRET
  const nmi = vcpuRecord.nmiPending.get(mem, v) !== 0;
  cpuState.irqWindow.set(mem, cpu, nmi ? 2 : pending >= 0 ? 1 : 0);
}
