/** Lowering of x87 instructions that have routines for their plain cases: loads before, stores after, and an immediate. */
import { type Insn, OPK, type Operand } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { routineNamed } from '../../x86/sem/routines.ts';
import { FIELD, KIND } from '../../x86/sem/x87-unit.ts';
import { SEG_NONE } from '../cpu-state.ts';
import { FORM } from './handlers.ts';
import { VectorLowering } from './lower-vector.ts';
import { REC } from './record.ts';
import { TMP, ZERO } from './record-writer.ts';

const { pop, toRegister, popTwice, first, second } = FIELD;
type Row = readonly [routine: string, bits: number, integer?: 'integer'];
const arithmetic = (name: string, routine: string, bits: number): [string, Row][] => [
  [name, [routine, bits]],
  [`${name}p`, [routine, bits | pop]],
  [`fi${name.slice(1)}`, [routine, bits, 'integer']],
];
const compared = (name: string, routine: string): [string, Row][] => [
  [name, [routine, 0]],
  [`${name}p`, [routine, pop]],
];
/** Instructions with a source, or with none: the routine and the bits of its immediate. */
const SOURCES = new Map<number, Row>(
  (
    [
      ['fld', ['fld', 0]],
      ['fild', ['fld', 0, 'integer']],
      ['fld1', ['fld', (KIND.constant << FIELD.kind) | first]],
      ['fldz', ['fld', KIND.constant << FIELD.kind]],
      ...arithmetic('fadd', 'fadd', 0),
      ...arithmetic('fsub', 'fadd', second),
      ...arithmetic('fsubr', 'fadd', first),
      ...arithmetic('fmul', 'fmul', 0),
      ...arithmetic('fdiv', 'fdiv', 0),
      ...arithmetic('fdivr', 'fdiv', first),
      ...compared('fcom', 'fcom'),
      ...compared('fucom', 'fcom'),
      ...compared('fcomi', 'fcomi'),
      ...compared('fucomi', 'fcomi'),
      ['ficom', ['fcom', 0, 'integer']],
      ['ficomp', ['fcom', pop, 'integer']],
      ['fcompp', ['fcom', pop | popTwice]],
      ['fucompp', ['fcom', pop | popTwice]],
      ['fxch', ['fxch', 0]],
      ['fchs', ['sign', 0]],
      ['fabs', ['sign', first]],
    ] as [keyof typeof X, Row][]
  ).map(([name, row]) => [X[name], row]),
);
/** Stores: the bits of the routine's immediate. */
const STORES = new Map<number, { bits: number; integer: boolean; pop: boolean }>([
  [X.fst, { bits: 0, integer: false, pop: false }],
  [X.fstp, { bits: 0, integer: false, pop: true }],
  [X.fist, { bits: 0, integer: true, pop: false }],
  [X.fistp, { bits: 0, integer: true, pop: true }],
  [X.fisttp, { bits: first, integer: true, pop: true }],
]);
const FLOATS: Readonly<Record<number, number>> = { 4: KIND.f32, 8: KIND.f64, 10: KIND.f80 };
const INTEGERS: Readonly<Record<number, number>> = { 2: KIND.i16, 4: KIND.i32, 8: KIND.i64 };
/** The number goes through the first two temporaries, its address through the third. */
const [NUMBER, ABOVE, ADDRESS] = TMP;

export class X87Lowering extends VectorLowering {
  /** True when it wrote records that do the instruction. */
  protected x87(i: Insn): boolean {
    const source = SOURCES.get(i.op);
    if (source) return this.withSource(i, source);
    const store = STORES.get(i.op);
    if (store) return i.operands[0].kind === OPK.mem ? this.toMemory(i, store) : this.toStack(i, store.pop);
    return this.controlWord(i);
  }

  private withSource(i: Insn, [routine, bits, integer]: Row): boolean {
    const [d] = i.operands;
    let kind = 0;
    if (d.kind === OPK.mem) {
      kind = (integer ? INTEGERS : FLOATS)[d.size]!;
      this.fromMemory(i, d);
      this.addressOf(i);
    }
    const to = d.kind === OPK.st && d.reg !== 0 && i.count === 2 && i.op !== X.fxch ? toRegister : 0;
    this.unit(i, routine, bits | to | (kind << FIELD.kind), ADDRESS, NUMBER);
    return true;
  }
  private fromMemory(i: Insn, o: Operand): void {
    for (const [reg, size, at] of o.size === 10
      ? ([
          [NUMBER, 8, 0],
          [ABOVE, 2, 8],
        ] as const)
      : [[NUMBER, o.size, 0] as const]) {
      const a = this.record(this.find(X.mov, size, FORM.rm));
      this.mem.setU16(a + REC.r1, reg);
      this.element(a, i, at);
    }
  }
  private addressOf(i: Insn): void {
    const a = this.record(this.find(X.lea, 8, FORM.r));
    this.mem.setU16(a + REC.r1, ADDRESS);
    this.address(a, i);
  }
  /** The memory operand's part at an offset. */
  private element(a: number, i: Insn, at: number): void {
    this.address(a, i);
    this.mem.setU32(a + REC.disp, this.mem.u32(a + REC.disp) + at);
  }

  private toStack(i: Insn, pops: boolean): boolean {
    this.unit(i, 'fst', pops ? pop : 0, ADDRESS, NUMBER);
    return true;
  }
  /** The bits, the stores, and when those have not faulted the rest. */
  private toMemory(
    i: Insn,
    { bits, integer, pop: pops }: { bits: number; integer: boolean; pop: boolean },
  ): boolean {
    const { size } = i.operands[0];
    this.addressOf(i);
    const segment = this.codeSize === 64 && i.seg < 4 ? SEG_NONE : i.seg;
    const how = size === 10 ? segment << FIELD.segment : bits;
    this.unit(i, `${integer ? 'integer' : 'bits'}${8 * size}`, how, NUMBER, ADDRESS);
    for (const [reg, z, at] of size === 10
      ? ([
          [NUMBER, 8, 0],
          [ABOVE, 2, 8],
        ] as const)
      : [[NUMBER, size, 0] as const]) {
      const a = this.record(this.find(X.mov, z, FORM.mr));
      this.mem.setU16(a + REC.r1, reg);
      this.element(a, i, at);
    }
    this.unit(i, 'stored', pops ? pop : 0, size === 10 ? ZERO : ABOVE, ADDRESS);
    return true;
  }

  private controlWord(i: Insn): boolean {
    const [o] = i.operands;
    switch (i.op) {
      case X.fldcw:
        this.fromMemory(i, o);
        this.unit(i, 'fldcw', 0, ADDRESS, NUMBER);
        return true;
      case X.fnstcw:
        this.unit(i, 'fnstcw', 0, NUMBER, NUMBER);
        this.store(i, 2, false);
        return true;
      case X.fnstsw:
        if (o.kind === OPK.mem) return false;
        this.unit(i, 'fnstsw', 0, NUMBER, NUMBER);
        return true;
      default:
        return false;
    }
  }

  private unit(i: Insn, routine: string, bits: number, d: number, s: number): void {
    const a = this.special('routine');
    this.mem.setU16(a + REC.r1, d);
    this.mem.setU16(a + REC.r2, s);
    const opcode = ((i.opcode & 7) << 8) | i.modrm;
    this.imm(a, opcode | ((this.off & 0xfff) << FIELD.offset) | bits, 0);
    this.mem.setU32(a + REC.slot, routineNamed(routine));
  }
}
