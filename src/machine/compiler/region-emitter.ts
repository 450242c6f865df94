/**
 * The semantics' algebra with a record's fields known: what compiled regions are made of.
 *
 * A region can be left at every record as the interpreter can: with nothing of the record done, all registers back in
 * the vCPU's state, and the record named.
 */
import { I32, I64, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { V32, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { LEAVE, REC } from '../interp/record.ts';
import { setsFlags } from '../interp/routines.ts';
import type { KnownAddresses } from './addresses.ts';
import type { Place } from './flow.ts';
import type { Pending } from './region-flags.ts';
import { RegionMemory } from './region-memory.ts';
import { RIP_BASE } from './region-operands.ts';
import { type KnownRegisters, NOTHING } from './region-registers.ts';

const V = {} as V64;

/** What is known where code may go on in several ways. */
export interface Known {
  readonly flags: Pending | undefined;
  readonly addresses: KnownAddresses;
  readonly registers: KnownRegisters;
}

export class RegionEmitter extends RegionMemory {
  save(): Known {
    return { flags: this.saveFlags(), addresses: this.addresses.save(), registers: this.registers };
  }
  restore({ flags, addresses, registers }: Known): void {
    this.restoreFlags(flags);
    this.addresses.restore(addresses);
    this.registers = registers;
  }
  /** Several ways meet here. */
  merged(flagsWanted: boolean, registers: KnownRegisters): void {
    this.meet(flagsWanted);
    this.addresses.forget();
    this.registers = registers;
  }

  // --- jumps -------------------------------------------------------------------------------------------------------

  /** The jump of a call or a return goes to this place, and on from there behind the record; or wherever it goes. */
  goesOnAt: Place | 'anywhere' | undefined;

  jumpRel(): void {
    if (this.goesOnAt) return;
    this.nextRip();
    this.add(V, this.imm());
    if (this.maskValue() !== -1n) this.and(V, this.maskField());
    this.code.set(LOCAL.lip);
    this.leave(LEAVE.jump, this.done + 1);
  }
  jump(v: V64 | Var): void {
    this.push(v);
    if (this.z !== 8) this.zx(V, this.z);
    this.code.set(LOCAL.lip);
    if (!this.goesOnAt) return this.leave(LEAVE.jump, this.done + 1);
    if (this.goesOnAt === 'anywhere') return;
    this.code.get(LOCAL.lip);
    this.address(this.goesOnAt);
    this.code.op(OP.i64_ne);
    this.open('inner', OP.if);
    this.leave(LEAVE.jump, this.done + 1);
    this.end();
  }
  private address(at: Place): void {
    const offset = at.page * 4096 + at.off;
    this.code.get(this.locals.base);
    if (offset !== 0) this.add(V, this.c(offset));
  }
  /** Leaves for a place in the code. */
  leaveFor(at: Place, mask = -1n): void {
    this.address(at);
    if (mask !== -1n) this.and(V, this.big(mask));
    this.code.set(LOCAL.lip);
    this.leave(LEAVE.jump, 0);
  }

  // --- leaving -----------------------------------------------------------------------------------------------------

  /** Leaves for good with `done` instructions of the block done. */
  leave(why: number, done: number): void {
    // what is left behind is described and stored, here all stays as it is known
    const { pending, registers } = this;
    this.describe();
    this.storeAll();
    this.pending = pending;
    this.registers = registers;
    if (done !== 0) this.count(done);
    this.code.i32(why);
    this.code.set(LOCAL.code);
    this.br('leave');
  }
  count(n: number): void {
    this.code.get(LOCAL.ic);
    this.code.i32(n);
    this.code.op(OP.i32_add);
    this.code.set(LOCAL.ic);
  }
  /** Leaves at a record, which is not begun, on a page. */
  leaveAt(why: number, record: number, page: number, done: number): void {
    const { code } = this;
    code.i32(record);
    code.set(LOCAL.rp);
    code.i32(this.mem.u16(record + REC.n) - 1);
    code.set(LOCAL.bn);
    code.get(this.locals.base);
    if (page !== 0) this.add(V, this.c(page * 4096));
    code.set(this.locals.leftBase);
    this.leave(why, done);
  }
  leaveHere(why: number): void {
    this.leaveAt(why, this.record, this.page, this.done);
  }
  protected attempt(): void {}
  protected onMiss(kind: number): void {
    this.open('inner', OP.if);
    this.noteKind(kind);
    this.leaveHere(LEAVE.miss);
    this.end();
  }
  slowIf(_c: V32): void {
    this.open('inner', OP.if);
    this.leaveHere(LEAVE.helper);
    this.end();
  }

  // --- routines ----------------------------------------------------------------------------------------------------

  calls = false;
  /** Calls the record's routine. */
  routine(): void {
    const { code } = this;
    const index = this.mem.u32(this.record + REC.slot);
    this.calls = true;
    this.storeAll();
    code.get(LOCAL.cpu);
    this.pageBase();
    code.mem(OP.i64_store, 3, RIP_BASE);
    code.get(LOCAL.cpu);
    for (const at of [this.field('r1'), this.field('r2')]) {
      code.get(LOCAL.cpu);
      code.i32(at);
      code.op(OP.i32_add);
    }
    code.i32(this.immediate);
    code.call(index);
    this.open('inner', OP.if);
    this.leaveHere(LEAVE.helper);
    this.end();
    this.addresses.forget();
    this.registers = NOTHING;
    if (!setsFlags(index)) return;
    this.meet(true);
    this.computed();
  }

  // --- string instructions -----------------------------------------------------------------------------------------

  /** The rest of the same record in the interpreter, where it may be interrupted. */
  again(): void {
    this.leaveHere(LEAVE.resume);
  }
  /** On to the next record. */
  advance(): void {
    this.br('handler');
  }

  // --- the frame of the function -----------------------------------------------------------------------------------

  prologue(): void {
    this.loadContext();
    this.cpu64(RIP_BASE);
    this.code.set(this.locals.base);
  }
  /** Answers why the region was left. */
  epilogue(): void {
    const { code, locals } = this;
    this.restoreFlags(undefined);
    this.registers = NOTHING;
    if (this.describes) {
      this.undescribe();
      this.storeAll();
    }
    this.storeExit();
    code.get(LOCAL.cpu);
    code.get(LOCAL.lip);
    code.mem(OP.i64_store, 3, cpuState.rip.offset);
    code.get(LOCAL.cpu);
    code.get(locals.leftBase);
    code.mem(OP.i64_store, 3, RIP_BASE);
    code.get(LOCAL.code);
  }
}

/** Types of the locals that have fixed numbers, after the parameters. */
export const FIXED: ValType[] = [
  ...Array<ValType>(LOCAL.ea - 3).fill(I32),
  ...Array<ValType>(LOCAL.w2 + 1 - LOCAL.ea).fill(I64),
];
