/** The stacks that gates push on: the one in use, or the one that the TSS names for an inner level. @spec SDM 3A 5.8.5, 6.12 */
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { allows, checkStack, limitOf, stackAllows } from './limits.ts';
import { ATTR_D, ATTR_P, EXC, HIGH } from './registers.ts';
import { descAttr, descBase, descDpl, descLimit, readDescriptor } from './segments.ts';

export interface Stack {
  readonly sel: number;
  readonly attr: number;
  readonly limit: number;
  readonly base: number;
  readonly sp: number;
  /** Error code where there is no room on it. */
  readonly error: number;
}

const GPR_SP = { offset: cpuState.gpr.offset + 32 } as const;

/** The stack in use, outside 64-bit mode. */
export const currentStack = (c: Core, ext = 0): Stack => ({
  sel: c.segSel(SEG.ss),
  attr: c.segAttr(SEG.ss),
  limit: limitOf(c, SEG.ss),
  base: c.segBase(SEG.ss),
  sp: c.gpr32(4),
  error: ext,
});

/** The stack of an inner level, checked; `ext` is the EXT bit of the error codes. */
export function innerStack(c: Core, cpl: number, ext = 0): Stack {
  const { sel, sp } = fromTss(c, cpl, ext);
  const error = (sel & 0xfffc) | ext;
  if ((sel & 0xfffc) === 0) c.fault(EXC.TS, error);
  const x = readDescriptor(c, sel, EXC.TS, ext);
  const attr = descAttr(x);
  if ((sel & 3) !== cpl || (attr & 0x1a) !== 0x12 || descDpl(x) !== cpl) c.fault(EXC.TS, error);
  if (!(attr & ATTR_P)) c.fault(EXC.SS, error);
  return { sel, attr: attr | 1, limit: descLimit(x), base: descBase(x), sp, error };
}

/** SS:ESP of a privilege level. */
function fromTss(c: Core, cpl: number, ext: number): { sel: number; sp: number } {
  const base = c.segBase(SEG.tr);
  const wide = (c.segAttr(SEG.tr) & 8) !== 0;
  const at = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  if (at + (wide ? 5 : 3) > limitOf(c, SEG.tr)) c.fault(EXC.TS, (c.segSel(SEG.tr) & 0xfffc) | ext);
  c.load(base + at, wide ? 6 : 4, false);
  return wide
    ? { sp: c.buf.getUint32(0, true), sel: c.buf.getUint16(4, true) }
    : { sp: c.buf.getUint16(0, true), sel: c.buf.getUint16(2, true) };
}

/** RSP from the 64-bit TSS, by its offset there. */
export function tssRsp(c: Core, at: number, ext = 0): number {
  if (at + 7 > limitOf(c, SEG.tr)) c.fault(EXC.TS, (c.segSel(SEG.tr) & 0xfffc) | ext);
  c.load(c.segBase(SEG.tr) + at, 8, false);
  return c.buf.getInt32(4, true) * HIGH + c.buf.getUint32(0, true);
}

/** Faults unless `bytes` can be pushed. */
export function checkRoom(c: Core, s: Stack, bytes: number): void {
  if (!allows(s.attr, s.limit, below(s, bytes), bytes, true)) c.fault(EXC.SS, s.error);
}

/** Pushes words of `z` bytes, the first lowest; answers the stack pointer behind them. Registers stay as they are. */
export function pushFrame(c: Core, s: Stack, words: readonly number[], z: number, user: boolean): number {
  words.forEach((w, i) => {
    c.put(z, BigInt(w >>> 0), i * z);
  });
  const offset = below(s, words.length * z);
  probeDown(c, (s.base + offset) >>> 0, words.length * z, z, user);
  c.store((s.base + offset) >>> 0, words.length * z, user);
  return (offset | (s.sp & ~maskOf(s))) >>> 0;
}
const maskOf = (s: Stack): number => (s.attr & ATTR_D ? 0xffff_ffff : 0xffff);
const below = (s: Stack, bytes: number): number => ((s.sp - bytes) & maskOf(s)) >>> 0;

/** Moves to a stack; its level is the present one. */
export function takeStack(c: Core, s: Stack, sp: number): void {
  c.setSeg(SEG.ss, s.sel, s.attr, s.limit, s.base);
  c.m.setU32(c.cpu + GPR_SP.offset, sp);
}

/**
 * Words of a frame on the stack, from `by` above the stack pointer. Each is read before those below it, as AMD's CPUs do:
 * it shows in what is reported of a frame that is not all there.
 */
export function loadFrame(c: Core, by: number, words: number, z: number): bigint[] {
  const at = c.stackAt(by);
  if (((at >>> 0) & 4095) + words * z > 4096 || !stackAllows(c, by, words * z, false))
    return wordByWord(c, by, words, z);
  try {
    c.load(at, words * z);
  } catch {
    return wordByWord(c, by, words, z);
  }
  return Array.from({ length: words }, (_, k) => c.take(z, k * z));
}
function wordByWord(c: Core, by: number, words: number, z: number): bigint[] {
  const frame: bigint[] = [];
  for (let k = words - 1; k >= 0; k--) {
    checkStack(c, by + k * z, z, false);
    frame[k] = c.read(c.stackAt(by + k * z), z);
  }
  return frame;
}

/** Writes a word at `by` from the stack pointer, which stays. */
export function pushAt(c: Core, by: number, z: number, word: bigint): void {
  checkStack(c, by, z, true);
  c.write(c.stackAt(by), z, word);
}

/** Finds the page fault of a frame as pushing word by word does: CR2 is the first word that has no place. */
export function probeDown(c: Core, at: number, bytes: number, z: number, user: boolean): void {
  const top = at + bytes - z;
  c.probeWrite(top, z, user);
  const inPage = top - (((top % 4096) + 4096) % 4096);
  if (at < inPage) c.probeWrite(inPage - z, z, user);
}
