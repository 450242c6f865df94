/**
 * The semantics' algebra with a record's fields known, operands: general and vector registers and temporaries live in
 * locals; immediates, addresses and masks are constants in the code.
 */
import { F32, F64, I64, V128 } from '../../wasm/module.ts';
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { Flt, FltSize, FltVar, Size, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { cpuState, SEG_NONE } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import type { Place } from '../interp/emitter.ts';
import { REC } from '../interp/record.ts';
import { RSP } from './addresses.ts';
import { RegionRegisters } from './region-registers.ts';

const V = {} as V64;
const X = {} as Vec;
const F = {} as Flt;
const ZERO = cpuState.zero.offset;
export const RIP_BASE = cpuState.ripBase.offset;
export const GPRS_END = 128;

export abstract class RegionOperands extends RegionRegisters {
  protected places: readonly Place[] = [];
  protected z: Size = 8;
  protected record = 0;
  /** Pages from the base page, and instructions of the block that are done before the record. */
  protected page = 0;
  protected done = 0;

  /** The next record, of a block on `page`; `done` instructions of the block come before it. */
  begin(record: number, page: number, done: number, places: readonly Place[], z: Size): void {
    this.record = record;
    this.page = page;
    this.done = done;
    this.ha = LOCAL.ha;
    this.beginHandler(places, z);
  }
  beginHandler(places: readonly Place[], z: Size): void {
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

  protected field(which: 'r1' | 'r2' | 'r3'): number {
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
  protected maskValue(): bigint {
    return this.mem.s64(this.record + REC.mask);
  }
  maskField(): V64 {
    return this.big(this.maskValue());
  }

  // --- registers ---------------------------------------------------------------------------------------------------

  /** Pushes the 8 bytes that start at an offset of the vCPU's state. */
  protected push64(offset: number): V64 {
    if (offset === ZERO) return this.c(0);
    if (offset === RIP_BASE) return this.pageBase();
    this.code.get(this.fetch(offset));
    return V;
  }
  /** rip of the first byte of the page that the record is on. */
  protected pageBase(): V64 {
    return this.pageAt(this.page);
  }
  /** And of any page. */
  pageAt(page: number): V64 {
    this.code.get(this.locals.base);
    if (page !== 0) this.add(V, this.c(page * 4096));
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
    if (z < 4) {
      const field = ((1n << BigInt(8 * z)) - 1n) << BigInt(8 * byte);
      this.take(LOCAL.w1, v);
      this.code.get(this.slot(LOCAL.w1, v));
      if (byte !== 0) this.shl(V, this.c(8 * byte));
      this.and(V, this.big(field));
      this.push64(offset - byte);
      this.and(V, this.big(BigInt.asIntN(64, ~field)));
      this.code.op(OP.i64_or);
    } else {
      this.push(v);
      if (z === 4) this.zx(V, 4);
    }
    this.assign(offset - byte);
  }
  read(i: number, z: Size): V64 {
    const place = this.places[i];
    if (place === 'imm') return this.imm();
    if (place === 'cl') return this.reg(1, z);
    if (place === 'mem') return this.memRead(0, z);
    return this.readAt(this.field(place as 'r1' | 'r2' | 'r3'), z);
  }
  override low(i: number, z: Size): V64 {
    const place = this.places[i];
    const at = place === 'r1' || place === 'r2' || place === 'r3' ? this.field(place) : -1;
    return at >= 0 && (at >= GPRS_END || (at & 7) === 0) ? this.push64(at) : this.read(i, z);
  }
  write(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[0] as Place, z, v);
  }
  writeSrc(z: Size, v: V64 | Var): void {
    this.writeTo(this.places[1] as Place, z, v);
  }
  private writeTo(place: Place, z: Size, v: V64 | Var): void {
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
    const was = this.addresses.sum(RSP);
    this.moveStack(z, () => this.c(by));
    if (this.maskValue() === this.addresses.mask) this.addresses.become(RSP, was, by);
  }
  stackAddVar(z: Size, by: Var): void {
    this.moveStack(z, () => this.get(by));
  }
  private moveStack(z: Size, by: () => V64): void {
    const rsp = this.fetch(RSP);
    this.code.get(rsp);
    by();
    this.code.op(OP.i64_add);
    if (z !== 8 && this.maskValue() !== -1n) {
      this.and(V, this.maskField());
      this.code.get(rsp);
      this.and(V, this.big(~this.maskValue()));
      this.code.op(OP.i64_or);
    }
    this.assign(RSP);
  }
  /** Writes a string register: all of it, or the part the address size covers (32 bits clear the upper half). */
  setAddressReg(r: number, v: V64): void {
    const mask = this.maskValue();
    this.setReg(r, mask === -1n ? 8 : mask === 0xffffn ? 2 : 4, v);
  }
  override vreg(r: number): Vec {
    this.code.get(this.fetchVector(16 * r));
    return X;
  }
  override setVreg(r: number, v: Vec | VecVar): void {
    this.vpush(v);
    this.assignVector(16 * r);
  }
  vread(i: number): Vec {
    const place = this.places[i];
    if (place === 'mem') {
      this.code.get(this.ha);
      this.code.simdMem(SIMD.v128_load, 0, 0);
    } else this.code.get(this.fetchVector(this.field(place as 'r1' | 'r2')));
    return X;
  }
  vwrite(v: Vec | VecVar): void {
    const place = this.places[0];
    if (place !== 'mem') {
      this.vpush(v);
      this.assignVector(this.field(place as 'r1'));
      return;
    }
    const value = 'vslot' in v ? v : this.vlet(v);
    this.code.get(this.ha);
    this.code.get(value.vslot);
    this.code.simdMem(SIMD.v128_store, 0, 0);
  }
  fread(i: number, f: FltSize): Flt {
    const place = this.places[i];
    if (place === 'mem') {
      this.code.get(this.ha);
      this.code.mem(f === 4 ? OP.f32_load : OP.f64_load, 0, 0);
      return F;
    }
    this.code.get(this.fetchVector(this.field(place as 'r1' | 'r2')));
    this.code.simdLane(f === 4 ? SIMD.f32x4_extract_lane : SIMD.f64x2_extract_lane, 0);
    return F;
  }
  fwrite(v: FltVar): void {
    const place = this.places[0];
    if (place === 'mem') {
      this.code.get(this.ha);
      this.code.get(v.fslot);
      this.code.mem(v.size === 4 ? OP.f32_store : OP.f64_store, 0, 0);
      return;
    }
    this.code.get(this.fetchVector(this.field(place as 'r1')));
    this.code.get(v.fslot);
    this.code.simdLane(v.size === 4 ? SIMD.f32x4_replace_lane : SIMD.f64x2_replace_lane, 0);
    this.assignVector(this.field(place as 'r1'));
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
  nextRip(): V64 {
    this.pageBase();
    return this.add(V, this.c(this.mem.u16(this.record + REC.next)));
  }
}
