/**
 * The semantics' algebra with a record's fields known: what compiled regions are made of. General and vector registers,
 * flags and temporaries live in locals; immediates, addresses and masks are constants in the code.
 *
 * A region can be left at every record as the interpreter can: with nothing of the record done, all registers back in
 * the vCPU's state, and the record named.
 */
import type { Mem } from '../../base/mem.ts';
import { F32, F64, I32, I64, V128, type ValType } from '../../wasm/module.ts';
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type {
  FlagSource,
  Flt,
  FltSize,
  FltVar,
  Size,
  V32,
  V64,
  Var,
  Vec,
  VecVar,
} from '../../x86/sem/sem.ts';
import { cpuState, SEG_NONE } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { RecordEmitter } from '../emit/record-emitter.ts';
import type { Place as Operand } from '../interp/emitter.ts';
import { LEAVE, REC } from '../interp/record.ts';
import { conditionFrom } from './condition.ts';
import type { Place } from './flow.ts';
import { Locals } from './locals.ts';

const V = {} as V64;
const X = {} as Vec;
const F = {} as Flt;
const ZERO = cpuState.zero.offset;
const RIP_BASE = cpuState.ripBase.offset;
const GPRS_END = 128;

export interface Pending {
  readonly compute: () => void;
  readonly from: FlagSource | undefined;
  readonly uses: readonly Var[];
}

export class RegionEmitter extends RecordEmitter {
  readonly locals = new Locals();
  private readonly mem: Mem;
  private places: readonly Operand[] = [];
  private z: Size = 8;
  private record = 0;
  /** Pages from the base page, and instructions of the block that are done before the record. */
  private page = 0;
  private done = 0;

  constructor(mem: Mem) {
    super();
    this.mem = mem;
  }

  /** The next record, of a block on `page`; `done` instructions of the block come before it. */
  begin(record: number, page: number, done: number, places: readonly Operand[], z: Size): void {
    this.record = record;
    this.page = page;
    this.done = done;
    this.beginHandler(places, z);
  }
  beginHandler(places: readonly Operand[], z: Size): void {
    this.places = places;
    this.z = z;
    this.locals.release();
  }

  // --- locals ------------------------------------------------------------------------------------------------------

  override let(_v: V64): Var {
    const slot = this.locals.temporary(I64);
    this.code.set(slot);
    return { slot };
  }
  override vlet(_v: Vec): VecVar {
    const vslot = this.locals.temporary(V128);
    this.code.set(vslot);
    return { vslot };
  }
  override flet(_v: Flt, f: FltSize): FltVar {
    const fslot = this.locals.temporary(f === 4 ? F32 : F64);
    this.code.set(fslot);
    return { fslot, size: f };
  }

  // --- the record --------------------------------------------------------------------------------------------------

  private field(which: 'r1' | 'r2' | 'r3'): number {
    return this.mem.u16(this.record + REC[which]);
  }
  imm(): V64 {
    return this.big(this.mem.s64(this.record + REC.imm));
  }
  get immediate(): number {
    return this.mem.s32(this.record + REC.imm);
  }
  imm8(): V64 {
    return this.c(this.mem.u8(this.record + REC.imm));
  }
  private maskValue(): bigint {
    return this.mem.s64(this.record + REC.mask);
  }
  maskField(): V64 {
    return this.big(this.maskValue());
  }

  // --- registers ---------------------------------------------------------------------------------------------------

  /** Pushes the 8 bytes that start at an offset of the vCPU's state. */
  private push64(offset: number): V64 {
    if (offset === ZERO) return this.c(0);
    if (offset === RIP_BASE) return this.pageBase();
    this.code.get(this.locals.register(offset));
    return V;
  }
  /** Linear address (in the code segment) of the page that the record is on. */
  private pageBase(): V64 {
    this.code.get(this.locals.base);
    if (this.page !== 0) this.add(V, this.c(this.page * 4096));
    return V;
  }
  private readAt(offset: number, z: Size): V64 {
    const byte = offset < GPRS_END ? offset & 7 : 0;
    this.push64(offset - byte);
    if (byte !== 0) this.shru(V, this.c(8 * byte));
    return this.sx(V, z);
  }
  private writeAt(offset: number, z: Size, v: V64 | Var): void {
    const byte = offset < GPRS_END ? offset & 7 : 0;
    const local = this.locals.register(offset - byte, true);
    if (z < 4) {
      const field = ((1n << BigInt(8 * z)) - 1n) << BigInt(8 * byte);
      this.take(LOCAL.w1, v);
      this.code.get(this.slot(LOCAL.w1, v));
      if (byte !== 0) this.shl(V, this.c(8 * byte));
      this.and(V, this.big(field));
      this.code.get(local);
      this.and(V, this.big(BigInt.asIntN(64, ~field)));
      this.code.op(OP.i64_or);
    } else {
      this.push(v);
      if (z === 4) this.zx(V, 4);
    }
    this.code.set(local);
  }
  read(i: number, z: Size): V64 {
    const place = this.places[i];
    if (place === 'imm') return this.imm();
    if (place === 'cl') return this.reg(1, z);
    if (place === 'mem') return this.memRead(0, z);
    return this.readAt(this.field(place as 'r1' | 'r2' | 'r3'), z);
  }
  write(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[0] as Operand, z, v);
  }
  writeSrc(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[1] as Operand, z, v);
  }
  private writeTo(place: Operand, z: Size, v: V64 | Var): void {
    if (place === 'mem') this.memWrite(0, z, v);
    else this.writeAt(this.field(place as 'r1' | 'r2'), z, v);
  }
  reg(r: number, z: Size): V64 {
    return this.readAt(r * 8, z);
  }
  setReg(r: number, z: Size, v: V64 | Var): void {
    this.writeAt(r * 8, z, v);
  }
  stackAdd(z: Size, by: number): void {
    this.moveStack(z, () => this.c(by));
  }
  stackAddVar(z: Size, by: Var): void {
    this.moveStack(z, () => this.get(by));
  }
  private moveStack(z: Size, by: () => V64): void {
    const rsp = this.locals.register(32, true);
    this.code.get(rsp);
    by();
    this.code.op(OP.i64_add);
    if (z !== 8 && this.maskValue() !== -1n) {
      this.and(V, this.maskField());
      this.code.get(rsp);
      this.and(V, this.big(~this.maskValue()));
      this.code.op(OP.i64_or);
    }
    this.code.set(rsp);
  }
  /** Writes a string register: all of it, or the part the address size covers (32 bits clear the upper half). */
  setAddressReg(r: number, v: V64): void {
    const mask = this.maskValue();
    this.setReg(r, mask === -1n ? 8 : mask === 0xffffn ? 2 : 4, v);
  }
  override vreg(r: number): Vec {
    this.code.get(this.locals.vector(16 * r));
    return X;
  }
  override setVreg(r: number, v: Vec | VecVar): void {
    this.vpush(v);
    this.code.set(this.locals.vector(16 * r, true));
  }
  vread(i: number): Vec {
    const place = this.places[i];
    if (place === 'mem') {
      this.code.get(LOCAL.ha);
      this.code.simdMem(SIMD.v128_load, 0, 0);
    } else this.code.get(this.locals.vector(this.field(place as 'r1' | 'r2')));
    return X;
  }
  vwrite(v: Vec | VecVar): void {
    const place = this.places[0];
    if (place !== 'mem') {
      this.vpush(v);
      this.code.set(this.locals.vector(this.field(place as 'r1'), true));
      return;
    }
    const value = 'vslot' in v ? v : this.vlet(v);
    this.code.get(LOCAL.ha);
    this.code.get(value.vslot);
    this.code.simdMem(SIMD.v128_store, 0, 0);
  }
  fread(i: number, f: FltSize): Flt {
    const place = this.places[i];
    if (place === 'mem') {
      this.code.get(LOCAL.ha);
      this.code.mem(f === 4 ? OP.f32_load : OP.f64_load, 0, 0);
      return F;
    }
    this.code.get(this.locals.vector(this.field(place as 'r1' | 'r2')));
    this.code.simdLane(f === 4 ? SIMD.f32x4_extract_lane : SIMD.f64x2_extract_lane, 0);
    return F;
  }
  fwrite(v: FltVar): void {
    const place = this.places[0];
    if (place === 'mem') {
      this.code.get(LOCAL.ha);
      this.code.get(v.fslot);
      this.code.mem(v.size === 4 ? OP.f32_store : OP.f64_store, 0, 0);
      return;
    }
    const local = this.locals.vector(this.field(place as 'r1'), true);
    this.code.get(local);
    this.code.get(v.fslot);
    this.code.simdLane(v.size === 4 ? SIMD.f32x4_replace_lane : SIMD.f64x2_replace_lane, 0);
    this.code.set(local);
  }

  // --- flags -------------------------------------------------------------------------------------------------------

  /** Flags that have not been computed: what would do it, and what conditions can be told from without. */
  private pending: Pending | undefined;
  /** Nesting of code that may not be run, or several times. */
  private conditional = 0;

  deferFlags(uses: readonly Var[], keeps: boolean, compute: () => void, from?: FlagSource): boolean {
    if (this.conditional > 0) return false;
    if (keeps) this.settle();
    this.pending = { compute, from, uses };
    this.pin();
    return true;
  }
  private pin(): void {
    this.locals.pin(this.pending?.uses.map((v) => v.slot) ?? []);
  }
  /** Computes pending flags. */
  settle(): void {
    const { pending } = this;
    this.pending = undefined;
    pending?.compute();
  }
  /** The flags are settled, whatever way was taken here. */
  settled(): void {
    this.pending = undefined;
    this.pin();
  }
  saveFlags(): Pending | undefined {
    return this.pending;
  }
  restoreFlags(known: Pending | undefined): void {
    this.pending = known;
    this.pin();
  }
  override flagRes(): V64 {
    this.settle();
    return this.push64(cpuState.flagRes.offset);
  }
  override flagVec(): V64 {
    this.settle();
    return this.push64(cpuState.flagVec.offset);
  }
  override setFlags(res: V64 | Var, vec: V64 | Var): void {
    this.pending = undefined;
    this.push(vec);
    this.code.set(this.locals.register(cpuState.flagVec.offset, true));
    this.push(res);
    this.code.set(this.locals.register(cpuState.flagRes.offset, true));
  }
  conditionOf(cc: number): V32 | undefined {
    const from = this.pending?.from;
    return from && conditionFrom(this, from, cc >> 1);
  }
  known(i: number): number | undefined {
    return this.places[i] === 'imm' ? this.immediate : undefined;
  }
  override if(c: V32, then: () => void, otherwise?: () => void): void {
    this.settle();
    this.conditional++;
    super.if(c, then, otherwise);
    this.conditional--;
  }
  override loop(body: () => V32): void {
    this.settle();
    this.conditional++;
    super.loop(body);
    this.conditional--;
  }

  // --- addresses ---------------------------------------------------------------------------------------------------

  effectiveAddress(): V64 {
    const { mem, record } = this;
    const index = mem.u16(record + REC.index);
    const scale = mem.u8(record + REC.scale);
    const disp = mem.s32(record + REC.disp);
    this.push64(mem.u16(record + REC.base));
    if (index !== ZERO) {
      this.push64(index);
      if (scale !== 0) this.shl(V, this.c(scale));
      this.code.op(OP.i64_add);
    }
    if (disp !== 0) this.add(V, this.c(disp));
    if (this.maskValue() !== -1n) this.and(V, this.maskField());
    return V;
  }
  protected segmentBase(): boolean {
    if (this.mem.u8(this.record + REC.seg) === 8 * SEG_NONE) return false;
    this.segBaseField();
    return true;
  }
  segBaseField(): void {
    this.cpu64(cpuState.segBase.offset + this.mem.u8(this.record + REC.seg));
  }

  // --- jumps -------------------------------------------------------------------------------------------------------

  nextRip(): V64 {
    this.pageBase();
    return this.add(V, this.c(this.mem.u16(this.record + REC.next)));
  }
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
    // what is left behind is computed, here the flags stay as they are known
    const { pending } = this;
    this.settle();
    this.pending = pending;
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

  /** Loads what the body uses. */
  prologue(): void {
    const { code, locals } = this;
    this.loadContext();
    this.cpu64(RIP_BASE);
    code.set(locals.base);
    for (const [offset, r] of locals.registers) {
      this.cpu64(offset);
      code.set(r.local);
    }
    for (const [offset, r] of locals.vectors) {
      code.get(LOCAL.cpu);
      code.simdMem(SIMD.v128_load, 0, cpuState.xmm.offset + offset);
      code.set(r.local);
    }
  }
  /** Stores what the body changed, and answers why it was left. */
  epilogue(): void {
    const { code, locals } = this;
    for (const [offset, r] of locals.registers) {
      if (!r.written) continue;
      code.get(LOCAL.cpu);
      code.get(r.local);
      code.mem(OP.i64_store, 3, offset);
    }
    for (const [offset, r] of locals.vectors) {
      if (!r.written) continue;
      code.get(LOCAL.cpu);
      code.get(r.local);
      code.simdMem(SIMD.v128_store, 0, cpuState.xmm.offset + offset);
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
