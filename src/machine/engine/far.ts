/** Far transfers: JMP, CALL, RET far, call gates, SYSCALL family. @spec SDM 3A 5.8 */

import { IF, IOPL, RF, VM } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { EFER_LMA } from '../mmu.ts';
import { ATTR_P, type Core, EXC, HIGH } from './core.ts';
import { dropInnerSegments, innerStack, returnStack, returnTarget } from './exceptions.ts';
import {
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
import { switchTask } from './task.ts';

const EFER_SCE = 1;

function pointer(c: Core, i: Insn): { sel: number; ip: bigint } {
  if (i.operands[0].kind === OPK.far) return { sel: i.immHi & 0xffff, ip: BigInt(i.imm >>> 0) };
  const z = i.opSize;
  c.load(c.ea(i), z + 2);
  return { ip: c.take(z), sel: c.buf.getUint16(z, true) };
}

function setIp(c: Core, ip: bigint): void {
  c.setLin(cpuState.rip, c.code64 ? Number(BigInt.asIntN(64, ip)) : Number(BigInt.asUintN(32, ip)));
}

export function farJump(c: Core, i: Insn, call: boolean): void {
  const { sel, ip } = pointer(c, i);
  const z = i.opSize;
  if (!c.protectedMode || c.vm86) {
    if (call) pushReturn(c, z);
    c.setSeg(SEG.cs, sel, c.vm86 ? 0xfb : 0x9b, 0xffff, sel << 4);
    c.setLin(cpuState.rip, Number(BigInt.asUintN(8 * z, ip)));
    return;
  }
  if ((sel & 0xfffc) === 0) c.gp(0);
  const x = { ...readDescriptor(c, sel) };
  const attr = descAttr(x);
  if (!(attr & 0x10)) return throughSystem(c, x, sel, call);
  checkDirect(c, x, sel);
  if (call) pushReturn(c, z);
  setCodeSegment(c, sel, x, c.cpl);
  setIp(c, BigInt.asUintN(8 * z, ip));
}

function checkDirect(c: Core, x: Descriptor, sel: number): void {
  const attr = descAttr(x);
  const err = sel & 0xfffc;
  if (!isCode(attr)) c.gp(err);
  if (isConforming(attr) ? descDpl(x) > c.cpl : (sel & 3) > c.cpl || descDpl(x) !== c.cpl) c.gp(err);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, err);
  if (c.longMode && (attr & 0x600) === 0x600) c.gp(err);
}

function pushReturn(c: Core, z: number): void {
  c.put(z, BigInt(c.nextIp), 0);
  c.put(z, BigInt(c.segSel(SEG.cs)), z);
  c.store(c.stackAt(-2 * z), 2 * z);
  c.addSp(-2 * z);
}

const TASK_GATE = 5;

/** To a system descriptor: a TSS, a task gate, or a call gate. */
function throughSystem(c: Core, x: Descriptor, sel: number, call: boolean): void {
  const attr = descAttr(x);
  const type = attr & 0xf;
  const isTss = type === 1 || type === 3 || type === 9 || type === 11;
  if (c.longMode || !(isTss || type === TASK_GATE)) return throughGate(c, x, sel, call);
  if (descDpl(x) < c.cpl || descDpl(x) < (sel & 3)) c.gp(sel & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, sel & 0xfffc);
  switchTask(c, isTss ? sel : x.lo >>> 16, call ? 'call' : 'jump', c.nextIp);
}

/** A call gate. */
function throughGate(c: Core, gate: Descriptor, sel: number, call: boolean): void {
  const err = sel & 0xfffc;
  const type = descAttr(gate) & 0xf;
  const long = c.longMode;
  if (type !== 0xc && (long || type !== 4)) c.gp(err);
  if (descDpl(gate) < c.cpl || descDpl(gate) < (sel & 3)) c.gp(err);
  if (!(descAttr(gate) & ATTR_P)) c.fault(EXC.NP, err);
  const wide = type === 0xc;
  const z = long ? 8 : wide ? 4 : 2;
  let ip = BigInt(wide ? ((gate.hi & 0xffff_0000) | (gate.lo & 0xffff)) >>> 0 : gate.lo & 0xffff);
  if (long) ip |= BigInt(c.read32(gate.at + 8, false)) << 32n;
  const target = gate.lo >>> 16;
  if ((target & 0xfffc) === 0) c.gp(0);
  const x = { ...readDescriptor(c, target) };
  const attr = descAttr(x);
  if (!isCode(attr) || descDpl(x) > c.cpl || (long && (attr & 0x600) !== 0x200)) c.gp(target & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, target & 0xfffc);
  const inner = call && !isConforming(attr) && descDpl(x) < c.cpl;
  if (!inner) {
    if (!isConforming(attr) && descDpl(x) !== c.cpl) c.gp(target & 0xfffc);
    if (call) pushReturn(c, z);
    setCodeSegment(c, target, x, c.cpl);
  } else gateInward(c, gate, target, x, z);
  setIp(c, ip);
}

function gateInward(c: Core, gate: Descriptor, target: number, x: Descriptor, z: number): void {
  const cpl = descDpl(x);
  const words: bigint[] = [BigInt(c.nextIp), BigInt(c.segSel(SEG.cs))];
  const params = c.longMode ? 0 : gate.hi & 31;
  for (let k = 0; k < params; k++) words.push(c.read(c.stackAt(k * z), z));
  words.push(c.gpr(4), BigInt(c.segSel(SEG.ss)));
  if (c.longMode) {
    c.load(c.segBase(SEG.tr) + 4 + 8 * cpl, 8, false);
    const sp = c.buf.getInt32(4, true) * HIGH + c.buf.getUint32(0, true) - words.length * 8;
    storeWords(c, sp, words, z, cpl);
    setCodeSegment(c, target, x, cpl);
    c.setLin({ offset: 32 }, sp);
    c.setSeg(SEG.ss, cpl, 0x40 | (cpl << 5), 0, 0);
    return;
  }
  const stack = innerStack(c, cpl);
  const ss = { ...readDescriptor(c, stack.ss, EXC.TS) };
  if ((descAttr(ss) & 0x1a) !== 0x12 || descDpl(ss) !== cpl) c.fault(EXC.TS, stack.ss & 0xfffc);
  if (!(descAttr(ss) & ATTR_P)) c.fault(EXC.SS, stack.ss & 0xfffc);
  const sp = stack.sp - words.length * z;
  storeWords(c, (descBase(ss) + sp) >>> 0, words, z, cpl);
  setCodeSegment(c, target, x, cpl);
  c.setSeg(SEG.ss, stack.ss, descAttr(ss) | 1, descLimit(ss), descBase(ss));
  c.m.setU32(c.cpu + 32, sp >>> 0);
}

function storeWords(c: Core, at: number, words: readonly bigint[], z: number, cpl: number): void {
  // the order on the stack: return address lowest, then parameters, then the old stack pointer
  words.forEach((w, k) => {
    c.put(z, w, k * z);
  });
  c.store(at, words.length * z, cpl === 3);
}

export function farReturn(c: Core, i: Insn): void {
  const z = i.opSize;
  const extra = i.count > 0 ? i.imm & 0xffff : 0;
  c.load(c.stackAt(0), 2 * z);
  const ip = c.take(z, 0);
  const sel = Number(c.take(z, z)) & 0xffff;
  if (!c.protectedMode || c.vm86) {
    c.addSp(2 * z + extra);
    c.setSeg(SEG.cs, sel, c.vm86 ? 0xfb : 0x9b, 0xffff, sel << 4);
    c.setLin(cpuState.rip, Number(ip));
    return;
  }
  const x = returnTarget(c, sel);
  if ((sel & 3) === c.cpl) {
    c.addSp(2 * z + extra);
    setCodeSegment(c, sel, x, c.cpl);
    return setIp(c, ip);
  }
  c.load(c.stackAt(2 * z + extra), 2 * z);
  const sp = c.take(z, 0);
  const ss = Number(c.take(z, z)) & 0xffff;
  const stack = returnStack(c, ss, sel & 3, (descAttr(x) & 0x200) !== 0);
  setCodeSegment(c, sel, x, sel & 3);
  if (stack === 'null') c.setSeg(SEG.ss, ss, 0x40 | ((sel & 3) << 5), 0, 0);
  else c.setSeg(SEG.ss, ss, descAttr(stack) | 1, descLimit(stack), descBase(stack));
  c.setGpr(4, c.longMode ? 8 : 4, sp);
  c.addSp(extra);
  modeChanged(c);
  dropInnerSegments(c);
  setIp(c, ip);
}

// --- SYSCALL, SYSRET, SYSENTER, SYSEXIT ---------------------------------------------------------------------------------

function flat(c: Core, s: number, sel: number, attr: number): void {
  c.setSeg(s, sel, attr, 0xffff_ffff, 0);
}
function setCpl(c: Core, cpl: number): void {
  c.m.setU32(c.cpu + cpuState.cpl.offset, cpl);
}

/** @spec APM 3 SYSCALL: works in legacy mode too on this vendor. */
export function syscall(c: Core): void {
  if ((c.get32(cpuState.efer) & EFER_SCE) === 0 || !c.protectedMode) c.ud();
  const star = c.m.u32(c.cpu + cpuState.star.offset + 4);
  const flags = c.flags;
  const next = c.nextIp;
  const cs = star & 0xfffc;
  if (c.get32(cpuState.efer) & EFER_LMA) {
    const was64 = c.code64;
    c.setLin({ offset: 8 }, next);
    c.setGpr(11, 8, BigInt((flags & ~RF) >>> 0));
    setCpl(c, 0);
    flat(c, SEG.cs, cs, 0xa9b);
    flat(c, SEG.ss, cs + 8, 0xc93);
    modeChanged(c);
    c.setLin(cpuState.rip, c.lin(was64 ? cpuState.lstar : cpuState.cstar));
    c.flags = flags & ~(c.get32(cpuState.sfmask) | RF | VM);
    return;
  }
  c.setGpr32(1, next >>> 0);
  setCpl(c, 0);
  flat(c, SEG.cs, cs, 0xc9b);
  flat(c, SEG.ss, cs + 8, 0xc93);
  modeChanged(c);
  c.setLin(cpuState.rip, c.m.u32(c.cpu + cpuState.star.offset));
  c.flags = flags & ~(IF | RF | VM);
}

export function sysret(c: Core, z: number): void {
  if ((c.get32(cpuState.efer) & EFER_SCE) === 0 || !c.protectedMode) c.ud();
  c.requireCpl0();
  const base = (c.m.u32(c.cpu + cpuState.star.offset + 4) >>> 16) & 0xffff;
  const long = (c.get32(cpuState.efer) & EFER_LMA) !== 0;
  const to64 = long && z === 8;
  const ip = to64 ? c.gprLin(1) : c.gpr32(1);
  const newFlags = long ? (c.gpr32(11) & 0x3c7fd7) | 2 : c.flags | IF;
  setCpl(c, 3);
  flat(c, SEG.cs, (to64 ? base + 16 : base) | 3, to64 ? 0xafb : 0xcfb);
  flat(c, SEG.ss, (base + 8) | 3, 0xcf3);
  modeChanged(c);
  c.flags = newFlags & ~(RF | VM);
  c.setLin(cpuState.rip, ip);
}

export function sysenter(c: Core): void {
  const cs = c.get32(cpuState.sysenterCs) & 0xfffc;
  if (!c.protectedMode || cs === 0) c.gp(0);
  if (c.longMode) c.ud(); // this vendor has SYSENTER in legacy mode only
  c.flags = c.flags & ~(IF | VM | RF);
  setCpl(c, 0);
  flat(c, SEG.cs, cs, 0xc9b);
  flat(c, SEG.ss, cs + 8, 0xc93);
  modeChanged(c);
  c.setGpr32(4, c.get32(cpuState.sysenterEsp));
  c.setLin(cpuState.rip, c.get32(cpuState.sysenterEip));
}

export function sysexit(c: Core): void {
  const cs = c.get32(cpuState.sysenterCs) & 0xfffc;
  if (!c.protectedMode || cs === 0 || c.cpl !== 0) c.gp(0);
  if (c.longMode) c.ud();
  setCpl(c, 3);
  flat(c, SEG.cs, (cs + 16) | 3, 0xcfb);
  flat(c, SEG.ss, (cs + 24) | 3, 0xcf3);
  modeChanged(c);
  c.setGpr32(4, c.gpr32(1));
  c.setLin(cpuState.rip, c.gpr32(2));
}

export const ioplAllows = (c: Core): boolean => c.cpl <= (c.get32(cpuState.flagsRest) & IOPL) >>> 12;
