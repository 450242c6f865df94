/**
 * Segment limits outside 64-bit mode. Nearly all segments are flat, and then nothing is checked; an instruction that uses
 * one that is not comes here before it is run. Real and virtual-8086 mode keep to 64 KiB by their 16-bit addresses alone:
 * their segments count as flat. @spec SDM 3A 5.3
 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { SEG } from '../cpu-state.ts';
import { ATTR_D, ATTR_P, type Core, EXC } from './core.ts';

const RBP = 5;
const RSI = 6;
const RDI = 7;
const ALL = 0xffff_ffff;

/** Segments that are limited, one bit each: null, not present, expand-down or short. */
export function limitedSegments(c: Core): number {
  if (c.code64 || !c.protectedMode || c.vm86) return 0;
  let mask = 0;
  for (let s: number = SEG.es; s <= SEG.gs; s++) {
    const attr = c.segAttr(s);
    if (!(attr & ATTR_P) || limitOf(c, s) !== ALL || expandsDown(attr)) mask |= 1 << s;
  }
  return mask;
}

const limitOf = (c: Core, s: number): number => c.m.u32(c.seg(s) + 4);
const expandsDown = (attr: number): boolean => (attr & 0xc) === 4;

/** Memory operands that are not accessed. */
const ADDRESS_ONLY = new Set<number>([X.lea, X.nop, X.prefetch, X.invlpg]);
const TWO_STRINGS = new Set<number>([X.movs, X.cmps]);
const FROM_STRING = new Set<number>([X.lods, X.outs]);
const TO_STRING = new Set<number>([X.stos, X.scas, X.ins]);

/** What an instruction does with the stack: words below the stack pointer, and words from it up. */
const BELOW = new Map<number, number>([
  [X.push, 1],
  [X.pushf, 1],
  [X.pusha, 8],
  [X.call, 1],
  [X.callf, 2],
  [X.enter, 1],
]);
const ABOVE = new Map<number, number>([
  [X.pop, 1],
  [X.popf, 1],
  [X.popa, 8],
  [X.ret, 1],
  [X.retf, 2],
  [X.iret, 3],
]);

export const isString = (i: Insn): boolean =>
  TWO_STRINGS.has(i.op) || FROM_STRING.has(i.op) || TO_STRING.has(i.op);
const accessed = (i: Insn): boolean => !ADDRESS_ONLY.has(i.op) && i.operands.some((o) => o.kind === OPK.mem);

/** The segments that an instruction's accesses go through, one bit each. */
export function segmentsOf(i: Insn): number {
  let mask = 0;
  if (TWO_STRINGS.has(i.op) || FROM_STRING.has(i.op)) mask |= 1 << i.seg;
  if (TWO_STRINGS.has(i.op) || TO_STRING.has(i.op)) mask |= 1 << SEG.es;
  if (BELOW.has(i.op) || ABOVE.has(i.op) || i.op === X.leave) mask |= 1 << SEG.ss;
  if (mask === 0 || !isString(i)) if (accessed(i)) mask |= 1 << i.seg;
  return mask;
}

/** Faults if one of the instruction's accesses is outside its segment. A string instruction's next element is checked. */
export function checkLimits(c: Core, i: Insn, limited: number): void {
  const check = (s: number, offset: number, size: number): void => {
    if (limited & (1 << s) && !inside(c, s, offset, size)) c.fault(s === SEG.ss ? EXC.SS : EXC.GP, 0);
  };
  if (isString(i)) {
    const mask = i.addrSize === 2 ? 0xffff : ALL;
    if (i.rep !== 0 && (c.gpr32(1) & mask) === 0) return;
    if (!TO_STRING.has(i.op)) check(i.seg, (c.gpr32(RSI) & mask) >>> 0, i.opSize);
    if (!FROM_STRING.has(i.op)) check(SEG.es, (c.gpr32(RDI) & mask) >>> 0, i.opSize);
    return;
  }
  if (accessed(i)) {
    const o = i.operands.find((x) => x.kind === OPK.mem)!;
    check(i.seg, Number(c.offsetOf(i)), o.size || 1);
  }
  const mask = c.stackMask;
  const below = (BELOW.get(i.op) ?? 0) * i.opSize;
  const above = (ABOVE.get(i.op) ?? 0) * i.opSize;
  if (below > 0) check(SEG.ss, ((c.gpr32(4) - below) & mask) >>> 0, below);
  if (above > 0) check(SEG.ss, (c.gpr32(4) & mask) >>> 0, above);
  if (i.op === X.leave) check(SEG.ss, (c.gpr32(RBP) & mask) >>> 0, i.opSize);
}

function inside(c: Core, s: number, offset: number, size: number): boolean {
  const attr = c.segAttr(s);
  if (!(attr & ATTR_P)) return false;
  const limit = limitOf(c, s);
  const last = offset + size - 1;
  if (!expandsDown(attr)) return last <= limit;
  return offset > limit && last <= (attr & ATTR_D ? ALL : 0xffff);
}
