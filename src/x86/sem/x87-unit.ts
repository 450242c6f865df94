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
  /** What an instruction leaves of itself: its opcode, its offset, and its operand's. */
  lastOpcode(): V64;
  setLastOpcode(v: V64): void;
  lastOffset(): V64;
  setLastOffset(v: V64): void;
  lastOperand(): V64;
  setLastOperand(offset: V64): void;
  /** Offset of the page that the instruction begins in. */
  pageOffset(): V64;
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
  /** Which of the constants. */
  constant: 28,
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
/** Condition codes in the status word; C1 is at bit 9. */
export const CODE = { c0: 0x100, c2: 0x400, c3: 0x4000 } as const;
const CODES = CODE.c0 | CODE.c2 | CODE.c3;
/** Exception masks, precision and rounding control, and their usual values. */
const MODES = 0xf3f;
const MASKS = 0x3f;
const USUAL = 0x33f;

export const field = (e: Sem, mask: number): V32 => e.ne(e.and(e.imm(), e.c(mask)), e.c(0));
/** The unit cannot be used: what instructions that do not wait look for. */
export const usable = (e: UnitSem): void => e.slowIf(e.ne(e.and(e.cr0(), e.c(CR0_EM_TS)), e.c(0)));
/** The bytes at operand 1, an offset, are in two pages: what is in one faults whole, or not at all. */
export function slowUnlessInPage(e: UnitSem, bytes: number): void {
  const segment = e.let(e.shru(e.imm(), e.c(FIELD.segment)));
  const at = e.and(e.add(e.segmentBaseOf(segment), e.readAt(0, 8)), e.c(4095));
  e.slowIf(e.gtu(at, e.c(4096 - bytes)));
}
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
    usable(e);
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
  /** An exception is not masked. */
  slowUnlessMasked(): void {
    const { e } = this;
    e.slowIf(e.ne(e.and(e.controlWord(), e.c(MASKS)), e.c(MASKS)));
  }
  slowIfEmpty(r: Var): void {
    const { e } = this;
    e.slowIf(e.eqz(e.and(e.shru(e.get(this.used), e.get(r)), e.c(1))));
  }
  /** The register below the top, ST1. */
  second(): Var {
    const { e } = this;
    return e.let(e.and(e.add(e.get(this.top), e.c(1)), e.c(7)));
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
  empty(r: Var): void {
    const { e } = this;
    e.set(this.used, e.and(e.get(this.used), e.not(e.shl(e.c(1), e.get(r)))));
  }
  pop(): void {
    const { e } = this;
    this.empty(this.top);
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
  /** C1, as 0 or 1. */
  setC1(bit: V64): void {
    this.e.set(this.raised, this.e.mul(bit, this.e.c(STATUS.c1)));
  }
  /** C0, C2 and C3. */
  setCodes(codes: Var): void {
    const { e } = this;
    e.set(this.status, e.or(e.and(e.get(this.status), e.c(~CODES)), e.get(codes)));
  }
  /** Ends the instruction; C1 stays as it was with `keepC1`. */
  end(keepC1 = false): void {
    const { e } = this;
    const kept = ~(STATUS.top | (keepC1 ? 0 : STATUS.c1));
    const status = e.or(e.and(e.get(this.status), e.c(kept)), e.shl(e.get(this.top), e.c(11)));
    e.setStatusWord(e.or(status, this.raised));
    e.setUsed(e.get(this.used));
    e.setLastOpcode(e.and(e.imm(), e.c(FIELD.opcode)));
    e.setLastOffset(e.add(e.pageOffset(), e.and(e.shru(e.imm(), e.c(FIELD.offset)), e.c(0xfff))));
  }
  /** `end` of an instruction that may have a memory operand. */
  endWithSource(keepC1 = false): void {
    const { e } = this;
    this.end(keepC1);
    const inMemory = e.ltu(e.and(e.sub(kindOf(e), e.c(1)), e.c(7)), e.c(KIND.i64));
    e.if(inMemory, () => e.setLastOperand(e.read(0, 8)));
  }
}
