/** Ports, segment bases, and the flags that are the system's. @spec SDM 1 18, SDM 2 */
import { AC, IF, IOPL, VM } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { ioplAllows } from './far.ts';

// --- ports --------------------------------------------------------------------------------------------------------------

/** I/O permission: IOPL, or the TSS's bitmap. */
export function checkPort(c: Core, port: number, size: number): void {
  c.watch?.port(port, size);
  if (!c.protectedMode || (!c.vm86 && ioplAllows(c))) return;
  const limit = c.m.u32(c.seg(SEG.tr) + 4);
  if (!(c.segAttr(SEG.tr) & 8) || limit < 103) c.gp();
  c.load(c.segBase(SEG.tr) + 102, 2, false);
  const at = c.buf.getUint16(0, true) + (port >> 3);
  if (at + 1 > limit) c.gp();
  c.load(c.segBase(SEG.tr) + at, 2, false);
  if ((c.buf.getUint16(0, true) >>> (port & 7)) & ((1 << size) - 1)) c.gp();
}

export function readPort({ platform, cpu }: Core, port: number, size: number): bigint {
  const read = platform.ioRead?.(cpu, port, size) ?? -1;
  return BigInt.asUintN(8 * size, BigInt(read));
}

export function inOut(c: Core, i: Insn, out: boolean): void {
  const size = Math.min(i.opSize, 4);
  const o = out ? i.operands[0] : i.operands[1];
  const port = o.kind === OPK.imm ? i.imm & 0xff : c.gpr32(2) & 0xffff;
  checkPort(c, port, size);
  if (out) {
    const v = c.gpr32(0);
    c.platform.ioWrite(c.cpu, port, size, size === 4 ? v : v & ((1 << (8 * size)) - 1));
  } else c.setGpr(0, size, readPort(c, port, size));
}

// --- segment bases ---------------------------------------------------------------------------------------------------

export const canonical = (v: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, v)) === v;

export function setSegBase(c: Core, s: number, v: bigint): void {
  c.m.setU64(c.seg(s) + 8, v);
  c.effectiveBase(s);
}

// --- flags ---------------------------------------------------------------------------------------------------------------

/** CLI and STI where the plain form does not do. Answers true when interrupts became possible. */
export function setInterruptFlag(c: Core, on: boolean): boolean {
  const rest = c.get32(cpuState.flagsRest);
  if (c.protectedMode && !ioplAllows(c)) c.gp();
  c.set32(cpuState.flagsRest, on ? rest | IF : rest & ~IF);
  return on && !(rest & IF);
}

/** Virtual-8086 mode may change IF and raise interrupts. */
export const iopl3 = (c: Core): boolean => (c.get32(cpuState.flagsRest) & IOPL) === IOPL;

export function pushf(c: Core, i: Insn): void {
  if (c.vm86 && !iopl3(c)) c.gp();
  c.push(i.opSize, BigInt(c.flags & 0xfc_ffff));
}

export function popf(c: Core, i: Insn): void {
  const old = c.flags;
  if (c.vm86 && !iopl3(c)) c.gp();
  const z = i.opSize;
  const v = Number(c.read(c.stackAt(0), z) & 0xffff_ffffn);
  let mask = 0x24_4dd5 | AC;
  if (c.cpl === 0 || !c.protectedMode) mask |= IOPL | IF;
  else if (c.cpl <= (old & IOPL) >>> 12) mask |= IF;
  if (z === 2) mask &= 0xffff;
  c.addSp(z);
  c.flags = (((old & ~mask) | (v & mask)) & ~0x1_0000) | (old & VM);
}
