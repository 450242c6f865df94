/** The semantics' algebra of vectors and floating point as WebAssembly. */
import { OP, SIMD } from '../../wasm/opcodes.ts';
import type { Flt, FltSize, FltVar, V32, V64, Var, Vec, VecVar } from '../../x86/sem/sem.ts';
import { FIRST_F, FIRST_V, LOCAL, POOLF, POOLV, ValueEmitter } from './value.ts';

const V = {} as V64;
const B = {} as V32;
const X = {} as Vec;
const F = {} as Flt;

/** Semantics name Wasm's operations; a name that is none is found when the engine is built. */
function simd(name: string): number {
  const op = (SIMD as Record<string, number>)[name];
  if (op === undefined) throw new Error(`no SIMD operation ${name}`);
  return op;
}
function scalar(name: string): number {
  const op = (OP as Record<string, number>)[name];
  if (op === undefined) throw new Error(`no operation ${name}`);
  return op;
}

export abstract class VectorEmitter extends ValueEmitter {
  /** The instruction's immediate, sign-extended. */
  abstract imm(): V64;

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
  protected vpush(v: Vec | VecVar): void {
    if ('vslot' in v) this.code.get(v.vslot);
  }
  v1(op: string, a: Vec | VecVar): Vec {
    this.vpush(a);
    this.code.simd(simd(op));
    return X;
  }
  v2(op: string, a: Vec | VecVar, b: Vec | VecVar): Vec {
    this.vpush(a);
    this.vpush(b);
    this.code.simd(simd(op));
    return X;
  }
  vshift(op: string, _a: Vec, count: V64 | Var): Vec {
    this.push(count);
    this.code.op(OP.i32_wrap_i64);
    this.code.simd(simd(op));
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
  protected lane(op: number, a: Vec | VecVar, lane: number): void {
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
  protected replace(op: number, a: Vec | VecVar, lane: number, v: V64 | Var, narrow: boolean): Vec {
    if ('vslot' in a) this.take(LOCAL.w1, v);
    this.vpush(a);
    if ('vslot' in a) this.code.get(this.slot(LOCAL.w1, v));
    else this.push(v);
    if (narrow) this.code.op(OP.i32_wrap_i64);
    this.code.simdLane(op, lane);
    return X;
  }
  vmask(op: string, a: Vec | VecVar): V64 {
    this.vpush(a);
    this.code.simd(simd(op));
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
  protected fpush(operands: readonly FltVar[], op: number): void {
    for (const x of operands) this.code.get(x.fslot);
    this.code.op(op);
  }
  fop(op: string, ...operands: readonly FltVar[]): Flt {
    this.fpush(operands, scalar(op));
    return F;
  }
  fcmp(op: string, a: FltVar, b: FltVar): V32 {
    this.fpush([a, b], scalar(op));
    return B;
  }
  fbits(x: FltVar): V64 {
    this.fpush([x], x.size === 4 ? OP.i32_reinterpret_f32 : OP.i64_reinterpret_f64);
    if (x.size === 4) this.code.op(OP.i64_extend_i32_u);
    return V;
  }
  ffrom(op: string, v: V64 | Var): Flt {
    this.push(v);
    this.code.op(scalar(op));
    return F;
  }
  fto(op: string, x: FltVar): V64 {
    this.fpush([x], scalar(op));
    return V;
  }
}
