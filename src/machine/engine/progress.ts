/** Where a run is: the record to go on at, the budget, and the count of instructions, which an exception is counted in. */
import { cpuState } from '../cpu-state.ts';
import { REC } from '../interp/record.ts';
import { EXIT } from '../platform.ts';
import type { Core } from './core.ts';
import { deliver } from './exceptions.ts';
import { GuestFault } from './registers.ts';
import { VmExit } from './svm/vm-exit.ts';

export class Progress {
  /** The record to go on at; 0 if rip is to be looked up. */
  rp = 0;
  /** Blocks that the run may take yet. */
  left = 0;
  private readonly c: Core;

  constructor(c: Core) {
    this.c = c;
  }

  /** A run of so many blocks begins at rip. */
  begin(maxBlocks: number): void {
    this.left = maxBlocks;
    this.rp = 0;
  }
  /** Goes on at a record that nothing has run up to. */
  enterAt(rp: number): void {
    this.rp = rp;
    this.c.set32(cpuState.exitBn, this.c.m.u16(rp + REC.n) - 1);
  }
  /** rip is the record's, which is to be looked up anew. */
  syncRip(rp: number): void {
    const c = this.c;
    c.setLin(cpuState.rip, c.lin(cpuState.ripBase) + c.m.u16(rp + REC.off));
    this.rp = 0;
  }
  /** What to run from the record on is found anew; a run came up to it. */
  again(rp: number): void {
    this.countTo(rp, false);
    this.syncRip(rp);
  }
  /** rip is that of the record's instruction, in case of a fault. */
  atInstruction(rp: number): void {
    const c = this.c;
    c.ip = c.lin(cpuState.ripBase) + c.m.u16(rp + REC.off);
    c.nextIp = c.lin(cpuState.ripBase) + c.m.u16(rp + REC.next);
    c.setLin(cpuState.rip, c.ip);
  }

  /** Adds to the number of instructions: an exception that comes before one, or within a repeated one, counts as one. */
  count(n: number): void {
    const at = this.c.cpu + cpuState.icount.offset;
    this.c.m.setN64(at, this.c.m.n64(at) + n);
  }
  /** Counts the instructions of the run up to the record: with the one there, or without. */
  countTo(rp: number, including: boolean): void {
    const { m } = this.c;
    this.count(m.u16(rp + REC.n) - (including ? 0 : 1) - this.c.get32(cpuState.exitBn));
  }

  /** Runs a step that may fault; a fault is delivered at rip. An exit, or -1 to go on. */
  guarded(step: () => number): number {
    try {
      return step();
    } catch (e) {
      if (!(e instanceof GuestFault)) return this.leave(e);
      return this.raise(e.vector, e.errorCode, 'fault');
    }
  }
  /** Delivers an exception at rip. An exit, or -1 to go on. */
  raise(vector: number, errorCode: number, cause: 'fault' | 'trap'): number {
    const c = this.c;
    this.rp = 0;
    try {
      return deliver(c, vector, errorCode, cause, c.lin(cpuState.rip)) ? -1 : EXIT.tripleFault;
    } catch (e) {
      return this.leave(e);
    }
  }
  /** What was thrown leaves a guest, and its monitor goes on; or else it is for others. */
  private leave(e: unknown): number {
    if (!(e instanceof VmExit)) throw e;
    this.rp = 0;
    this.c.leaveGuest(e);
    return -1;
  }
}
