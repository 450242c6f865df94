/**
 * Makes the input of a form's n-th case: always the same one, from a generator seeded by the form's key and n. Inputs are
 * therefore never stored. What is random here may only change together with the recorded files.
 */
import { K } from '../../src/x86/opcode-form.ts';
import { Builder } from './builder.ts';
import { emit } from './emit.ts';
import type { VectorForm } from './forms.ts';
import { alignmentOf, laneOf, roundsOf } from './operands.ts';
import { prepare } from './prepare.ts';
import { randomUnit, restingUnit, usesUnit } from './prepare-unit.ts';
import { edgeInt, hash, putLanes } from './random.ts';
import { AT, BASED_BASE, FX, type Kase, SEG, SELECTOR } from './record.ts';
import { undefinedFlags } from './undefined-flags.ts';

/** Such that the offsets that lead to the window are canonical, which AMD's CPUs ask of them and not of sums alone. */
const FS_BASES = [0n, 0x2000n, 0x7f00_1234_5000n, 0xffff_ff00_0000_1000n];
/** Segments whose end is in the window. */
const SHORT = [SELECTOR.short, SELECTOR.down];
const ENDS = [SELECTOR.data16, SELECTOR.ending];
/** CF PF AF ZF SF OF, and DF. */
const STATUS = 0x8d5;
const DF = 0x400;
const FLAGS_ON = 0x202;

function fillSegments(b: Builder): void {
  const { r, rec, mode } = b;
  const set = (seg: number, sel: number): void => rec.setU16(AT.sel + 2 * seg, sel);
  set(SEG.cs, mode === 64 ? SELECTOR.code64 : mode === 32 ? SELECTOR.code32 : SELECTOR.code16);
  set(SEG.ss, mode === 16 ? SELECTOR.data16 : SELECTOR.data);
  if (mode !== 64 && r.chance(15)) set(SEG.ss, mode === 16 ? SELECTOR.ending : r.pick(SHORT));
  if (mode === 64) {
    rec.setU64(AT.fsBase, r.pick(FS_BASES));
    rec.setU64(AT.gsBase, r.pick(FS_BASES));
    return;
  }
  const bits16 = r.chance(10) ? SELECTOR.ending : SELECTOR.data16;
  set(SEG.ds, mode === 16 ? bits16 : r.chance(5) ? r.pick(SHORT) : SELECTOR.data);
  set(SEG.es, mode === 16 ? r.pick(ENDS) : r.pick([SELECTOR.data, SELECTOR.based, ...SHORT]));
  set(SEG.fs, mode === 16 ? SELECTOR.data : SELECTOR.data16);
  set(SEG.gs, SELECTOR.based);
  // as loading those selectors leaves them
  rec.setU64(AT.fsBase, b.segBase(SEG.fs));
  rec.setU64(AT.gsBase, BigInt(BASED_BASE));
}

function fillRegisters(b: Builder): void {
  const { r, rec } = b;
  const bits = Math.max(8, b.bits);
  for (let i = 0; i < 16; i++) {
    edgeInt(r, bits);
    rec.words[2 * i] = r.lo;
    rec.words[2 * i + 1] = b.mode === 64 ? r.hi : 0;
  }
  for (let i = FX.xmm; i < FX.end; i += 4) rec.setU32(AT.fx + i, r.u32());
  b.flags = FLAGS_ON | (r.u32() & STATUS) | (r.chance(12) ? DF : 0);
}

function fillWindow(b: Builder): void {
  const { r, rec } = b;
  b.placeWindow();
  const end = (AT.mem + b.windowLength) >> 2;
  for (let i = AT.mem >> 2; i < end; i++) rec.words[i] = r.u32();
}

/** Rounding, denormal handling, sticky flags, masks. */
function fillMxcsr(b: Builder): void {
  const { r } = b;
  const masks = roundsOf(b.form.op) && r.chance(6) ? r.below(64) << 7 : 0x1f80;
  const rounding = r.chance(40) ? r.below(4) << 13 : 0;
  const zeros = (r.chance(10) ? 0x40 : 0) | (r.chance(10) ? 0x8000 : 0);
  b.mxcsr = masks | rounding | zeros | (r.chance(30) ? r.below(64) : 0);
}

/** ModRM fields as far as the form leaves them open. */
function chooseRegisters(b: Builder): void {
  const { r, form, mode } = b;
  const registers = mode === 64 ? 16 : 8;
  b.path = r.pick(form.paths);
  b.reg = b.path.reg >= 0 ? b.path.reg : r.below(registers);
  b.rm = b.path.rm >= 0 ? b.path.rm : r.below(registers);
  if (form.operands.some((o) => o.kind === K.st)) b.rm &= 7;
  if (form.rm === 'none') b.reg = opcodeRegister(b);
  b.rex40 = mode === 64 && r.chance(15);
  b.vvvv = form.operands.some((o) => o.kind === K.vvvv) ? r.below(registers) : 0;
}
function opcodeRegister(b: Builder): number {
  if (b.operand(K.opcodeReg) === undefined) return 0;
  const high = b.mode === 64 && (b.path.b < 0 ? b.r.chance(50) : b.path.b === 1);
  return (b.form.opcode & 7) | (high ? 8 : 0);
}

const MEMORY_KINDS: ReadonlySet<number> = new Set([K.rm, K.xmmRm, K.mmRm, K.moffs]);

function chooseMemory(b: Builder): void {
  const memory = b.form.operands.find((o) => MEMORY_KINDS.has(o.kind));
  b.bytes = memory ? b.sizeOf(memory.memorySize) : 0;
  b.align = alignmentOf(b.form.op, b.bytes);
  b.target = b.chooseTarget(Math.max(1, b.bytes), b.align);
}

/** Values of the operands: lanes in vector registers and memory, an edge in memory otherwise. */
function fillOperands(b: Builder): void {
  const { r, rec, form } = b;
  const lane = laneOf(r, form.op, b.bits);
  const vector = b.operand(K.xmmRm, K.xmmReg) !== undefined;
  const at = b.inWindow(b.target, b.bytes);
  if (at >= 0 && b.bytes > 0) {
    const size = Number(lane.slice(1)) / 8;
    putLanes(
      r,
      rec.view,
      at,
      b.bytes,
      size > b.bytes ? (b.bytes === 4 ? 'i32' : b.bytes === 2 ? 'i16' : 'i8') : lane,
    );
  }
  if (!vector) return;
  const xmm = (n: number): number => AT.fx + FX.xmm + 16 * n;
  putLanes(r, rec.view, xmm(b.rm), 16, lane);
  putLanes(r, rec.view, xmm(b.reg), 16, lane);
  if (r.chance(5)) rec.bytes.copyWithin(xmm(b.rm), xmm(b.reg), xmm(b.reg) + 16);
}

/** One builder serves all: nothing of it outlives a case. */
const builder = new Builder();

export function generate(form: VectorForm, number: number, kase: Kase): void {
  const b = builder;
  kase.form = form;
  kase.number = number;
  b.kase = kase;
  b.rec = kase.input;
  b.form = form;
  b.avoid = 0;
  b.imm = [];
  b.branch = -1;
  b.implicit = {};
  b.r.seed(hash(form.key), number);
  b.rec.bytes.fill(0, 0, AT.mem);
  fillSegments(b);
  fillRegisters(b);
  fillWindow(b);
  fillMxcsr(b);
  chooseRegisters(b);
  if (usesUnit(form)) randomUnit(b);
  else restingUnit(b);
  chooseMemory(b);
  fillOperands(b);
  prepare(b);
  emit(b);
  kase.address = b.target;
  kase.undefinedFlags = undefinedFlags(b);
}
