/** What the hypervisor delivers to a vCPU, and when it can. */
import { IF } from '../../x86/flags.ts';
import { cpuState } from '../cpu-state.ts';
import { EXIT } from '../platform.ts';
import type { Core } from './core.ts';
import { deliver } from './exceptions.ts';
import { EXC } from './registers.ts';
import { interruptExit, interruptsOn, takeVirtual } from './svm/injection.ts';
import { SVM, svmState, WAITS } from './svm/state.ts';
import { VmExit } from './svm/vm-exit.ts';

export class Interrupts {
  private readonly c: Core;
  /** What was injected ended in a triple fault, which the next run tells of. */
  private tripleFault = false;

  constructor(c: Core) {
    this.c = c;
  }

  interruptible(cpu: number): boolean {
    const { m } = this.c;
    return this.interruptsOn(cpu) && m.u32(cpu + cpuState.shadow.offset) === 0;
  }
  /** But for the shadow of an instruction. */
  interruptsOn(cpu: number): boolean {
    const { c } = this;
    if (c.m.u32(cpu + svmState.flags.offset) === 0)
      return (c.m.u32(cpu + cpuState.flagsRest.offset) & IF) !== 0;
    c.cpu = cpu;
    return interruptsOn(c);
  }
  nmiPossible(cpu: number): boolean {
    const { m } = this.c;
    if (m.u32(cpu + svmState.flags.offset) & SVM.gifClear) return false;
    return m.u32(cpu + cpuState.nmiBlocked.offset) === 0;
  }
  /** Something waits that could be delivered now: leaves a guest whose monitor is to have it. */
  waits(cpu: number, nmi: boolean): void {
    const { c } = this;
    c.cpu = cpu;
    const code = interruptExit(c, nmi);
    if (code !== 0) c.leaveGuest(new VmExit(code));
  }
  /** Leaves for what waits to be delivered, if it can be now: an exit, or -1 to go on. */
  window(): number {
    const waits = this.c.get32(cpuState.irqWindow);
    if (waits === 0) return -1;
    if (waits & WAITS.nmi) return EXIT.irqWindow;
    if (waits & WAITS.interrupt && this.interruptible(this.c.cpu)) return EXIT.irqWindow;
    return waits & WAITS.virtual && !this.delivered(takeVirtual) ? EXIT.tripleFault : -1;
  }

  inject(cpu: number, vector: number, errorCode: number, cause: 'fault' | 'external'): void {
    const c = this.c;
    c.cpu = cpu;
    if (!this.delivered(() => deliver(c, vector, errorCode, cause, c.lin(cpuState.rip))))
      this.tripleFault = true;
  }
  /** Delivers something, for which or on whose way a guest may be left. False: triple fault. */
  private delivered(delivery: (c: Core) => boolean): boolean {
    try {
      return delivery(this.c);
    } catch (e) {
      if (!(e instanceof VmExit)) throw e;
      this.c.leaveGuest(e);
      return true;
    }
  }
  injectNmi(cpu: number): void {
    this.c.m.setU32(cpu + cpuState.nmiBlocked.offset, 1);
    this.inject(cpu, EXC.NMI, -1, 'external');
  }
  /** True once after a triple fault: the vCPU is beyond running. */
  takeTripleFault(): boolean {
    const was = this.tripleFault;
    this.tripleFault = false;
    return was;
  }
}
