/**
 * The x87 unit in the algebra: what the routines in x87.ts share. They do the plain cases: nothing pending, no stack
 * fault, normal numbers and zeros, exceptions masked, results rounded to 64 bits. All else is the exact helpers'
 * (engine/x87/), which begin anew: a routine changes nothing before it is sure. @spec SDM 1 8
 */
import type { Sem, Size, V32, V64, Var } from './sem.ts';

export interface UnitSem extends Sem {
  controlWord(): V64;
  setControlWord(v: V64): void;
  statusWord(): V64;
  setStatusWord(v: V64): void;
  /** A bit for each physical register in use. */
  used(): V64;
  setUsed(v: V64): void;
  cr0(): V64;
  /** The significand, and the sign above the exponent, of a physical register. */
  significand(register: Var): V64;
  signExponent(register: Var): V64;
  setRegister(register: Var, n: Num): void;
  /** What an instruction leaves of itself: its opcode, its offset from where the page begins, and its operand's. */
  setLast(opcode: V64, offsetInPage: V64): void;
  setLastOperand(offset: V64): void;
  segmentBaseOf(segment: Var): V64;
  /** Operand 1 and what follows it. */
  readAt(offset: number, z: Size): V64;
  /** Operand 0, `offset` bytes on. */
  writeAt(offset: number, z: Size, v: V64): void;
}

/** Sign and biased exponent as in a register, and the significand. */
export interface Num {
  readonly se: Var;
  readonly sig: Var;
}

/** Fields of the routines' immediate; see interp/lower-x87.ts. */
export const FIELD = {
  opcode: 0x7ff,
  /** Where the source is. */
  kind: 11,
  pop: 1 << 14,
  /** The register named in the opcode is the destination, ST0 the source. */
  toRegister: 1 << 15,
  /** The second pop of FCOMPP. */
  popTwice: 1 << 15,
  offset: 16,
  /** The instruction's own. */
  first: 1 << 28,
  second: 1 << 29,
  /** Segment of a memory destination. */
  segment: 28,
} as const;
/** Kinds of sources; the numbers of memory are in operand 1, its offset in its segment in operand 0. */
export const KIND = { st: 0, f32: 1, f64: 2, f80: 3, i16: 4, i32: 5, i64: 6, constant: 7 } as const;

export const EXPONENT = 0x7fff;
export const SIGN = 0x8000;
export const BIAS = 16383;
export const TOP_BIT = -0x8000_0000_0000_0000n;
const CR0_EM_TS = 12;
const STATUS = { pe: 0x20, esAndB: 0x8080, c1: 0x200, top: 0x3800 } as const;
/** Exception masks, precision and rounding control, and their usual values. */
const MODES = 0xf3f;
const USUAL = 0x33f;

export const field = (e: Sem, mask: number): V32 => e.ne(e.and(e.imm(), e.c(mask)), e.c(0));
export const kindOf = (e: Sem): V64 => e.and(e.shru(e.imm(), e.c(FIELD.kind)), e.c(7));

/** The unit during one instruction. */
export class Unit {
  readonly e: UnitSem;
  readonly status: Var;
  readonly used: Var;
  readonly top: Var;
  /** Physical register of the ST that the opcode names. */
  readonly named: Var;
  /** PE and C1 as the result has them. */
  readonly raised: Var;

  constructor(e: UnitSem) {
    this.e = e;
    e.slowIf(e.ne(e.and(e.cr0(), e.c(CR0_EM_TS)), e.c(0)));
    this.status = e.let(e.statusWord());
    e.slowIf(e.ne(e.and(e.get(this.status), e.c(STATUS.esAndB)), e.c(0)));
    this.used = e.let(e.used());
    this.top = e.let(e.and(e.shru(e.get(this.status), e.c(11)), e.c(7)));
    this.named = e.let(e.and(e.add(e.imm(), this.top), e.c(7)));
    this.raised = e.let(e.c(0));
  }
  /** Rounding, precision or a mask is not the usual. */
  slowUnlessUsual(): void {
    const { e } = this;
    e.slowIf(e.ne(e.and(e.controlWord(), e.c(MODES)), e.c(USUAL)));
  }
  slowIfEmpty(r: Var): void {
    const { e } = this;
    e.slowIf(e.eqz(e.and(e.shru(e.get(this.used), e.get(r)), e.c(1))));
  }
  get(r: Var): Num {
    const { e } = this;
    return { se: e.let(e.signExponent(r)), sig: e.let(e.significand(r)) };
  }
  /** Room for another value: the register above the top. */
  push(): Var {
    const { e } = this;
    e.set(this.top, e.and(e.sub(e.get(this.top), e.c(1)), e.c(7)));
    e.slowIf(e.ne(e.and(e.shru(e.get(this.used), e.get(this.top)), e.c(1)), e.c(0)));
    this.mark(this.top);
    return this.top;
  }
  mark(r: Var): void {
    const { e } = this;
    e.set(this.used, e.or(e.get(this.used), e.shl(e.c(1), e.get(r))));
  }
  pop(): void {
    const { e } = this;
    e.set(this.used, e.and(e.get(this.used), e.not(e.shl(e.c(1), e.get(this.top)))));
    e.set(this.top, e.and(e.add(e.get(this.top), e.c(1)), e.c(7)));
  }
  popIf(mask: number): void {
    this.e.if(field(this.e, mask), () => this.pop());
  }
  /** Notes an inexact result, and whether its magnitude was rounded up (0 or 1). */
  inexact(rest: Var, up: Var): void {
    const { e } = this;
    const bits = e.or(
      e.mul(e.bool(e.ne(e.get(rest), e.c(0))), e.c(STATUS.pe)),
      e.mul(e.get(up), e.c(STATUS.c1)),
    );
    e.set(this.raised, bits);
  }
  /** Ends the instruction; C1 stays as it was with `keepC1`. */
  end(keepC1 = false): void {
    const { e } = this;
    const kept = ~(STATUS.top | (keepC1 ? 0 : STATUS.c1));
    const status = e.or(e.and(e.get(this.status), e.c(kept)), e.shl(e.get(this.top), e.c(11)));
    e.setStatusWord(e.or(status, this.raised));
    e.setUsed(e.get(this.used));
    e.setLast(e.and(e.imm(), e.c(FIELD.opcode)), e.and(e.shru(e.imm(), e.c(FIELD.offset)), e.c(0xfff)));
  }
  /** `end` of an instruction that may have a memory operand. */
  endWithSource(keepC1 = false): void {
    const { e } = this;
    this.end(keepC1);
    const inMemory = e.ltu(e.and(e.sub(kindOf(e), e.c(1)), e.c(7)), e.c(KIND.i64));
    e.if(inMemory, () => e.setLastOperand(e.read(0, 8)));
  }
}
