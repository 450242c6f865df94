/** Lowering of x87 instructions that have routines for their plain cases: loads before, stores after, and an immediate. */
import { type Insn, OPK, type Operand } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { routineNamed } from '../../x86/sem/routines.ts';
import { FIELD, KIND } from '../../x86/sem/x87-unit.ts';
import { cpuState, SEG_NONE } from '../cpu-state.ts';
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
/** In the order of the routine. */
const CONSTANTS = ['fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2'];
/** One with a routine of its own. */
const whole = (name: string): [string, Row] => [name, [name, 0]];
/** Condition codes as of Jcc. */
const MOVES = new Map<number, number>([
  [X.fcmovb, 2],
  [X.fcmovnb, 3],
  [X.fcmove, 4],
  [X.fcmovne, 5],
  [X.fcmovbe, 6],
  [X.fcmovnbe, 7],
  [X.fcmovu, 10],
  [X.fcmovnu, 11],
]);
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
      ...CONSTANTS.map((name, k): [string, Row] => [name, ['constant', k << FIELD.constant]]),
      ...['fsqrt', 'frndint', 'fscale', 'fprem', 'fxtract', 'ftst', 'fxam'].map(whole),
      ['fincstp', ['turn', 0]],
      ['fdecstp', ['turn', first]],
      ['ffree', ['free', 0]],
      ['ffreep', ['free', pop]],
      ...['fwait', 'fnclex'].map(whole),
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
/** What of an environment goes through the vectors' temporaries. */
const FIRST = cpuState.xtmp.offset;
const LAST = FIRST + 16;

export class X87Lowering extends VectorLowering {
  /** True when it wrote records that do the instruction. */
  protected x87(i: Insn): boolean {
    const source = SOURCES.get(i.op);
    if (source) return this.withSource(i, source);
    const store = STORES.get(i.op);
    if (store) return i.operands[0].kind === OPK.mem ? this.toMemory(i, store) : this.toStack(i, store.pop);
    const condition = MOVES.get(i.op);
    return condition === undefined ? this.control(i) : this.moveIf(i, condition);
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
    if (o.size !== 10) return this.part(i, FORM.rm, NUMBER, o.size, 0);
    this.part(i, FORM.rm, NUMBER, 8, 0);
    this.part(i, FORM.rm, ABOVE, 2, 8);
  }
  /** Loads or stores a temporary: the bytes of the memory operand from `at` on. */
  private part(i: Insn, form: number, reg: number, size: number, at: number): void {
    this.partBy(this.find(X.mov, size, form), i, reg, at);
  }
  private vectorPart(i: Insn, form: number, reg: number, at: number): void {
    this.partBy(this.find(X.movups, 8, form), i, reg - cpuState.xmm.offset, at);
  }
  private partBy(handler: number, i: Insn, reg: number, at: number): void {
    const a = this.record(handler);
    this.mem.setU16(a + REC.r1, reg);
    this.address(a, i);
    this.mem.setU32(a + REC.disp, this.mem.u32(a + REC.disp) + at);
  }
  private addressOf(i: Insn): void {
    const a = this.record(this.find(X.lea, 8, FORM.r));
    this.mem.setU16(a + REC.r1, ADDRESS);
    this.address(a, i);
  }
  /** The segment of the memory operand in a routine's immediate. */
  private segmentField(i: Insn): number {
    return (this.codeSize === 64 && i.seg < 4 ? SEG_NONE : i.seg) << FIELD.segment;
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
    const how = size === 10 ? this.segmentField(i) : bits;
    this.unit(i, `${integer ? 'integer' : 'bits'}${8 * size}`, how, NUMBER, ADDRESS);
    this.part(i, FORM.mr, NUMBER, Math.min(size, 8), 0);
    if (size === 10) this.part(i, FORM.mr, ABOVE, 2, 8);
    this.unit(i, 'stored', pops ? pop : 0, size === 10 ? ZERO : ABOVE, ADDRESS);
    return true;
  }

  private moveIf(i: Insn, condition: number): boolean {
    this.mem.setU16(this.record(this.find(X.setcc, 1, FORM.r, condition)) + REC.r1, NUMBER);
    this.unit(i, 'fcmov', 0, ADDRESS, NUMBER);
    return true;
  }

  private control(i: Insn): boolean {
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
        this.unit(i, 'fnstsw', 0, NUMBER, NUMBER);
        if (o.kind === OPK.mem) this.store(i, 2, false);
        else this.toRegister(o);
        return true;
      case X.fnstenv:
        return this.environment(i, () => this.storeEnvironment(i));
      case X.fldenv:
        return this.environment(i, () => this.loadEnvironment(i));
      default:
        return false;
    }
  }
  /** Other formats than that of 64-bit code are the helper's. */
  private environment(i: Insn, run: () => void): boolean {
    if (this.codeSize !== 64 || i.opSize === 2) return false;
    this.addressOf(i);
    run();
    return true;
  }
  private storeEnvironment(i: Insn): void {
    this.unit(i, 'environment', this.segmentField(i), FIRST, ADDRESS);
    this.unit(i, 'environmentEnd', 0, LAST, ADDRESS);
    this.vectorPart(i, FORM.mr, FIRST, 0);
    this.vectorPart(i, FORM.mr, LAST, 12);
    this.unit(i, 'masked', 0, NUMBER, ADDRESS);
  }
  private loadEnvironment(i: Insn): void {
    this.unit(i, 'inPage', this.segmentField(i), NUMBER, ADDRESS);
    this.vectorPart(i, FORM.rm, FIRST, 0);
    this.vectorPart(i, FORM.rm, LAST, 12);
    this.unit(i, 'takeEnvironment', 0, LAST, FIRST);
  }

  private toRegister(o: Operand): void {
    const a = this.record(this.find(X.mov, 2, FORM.rr));
    this.mem.setU16(a + REC.r1, this.reg(o));
    this.mem.setU16(a + REC.r2, NUMBER);
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
