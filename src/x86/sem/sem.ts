/**
 * The algebra in which instructions are written down, once for every engine.
 *
 * Operations are eager and in postfix order: calling `add(x, y)` produces the code (or the value) there and then, after
 * its arguments were produced by the calls that yielded them. A token (V64, V32, Vec) is the value on top; it is used
 * exactly once. What is needed twice goes into a `Var`, which can stand wherever its place in the order is unambiguous:
 * a first operand may be a Var only if the second is one too; the types say so.
 *
 * 64-bit values carry an operand of size z bytes sign-extended. Faults happen in the operand access that the engine
 * makes before the semantics run, so nothing here can fail half-way.
 */
export interface V64 {
  readonly v64: true;
}
export interface V32 {
  readonly v32: true;
}
export interface Vec {
  readonly vec: true;
}
/** A floating-point number of the size that its operation gives. */
export interface Flt {
  readonly flt: true;
}
/** A 64-bit value that was put aside. */
export interface Var {
  readonly slot: number;
}
export interface VecVar {
  readonly vslot: number;
}
export interface FltVar {
  readonly fslot: number;
  readonly size: FltSize;
}
export type Size = 1 | 2 | 4 | 8;
/** Bytes of a floating-point format. */
export type FltSize = 4 | 8;

/** An operation of two 64-bit values. */
export interface Bin<R = V64> {
  (a: V64, b: V64 | Var): R;
  (a: Var, b: Var): R;
}
/** An operation of two vectors. */
export interface VBin<R = Vec> {
  (a: Vec, b: Vec | VecVar): R;
  (a: VecVar, b: VecVar): R;
}
export type Un<R = V64> = (a: V64 | Var) => R;

/**
 * What flags are of: a result of z bytes, sign-extended, of a logical operation (no carry, no overflow), of x + y, x - y
 * (with a carry or `borrow` or without), or of something else.
 */
export type FlagSource =
  | { readonly kind: 'result' | 'logic'; readonly z: Size; readonly r: Var }
  | {
      readonly kind: 'add' | 'sub' | 'borrow';
      readonly z: Size;
      readonly x: Var;
      readonly y: Var;
      readonly r: Var;
    };

export interface Sem {
  /** A constant that fits in 32 signed bits. */
  c(n: number): V64;
  big(n: bigint): V64;
  let(v: V64): Var;
  get(x: Var): V64;
  set(x: Var, v: V64): void;

  readonly add: Bin;
  readonly sub: Bin;
  readonly mul: Bin;
  readonly and: Bin;
  readonly or: Bin;
  readonly xor: Bin;
  /** Shift counts are taken modulo 64. */
  readonly shl: Bin;
  readonly shru: Bin;
  readonly shrs: Bin;
  readonly rotl: Bin;
  /** Of the low 32 bits; the upper ones are 0. */
  rotl32(a: Var, n: Var): V64;
  readonly divu: Bin;
  readonly divs: Bin;
  readonly remu: Bin;
  readonly rems: Bin;
  readonly eq: Bin<V32>;
  readonly ne: Bin<V32>;
  readonly ltu: Bin<V32>;
  readonly lts: Bin<V32>;
  readonly gtu: Bin<V32>;
  readonly eqz: Un<V32>;
  readonly clz: Un;
  readonly ctz: Un;
  readonly popcnt: Un;
  not(a: V64 | Var): V64;
  /** Sign- or zero-extends the low z bytes. */
  sx(a: V64 | Var, z: Size): V64;
  zx(a: V64 | Var, z: Size): V64;
  /** 0 or 1 as a 64-bit value. */
  bool(c: V32): V64;
  notBool(c: V32): V32;
  andBool(a: V32, b: V32): V32;
  orBool(a: V32, b: V32): V32;
  select(ifTrue: V64 | Var, ifFalse: V64 | Var, c: V32): V64;
  /** What is put aside in a branch ends with it. */
  if(c: V32, then: () => void, otherwise?: () => void): void;
  /** Runs the body until the condition it gives is false. */
  loop(body: () => V32): void;

  /** Operand i, sign-extended (an immediate is sign-extended already). */
  read(i: number, z: Size): V64;
  /** Operand i as it comes: bits above its z bytes may be anything. */
  low(i: number, z: Size): V64;
  /** Writes operand 0; 32-bit register writes clear the upper half. */
  write(z: Size, v: V64 | Var): void;
  /** Writes operand 1, a register (XCHG, XADD). */
  writeSrc(z: Size, v: V64 | Var): void;
  /** Eight bytes of the memory operand at an offset: CMPXCHG8B and 16B. */
  memRead(offset: number, z: Size): V64;
  memWrite(offset: number, z: Size, v: V64 | Var): void;
  /** Any register by number: bytes 4 and 8 as `read`/`write` do; for implicit operands. */
  reg(r: number, z: Size): V64;
  setReg(r: number, z: Size, v: V64 | Var): void;

  /** Moves the stack pointer; z 8 in 64-bit mode, else within the stack's width. */
  stackAdd(z: Size, by: number): void;
  stackAddVar(z: Size, by: Var): void;
  nextRip(): V64;
  /** Jumps to nextRip plus the record's displacement. */
  jumpRel(): void;
  /** Jumps to an offset in the code segment. */
  jump(v: V64 | Var): void;
  cpl(): V64;
  irqWindow(): V64;
  /** Not 0: under SMAP, TLB entries let the supervisor into user pages while EFLAGS.AC is set. */
  userOpen(): V64;
  /** The record's immediate, sign-extended. */
  imm(): V64;
  /** Where the memory operand is. */
  linearAddress(): V64;
  /** The address the memory operand has in its segment (LEA). */
  effectiveAddress(): V64;
  /** One locked read-modify-write of the memory operand; yields what was there. */
  atomic(op: 'add' | 'sub' | 'and' | 'or' | 'xor' | 'xchg', z: Size, v: Var): V64;
  atomicCmpxchg(z: Size, expected: Var, v: Var): V64;

  flagRes(): V64;
  flagVec(): V64;
  setFlags(res: V64 | Var, vec: V64 | Var): void;
  /**
   * Puts off computing flags until they are wanted, if ever; false: they are computed now. `uses` are the values that
   * `compute` needs; `keeps`: it goes by the flags there were before.
   */
  deferFlags?(uses: readonly Var[], keeps: boolean, compute: () => void, from?: FlagSource): boolean;
  /** Condition code `cc` straight from what set the flags; undefined: it must come from the flags. */
  conditionOf?(cc: number): V32 | undefined;
  /** Operand i where it is a number that is known. */
  known?(i: number): number | undefined;
  /** RFLAGS bits other than the six status flags. */
  flagsRest(): V64;
  setFlagsRest(v: V64): void;

  /** Leaves the instruction unexecuted: its exact form runs in the helper (division that may fault, and the like). */
  slowIf(c: V32): void;

  // Vectors
  vlet(v: Vec): VecVar;
  vget(x: VecVar): Vec;
  /** Operand i as 16 bytes. */
  vread(i: number): Vec;
  vwrite(v: Vec | VecVar): void;
  /** XMM register r, an implicit operand. */
  vreg(r: number): Vec;
  setVreg(r: number, v: Vec | VecVar): void;
  /** A SIMD instruction of Wasm's by name. */
  v1(op: string, a: Vec | VecVar): Vec;
  v2(op: string, a: Vec, b: Vec | VecVar): Vec;
  v2(op: string, a: VecVar, b: VecVar): Vec;
  vshift(op: string, a: Vec, count: V64 | Var): Vec;
  shuffle(lanes: readonly number[], a: VecVar, b: VecVar): Vec;
  vconst(lo: bigint, hi: bigint): Vec;
  bitselect(ifOne: VecVar, ifZero: VecVar, mask: VecVar): Vec;
  lane64(a: Vec | VecVar, lane: number): V64;
  setLane64(a: Vec | VecVar, lane: number, v: V64 | Var): Vec;
  lane32(a: Vec | VecVar, lane: number): V64;
  setLane32(a: Vec | VecVar, lane: number, v: V64 | Var): Vec;
  lane16(a: Vec | VecVar, lane: number): V64;
  setLane16(a: Vec | VecVar, lane: number, v: V64 | Var): Vec;
  /** A vector to a number: i8x16_bitmask and its like. */
  vmask(op: string, a: Vec | VecVar): V64;
  splat64(v: V64 | Var): Vec;
  /** The record's immediate byte as a value known only at run time in the interpreter. */
  imm8(): V64;
  /** The byte numbers that the instruction's immediate stands for, see CONTROL in vector.ts. */
  control(): Vec;

  // Floating point: Wasm's operations by name, on the low element of a vector operand
  mxcsr(): V64;
  fread(i: number, f: FltSize): Flt;
  /** Writes the low element of operand 0 and nothing else. */
  fwrite(v: FltVar): void;
  flet(v: Flt, f: FltSize): FltVar;
  fconst(n: number, f: FltSize): Flt;
  fop(op: string, ...operands: readonly FltVar[]): Flt;
  fcmp(op: string, a: FltVar, b: FltVar): V32;
  /** The bits, zero-extended. */
  fbits(x: FltVar): V64;
  /** A conversion from and to a 64-bit integer. */
  ffrom(op: string, v: V64 | Var): Flt;
  fto(op: string, x: FltVar): V64;
}
