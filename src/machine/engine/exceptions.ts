/** Delivery of exceptions and interrupts through the IVT or IDT. @spec SDM 3A 6 */
import { AC, IF, NT, RF, TF, VM } from '../../x86/flags.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { HOW } from '../interp/gates.ts';
import type { Core } from './core.ts';
import { stepping } from './debug.ts';
import { ATTR_P, EXC, GuestFault, HIGH } from './registers.ts';
import {
  checkTarget,
  type Descriptor,
  descAttr,
  descDpl,
  isCode,
  isConforming,
  modeChanged,
  readDescriptor,
  setCodeSegment,
  setContext,
} from './segments.ts';
import { checkRoom, currentStack, innerStack, probeDown, pushFrame, takeStack, tssRsp } from './stacks.ts';
import { eventInfo, interceptException, interceptShutdown } from './svm/event-intercepts.ts';
import { inGuest } from './svm/state.ts';
import { VmExit } from './svm/vm-exit.ts';
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
  let during = 0n;
  const guest = inGuest(c);
  c.deliveries++;
  c.taskSwitched = false;
  for (let depth = 0; ; depth++) {
    try {
      if (guest) interceptException(c, v, err, how, from, during);
      deliverOnce(c, v, err, how, from);
      return true;
    } catch (e) {
      if (e instanceof VmExit) e.intInfo ??= eventInfo(c, v, err, how);
      if (!(e instanceof GuestFault)) throw e;
      if (guest) during = eventInfo(c, v, err, how);
      from = c.taskSwitched ? c.lin(cpuState.rip) : faultIp;
      if ((v === EXC.DF && how === 'fault') || depth > 3) return interceptShutdown(c);
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
  const x = readDescriptor(c, sel, EXC.GP, ext);
  const attr = descAttr(x);
  if (!isCode(attr) || descDpl(x) > c.cpl) c.gp((sel & 0xfffc) | ext);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, (sel & 0xfffc) | ext);
  if (long && (attr & 0x600) !== 0x200) c.gp((sel & 0xfffc) | ext);
  return { ...x };
}

/** The plain case; false: nothing was done. */
function deliverPlain(c: Core, vector: number, err: number, cause: Cause, ip: number): boolean {
  if (cause === 'software' || stepping(c) || inGuest(c)) return false;
  const { cpl } = c;
  const rest = c.get32(cpuState.flagsRest);
  const how = err >= 0 && WITH_ERROR.has(vector) ? HOW.error : 0;
  const rf = cause === 'fault' ? RF : 0;
  if (c.plainDelivery(c.cpu, vector, err, how, rf, ip | 0, Math.floor(ip / HIGH) | 0) === 0) return true;
  c.m.setU32(c.cpu + cpuState.cpl.offset, cpl);
  c.set32(cpuState.flagsRest, rest);
  setContext(c);
  return false;
}

function deliverLong(c: Core, vector: number, err: number, cause: Cause, ip: number): void {
  if (deliverPlain(c, vector, err, cause, ip)) return;
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
  checkTarget(c, x, BigInt.asUintN(64, BigInt(offset)));
  const ext = cause === 'software' ? 0 : 1;
  const ist = hi & 7;
  let sp = c.gprLin(4);
  if (ist !== 0) sp = tssRsp(c, 28 + 8 * ist, ext);
  else if (cpl !== c.cpl) sp = tssRsp(c, 4 + 8 * cpl, ext);
  sp = sp - (((sp % 16) + 16) % 16);
  if (sp >= 2 ** 47 || sp < -(2 ** 47)) c.fault(EXC.SS, ext);
  const words: bigint[] = err >= 0 && WITH_ERROR.has(vector) ? [BigInt(err >>> 0)] : [];
  words.push(
    BigInt(ip),
    BigInt(c.segSel(SEG.cs)),
    BigInt(imageFlags(c, cause)),
    c.gpr(4),
    BigInt(c.segSel(SEG.ss)),
  );
  sp -= words.length * 8;
  probeDown(c, sp, words.length * 8, 8, cpl === 3);
  words.forEach((w, i) => {
    c.put(8, w, i * 8);
  });
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

function deliverProtected(c: Core, vector: number, err: number, cause: Cause, ip: number): void {
  if (deliverPlain(c, vector, err, cause, ip)) return;
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
  const ext = cause === 'software' ? 0 : 1;
  if (c.vm86 && cpl !== 0) c.gp((sel & 0xfffc) | ext);
  const flags = imageFlags(c, cause);
  const words = err >= 0 && WITH_ERROR.has(vector) ? [err] : [];
  words.push(ip, c.segSel(SEG.cs), flags);
  const { vm86 } = c;
  const same = cpl === c.cpl && !vm86;
  if (!same) words.push(c.gpr32(4), c.segSel(SEG.ss));
  if (vm86) for (const s of DATA_SEGMENTS) words.push(c.segSel(s));
  const stack = same ? currentStack(c, ext) : innerStack(c, cpl, ext);
  checkRoom(c, stack, z * words.length);
  checkTarget(c, x, BigInt(offset), ext);
  const sp = pushFrame(c, stack, words, z, cpl === 3);
  c.flags = c.flags & ~VM;
  setCodeSegment(c, sel, x, cpl);
  takeStack(c, stack, sp);
  if (vm86) for (const s of DATA_SEGMENTS) c.setSeg(s, 0, 0, 0, 0);
  modeChanged(c);
  enterGate(c, type, offset);
}

/** In the order of a virtual-8086 frame. */
const DATA_SEGMENTS = [SEG.es, SEG.ds, SEG.fs, SEG.gs] as const;

/** The handler is a task of its own; nothing is pushed but an error code, on its stack. */
function throughTaskGate(c: Core, sel: number, err: number, cause: Cause, ip: number): void {
  const ext = cause === 'software' ? 0 : 1;
  const flags = c.flags;
  c.flags = imageFlags(c, cause);
  try {
    switchTask(c, sel, 'interrupt', ip, ext, err);
  } finally {
    if (!c.taskSwitched) c.flags = flags;
  }
  if (err >= 0) c.push(c.segAttr(SEG.tr) & 8 ? 4 : 2, BigInt(err >>> 0));
}
