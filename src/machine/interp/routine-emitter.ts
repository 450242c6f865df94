/** The algebra with operands at addresses that are given, and with the x87 unit: what routines are made of. */
import { I64, V128, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Size, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import type { Num, UnitSem } from '../../x86/sem/x87-unit.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL_COUNT } from '../emit/access.ts';
import { InterpEmitter, LOCAL } from './emitter.ts';

/** Parameters after the first, which is the emitters' own; they come where those have locals. */
const ARG = { d: 1, s: 2, imm: 3 } as const;
const V = {} as V64;
const LOAD = { 1: OP.i64_load8_s, 2: OP.i64_load16_s, 4: OP.i64_load32_s, 8: OP.i64_load } as const;
const STORE = { 1: OP.i64_store8, 2: OP.i64_store16, 4: OP.i64_store32, 8: OP.i64_store } as const;

export class RoutineEmitter extends InterpEmitter implements UnitSem {
  /** It sets all status flags. */
  setsFlags = false;
  /** Types of the locals it needs after the common ones, of whose pools these take the place. */
  readonly locals: ValType[] = [];
  private readonly numbers: number[] = [];
  private readonly vectors: number[] = [];

  override let(_v: V64): Var {
    const slot = this.local(this.numbers, this.pool++, I64);
    this.code.set(slot);
    return { slot };
  }
  override vlet(_v: Vec): VecVar {
    const vslot = this.local(this.vectors, this.vpool++, V128);
    this.code.set(vslot);
    return { vslot };
  }
  /** The nth local of a type, made when there is none yet. */
  private local(have: number[], n: number, type: ValType): number {
    have[n] ??= LOCAL_COUNT + this.locals.push(type) - 1;
    return have[n];
  }
  protected override regAddr(which: 'r1' | 'r2' | 'r3'): void {
    this.operand(which === 'r1');
  }
  protected override vaddr(i: number): number {
    this.operand(i === 0);
    return 0;
  }
  private operand(destination: boolean): void {
    this.code.get(destination ? ARG.d : ARG.s);
  }
  override setFlags(res: V64 | Var, vec: V64 | Var): void {
    this.setsFlags = true;
    super.setFlags(res, vec);
  }
  override imm(): V64 {
    this.code.get(ARG.imm);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  override imm8(): V64 {
    return this.and(this.imm(), this.c(255));
  }
  readAt(offset: number, z: Size): V64 {
    this.code.get(ARG.s);
    this.code.mem(LOAD[z], 0, offset);
    return V;
  }
  writeAt(offset: number, z: Size, v: V64): void {
    this.storeAt(() => this.operand(true), offset, z, v);
  }
  private storeAt(address: () => void, offset: number, z: Size, _v: V64): void {
    this.code.set(LOCAL.w1);
    address();
    this.code.get(LOCAL.w1);
    this.code.mem(STORE[z], 0, offset);
  }
  private state(f: { offset: number }, opcode: number): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(opcode, 0, f.offset);
    return V;
  }
  private setState(f: { offset: number }, z: Size, v: V64): void {
    this.storeAt(() => this.code.get(LOCAL.cpu), f.offset, z, v);
  }

  // --- x87 -----------------------------------------------------------------------------------------------------------

  controlWord(): V64 {
    return this.state(cpuState.fcw, OP.i64_load16_u);
  }
  setControlWord(v: V64): void {
    this.setState(cpuState.fcw, 2, v);
  }
  statusWord(): V64 {
    return this.state(cpuState.fsw, OP.i64_load16_u);
  }
  setStatusWord(v: V64): void {
    this.setState(cpuState.fsw, 2, v);
  }
  used(): V64 {
    return this.state(cpuState.ftw, OP.i64_load8_u);
  }
  setUsed(v: V64): void {
    this.setState(cpuState.ftw, 1, v);
  }
  cr0(): V64 {
    return this.state(cpuState.cr0, OP.i64_load32_u);
  }
  /** cpu plus a number of units of 1 << log bytes. */
  private indexed(n: Var, log: number): void {
    this.code.get(n.slot);
    this.code.op(OP.i32_wrap_i64);
    this.code.i32(log);
    this.code.op(OP.i32_shl);
    this.code.get(LOCAL.cpu);
    this.code.op(OP.i32_add);
  }
  significand(register: Var): V64 {
    this.indexed(register, 4);
    this.code.mem(OP.i64_load, 3, cpuState.fpr.offset);
    return V;
  }
  signExponent(register: Var): V64 {
    this.indexed(register, 4);
    this.code.mem(OP.i64_load16_u, 1, cpuState.fpr.offset + 8);
    return V;
  }
  setRegister(register: Var, n: Num): void {
    for (const [value, store, offset] of [
      [n.sig, OP.i64_store, 0],
      [n.se, OP.i64_store16, 8],
    ] as const) {
      this.indexed(register, 4);
      this.code.get(value.slot);
      this.code.mem(store, 0, cpuState.fpr.offset + offset);
    }
  }
  lastOpcode(): V64 {
    return this.state(cpuState.fop, OP.i64_load16_u);
  }
  setLastOpcode(v: V64): void {
    this.setState(cpuState.fop, 2, v);
  }
  lastOffset(): V64 {
    return this.state(cpuState.fip, OP.i64_load);
  }
  setLastOffset(v: V64): void {
    this.setState(cpuState.fip, 8, v);
  }
  pageOffset(): V64 {
    return this.cpu64(cpuState.ripBase.offset);
  }
  lastOperand(): V64 {
    return this.state(cpuState.fdp, OP.i64_load);
  }
  setLastOperand(offset: V64): void {
    this.setState(cpuState.fdp, 8, offset);
  }
  segmentBaseOf(segment: Var): V64 {
    this.indexed(segment, 3);
    this.code.mem(OP.i64_load, 3, cpuState.segBase.offset);
    return V;
  }
}
