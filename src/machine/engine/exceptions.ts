/** Delivery of exceptions and interrupts through the IVT or IDT, and IRET. @spec SDM 3A 6 */
import { AC, IF, IOPL, NT, RF, TF, VIF, VIP, VM } from '../../x86/flags.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { ATTR_P, ATTR_S, type Core, EXC, GuestFault, HIGH } from './core.ts';
import { stepping } from './debug.ts';
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

/** How a vector came about: shapes privilege checks, the pushed RF and the error code's EXT bit. */
export type Cause = 'fault' | 'trap' | 'external' | 'software';

const CONTRIBUTORY = new Set<number>([EXC.DE, EXC.TS, EXC.NP, EXC.SS, EXC.GP]);
const WITH_ERROR = new Set<number>([EXC.DF, EXC.TS, EXC.NP, EXC.SS, EXC.GP, EXC.PF, EXC.AC]);

/**
 * Delivers; `ip` is what gets pushed, `faultIp` what a fault on the way pushes instead: an INT n that cannot be delivered
 * has not been executed. False: triple fault.
 */
export function deliver(
  c: Core,
  vector: number,
  errorCode: number,
  cause: Cause,
  ip: number,
  faultIp = ip,
): boolean {
  let v = vector;
  let err = errorCode;
  let how = cause;
  let from = ip;
  c.deliveries++;
  c.taskSwitched = false;
  for (let depth = 0; ; depth++) {
    try {
      deliverOnce(c, v, err, how, from);
      return true;
    } catch (e) {
      if (!(e instanceof GuestFault)) throw e;
      from = c.taskSwitched ? c.lin(cpuState.rip) : faultIp;
      if (v === EXC.DF || depth > 3) return false;
      const second = e.vector;
      const first = v;
      const isException = how === 'fault';
      if (isException && escalates(first, second)) {
        v = EXC.DF;
        err = 0;
      } else {
        v = second;
        err = second === EXC.PF || e.errorCode < 0 ? e.errorCode : e.errorCode | (how === 'software' ? 0 : 1);
      }
      how = 'fault';
    }
  }
}

function escalates(first: number, second: number): boolean {
  if (first === EXC.PF) return CONTRIBUTORY.has(second) || second === EXC.PF;
  return CONTRIBUTORY.has(first) && CONTRIBUTORY.has(second);
}

function deliverOnce(c: Core, vector: number, err: number, cause: Cause, ip: number): void {
  if (!c.protectedMode) return deliverReal(c, vector, ip);
  if (c.longMode) return deliverLong(c, vector, err, cause, ip);
  return deliverProtected(c, vector, err, cause, ip);
}

/** RF is kept up to date only while instructions are run one by one; elsewhere the last one has cleared it. */
function imageFlags(c: Core, cause: Cause): number {
  if (cause === 'fault') return c.flags | RF;
  return stepping(c) ? c.flags : c.flags & ~RF;
}

function deliverReal(c: Core, vector: number, ip: number): void {
  if (vector * 4 + 3 > c.get32(cpuState.idtLimit)) c.fault(vector === EXC.DF ? EXC.DF : EXC.GP);
  const e = c.read32(c.lin(cpuState.idtBase) + vector * 4, false);
  const flags = c.flags;
  c.put(2, BigInt(ip & 0xffff), 0);
  c.put(2, BigInt(c.segSel(SEG.cs)), 2);
  c.put(2, BigInt(flags & 0xffff), 4);
  c.store(c.stackAt(-6), 6, false);
  c.addSp(-6);
  c.flags = flags & ~(IF | TF | AC | RF);
  c.setSeg(SEG.cs, e >>> 16, 0x9b, 0xffff, (e >>> 16) << 4);
  c.setLin(cpuState.rip, e & 0xffff);
}

function gateError(vector: number, cause: Cause): number {
  return vector * 8 + 2 + (cause === 'software' ? 0 : 1);
}

/** The code segment a gate leads to, checked. */
function gateTarget(c: Core, sel: number, cause: Cause, long: boolean): Descriptor {
  const ext = cause === 'software' ? 0 : 1;
  if ((sel & 0xfffc) === 0) c.gp(ext);
  const x = readDescriptor(c, sel);
  const attr = descAttr(x);
  if (!isCode(attr) || descDpl(x) > c.cpl) c.gp((sel & 0xfffc) | ext);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, (sel & 0xfffc) | ext);
  if (long && (attr & 0x600) !== 0x200) c.gp((sel & 0xfffc) | ext);
  return { ...x };
}

function deliverLong(c: Core, vector: number, err: number, cause: Cause, ip: number): void {
  if (vector * 16 + 15 > c.get32(cpuState.idtLimit)) c.gp(gateError(vector, cause));
  c.load(c.lin(cpuState.idtBase) + vector * 16, 16, false);
  const lo = c.buf.getUint32(0, true);
  const hi = c.buf.getUint32(4, true);
  const offset = c.buf.getInt32(8, true) * HIGH + (((hi & 0xffff_0000) | (lo & 0xffff)) >>> 0);
  const type = (hi >>> 8) & 0x1f;
  if (type !== 0xe && type !== 0xf) c.gp(gateError(vector, cause));
  if (cause === 'software' && ((hi >>> 13) & 3) < c.cpl) c.gp(gateError(vector, cause));
  if (!(hi & 0x8000)) c.fault(EXC.NP, gateError(vector, cause));
  const sel = lo >>> 16;
  const x = gateTarget(c, sel, cause, true);
  const cpl = isConforming(descAttr(x)) ? c.cpl : descDpl(x);
  const ist = hi & 7;
  let sp = c.gprLin(4);
  if (ist !== 0) sp = tssRsp(c, 28 + 8 * ist);
  else if (cpl !== c.cpl) sp = tssRsp(c, 4 + 8 * cpl);
  sp = sp - (((sp % 16) + 16) % 16);
  if (sp >= 2 ** 47 || sp < -(2 ** 47)) c.fault(EXC.SS, 0);
  const words: bigint[] = err >= 0 && WITH_ERROR.has(vector) ? [BigInt(err >>> 0)] : [];
  words.push(
    BigInt(ip),
    BigInt(c.segSel(SEG.cs)),
    BigInt(imageFlags(c, cause)),
    c.gpr(4),
    BigInt(c.segSel(SEG.ss)),
  );
  words.forEach((w, i) => {
    c.put(8, w, i * 8);
  });
  sp -= words.length * 8;
  c.store(sp, words.length * 8, cpl === 3);
  const changed = cpl !== c.cpl;
  setCodeSegment(c, sel, x, cpl);
  c.setLin({ offset: 32 }, sp);
  if (changed) c.setSeg(SEG.ss, cpl, 0x40 | (cpl << 5), 0, 0);
  enterGate(c, type, offset);
}

/** Flags on entry through a gate: type bit 0 set is a trap gate, which leaves IF. */
function enterGate(c: Core, type: number, ip: number): void {
  const keep = type & 1 ? ~(TF | NT | RF | VM) : ~(TF | NT | RF | VM | IF);
  c.flags = c.flags & keep;
  c.setLin(cpuState.rip, ip);
}

function tssRsp(c: Core, at: number): number {
  if (at + 7 > c.m.u32(c.seg(SEG.tr) + 4)) c.fault(EXC.TS, c.segSel(SEG.tr) & 0xfffc);
  c.load(c.segBase(SEG.tr) + at, 8, false);
  return c.buf.getInt32(4, true) * HIGH + c.buf.getUint32(0, true);
}

function deliverProtected(c: Core, vector: number, err: number, cause: Cause, ip: number): void {
  if (vector * 8 + 7 > c.get32(cpuState.idtLimit)) c.gp(gateError(vector, cause));
  const at = c.lin(cpuState.idtBase) + vector * 8;
  const lo = c.read32(at, false);
  const hi = c.read32(at + 4, false);
  const type = (hi >>> 8) & 0x1f;
  if (type !== 5 && type !== 0xe && type !== 0xf && type !== 6 && type !== 7) c.gp(gateError(vector, cause));
  if (cause === 'software' && ((hi >>> 13) & 3) < c.cpl) c.gp(gateError(vector, cause));
  if (!(hi & 0x8000)) c.fault(EXC.NP, gateError(vector, cause));
  if (type === 5) return throughTaskGate(c, lo >>> 16, WITH_ERROR.has(vector) ? err : -1, cause, ip);
  const wide = (type & 8) !== 0;
  const z = wide ? 4 : 2;
  const offset = wide ? ((hi & 0xffff_0000) | (lo & 0xffff)) >>> 0 : lo & 0xffff;
  const sel = lo >>> 16;
  const x = gateTarget(c, sel, cause, false);
  const cpl = isConforming(descAttr(x)) ? c.cpl : descDpl(x);
  if (c.vm86 && cpl !== 0) c.gp(sel & 0xfffc);
  const flags = imageFlags(c, cause);
  const words = err >= 0 && WITH_ERROR.has(vector) ? [err] : [];
  words.push(ip, c.segSel(SEG.cs), flags);
  if (cpl === c.cpl && !c.vm86) {
    pushWords(c, c.stackAt(-z * words.length), words, z, cpl);
    c.addSp(-z * words.length);
    setCodeSegment(c, sel, x, cpl);
    return enterGate(c, type, offset);
  }
  words.push(c.gpr32(4), c.segSel(SEG.ss));
  const vm86 = c.vm86;
  if (vm86) for (const s of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) words.push(c.segSel(s));
  const stack = innerStack(c, cpl);
  const ss = { ...readDescriptor(c, stack.ss, EXC.TS) };
  const ssAttr = descAttr(ss);
  if ((ssAttr & 0x1a) !== 0x12 || descDpl(ss) !== cpl) c.fault(EXC.TS, stack.ss & 0xfffc);
  if (!(ssAttr & ATTR_P)) c.fault(EXC.SS, stack.ss & 0xfffc);
  const mask = ssAttr & 0x400 ? 0xffff_ffff : 0xffff;
  const sp = stack.sp - z * words.length;
  pushWords(c, (descBase(ss) + ((sp & mask) >>> 0)) >>> 0, words, z, cpl);
  c.flags = c.flags & ~VM;
  setCodeSegment(c, sel, x, cpl);
  c.setSeg(SEG.ss, stack.ss, ssAttr | 1, descLimit(ss), descBase(ss));
  c.m.setU32(c.cpu + 32, ((sp & mask) | (stack.sp & ~mask)) >>> 0);
  if (vm86) for (const s of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) c.setSeg(s, 0, 0, 0, 0);
  enterGate(c, type, offset);
}

/** The handler is a task of its own; nothing is pushed but an error code, on its stack. */
function throughTaskGate(c: Core, sel: number, err: number, cause: Cause, ip: number): void {
  const ext = cause === 'software' ? 0 : 1;
  const flags = c.flags;
  c.flags = imageFlags(c, cause);
  try {
    switchTask(c, sel, 'interrupt', ip, ext);
  } finally {
    if (!c.taskSwitched) c.flags = flags;
  }
  if (err >= 0) c.push(c.segAttr(SEG.tr) & 8 ? 4 : 2, BigInt(err >>> 0));
}

function pushWords(c: Core, at: number, words: readonly number[], z: number, cpl: number): void {
  words.forEach((w, i) => {
    c.put(z, BigInt(w >>> 0), i * z);
  });
  c.store(at, words.length * z, cpl === 3);
}

/** SS:ESP of a privilege level from the TSS. */
export function innerStack(c: Core, cpl: number): { ss: number; sp: number } {
  const base = c.segBase(SEG.tr);
  const limit = c.m.u32(c.seg(SEG.tr) + 4);
  const wide = (c.segAttr(SEG.tr) & 8) !== 0;
  const at = wide ? 4 + cpl * 8 : 2 + cpl * 4;
  if (at + (wide ? 5 : 3) > limit) c.fault(EXC.TS, c.segSel(SEG.tr) & 0xfffc);
  c.load(base + at, wide ? 6 : 4, false);
  return wide
    ? { sp: c.buf.getUint32(0, true), ss: c.buf.getUint16(4, true) }
    : { sp: c.buf.getUint16(0, true), ss: c.buf.getUint16(2, true) };
}

// --- IRET ------------------------------------------------------------------------------------------------------------

export function iret(c: Core, z: number): void {
  if (!c.protectedMode) return iretReal(c, z);
  if (c.vm86) return iretVm86(c, z);
  if (c.flags & NT) return endTask(c);
  const n = c.code64 ? 5 : 3;
  c.load(c.stackAt(0), n * z);
  const ip = c.take(z, 0);
  const sel = Number(c.take(z, z)) & 0xffff;
  const flags = Number(c.take(z, 2 * z) & 0xffff_ffffn);
  if (!c.longMode && flags & VM && c.cpl === 0 && z === 4) return iretToVm86(c, Number(ip), sel, flags);
  const rpl = sel & 3;
  const outer = rpl > c.cpl;
  let sp = 0n;
  let ss = 0;
  if (c.code64) {
    sp = c.take(z, 3 * z);
    ss = Number(c.take(z, 4 * z)) & 0xffff;
  } else if (outer) {
    c.load(c.stackAt(3 * z), 2 * z);
    sp = c.take(z, 0);
    ss = Number(c.take(z, z)) & 0xffff;
  }
  const x = returnTarget(c, sel);
  if (c.longMode && descAttr(x) & 0x200) {
    if (BigInt.asUintN(64, BigInt.asIntN(48, ip)) !== ip) c.gp(0);
  }
  if (!c.code64 && !outer) c.addSp(3 * z);
  finishIret(c, { z, ip, sel, flags, x, sp, ss, outer, loadSs: c.code64 || outer });
}

/** IRET with NT set goes back to the task this one was called from. */
function endTask(c: Core): void {
  if (c.longMode) c.gp(0);
  const link = Number(c.read(c.segBase(SEG.tr), 2, false));
  switchTask(c, link, 'iret', c.nextIp);
  c.m.setU32(c.cpu + cpuState.nmiBlocked.offset, 0);
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
  const ssDesc = r.loadSs ? returnStack(c, r.ss, r.sel & 3, (descAttr(r.x) & 0x200) !== 0) : undefined;
  setCodeSegment(c, r.sel, r.x, r.sel & 3);
  if (ssDesc) {
    if (ssDesc === 'null') c.setSeg(SEG.ss, r.ss, 0x40 | ((r.sel & 3) << 5), 0, 0);
    else c.setSeg(SEG.ss, r.ss, descAttr(ssDesc) | 1, descLimit(ssDesc), descBase(ssDesc));
    if (r.z === 8 || c.longMode) c.setGpr(4, 8, r.sp);
    else c.m.setU32(c.cpu + 32, Number(r.sp & 0xffff_ffffn));
    modeChanged(c);
  }
  setReturnFlags(c, r.flags, oldCpl, r.z);
  c.setLin(cpuState.rip, c.code64 ? Number(BigInt.asIntN(64, r.ip)) : Number(BigInt.asUintN(32, r.ip)));
  if (r.outer) dropInnerSegments(c);
  c.m.setU32(c.cpu + cpuState.nmiBlocked.offset, 0);
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
  c.load(c.stackAt(0), 3 * z);
  const ip = Number(c.take(z, 0) & 0xffff_ffffn);
  const sel = Number(c.take(z, z)) & 0xffff;
  const flags = Number(c.take(z, 2 * z) & 0xffff_ffffn);
  c.addSp(3 * z);
  c.setSeg(SEG.cs, sel, 0x9b, 0xffff, sel << 4);
  const mask = z === 4 ? 0x257fd5 : 0x7fd5;
  c.flags = (c.flags & ~mask) | (flags & mask);
  c.setLin(cpuState.rip, ip);
}

function iretVm86(c: Core, z: number): void {
  if ((c.flags & IOPL) !== IOPL) c.gp(0);
  c.load(c.stackAt(0), 3 * z, true);
  const ip = Number(c.take(z, 0) & 0xffffn);
  const sel = Number(c.take(z, z)) & 0xffff;
  const flags = Number(c.take(z, 2 * z) & 0xffff_ffffn);
  c.addSp(3 * z);
  c.setSeg(SEG.cs, sel, 0xfb, 0xffff, sel << 4);
  const mask = (z === 4 ? 0x257fd5 : 0x7fd5) & ~IOPL;
  c.flags = (c.flags & ~mask) | (flags & mask);
  c.setLin(cpuState.rip, ip);
}

function iretToVm86(c: Core, ip: number, sel: number, flags: number): void {
  c.load(c.stackAt(0), 36);
  const at = (k: number): number => Number(c.take(4, 4 * k));
  const words = [3, 4, 5, 6, 7, 8].map(at);
  c.flags = (flags & 0x3f_7fd5) | VM;
  c.m.setU32(c.cpu + cpuState.cpl.offset, 3);
  [SEG.ss, SEG.es, SEG.ds, SEG.fs, SEG.gs].forEach((s, k) => {
    const v = words[k + 1]! & 0xffff;
    c.setSeg(s, v, 0xf3, 0xffff, v << 4);
  });
  c.setSeg(SEG.cs, sel, 0xfb, 0xffff, sel << 4);
  c.m.setU32(c.cpu + 32, words[0]!);
  modeChanged(c);
  c.setLin(cpuState.rip, ip & 0xffff);
}
