/** Memory, locked operations and state in the record, as WebAssembly; what both engines do alike. */
import { ATOMIC, OP, SIMD } from '../../wasm/opcodes.ts';
import type { Flt, FltSize, FltVar, Sem, Size, V32, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import {
  KIND_ATOMIC,
  KIND_READ,
  KIND_RMW,
  KIND_WRITE,
  TAG_USER,
  TLB_ENTRIES,
  TLB_READ,
  TLB_WRITE,
} from '../interp/record.ts';
import { LOCAL, VW } from './value.ts';
import { VectorEmitter } from './vector.ts';

export { LOCAL, LOCAL_COUNT, LOCAL_TYPES, VW } from './value.ts';

const V = {} as V64;
const X = {} as Vec;
const LOAD_S = { 1: OP.i64_load8_s, 2: OP.i64_load16_s, 4: OP.i64_load32_s, 8: OP.i64_load } as const;
const STORE = { 1: OP.i64_store8, 2: OP.i64_store16, 4: OP.i64_store32, 8: OP.i64_store } as const;
const RMW_SUFFIX = { 1: 'rmw8', 2: 'rmw16', 4: 'rmw32', 8: 'rmw' } as const;
const PAGE_MASK = -4096;
const state = (f: { offset: number }): number => f.offset;

/** The faultKind of an access to a memory operand: whether it is operand 0, and what is done with that. */
export function accessKind(dst: boolean, rw: 'r' | 'w' | 'rw', locked: boolean): number {
  if (locked) return KIND_ATOMIC;
  if (!dst || rw === 'r') return KIND_READ;
  return rw === 'w' ? KIND_WRITE : KIND_RMW;
}

export abstract class AccessEmitter extends VectorEmitter implements Sem {
  abstract read(i: number, z: Size): V64;
  abstract write(z: Size, v: V64 | Var): void;
  abstract writeSrc(z: Size, v: V64 | Var): void;
  abstract reg(r: number, z: Size): V64;
  abstract setReg(r: number, z: Size, v: V64 | Var): void;
  abstract stackAdd(z: Size, by: number): void;
  abstract stackAddVar(z: Size, by: Var): void;
  abstract nextRip(): V64;
  abstract jumpRel(): void;
  abstract jump(v: V64 | Var): void;
  abstract imm8(): V64;
  abstract effectiveAddress(): V64;
  abstract slowIf(c: V32): void;
  abstract vread(i: number): Vec;
  abstract vwrite(v: Vec | VecVar): void;
  abstract fread(i: number, f: FltSize): Flt;
  abstract fwrite(v: FltVar): void;
  /** Pushes the base of the memory operand's segment; false where it is 0 for certain. */
  protected abstract segmentBase(): boolean;
  /** Before a translation, and after it with a condition on the stack: leave, the instruction has missed the TLB. */
  protected abstract attempt(kind: number): void;
  protected abstract onMiss(kind: number): void;
  protected noteKind(kind: number): void {
    this.code.i32(kind);
    this.code.set(LOCAL.kind);
  }

  /** The local that has the memory operand's machine address. */
  protected ha: number = LOCAL.ha;

  /** Takes the TLB tag's context from the vCPU's state. */
  loadContext(): void {
    const { code } = this;
    this.cpu64(state(cpuState.tlbCtx));
    code.tee(LOCAL.ctx);
    code.op(OP.i32_wrap_i64);
    code.i32(TAG_USER);
    code.op(OP.i32_and);
    code.i32(((TLB_ENTRIES / 2) * 16) / TAG_USER);
    code.op(OP.i32_mul);
    code.set(LOCAL.turn);
  }

  /** Linear address of the memory operand into `ea`. */
  linear(): void {
    this.effectiveAddress();
    if (this.segmentBase()) this.code.op(OP.i64_add);
    this.code.set(LOCAL.ea);
  }
  /** Stores what the run loop wants to know of how it was left. */
  protected storeExit(): void {
    const { code } = this;
    for (const [local, field] of [
      [LOCAL.rp, cpuState.exitRp],
      [LOCAL.bn, cpuState.exitBn],
      [LOCAL.ic, cpuState.exitIc],
      [LOCAL.fuel, cpuState.fuel],
      [LOCAL.kind, cpuState.faultKind],
    ] as const) {
      code.get(LOCAL.cpu);
      code.get(local);
      code.mem(OP.i32_store, 2, field.offset);
    }
    code.get(LOCAL.cpu);
    code.get(LOCAL.ea);
    code.mem(OP.i64_store, 3, cpuState.faultAddr.offset);
  }

  protected cpu64(offset: number): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load, 3, offset);
    return V;
  }
  protected storeCpu64(offset: number, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(LOCAL.cpu);
    this.code.get(this.slot(LOCAL.w1, v));
    this.code.mem(OP.i64_store, 3, offset);
  }
  linearAddress(): V64 {
    this.code.get(LOCAL.ea);
    return V;
  }
  /** Translates the access at `ea`; on success its machine address is in `to`, else the handler is left. */
  translate(size: number, kind: number, to: number = LOCAL.ha): void {
    const { code } = this;
    const tlb = kind === KIND_READ ? TLB_READ : TLB_WRITE;
    this.attempt(kind | (size << 8));
    code.get(LOCAL.ea);
    code.op(OP.i32_wrap_i64);
    code.i32(8);
    code.op(OP.i32_shr_u);
    code.get(LOCAL.turn);
    code.op(OP.i32_xor);
    code.i32(0xfff0);
    code.op(OP.i32_and);
    code.get(LOCAL.cpu);
    code.op(OP.i32_add);
    code.tee(LOCAL.ti);
    code.mem(OP.i64_load, 3, tlb);
    code.get(LOCAL.ea);
    if (kind === KIND_ATOMIC) {
      code.i64(PAGE_MASK | (size - 1));
    } else {
      if (size > 1) {
        code.i64(size - 1);
        code.op(OP.i64_add);
      }
      code.i64(PAGE_MASK);
    }
    code.op(OP.i64_and);
    code.get(LOCAL.ctx);
    code.op(OP.i64_or);
    code.op(OP.i64_ne);
    this.onMiss(kind | (size << 8));
    code.get(LOCAL.ti);
    code.mem(OP.i32_load, 2, tlb + 8);
    code.get(LOCAL.ea);
    code.op(OP.i32_wrap_i64);
    code.op(OP.i32_add);
    code.set(to);
  }
  access(size: number, dst: boolean, rw: 'r' | 'w' | 'rw', locked: boolean, aligned: boolean): void {
    this.reach(size, accessKind(dst, rw, locked), aligned);
  }
  /** Machine address of the memory operand into `to`. */
  protected reach(size: number, kind: number, aligned: boolean, to: number = LOCAL.ha): void {
    this.linear();
    if (aligned) this.slowIf(this.ne(this.and(this.linearAddress(), this.c(size - 1)), this.c(0)));
    this.translate(size, kind, to);
  }
  low(i: number, z: Size): V64 {
    return this.read(i, z);
  }
  memRead(offset: number, z: Size): V64 {
    this.code.get(this.ha);
    this.code.mem(LOAD_S[z], 0, offset);
    return V;
  }
  memWrite(offset: number, z: Size, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(this.ha);
    this.storeValue(true, z, this.slot(LOCAL.w1, v), offset);
  }
  /** The address is on the stack. A 32-bit register write clears the upper half. */
  protected storeValue(memory: boolean, z: Size, local: number, offset: number): void {
    this.code.get(local);
    if (!memory && z === 4) {
      this.code.i64big(0xffff_ffffn);
      this.code.op(OP.i64_and);
      this.code.mem(OP.i64_store, 0, offset);
    } else this.code.mem(STORE[z], 0, offset);
  }
  atomic(op: 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg', z: Size, v: Var): V64 {
    this.code.get(this.ha);
    this.code.get(v.slot);
    this.code.atomic(ATOMIC[`i64_${RMW_SUFFIX[z]}_${op}`], Math.log2(z), 0);
    return this.sx(V, z);
  }
  atomicCmpxchg(z: Size, expected: Var, v: Var): V64 {
    this.code.get(this.ha);
    this.code.get(expected.slot);
    // the narrow forms compare the zero-extended value with all 64 bits given
    this.zx(V, z);
    this.code.get(v.slot);
    this.code.atomic(ATOMIC[`i64_${RMW_SUFFIX[z]}_cmpxchg`], Math.log2(z), 0);
    return this.sx(V, z);
  }
  flagRes(): V64 {
    return this.cpu64(state(cpuState.flagRes));
  }
  flagVec(): V64 {
    return this.cpu64(state(cpuState.flagVec));
  }
  setFlags(res: V64 | Var, vec: V64 | Var): void {
    this.take(LOCAL.w2, vec);
    this.take(LOCAL.w1, res);
    this.code.get(LOCAL.cpu);
    this.code.get(this.slot(LOCAL.w1, res));
    this.code.mem(OP.i64_store, 3, state(cpuState.flagRes));
    this.code.get(LOCAL.cpu);
    this.code.get(this.slot(LOCAL.w2, vec));
    this.code.mem(OP.i64_store, 3, state(cpuState.flagVec));
  }
  flagsRest(): V64 {
    return this.cpu64(state(cpuState.flagsRest));
  }
  setFlagsRest(v: V64): void {
    this.storeCpu64(state(cpuState.flagsRest), v);
  }
  cpl(): V64 {
    return this.cpu64(state(cpuState.cpl));
  }
  irqWindow(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, state(cpuState.irqWindow));
    return V;
  }
  userOpen(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, state(cpuState.userOpen));
    return V;
  }
  mxcsr(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, state(cpuState.mxcsr));
    return V;
  }
  vreg(r: number): Vec {
    this.code.get(LOCAL.cpu);
    this.code.simdMem(SIMD.v128_load, 0, state(cpuState.xmm) + 16 * r);
    return X;
  }
  setVreg(r: number, v: Vec | VecVar): void {
    if (!('vslot' in v)) this.code.set(VW);
    this.code.get(LOCAL.cpu);
    this.code.get('vslot' in v ? v.vslot : VW);
    this.code.simdMem(SIMD.v128_store, 0, state(cpuState.xmm) + 16 * r);
  }
}
