/** Far transfers: JMP, CALL, RET far, and call gates. @spec SDM 3A 5.8 */

import { IOPL } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { dropInnerSegments, returnPointer, returnStack, returnTarget } from './iret.ts';
import { allows, checkStack, limitOf } from './limits.ts';
import { ATTR_D, ATTR_L, ATTR_P, EXC } from './registers.ts';
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
  readUpper,
  setCodeSegment,
} from './segments.ts';
import {
  checkRoom,
  innerStack,
  loadFrame,
  probeDown,
  pushAt,
  pushFrame,
  takeStack,
  tssRsp,
} from './stacks.ts';
import { switchTask } from './task.ts';

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
    if (ip > 0xffffn) c.gp();
    if (call) putReturn(c, z, false);
    if (call) c.addSp(-2 * z);
    c.setSeg(SEG.cs, sel, c.vm86 ? 0xfb : 0x9b, 0xffff, sel << 4);
    c.setLin(cpuState.rip, Number(BigInt.asUintN(8 * z, ip)));
    return;
  }
  if ((sel & 0xfffc) === 0) c.gp(0);
  const x = { ...readDescriptor(c, sel) };
  const attr = descAttr(x);
  if (!(attr & 0x10)) return throughSystem(c, x, sel, call);
  checkDirect(c, x, sel);
  if (call) putReturn(c, z, c.longMode && (attr & ATTR_L) !== 0);
  checkTarget(c, x, ip);
  setCodeSegment(c, sel, x, c.cpl);
  if (call) c.addSp(-2 * z);
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

/**
 * Puts CS and IP on the stack, whose pointer stays as it is yet; `to64`: it is 64-bit code that is called. AMD's CPUs push
 * as the stack is for that code. @spec APM 3 CALL (Far)
 */
function putReturn(c: Core, z: number, to64: boolean): void {
  [c.segSel(SEG.cs), c.nextIp].forEach((word, k) => {
    const by = -z * (k + 1);
    if (to64 === c.code64) pushAt(c, by, z, BigInt(word));
    else c.write(to64 ? stackIn64(c, by) : stackIn32(c, by, z), z, BigInt(word));
  });
}
function stackIn64(c: Core, by: number): number {
  const address = BigInt.asIntN(64, c.gpr(4) + BigInt(by));
  if (BigInt.asIntN(48, address) !== address) c.fault(EXC.SS, 0);
  return Number(address);
}
function stackIn32(c: Core, by: number, z: number): number {
  const attr = c.segAttr(SEG.ss);
  const offset = ((c.gpr32(4) + by) & (attr & ATTR_D ? 0xffff_ffff : 0xffff)) >>> 0;
  if (!allows(attr, limitOf(c, SEG.ss), offset, z, true)) c.fault(EXC.SS, 0);
  return (c.segBase(SEG.ss) + offset) >>> 0;
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
  if (long) ip |= BigInt(readUpper(c, gate, sel)) << 32n;
  const target = gate.lo >>> 16;
  if ((target & 0xfffc) === 0) c.gp(0);
  const x = { ...readDescriptor(c, target) };
  const attr = descAttr(x);
  if (!isCode(attr) || descDpl(x) > c.cpl || (long && (attr & 0x600) !== 0x200)) c.gp(target & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, target & 0xfffc);
  const inner = call && !isConforming(attr) && descDpl(x) < c.cpl;
  if (!inner) {
    if (!isConforming(attr) && descDpl(x) !== c.cpl) c.gp(target & 0xfffc);
    if (call) putReturn(c, z, long);
    checkTarget(c, x, ip);
    setCodeSegment(c, target, x, c.cpl);
    if (call) c.addSp(-2 * z);
  } else if (long) gateInwardLong(c, target, x, ip);
  else gateInward(c, gate, target, x, z, ip);
  setIp(c, ip);
}

function gateInward(c: Core, gate: Descriptor, target: number, x: Descriptor, z: number, ip: bigint): void {
  const cpl = descDpl(x);
  const stack = innerStack(c, cpl);
  const params = gate.hi & 31;
  checkRoom(c, stack, (params + 4) * z);
  checkTarget(c, x, ip);
  if (params > 0) checkStack(c, 0, params * z, false);
  // the order on the stack: return address lowest, then parameters, then the old stack pointer
  const words: number[] = [c.nextIp, c.segSel(SEG.cs)];
  for (let k = 0; k < params; k++) words.push(Number(c.read(c.stackAt(k * z), z)));
  words.push(c.gpr32(4), c.segSel(SEG.ss));
  const sp = pushFrame(c, stack, words, z, cpl === 3);
  setCodeSegment(c, target, x, cpl);
  takeStack(c, stack, sp);
  modeChanged(c);
}

function gateInwardLong(c: Core, target: number, x: Descriptor, ip: bigint): void {
  const cpl = descDpl(x);
  const words = [BigInt(c.nextIp), BigInt(c.segSel(SEG.cs)), c.gpr(4), BigInt(c.segSel(SEG.ss))];
  const sp = tssRsp(c, 4 + 8 * cpl) - words.length * 8;
  if (sp >= 2 ** 47 || sp < -(2 ** 47)) c.fault(EXC.SS, 0);
  checkTarget(c, x, ip);
  probeDown(c, sp, words.length * 8, 8, cpl === 3);
  words.forEach((w, k) => {
    c.put(8, w, k * 8);
  });
  c.store(sp, words.length * 8, cpl === 3);
  setCodeSegment(c, target, x, cpl);
  c.setLin({ offset: 32 }, sp);
  c.setSeg(SEG.ss, cpl, 0x40 | (cpl << 5), 0, 0);
}

export function farReturn(c: Core, i: Insn): void {
  const z = i.opSize;
  const extra = i.count > 0 ? i.imm & 0xffff : 0;
  const [ip, cs] = loadFrame(c, 0, 2, z) as [bigint, bigint];
  const sel = Number(cs & 0xffffn);
  if (!c.protectedMode || c.vm86) {
    if (ip > 0xffffn) c.gp();
    c.addSp(2 * z + extra);
    c.setSeg(SEG.cs, sel, c.vm86 ? 0xfb : 0x9b, 0xffff, sel << 4);
    c.setLin(cpuState.rip, Number(ip));
    return;
  }
  if ((sel & 3) === c.cpl) {
    const x = returnTarget(c, sel);
    checkTarget(c, x, ip);
    setCodeSegment(c, sel, x, c.cpl);
    // AMD's CPUs do so as wide as the stack is now
    c.addSp(2 * z + extra);
    return setIp(c, ip);
  }
  const [sp, word] = loadFrame(c, 2 * z + extra, 2, z) as [bigint, bigint];
  const ss = Number(word & 0xffffn);
  const x = returnTarget(c, sel);
  checkTarget(c, x, ip);
  const stack = returnStack(c, ss, sel & 3, (descAttr(x) & 0x200) !== 0);
  setCodeSegment(c, sel, x, sel & 3);
  if (stack === 'null') c.setSeg(SEG.ss, ss, 0x40 | ((sel & 3) << 5), 0, 0);
  else c.setSeg(SEG.ss, ss, descAttr(stack) | 1, descLimit(stack), descBase(stack));
  returnPointer(c, z, sp);
  c.addSp(extra);
  modeChanged(c);
  dropInnerSegments(c);
  setIp(c, ip);
}

export const ioplAllows = (c: Core): boolean => c.cpl <= (c.get32(cpuState.flagsRest) & IOPL) >>> 12;
