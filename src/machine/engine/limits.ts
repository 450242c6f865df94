/**
 * What an instruction's accesses have to satisfy besides paging: segment limits and types outside 64-bit mode, and
 * alignment where ring 3 asks for it. Nearly all segments are flat and writable, and then nothing is checked; an
 * instruction that uses one that is not comes here before it is run. Real and virtual-8086 mode keep to 64 KiB by their
 * 16-bit addresses, and an access across the end is found where that is a page's end too: only segments that begin inside a
 * page, and addresses of 32 bits, come here.
 *
 * Code is decoded for the segments that are limited, but for FS and GS in protected mode, which a 32-bit kernel loads
 * whenever it is entered and left, and often with a null selector. While they are limited their effective base lies beyond
 * what a linear address can be (Registers.effectiveBase): each access through them misses the TLB and comes here then.
 * @spec SDM 3A 5.3, 5.5, 20.1.1
 */
import { AC } from '../../x86/flags.ts';
import { type Insn, OPK, type Operand } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { REC } from '../interp/record.ts';
import type { Mode } from './code-cache.ts';
import type { Core } from './core.ts';
import { AREAS, operandOffset, partsOf, unitOf, xlatOffset } from './extent.ts';
import { ATTR_D, ATTR_P, EXC, expandsDown, readable, writable } from './registers.ts';

const RBP = 5;
const RSI = 6;
const RDI = 7;
const CR0_AM = 0x4_0000;
const ALL = 0xffff_ffff;
const ALL_SEGMENTS = 0x3f;
const FS_AND_GS = (1 << SEG.fs) | (1 << SEG.gs);
const CANONICAL = 2 ** 47;

/**
 * Segments that are limited, one bit each: null, not present, expand-down or short, or not for all accesses. That code is
 * not written to says little about CS, and is known without looking: see `suspect`.
 */
export function limitedSegments(c: Core): number {
  if (c.code64) return 0;
  if (!c.typed) return unevenSegments(c);
  let mask = 0;
  for (let s: number = SEG.es; s <= SEG.gs; s++) if (!c.unlimited(s)) mask |= 1 << s;
  return mask;
}
/** Of these, those that code is decoded for. */
export const decodedFor = (mode: Mode): number => (mode.vex ? mode.limited & ~FS_AND_GS : mode.limited);
/** Whether FS or GS is limited and code was decoded as if it were not. */
export const limitedUnseen = (c: Core): boolean =>
  !c.code64 && c.typed && !(c.unlimited(SEG.fs) && c.unlimited(SEG.gs));

function unevenSegments(c: Core): number {
  let mask = 0;
  for (let s: number = SEG.es; s <= SEG.gs; s++)
    if (limitOf(c, s) !== ALL && (s === SEG.cs || c.segBase(s) % 4096 !== 0)) mask |= 1 << s;
  return mask;
}
/** Segments whose limits count for an instruction: all for a 32-bit address where 16 bits keep to 64 KiB, which CS tells. */
const limitedFor = (i: Insn, mode: Mode, limited = mode.limited): number =>
  mode.vex || i.addrSize !== 4 || limited === 0 ? limited : ALL_SEGMENTS;

export const limitOf = (c: Core, s: number): number => c.m.u32(c.seg(s) + 4);

const ops = (names: string): Set<number> => new Set(names.split(' ').map((n) => X[n as keyof typeof X]));
/** Memory operands that are not accessed. */
const ADDRESS_ONLY = ops(
  'lea nop prefetch invlpg invalid ud0 ud1 vmptrld vmptrst vmclear vmxon vmread vmwrite invept invvpid',
);
const TWO_STRINGS = new Set<number>([X.movs, X.cmps]);
const FROM_STRING = new Set<number>([X.lods, X.outs]);
const TO_STRING = new Set<number>([X.stos, X.scas, X.ins]);

/** What an instruction does with the stack: a word below the stack pointer, or at it. Others see to each word themselves. */
const BELOW = new Map<number, number>([
  [X.push, 1],
  [X.pushf, 1],
  [X.call, 1],
]);
const ABOVE = new Map<number, number>([
  [X.pop, 1],
  [X.popf, 1],
  [X.ret, 1],
]);
/** Their memory operand comes first and is only read, or whether it is written shows later. */
const SOURCE_FIRST = ops(
  'cmp test bt mul imul div idiv push call jmp callf jmpf lgdt lidt lldt ltr lmsw verr verw arpl fxrstor xrstor ' +
    'ldmxcsr clflush clflushopt clwb',
);
/** x87 instructions that write memory; all others read it. */
const X87_STORES = ops('fst fstp fist fistp fisttp fbstp fnstcw fnstsw fnstenv fnsave');
/** Near branches: where they go must be within the code segment. */
const NEAR = ops('jcc jmp call ret loop loope loopne jrcxz');

export const isString = (i: Insn): boolean =>
  TWO_STRINGS.has(i.op) || FROM_STRING.has(i.op) || TO_STRING.has(i.op);
const accessed = (i: Insn): boolean => !ADDRESS_ONLY.has(i.op) && i.operands.some((o) => o.kind === OPK.mem);

function writes(i: Insn): boolean {
  if (i.operands[0].kind !== OPK.mem) return false;
  return i.op >= X.fld && i.op <= X.fwait ? X87_STORES.has(i.op) : !SOURCE_FIRST.has(i.op);
}

/** The segments that an instruction's accesses go through, one bit each. */
function segmentsOf(i: Insn): number {
  let mask = 0;
  if (TWO_STRINGS.has(i.op) || FROM_STRING.has(i.op)) mask |= 1 << i.seg;
  if (TWO_STRINGS.has(i.op) || TO_STRING.has(i.op)) mask |= 1 << SEG.es;
  if (BELOW.has(i.op) || ABOVE.has(i.op) || i.op === X.leave) mask |= 1 << SEG.ss;
  // 64 KiB of code end where 16-bit branches do
  if (NEAR.has(i.op) && i.opSize > 2) mask |= 1 << SEG.cs;
  if (!isString(i) && (accessed(i) || i.op === X.xlat)) mask |= 1 << i.seg;
  return mask;
}

/** Ring 3 has its accesses checked for alignment. */
export const alignmentOn = (c: Core): boolean =>
  c.cpl === 3 && (c.get32(cpuState.cr0) & CR0_AM) !== 0 && (c.get32(cpuState.flagsRest) & AC) !== 0;

const readOnlyCode = (i: Insn, mode: Mode): boolean =>
  i.seg === SEG.cs && mode.vex && mode.codeSize !== 64 && writes(i);

/** Whether an instruction has to be checked before it is run, where these segments are limited. */
export function suspect(i: Insn, mode: Mode, limited = mode.limited): boolean {
  const looked = limitedFor(i, mode, limited) | (mode.aligned ? ~(1 << SEG.cs) : 0);
  return (looked !== 0 && (looked & segmentsOf(i)) !== 0) || readOnlyCode(i, mode);
}

/** Faults if one of the instruction's accesses is not one its segment allows. A string's next element is checked. */
export function checkSegments(c: Core, i: Insn, mode: Mode): void {
  const check = (s: number, offset: number, size: number, write = false, unit = size): void => {
    if (limitedFor(i, mode) & (1 << s)) checkLimit(c, s, offset, size, write);
    if (mode.aligned) checkAlignment(c, s, offset, unit);
  };
  if (isString(i)) {
    const mask = i.addrSize === 2 ? 0xffff : ALL;
    if (i.rep !== 0 && (c.gpr32(1) & mask) === 0) return;
    const from = (c.gpr32(RSI) & mask) >>> 0;
    if (!TO_STRING.has(i.op)) check(i.seg, from, i.opSize);
    // the source is read before the destination is looked at
    if (TWO_STRINGS.has(i.op)) c.probe((c.segBase(i.seg) + from) >>> 0, i.opSize, false);
    const write = i.op !== X.cmps && i.op !== X.scas;
    if (!FROM_STRING.has(i.op)) check(SEG.es, (c.gpr32(RDI) & mask) >>> 0, i.opSize, write);
    return;
  }
  const below = (BELOW.get(i.op) ?? 0) * i.opSize;
  const above = (ABOVE.get(i.op) ?? 0) * i.opSize;
  if (above > 0) check(SEG.ss, (c.gpr32(4) & c.stackMask) >>> 0, above, false, i.opSize);
  if (accessed(i)) {
    // what is popped is read before the place it goes to is looked at
    if (above > 0 && !c.code64) c.probe(c.stackAt(0), above, false);
    checkOperand(c, i, mode);
    // and what is pushed before the stack is
    if (below > 0 && !c.code64) c.probe((c.segBase(i.seg) + operandOffset(c, i)) >>> 0, i.opSize, false);
  }
  if (i.op === X.xlat) check(i.seg, xlatOffset(c, i), 1);
  if (below > 0) check(SEG.ss, ((c.gpr32(4) - below) & c.stackMask) >>> 0, below, true, i.opSize);
  if (i.op === X.leave) check(SEG.ss, (c.gpr32(RBP) & c.stackMask) >>> 0, i.opSize);
}

/** Faults if the memory operand is not one its segment allows. What is accessed in parts is found missing in parts. */
function checkOperand(c: Core, i: Insn, mode: Mode): void {
  if (readOnlyCode(i, mode)) c.gp();
  const { size } = i.operands.find((x) => x.kind === OPK.mem) as Operand;
  const offset = operandOffset(c, i);
  if (mode.aligned) checkAlignment(c, i.seg, offset, unitOf(i, size));
  if ((limitedFor(i, mode) & (1 << i.seg)) === 0 || AREAS.has(i.op)) return;
  const parts = partsOf(i, size);
  let at = offset;
  for (const part of parts) {
    checkLimit(c, i.seg, at, part, writes(i));
    if (parts.length > 1) c.probe((c.segBase(i.seg) + at) >>> 0, part, writes(i));
    at = ((at + part) & (i.addrSize === 2 ? 0xffff : ALL)) >>> 0;
  }
}

function checkAlignment(c: Core, s: number, offset: number, unit: number): void {
  const linear = offset + c.m.u32(c.cpu + cpuState.segBase.offset + 8 * s);
  if (linear & (unit - 1)) c.fault(EXC.AC, 0);
}

/** Faults if the memory operand is misaligned; it need not be canonical, which matters later. */
export function checkAligned(c: Core, i: Insn, unit: number): void {
  const base = c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) });
  if ((c.offsetOf(i) + BigInt(base)) & BigInt(unit - 1)) c.gp();
}

/** Where a near branch has gone is within the code segment, or else it has done nothing. */
export function checkBranch(c: Core, i: Insn, sp: number, cx: number): void {
  if (c.code64 || !NEAR.has(i.op) || c.lin(cpuState.rip) <= limitOf(c, SEG.cs)) return;
  c.setLin(cpuState.rip, c.ip);
  c.setGpr32(4, sp);
  c.setGpr32(1, cx);
  c.gp();
}

/** Whether a segment takes an access of `size` bytes. */
export function allows(attr: number, limit: number, offset: number, size: number, write: boolean): boolean {
  if (!(attr & ATTR_P) || !(write ? writable(attr) : readable(attr))) return false;
  const last = offset + size - 1;
  if (!expandsDown(attr)) return last <= limit;
  return offset > limit && last <= (attr & ATTR_D ? ALL : 0xffff);
}

/** Faults unless a memory operand that was read may be written as well. */
export function checkWritable(c: Core, i: Insn): void {
  if (!c.code64 && !writable(c.segAttr(i.seg))) c.gp();
}

/** Faults unless a segment takes an access of `size` bytes. */
export function checkLimit(c: Core, s: number, offset: number, size: number, write: boolean): void {
  if (c.code64 || allows(c.segAttr(s), limitOf(c, s), offset, size, write && c.typed)) return;
  c.fault(s === SEG.ss ? EXC.SS : EXC.GP, 0);
}
/** Whether `size` bytes at `by` from the stack pointer are the stack's. */
export function stackAllows(c: Core, by: number, size: number, write: boolean): boolean {
  if (c.code64) return true;
  const offset = ((c.gpr32(4) + by) & c.stackMask) >>> 0;
  return allows(c.segAttr(SEG.ss), limitOf(c, SEG.ss), offset, size, write);
}
/** Faults unless they are. */
export function checkStack(c: Core, by: number, size: number, write: boolean): void {
  if (!stackAllows(c, by, size, write)) c.fault(EXC.SS, 0);
}

/**
 * An access across the end of a page may not be one across the end of its segment in real and virtual-8086 mode, nor out
 * of the lower canonical half in 64-bit mode.
 */
export function checkWrap(c: Core, linear: number, size: number): void {
  const rp = c.get32(cpuState.exitRp);
  if (c.code64 && linear < CANONICAL && linear + size > CANONICAL)
    c.fault(c.m.u8(rp + REC.stack) === 1 ? EXC.SS : EXC.GP, 0);
  if (c.protectedMode && !c.vm86) return;
  const s = c.m.u8(rp + REC.seg) / 8;
  if (s > SEG.gs) return;
  const offset = linear - c.segBase(s);
  const limit = limitOf(c, s);
  if (offset <= limit && offset + size - 1 > limit) c.fault(s === SEG.ss ? EXC.SS : EXC.GP, 0);
}
