/** The x87 unit of a case, whose registers MMX shares: control and tags, and values that suit the operation. */
import { K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { putDecimal, putExtended, putNearOne, putRelated, putWithin } from './edges-80.ts';
import type { VectorForm } from './forms.ts';
import { type Lane, putLanes } from './random.ts';
import { AT, CODE_BASE, FX } from './record.ts';

const MMX = new Set<number>([K.mmRm, K.mmReg]);
const ANY_UNIT = /^(emms|fwait|fx|xsave|xrstor|cvt\w*pi|maskmovq$)/;

/** Operations on x87 or MMX registers, and those that save or load them. */
export function usesUnit(form: VectorForm): boolean {
  if (form.map === 0 && form.opcode >= 0xd8 && form.opcode <= 0xdf) return true;
  return ANY_UNIT.test(form.op) || form.operands.some((o) => MMX.has(o.kind));
}

export function restingUnit(b: Builder): void {
  b.rec.setU16(AT.fx + FX.fcw, 0x37f);
}

const st = (n: number): number => AT.fx + FX.st + 16 * (n & 7);

function chooseControl(b: Builder): { fcw: number; exceptions: number } {
  const { r } = b;
  const precision = r.pick([0, 2, 3, 3, 3]);
  const masks = r.chance(78) ? 0x3f : r.chance(50) ? 0x3f & ~(1 << r.below(6)) : r.below(64);
  // flags whose exception is unmasked would raise #MF at once
  const exceptions = r.chance(30) ? r.below(64) & (r.chance(95) ? masks : 0x3f) : 0;
  return { fcw: 0x40 | masks | (precision << 8) | ((r.chance(40) ? 0 : r.below(4)) << 10), exceptions };
}

const PUSHES = /^(fld|fild|fbld|fxtract|fptan|fsincos)/;

/** Abridged tags: mostly the operands are there, and room for what is pushed. */
function chooseTags(b: Builder, top: number): number {
  const { r, form } = b;
  let used = r.below(256);
  const set = (n: number, percent: number): void => {
    const bit = 1 << ((top + n) & 7);
    used = r.chance(percent) ? used | bit : used & ~bit;
  };
  if (PUSHES.test(form.op)) set(7, 6);
  if (form.operands.some((o) => o.kind === K.st)) set(b.rm, 96);
  set(1, 96);
  set(0, 96);
  return used;
}

export function randomUnit(b: Builder): void {
  const { r, rec, form } = b;
  const { fcw, exceptions } = chooseControl(b);
  const top = r.below(8);
  const summary = exceptions & ~fcw & 0x3f ? 0x8080 : 0;
  rec.setU16(AT.fx + FX.fcw, fcw);
  rec.setU16(AT.fx + FX.fsw, exceptions | (top << 11) | (r.u32() & 0x4700) | summary);
  rec.bytes[AT.fx + FX.ftw] = chooseTags(b, top);
  rec.setU16(AT.fx + FX.fop, r.below(0x800));
  rec.setU64(AT.fx + FX.fip, BigInt(CODE_BASE + r.below(0x800)));
  rec.setU64(AT.fx + FX.fdp, BigInt(r.u32()));
  const sti = form.operands.some((o) => o.kind === K.st) ? b.rm : 1;
  for (let n = 0; n < 8; n++) putExtended(r, rec.view, st(n));
  if (form.operands.some((o) => MMX.has(o.kind))) return mmxOperands(b, top);
  if (r.chance(40) && sti !== 0) putRelated(r, rec.view, st(sti), st(0));
}

const MMX_LANES: readonly Lane[] = ['i8', 'i16', 'i32', 'i64'];

/** An MMX register is the low part of a register that the stack's top does not move. */
function mmxOperands(b: Builder, top: number): void {
  const { r, rec } = b;
  const lane = r.pick(MMX_LANES);
  for (const n of [b.rm, b.reg]) putLanes(r, rec.view, st(n - top), 8, lane);
  const count = r.below(70);
  if (/^ps[rl][la]/.test(b.form.op) && r.chance(75)) {
    if (b.form.rm === 'r') {
      rec.setU32(st(b.rm - top), count);
      rec.setU32(st(b.rm - top) + 4, 0);
    }
  }
}

/** A memory operand of the x87: an 80-bit real, a decimal, an environment; the others are lanes already. */
export function unitMemory(b: Builder): void {
  const { r, rec } = b;
  const at = b.inWindow(b.target, b.bytes);
  if (at < 0 || b.form.rm !== 'm') return;
  if (b.form.op === 'fbld') return putDecimal(r, rec.view, at);
  if (b.bytes === 10) return putExtended(r, rec.view, at);
  const integer = /^fi|^fbstp/.test(b.form.op);
  if (b.bytes <= 8) putLanes(r, rec.view, at, b.bytes, operandLane(b.bytes, integer));
  if (b.bytes === 94 || b.bytes === 108) {
    for (let n = 0; n < 8; n++) putExtended(r, rec.view, at + b.bytes - 80 + 10 * n);
  }
}
function operandLane(bytes: number, integer: boolean): Lane {
  if (bytes === 2) return 'i16';
  if (bytes === 4) return integer ? 'i32' : 'f32';
  return integer ? 'i64' : 'f64';
}

type Values = (b: Builder) => void;
const first = (from: number, to: number): Values => {
  return (b) => putWithin(b.r, b.rec.view, st(0), from, to);
};

/** ST0 (and ST1) where they do something: an angle, a logarithm's argument, a scale. */
export const UNIT_VALUES: Partial<Record<OpName, Values>> = {
  f2xm1: first(-70, 0),
  fsin: (b) => angle(b),
  fcos: (b) => angle(b),
  fsincos: (b) => angle(b),
  fptan: (b) => angle(b),
  frndint: first(-5, 67),
  fist: first(-5, 67),
  fistp: first(-5, 67),
  fisttp: first(-5, 67),
  fbstp: first(-5, 62),
  fscale: (b) => {
    if (b.r.chance(70)) putWithin(b.r, b.rec.view, st(1), -3, 14);
  },
  fprem: (b) => remainder(b),
  fprem1: (b) => remainder(b),
  fyl2x: (b) => {
    const { r, rec } = b;
    if (r.chance(20)) putNearOne(r, rec.view, st(0));
    if (r.chance(85)) rec.bytes[st(0) + 9]! &= 0x7f;
    if (r.chance(60)) putWithin(r, rec.view, st(1), -40, 40);
  },
  fyl2xp1: (b) => {
    putWithin(b.r, b.rec.view, st(0), -70, -2);
    if (b.r.chance(60)) putWithin(b.r, b.rec.view, st(1), -40, 40);
  },
};
function angle(b: Builder): void {
  const { r } = b;
  putWithin(r, b.rec.view, st(0), r.chance(50) ? -3 : -68, r.chance(70) ? 8 : 63);
}
function remainder(b: Builder): void {
  if (b.r.chance(50)) return;
  putWithin(b.r, b.rec.view, st(0), 60, 1000);
  putWithin(b.r, b.rec.view, st(1), -200, 60);
}
