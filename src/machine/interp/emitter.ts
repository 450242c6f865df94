/**
 * The semantics' algebra as WebAssembly in which every operand is found through the record: what the interpreter's
 * handlers are made of. Locals: the named ones below, then a pool that each handler starts afresh.
 */
import type { Bin, Flt, FltSize, FltVar, Sem, Size, Un, V32, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { Code } from '../../wasm/code.ts';
import { F32, F64, I32, I64, V128, type ValType } from '../../wasm/module.ts';
import { ATOMIC, OP, SIMD } from '../../wasm/opcodes.ts';
import { cpuState } from '../cpu-state.ts';
import { KIND_ATOMIC, KIND_READ, KIND_RMW, KIND_WRITE, REC, TLB_READ, TLB_WRITE } from './record.ts';

/** Where an operand is: register named by the record, its immediate, or the memory operand. */
export type Place = 'r1' | 'r2' | 'imm' | 'mem' | 'cl' | 'none';

export const LOCAL = {
  cpu: 0, rp: 1, fuel: 2, bn: 3, ic: 4, ha: 5, ti: 6, kind: 7, code: 8, c32: 9, ea: 10, lip: 11, ctx: 12, w1: 13, w2: 14,
} as const;
const FIRST_POOL = 15;
const POOL64 = 40;
const POOLV = 12;
const FIRST_V = FIRST_POOL + POOL64;
const VW = FIRST_V + POOLV;
const POOLF = 6;
const FIRST_F = { 4: VW + 1, 8: VW + 1 + POOLF } as const;
/** Types of the locals after the three parameters. */
export const LOCAL_TYPES: ValType[] = [
  ...Array<ValType>(LOCAL.ea - 3).fill(I32),
  ...Array<ValType>(FIRST_V - LOCAL.ea).fill(I64),
  ...Array<ValType>(POOLV + 1).fill(V128),
  ...Array<ValType>(POOLF).fill(F32),
  ...Array<ValType>(POOLF).fill(F64),
];

const V = {} as V64;
const B = {} as V32;
const X = {} as Vec;
const F = {} as Flt;
const LOAD_S = { 1: OP.i64_load8_s, 2: OP.i64_load16_s, 4: OP.i64_load32_s, 8: OP.i64_load } as const;
const STORE = { 1: OP.i64_store8, 2: OP.i64_store16, 4: OP.i64_store32, 8: OP.i64_store } as const;
const RMW_SUFFIX = { 1: 'rmw8', 2: 'rmw16', 4: 'rmw32', 8: 'rmw' } as const;
const PAGE_MASK = -4096;
const state = (f: { offset: number }): number => f.offset;

type Label = 'leave' | 'slow' | 'miss' | 'outer' | 'jump' | 'next' | 'handler' | 'inner';

export class InterpEmitter implements Sem {
  readonly code = new Code();
  private readonly labels: Label[] = [];
  private pool = 0;
  private vpool = 0;
  private fpool = 0;
  private places: readonly Place[] = [];
  /** Operand size of the handler being made, for jumps. */
  private z: Size = 8;

  // --- structure -------------------------------------------------------------------------------------------------

  open(label: Label, opcode: number = OP.block): void {
    this.code.open(opcode);
    this.labels.push(label);
  }
  end(): void {
    this.code.end();
    this.labels.pop();
  }
  private depth(label: Label): number {
    const at = this.labels.lastIndexOf(label);
    if (at < 0) throw new Error(`no enclosing ${label}`);
    return this.labels.length - 1 - at;
  }
  br(label: Label): void {
    this.code.br(this.depth(label));
  }
  brIf(label: Label): void {
    this.code.brIf(this.depth(label));
  }
  beginHandler(places: readonly Place[], z: Size): void {
    this.pool = 0;
    this.vpool = 0;
    this.fpool = 0;
    this.places = places;
    this.z = z;
  }

  private field(opcode: number, offset: number, align: number): void {
    this.code.get(LOCAL.rp);
    this.code.mem(opcode, align, offset);
  }
  /** cpu + the register offset in the record. */
  private regAddr(which: 'r1' | 'r2'): void {
    this.code.get(LOCAL.cpu);
    this.field(OP.i32_load16_u, REC[which], 1);
    this.code.op(OP.i32_add);
  }
  private cpu64(offset: number): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load, 3, offset);
    return V;
  }
  private storeCpu64(offset: number, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(LOCAL.cpu);
    this.code.get(this.slot(LOCAL.w1, v));
    this.code.mem(OP.i64_store, 3, offset);
  }
  /** Leaves a token in `local`; a Var stays where it is. */
  private take(local: number, v: V64 | Var): void {
    if (!('slot' in v)) this.code.set(local);
  }
  private slot(local: number, v: V64 | Var): number {
    return 'slot' in v ? v.slot : local;
  }
  private push(v: V64 | Var): void {
    if ('slot' in v) this.code.get(v.slot);
  }

  // --- memory operand --------------------------------------------------------------------------------------------

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
  /** Linear address of the memory operand into `ea`. */
  linear(): void {
    const { code } = this;
    this.effectiveAddress();
    code.get(LOCAL.cpu);
    this.field(OP.i32_load8_u, REC.seg, 0);
    code.op(OP.i32_add);
    code.mem(OP.i64_load, 3, state(cpuState.segBase));
    code.op(OP.i64_add);
    code.set(LOCAL.ea);
  }

  linearAddress(): V64 {
    this.code.get(LOCAL.ea);
    return V;
  }

  /** Translates the access at `ea`; on success its machine address is in `ha`, else the handler is left. */
  translate(size: number, kind: number): void {
    const { code } = this;
    const tlb = kind === KIND_READ ? TLB_READ : TLB_WRITE;
    code.i32(kind | (size << 8));
    code.set(LOCAL.kind);
    code.get(LOCAL.ea);
    code.op(OP.i32_wrap_i64);
    code.i32(8);
    code.op(OP.i32_shr_u);
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
    this.brIf('miss');
    code.get(LOCAL.ti);
    code.mem(OP.i32_load, 2, tlb + 8);
    code.get(LOCAL.ea);
    code.op(OP.i32_wrap_i64);
    code.op(OP.i32_add);
    code.set(LOCAL.ha);
  }

  access(size: number, dst: boolean, rw: 'r' | 'w' | 'rw', locked: boolean, aligned: boolean): void {
    this.linear();
    if (aligned) this.slowIf(this.ne(this.and(this.linearAddress(), this.c(size - 1)), this.c(0)));
    const kind = locked ? KIND_ATOMIC : !dst || rw === 'r' ? KIND_READ : rw === 'w' ? KIND_WRITE : KIND_RMW;
    this.translate(size, kind);
  }

  // --- values ----------------------------------------------------------------------------------------------------

  c(n: number): V64 {
    this.code.i64(n);
    return V;
  }
  big(n: bigint): V64 {
    this.code.i64big(n);
    return V;
  }
  let(_v: V64): Var {
    if (this.pool === POOL64) throw new Error('out of pool locals');
    const slot = FIRST_POOL + this.pool++;
    this.code.set(slot);
    return { slot };
  }
  get(x: Var): V64 {
    this.code.get(x.slot);
    return V;
  }
  set(x: Var, _v: V64): void {
    this.code.set(x.slot);
  }
  private bin(opcode: number): Bin<never> {
    return ((a: V64 | Var, b: V64 | Var) => {
      this.push(a);
      this.push(b);
      this.code.op(opcode);
      return V;
    }) as unknown as Bin<never>;
  }
  private un(opcode: number): Un<never> {
    return ((a: V64 | Var) => {
      this.push(a);
      this.code.op(opcode);
      return V;
    }) as unknown as Un<never>;
  }
  readonly add = this.bin(OP.i64_add);
  readonly sub = this.bin(OP.i64_sub);
  readonly mul = this.bin(OP.i64_mul);
  readonly and = this.bin(OP.i64_and);
  readonly or = this.bin(OP.i64_or);
  readonly xor = this.bin(OP.i64_xor);
  readonly shl = this.bin(OP.i64_shl);
  readonly shru = this.bin(OP.i64_shr_u);
  readonly shrs = this.bin(OP.i64_shr_s);
  readonly rotl = this.bin(OP.i64_rotl);
  readonly divu = this.bin(OP.i64_div_u);
  readonly divs = this.bin(OP.i64_div_s);
  readonly remu = this.bin(OP.i64_rem_u);
  readonly rems = this.bin(OP.i64_rem_s);
  readonly eq = this.bin(OP.i64_eq);
  readonly ne = this.bin(OP.i64_ne);
  readonly ltu = this.bin(OP.i64_lt_u);
  readonly lts = this.bin(OP.i64_lt_s);
  readonly gtu = this.bin(OP.i64_gt_u);
  readonly eqz = this.un(OP.i64_eqz);
  readonly clz = this.un(OP.i64_clz);
  readonly ctz = this.un(OP.i64_ctz);
  readonly popcnt = this.un(OP.i64_popcnt);
  not(a: V64 | Var): V64 {
    this.push(a);
    this.code.i64(-1);
    this.code.op(OP.i64_xor);
    return V;
  }
  sx(a: V64 | Var, z: Size): V64 {
    this.push(a);
    if (z !== 8) this.code.op(z === 1 ? OP.i64_extend8_s : z === 2 ? OP.i64_extend16_s : OP.i64_extend32_s);
    return V;
  }
  zx(a: V64 | Var, z: Size): V64 {
    this.push(a);
    if (z !== 8) {
      this.code.i64big((1n << BigInt(8 * z)) - 1n);
      this.code.op(OP.i64_and);
    }
    return V;
  }
  bool(_c: V32): V64 {
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  notBool(_c: V32): V32 {
    this.code.op(OP.i32_eqz);
    return B;
  }
  andBool(_a: V32, _b: V32): V32 {
    this.code.op(OP.i32_and);
    return B;
  }
  orBool(_a: V32, _b: V32): V32 {
    this.code.op(OP.i32_or);
    return B;
  }
  select(a: V64 | Var, b: V64 | Var, _c: V32): V64 {
    if ('slot' in a && 'slot' in b) {
      this.code.set(LOCAL.c32);
      this.code.get(a.slot);
      this.code.get(b.slot);
      this.code.get(LOCAL.c32);
    }
    this.code.op(OP.select);
    return V;
  }
  if(_c: V32, then: () => void, otherwise?: () => void): void {
    this.open('inner', OP.if);
    then();
    if (otherwise) {
      this.code.op(OP.else);
      otherwise();
    }
    this.end();
  }

  // --- operands --------------------------------------------------------------------------------------------------

  read(i: number, z: Size): V64 {
    const place = this.places[i];
    if (place === 'imm') return this.imm();
    if (place === 'cl') return this.reg(1, z);
    if (place === 'mem') this.code.get(LOCAL.ha);
    else this.regAddr(place as 'r1' | 'r2');
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
  /** The address is on the stack. A 32-bit register write clears the upper half. */
  private storeValue(memory: boolean, z: Size, local: number, offset: number): void {
    this.code.get(local);
    if (!memory && z === 4) {
      this.code.i64big(0xffff_ffffn);
      this.code.op(OP.i64_and);
      this.code.mem(OP.i64_store, 0, offset);
    } else this.code.mem(STORE[z], 0, offset);
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
  memRead(offset: number, z: Size): V64 {
    this.code.get(LOCAL.ha);
    this.code.mem(LOAD_S[z], 0, offset);
    return V;
  }
  memWrite(offset: number, z: Size, v: V64 | Var): void {
    this.take(LOCAL.w1, v);
    this.code.get(LOCAL.ha);
    this.storeValue(true, z, this.slot(LOCAL.w1, v), offset);
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
  cpl(): V64 {
    return this.cpu64(state(cpuState.cpl));
  }
  irqWindow(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, state(cpuState.irqWindow));
    return V;
  }

  // --- control ---------------------------------------------------------------------------------------------------

  nextRip(): V64 {
    this.cpu64(state(cpuState.ripBase));
    this.field(OP.i64_load16_u, REC.next, 1);
    this.code.op(OP.i64_add);
    return V;
  }
  jumpRel(): void {
    const { code } = this;
    this.account();
    this.field(OP.i32_load, REC.slot, 2);
    code.mem(OP.i32_load, 2, 0);
    code.tee(LOCAL.ti);
    this.open('inner', OP.if);
    code.get(LOCAL.ti);
    code.set(LOCAL.rp);
    this.enterBlock();
    code.op(OP.else);
    this.nextRip();
    this.imm();
    code.op(OP.i64_add);
    this.field(OP.i64_load, REC.mask, 3);
    code.op(OP.i64_and);
    code.set(LOCAL.lip);
    this.br('jump');
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
    code.get(LOCAL.fuel);
    code.i32(1);
    code.op(OP.i32_sub);
    code.tee(LOCAL.fuel);
    code.i32(0);
    code.op(OP.i32_ge_s);
    this.brIf('next');
    code.i32(0); // LEAVE.fuel
    code.set(LOCAL.code);
    this.br('leave');
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
    code.get(LOCAL.fuel);
    code.i32(1);
    code.op(OP.i32_sub);
    code.tee(LOCAL.fuel);
    code.i32(0);
    code.op(OP.i32_ge_s);
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

  // --- flags -----------------------------------------------------------------------------------------------------

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

  // --- locked ----------------------------------------------------------------------------------------------------

  atomic(op: 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg', z: Size, v: Var): V64 {
    this.code.get(LOCAL.ha);
    this.code.get(v.slot);
    this.code.atomic(ATOMIC[`i64_${RMW_SUFFIX[z]}_${op}`], Math.log2(z), 0);
    return this.sx(V, z);
  }
  atomicCmpxchg(z: Size, expected: Var, v: Var): V64 {
    this.code.get(LOCAL.ha);
    this.code.get(expected.slot);
    // the narrow forms compare the zero-extended value with all 64 bits given
    this.zx(V, z);
    this.code.get(v.slot);
    this.code.atomic(ATOMIC[`i64_${RMW_SUFFIX[z]}_cmpxchg`], Math.log2(z), 0);
    return this.sx(V, z);
  }

  // --- vectors ---------------------------------------------------------------------------------------------------

  vlet(_v: Vec): VecVar {
    if (this.vpool === POOLV) throw new Error('out of vector locals');
    const vslot = FIRST_V + this.vpool++;
    this.code.set(vslot);
    return { vslot };
  }
  vget(x: VecVar): Vec {
    this.code.get(x.vslot);
    return X;
  }
  private vpush(v: Vec | VecVar): void {
    if ('vslot' in v) this.code.get(v.vslot);
  }
  private vaddr(i: number): number {
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
  vreg(r: number): Vec {
    this.code.get(LOCAL.cpu);
    this.code.simdMem(SIMD.v128_load, 0, state(cpuState.xmm) + 16 * r);
    return X;
  }
  v1(op: number, a: Vec | VecVar): Vec {
    this.vpush(a);
    this.code.simd(op);
    return X;
  }
  v2(op: number, a: Vec | VecVar, b: Vec | VecVar): Vec {
    this.vpush(a);
    this.vpush(b);
    this.code.simd(op);
    return X;
  }
  vshift(op: number, _a: Vec, count: V64 | Var): Vec {
    this.push(count);
    this.code.op(OP.i32_wrap_i64);
    this.code.simd(op);
    return X;
  }
  shuffle(lanes: readonly number[], a: VecVar, b: VecVar): Vec {
    this.vpush(a);
    this.vpush(b);
    this.code.simd(SIMD.i8x16_shuffle);
    for (const lane of lanes) this.code.byte(lane);
    return X;
  }
  vconst(lo: bigint, hi: bigint): Vec {
    this.code.simd(SIMD.v128_const);
    for (let i = 0n; i < 64n; i += 8n) this.code.byte(Number((lo >> i) & 255n));
    for (let i = 0n; i < 64n; i += 8n) this.code.byte(Number((hi >> i) & 255n));
    return X;
  }
  bitselect(ifOne: VecVar, ifZero: VecVar, mask: VecVar): Vec {
    this.vpush(ifOne);
    this.vpush(ifZero);
    this.vpush(mask);
    this.code.simd(SIMD.v128_bitselect);
    return X;
  }
  private lane(op: number, a: Vec | VecVar, lane: number): void {
    this.vpush(a);
    this.code.simdLane(op, lane);
  }
  lane64(a: Vec | VecVar, lane: number): V64 {
    this.lane(SIMD.i64x2_extract_lane, a, lane);
    return V;
  }
  lane32(a: Vec | VecVar, lane: number): V64 {
    this.lane(SIMD.i32x4_extract_lane, a, lane);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  lane16(a: Vec | VecVar, lane: number): V64 {
    this.lane(SIMD.i16x8_extract_lane_u, a, lane);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  setLane64(a: Vec | VecVar, lane: number, v: V64 | Var): Vec {
    return this.replace(SIMD.i64x2_replace_lane, a, lane, v, false);
  }
  setLane32(a: Vec | VecVar, lane: number, v: V64 | Var): Vec {
    return this.replace(SIMD.i32x4_replace_lane, a, lane, v, true);
  }
  setLane16(a: Vec | VecVar, lane: number, v: V64 | Var): Vec {
    return this.replace(SIMD.i16x8_replace_lane, a, lane, v, true);
  }
  /** A VecVar with a token: the token goes aside so that the vector can come first. */
  private replace(op: number, a: Vec | VecVar, lane: number, v: V64 | Var, narrow: boolean): Vec {
    if ('vslot' in a) this.take(LOCAL.w1, v);
    this.vpush(a);
    if ('vslot' in a) this.code.get(this.slot(LOCAL.w1, v));
    else this.push(v);
    if (narrow) this.code.op(OP.i32_wrap_i64);
    this.code.simdLane(op, lane);
    return X;
  }
  vmask(op: number, a: Vec | VecVar): V64 {
    this.vpush(a);
    this.code.simd(op);
    this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  control(): Vec {
    const nibbles = 0x0f0f_0f0f_0f0f_0f0fn;
    const low = this.splat64(this.and(this.imm(), this.big(nibbles)));
    return this.setLane64(low, 1, this.and(this.shru(this.imm(), this.c(4)), this.big(nibbles)));
  }
  splat64(v: V64 | Var): Vec {
    this.push(v);
    this.code.simd(SIMD.i64x2_splat);
    return X;
  }

  // --- floating point --------------------------------------------------------------------------------------------

  mxcsr(): V64 {
    this.code.get(LOCAL.cpu);
    this.code.mem(OP.i64_load32_u, 2, state(cpuState.mxcsr));
    return V;
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
  flet(_v: Flt, f: FltSize): FltVar {
    if (this.fpool === POOLF) throw new Error('out of floating-point locals');
    const fslot = FIRST_F[f] + this.fpool++;
    this.code.set(fslot);
    return { fslot, size: f };
  }
  fconst(n: number, f: FltSize): Flt {
    const view = new DataView(new ArrayBuffer(8));
    if (f === 4) view.setFloat32(0, n, true);
    else view.setFloat64(0, n, true);
    this.code.op(f === 4 ? OP.f32_const : OP.f64_const);
    for (let k = 0; k < f; k++) this.code.byte(view.getUint8(k));
    return F;
  }
  private fpush(operands: readonly FltVar[], op: number): void {
    for (const x of operands) this.code.get(x.fslot);
    this.code.op(op);
  }
  fop(op: number, ...operands: readonly FltVar[]): Flt {
    this.fpush(operands, op);
    return F;
  }
  fcmp(op: number, a: FltVar, b: FltVar): V32 {
    this.fpush([a, b], op);
    return B;
  }
  fbits(x: FltVar): V64 {
    this.fpush([x], x.size === 4 ? OP.i32_reinterpret_f32 : OP.i64_reinterpret_f64);
    if (x.size === 4) this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  ffrom(op: number, v: V64 | Var): Flt {
    this.push(v);
    this.code.op(op);
    return F;
  }
  fto(op: number, x: FltVar): V64 {
    this.fpush([x], op);
    return V;
  }
}
