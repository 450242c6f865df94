/**
 * The semantics' algebra as WebAssembly in which every operand is found through the record: what the interpreter's
 * handlers are made of.
 */
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { Flt, FltSize, FltVar, Size, V32, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL, VW } from '../emit/access.ts';
import { RecordEmitter } from '../emit/record-emitter.ts';
import { REC } from './record.ts';

export { LOCAL, LOCAL_TYPES } from '../emit/access.ts';

/** Where an operand is: register named by the record, its immediate, or the memory operand. */
export type Place = 'r1' | 'r2' | 'r3' | 'imm' | 'mem' | 'cl' | 'none';

const V = {} as V64;
const X = {} as Vec;
const F = {} as Flt;
const LOAD_S = { 1: OP.i64_load8_s, 2: OP.i64_load16_s, 4: OP.i64_load32_s, 8: OP.i64_load } as const;
const state = (f: { offset: number }): number => f.offset;

export class InterpEmitter extends RecordEmitter {
  protected places: readonly Place[] = [];
  /** Operand size of the handler being made, for jumps. */
  private z: Size = 8;
  beginHandler(places: readonly Place[], z: Size): void {
    this.resetPools();
    this.places = places;
    this.z = z;
  }
  private field(opcode: number, offset: number, align: number): void {
    this.code.get(LOCAL.rp);
    this.code.mem(opcode, align, offset);
  }
  /** cpu + the register offset in the record. */
  protected regAddr(which: 'r1' | 'r2' | 'r3'): void {
    this.code.get(LOCAL.cpu);
    this.field(OP.i32_load16_u, REC[which], 1);
    this.code.op(OP.i32_add);
  }
  /** The offset part of the memory operand's address, masked to the address size. */
  effectiveAddress(): V64 {
    const { code } = this;
    this.baseReg(REC.base);
    this.baseReg(REC.index);
    this.field(OP.i64_load8_u, REC.scale, 0);
    code.op(OP.i64_shl);
    code.op(OP.i64_add);
    this.field(OP.i64_load32_s, REC.disp, 2);
    code.op(OP.i64_add);
    this.field(OP.i64_load, REC.mask, 3);
    code.op(OP.i64_and);
    return V;
  }
  private baseReg(field: number): void {
    this.code.get(LOCAL.cpu);
    this.field(OP.i32_load16_u, field, 1);
    this.code.op(OP.i32_add);
    this.code.mem(OP.i64_load, 3, 0);
  }
  read(i: number, z: Size): V64 {
    const place = this.places[i];
    if (place === 'imm') return this.imm();
    if (place === 'cl') return this.reg(1, z);
    if (place === 'mem') this.code.get(LOCAL.ha);
    else this.regAddr(place as 'r1' | 'r2' | 'r3');
    this.code.mem(LOAD_S[z], 0, 0);
    return V;
  }
  write(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[0] as Place, z, v);
  }
  writeSrc(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[1] as Place, z, v);
  }
  private writeTo(place: Place, z: Size, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    if (place === 'mem') this.code.get(LOCAL.ha);
    else this.regAddr(place as 'r1' | 'r2');
    this.storeValue(place === 'mem', z, this.slot(LOCAL.w1, v), 0);
  }
  reg(r: number, z: Size): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(LOAD_S[z], 0, r * 8);
    return V;
  }
  setReg(r: number, z: Size, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(LOCAL.cpu);
    this.storeValue(false, z, this.slot(LOCAL.w1, v), r * 8);
  }
  stackAdd(z: Size, by: number): void {
    this.moveStack(z, () => this.code.i64(by));
  }
  stackAddVar(z: Size, by: Var): void {
    this.moveStack(z, () => this.code.get(by.slot));
  }
  private moveStack(z: Size, by: () => void): void {
    const { code } = this;
    code.get(LOCAL.cpu);
    code.get(LOCAL.cpu);
    code.mem(OP.i64_load, 3, 32);
    by();
    code.op(OP.i64_add);
    if (z !== 8) {
      // within the stack's width: (rsp & ~mask) | (sum & mask)
      this.field(OP.i64_load, REC.mask, 3);
      code.op(OP.i64_and);
      code.get(LOCAL.cpu);
      code.mem(OP.i64_load, 3, 32);
      this.field(OP.i64_load, REC.mask, 3);
      code.i64(-1);
      code.op(OP.i64_xor);
      code.op(OP.i64_and);
      code.op(OP.i64_or);
    }
    code.mem(OP.i64_store, 3, 32);
  }
  imm(): V64 {
    this.field(OP.i64_load, REC.imm, 3);
    return V;
  }
  imm8(): V64 {
    this.field(OP.i64_load8_u, REC.imm, 0);
    return V;
  }
  nextRip(): V64 {
    this.cpu64(state(cpuState.ripBase));
    this.field(OP.i64_load16_u, REC.next, 1);
    this.code.op(OP.i64_add);
    return V;
  }
  /** On at the record in the slot, once it is known to be the one that was guessed; without one, by a look-up. */
  jumpRel(): void {
    const { code } = this;
    this.account();
    this.field(OP.i32_load, REC.hint, 2);
    code.set(LOCAL.c32);
    this.field(OP.i32_load, REC.slot, 2);
    code.mem(OP.i32_load, 2, 0);
    code.tee(LOCAL.ti);
    code.get(LOCAL.c32);
    code.op(OP.i32_ne);
    code.get(LOCAL.ti);
    code.op(OP.i32_eqz);
    code.op(OP.i32_or);
    this.open('inner', OP.if);
    code.get(LOCAL.ti);
    code.op(OP.i32_eqz);
    this.open('inner', OP.if);
    this.nextRip();
    this.imm();
    code.op(OP.i64_add);
    this.field(OP.i64_load, REC.mask, 3);
    code.op(OP.i64_and);
    code.set(LOCAL.lip);
    this.br('jump');
    this.end();
    this.hint(LOCAL.rp, LOCAL.ti);
    this.end();
    code.get(LOCAL.c32);
    code.set(LOCAL.rp);
    this.enterBlock();
  }
  /** The record of a jump, in a local, remembers where it went to, which goes to `c32` too. */
  private hint(from: number, to: number): void {
    this.code.get(from);
    this.code.get(to);
    this.code.tee(LOCAL.c32);
    this.code.mem(OP.i32_store, 2, REC.hint);
  }
  /** Makes sure that `c32`, which a jump's record remembered, is the record that it goes to; 0: there is no such record. */
  guessed(from: number, to: number): void {
    const { code } = this;
    code.get(to);
    code.get(LOCAL.c32);
    code.op(OP.i32_ne);
    this.open('inner', OP.if);
    code.get(to);
    code.set(LOCAL.c32);
    code.get(from);
    this.open('inner', OP.if);
    this.hint(from, to);
    this.end();
    this.end();
  }
  jump(v: V64 | Var): void {
    this.push(v);
    if (this.z !== 8) this.zx(V, this.z);
    this.code.set(LOCAL.lip);
    this.account();
    this.br('jump');
  }
  /** Counts the instructions of the run that ends here. */
  account(): void {
    const { code } = this;
    code.get(LOCAL.ic);
    this.field(OP.i32_load16_u, REC.n, 1);
    code.op(OP.i32_add);
    code.get(LOCAL.bn);
    code.op(OP.i32_sub);
    code.set(LOCAL.ic);
  }
  /** `rp` is a block's first record: start counting there, and leave when the budget is used up. */
  enterBlock(): void {
    const { code } = this;
    this.field(OP.i32_load16_u, REC.n, 1);
    code.i32(1);
    code.op(OP.i32_sub);
    code.set(LOCAL.bn);
    this.again();
  }
  /** On to the next record. */
  advance(): void {
    this.code.get(LOCAL.rp);
    this.code.i32(REC.size);
    this.code.op(OP.i32_add);
    this.code.set(LOCAL.rp);
    this.br('next');
  }
  /** The same record once more (a REP that is not through), within the budget. */
  again(): void {
    const { code } = this;
    this.spend(LOCAL.fuel);
    code.op(OP.i32_eqz);
    this.brIf('next');
    code.i32(0); // LEAVE.fuel
    code.set(LOCAL.code);
    this.br('leave');
  }
  /** The record's address mask. */
  maskField(): V64 {
    this.field(OP.i64_load, REC.mask, 3);
    return V;
  }
  /** Base of the record's segment, left on the stack. */
  segBaseField(): void {
    this.code.get(LOCAL.cpu);
    this.field(OP.i32_load8_u, REC.seg, 0);
    this.code.op(OP.i32_add);
    this.code.mem(OP.i64_load, 3, state(cpuState.segBase));
  }
  /** Writes a string register: all of it, or the part the address size covers (32 bits clear the upper half). */
  setAddressReg(r: number, v: V64): void {
    const value = this.let(v);
    const mask = this.let(this.maskField());
    const kept = this.let(this.and(this.reg(r, 8), this.let(this.not(mask))));
    const masked = this.let(this.and(value, mask));
    const merged = this.let(this.or(kept, masked));
    const is16 = this.eq(this.get(mask), this.c(0xffff));
    this.setReg(r, 8, this.select(merged, masked, is16));
  }
  slowIf(_c: V32): void {
    this.brIf('slow');
  }
  protected vaddr(i: number): number {
    const place = this.places[i];
    if (place === 'mem') {
      this.code.get(LOCAL.ha);
      return 0;
    }
    this.regAddr(place as 'r1' | 'r2');
    return state(cpuState.xmm);
  }
  vread(i: number): Vec {
    const offset = this.vaddr(i);
    this.code.simdMem(SIMD.v128_load, 0, offset);
    return X;
  }
  vwrite(v: Vec | VecVar): void {
    if (!('vslot' in v)) this.code.set(VW);
    const offset = this.vaddr(0);
    this.code.get('vslot' in v ? v.vslot : VW);
    this.code.simdMem(SIMD.v128_store, 0, offset);
  }
  fread(i: number, f: FltSize): Flt {
    const offset = this.vaddr(i);
    this.code.mem(f === 4 ? OP.f32_load : OP.f64_load, 0, offset);
    return F;
  }
  fwrite(v: FltVar): void {
    const offset = this.vaddr(0);
    this.code.get(v.fslot);
    this.code.mem(v.size === 4 ? OP.f32_store : OP.f64_store, 0, offset);
  }
  protected segmentBase(): boolean {
    this.segBaseField();
    return true;
  }
  protected attempt(kind: number): void {
    this.noteKind(kind);
  }
  protected onMiss(): void {
    this.brIf('miss');
  }
  /** After everything: the state that the run loop looks at, and the answer. */
  leave(): void {
    this.storeExit();
    this.code.get(LOCAL.code);
  }
}
