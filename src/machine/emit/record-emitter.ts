/** What code for records needs beyond the algebra, however the record's fields are found. */
import { OP } from '../../wasm/opcodes.ts';
import type { Size, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import type { Place } from '../interp/emitter.ts';
import { KIND_READ, TAG_USER } from '../interp/record.ts';
import { AccessEmitter, LOCAL } from './access.ts';

const V = {} as V64;

export abstract class RecordEmitter extends AccessEmitter {
  /** Words of the vCPU's state, by their offset. */
  state64(offset: number): V64 {
    return this.cpu64(offset);
  }
  /** Machine address of the vCPU's block. */
  cpuAddress(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  state32(offset: number): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, offset);
    return V;
  }
  setState32(offset: number, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(LOCAL.cpu);
    this.code.get(this.slot(LOCAL.w1, v));
    this.code.mem(OP.i64_store32, 2, offset);
  }
  /** An access besides the record's own, to read `size` bytes at a linear address. */
  accessAt(_linear: V64, size: number): void {
    this.code.set(LOCAL.ea);
    this.translate(size, KIND_READ);
  }
  setState64(offset: number, v: V64 | Var): void {
    this.storeCpu64(offset, v);
  }
  /** A 32-bit word of machine memory. */
  word(at: Var): V64 {
    this.code.get(at.slot);
    this.code.op(OP.i32_wrap_i64);
    this.code.mem(OP.i64_load32_u, 2, 0);
    return V;
  }
  setWord(at: Var, v: Var): void {
    this.code.get(at.slot);
    this.code.op(OP.i32_wrap_i64);
    this.code.get(v.slot);
    this.code.mem(OP.i64_store32, 2, 0);
  }
  /** Goes on at another privilege level; TLB tags with it. */
  setPrivilege(cpl: 0 | 3): void {
    this.setState64(cpuState.cpl.offset, this.c(cpl));
    const context = this.and(this.state64(cpuState.tlbCtx.offset), this.c(~TAG_USER));
    this.setState64(cpuState.tlbCtx.offset, cpl === 0 ? context : this.or(context, this.c(TAG_USER)));
    this.loadContext();
  }
  /** A record whose operands are at these places begins; its temporaries start afresh. */
  abstract beginHandler(places: readonly Place[], z: Size): void;
  /** The record's address mask. */
  abstract maskField(): V64;
  /** Base of the record's segment, left on the stack. */
  abstract segBaseField(): void;
  /** Writes a string register: all of it, or the part the address size covers (32 bits clear the upper half). */
  abstract setAddressReg(r: number, v: V64): void;
  /** The same record once more (a REP that is not through), within the budget. */
  abstract again(): void;
  /** On to the next record. */
  abstract advance(): void;
}
