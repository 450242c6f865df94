/** IRET in all its forms, and what every return to an outer level checks. @spec SDM 2 IRET; SDM 3A 5.8.6 */
import { AC, IF, IOPL, NT, RF, VIF, VIP, VM } from '../../x86/flags.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { ATTR_P, ATTR_S, EXC } from './registers.ts';
import {
  checkTarget,
  type Descriptor,
  descAttr,
  descBase,
  descDpl,
  descLimit,
  isCode,
  isConforming,
  modeChanged,
  readDescriptor,
  setCodeSegment,
} from './segments.ts';
import { loadFrame } from './stacks.ts';
import { switchTask } from './task.ts';

export function iret(c: Core, z: number): void {
  // even one that faults lets NMIs in again
  c.set32(cpuState.nmiBlocked, 0);
  if (!c.protectedMode) return iretReal(c, z);
  if (c.vm86) return iretVm86(c, z);
  if (c.flags & NT) return endTask(c);
  const { ip, sel, flags } = returnFrame(c, z);
  if (!c.longMode && flags & VM && c.cpl === 0 && z === 4) return iretToVm86(c, Number(ip), sel, flags);
  // that there is no return to an inner level shows later
  const loadSs = c.code64 || (sel & 3) !== c.cpl;
  const [sp, ss] = loadSs ? loadFrame(c, 3 * z, 2, z) : [0n, 0n];
  const x = returnTarget(c, sel);
  const outer = (sel & 3) > c.cpl;
  finishIret(c, { z, ip, sel, flags, x, sp: sp!, ss: Number(ss! & 0xffffn), outer, loadSs });
}

/** Faults as reading the frame in 64-bit code does. */
export function readFrame(c: Core, z: number): void {
  loadFrame(c, 0, 3, z);
  loadFrame(c, 3 * z, 2, z);
}

function returnFrame(c: Core, z: number): { ip: bigint; sel: number; flags: number } {
  const [ip, sel, flags] = loadFrame(c, 0, 3, z) as [bigint, bigint, bigint];
  return { ip, sel: Number(sel & 0xffffn), flags: Number(flags & 0xffff_ffffn) };
}

/** IRET with NT set goes back to the task this one was called from. */
function endTask(c: Core): void {
  if (c.longMode) c.gp(0);
  const link = Number(c.read(c.segBase(SEG.tr), 2, false));
  switchTask(c, link, 'iret', c.nextIp);
}

interface Return {
  z: number;
  ip: bigint;
  sel: number;
  flags: number;
  x: Descriptor;
  sp: bigint;
  ss: number;
  outer: boolean;
  loadSs: boolean;
}

function finishIret(c: Core, r: Return): void {
  const oldCpl = c.cpl;
  checkTarget(c, r.x, r.ip);
  const ssDesc = r.loadSs ? returnStack(c, r.ss, r.sel & 3, (descAttr(r.x) & 0x200) !== 0) : undefined;
  if (!ssDesc) c.addSp(3 * r.z);
  setCodeSegment(c, r.sel, r.x, r.sel & 3);
  if (ssDesc) {
    if (ssDesc === 'null') c.setSeg(SEG.ss, r.ss, 0x40 | ((r.sel & 3) << 5), 0, 0);
    else c.setSeg(SEG.ss, r.ss, descAttr(ssDesc) | 1, descLimit(ssDesc), descBase(ssDesc));
    returnPointer(c, r.z, r.sp);
    modeChanged(c);
  }
  setReturnFlags(c, r.flags, oldCpl, r.z);
  c.setLin(cpuState.rip, c.code64 ? Number(BigInt.asIntN(64, r.ip)) : Number(BigInt.asUintN(32, r.ip)));
  if (r.outer) dropInnerSegments(c);
}

export function returnTarget(c: Core, sel: number): Descriptor {
  if ((sel & 0xfffc) === 0) c.gp(0);
  const x = { ...readDescriptor(c, sel) };
  const attr = descAttr(x);
  const rpl = sel & 3;
  if (!isCode(attr) || rpl < c.cpl) c.gp(sel & 0xfffc);
  if (isConforming(attr) ? descDpl(x) > rpl : descDpl(x) !== rpl) c.gp(sel & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, sel & 0xfffc);
  if (c.longMode && (attr & 0x600) === 0x600) c.gp(sel & 0xfffc);
  return x;
}

export function returnStack(c: Core, ss: number, cpl: number, to64: boolean): Descriptor | 'null' {
  if ((ss & 0xfffc) === 0) {
    if (to64 && cpl !== 3 && (ss & 3) === cpl) return 'null';
    return c.gp(0);
  }
  const x = { ...readDescriptor(c, ss) };
  const attr = descAttr(x);
  if ((ss & 3) !== cpl || (attr & 0x1a) !== 0x12 || descDpl(x) !== cpl) c.gp(ss & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.SS, ss & 0xfffc);
  return x;
}

/** Takes over the stack pointer that was on the stack: all of it, but where operand and stack are of 16 bits. */
export function returnPointer(c: Core, z: number, sp: bigint): void {
  const size = z === 2 && c.stackMask === 0xffff ? 2 : c.longMode ? 8 : 4;
  c.setGpr(4, size, sp);
}

function setReturnFlags(c: Core, flags: number, oldCpl: number, z: number): void {
  let mask = 0xdd5 | NT | RF | AC | 0x20_0000;
  mask &= ~IF;
  const old = c.flags;
  if (oldCpl <= (old & IOPL) >>> 12) mask |= IF;
  if (oldCpl === 0) mask |= IOPL | VIF | VIP;
  if (z === 2) mask &= 0xffff;
  c.flags = (old & ~mask) | (flags & mask);
}

/** Data segments that the outer level may not hold become null. */
export function dropInnerSegments(c: Core): void {
  for (const s of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) {
    const attr = c.segAttr(s);
    if (((attr >>> 5) & 3) < c.cpl && attr & ATTR_S && !isConforming(attr)) {
      const base = c.longMode && s >= SEG.fs ? c.segBase(s) : 0;
      c.setSeg(s, 0, 0, 0, base);
    }
  }
}

function iretReal(c: Core, z: number): void {
  const { ip, sel, flags } = returnFrame(c, z);
  if (ip > 0xffffn) c.gp();
  c.addSp(3 * z);
  c.setSeg(SEG.cs, sel, 0x9b, 0xffff, sel << 4);
  const mask = z === 4 ? 0x257fd5 : 0x7fd5;
  c.flags = (c.flags & ~mask) | (flags & mask);
  c.setLin(cpuState.rip, Number(ip));
}

function iretVm86(c: Core, z: number): void {
  if ((c.flags & IOPL) !== IOPL) c.gp(0);
  const { ip, sel, flags } = returnFrame(c, z);
  if (ip > 0xffffn) c.gp();
  c.addSp(3 * z);
  c.setSeg(SEG.cs, sel, 0xfb, 0xffff, sel << 4);
  const mask = (z === 4 ? 0x257fd5 : 0x7fd5) & ~IOPL;
  c.flags = (c.flags & ~mask) | (flags & mask);
  c.setLin(cpuState.rip, Number(ip));
}

function iretToVm86(c: Core, ip: number, sel: number, flags: number): void {
  if (ip > 0xffff) c.gp(0);
  const words = loadFrame(c, 12, 6, 4).map(Number);
  c.flags = (flags & 0x3f_7fd5) | VM;
  c.m.setU32(c.cpu + cpuState.cpl.offset, 3);
  [SEG.ss, SEG.es, SEG.ds, SEG.fs, SEG.gs].forEach((s, k) => {
    const v = words[k + 1]! & 0xffff;
    c.setSeg(s, v, 0xf3, 0xffff, v << 4);
  });
  c.setSeg(SEG.cs, sel, 0xfb, 0xffff, sel << 4);
  c.m.setU32(c.cpu + 32, words[0]!);
  modeChanged(c);
  c.setLin(cpuState.rip, ip);
}
