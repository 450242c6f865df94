/** Hardware task switches, in legacy mode: by JMP, CALL, an interrupt's task gate, and IRET. @spec SDM 3A 7 */
import { NT, VM } from '../../x86/flags.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { CR0_PG, CR0_TS } from '../mmu.ts';
import type { Core } from './core.ts';
import { ATTR_P, EXC } from './registers.ts';
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
} from './segments.ts';
import { interceptTaskSwitch } from './svm/event-intercepts.ts';

export type SwitchCause = 'jump' | 'call' | 'interrupt' | 'iret';

const BUSY = 2;
const WIDE = 8;
/** DR6.BT: the new task's trap flag is set. */
const DR6_BT = 0x8000;
const DR7_LOCAL = 0x155;
const FLAGS_32 = 0x3f_7fd5;
const FLAGS_16 = 0x7fd5;

/** Order of the selectors in both formats; LDTR follows. */
const SELECTORS = [SEG.es, SEG.cs, SEG.ss, SEG.ds, SEG.fs, SEG.gs] as const;

/** A task state segment's format. `size` is the least limit + 1. */
interface Format {
  readonly size: number;
  readonly word: 2 | 4;
  readonly ip: number;
  readonly flags: number;
  readonly gpr: number;
  readonly selector: number;
  readonly selectors: number;
  readonly ldt: number;
}
const TSS_32: Format = {
  size: 104,
  word: 4,
  ip: 32,
  flags: 36,
  gpr: 40,
  selector: 72,
  selectors: 6,
  ldt: 96,
};
const TSS_16: Format = { size: 44, word: 2, ip: 14, flags: 16, gpr: 18, selector: 34, selectors: 4, ldt: 42 };
const formatOf = (attr: number): Format => (attr & WIDE ? TSS_32 : TSS_16);

/** What a TSS holds, read in one go. */
interface State {
  readonly ip: number;
  readonly flags: number;
  readonly gpr: readonly number[];
  readonly selectors: readonly number[];
  readonly ldt: number;
  readonly cr3: number;
  readonly trap: boolean;
}

/**
 * Leaves for the task of `sel`, saving `ip` as where this one goes on. `ext`: EXT bit of the error codes; `errorCode`: the
 * exception's that leads there, or -1.
 */
export function switchTask(
  c: Core,
  sel: number,
  cause: SwitchCause,
  ip: number,
  ext = 0,
  errorCode = -1,
): void {
  const x = target(c, sel, cause, ext);
  interceptTaskSwitch(c, sel, cause, errorCode);
  const format = formatOf(descAttr(x));
  const next = readState(c, descBase(x), format);
  saveState(c, cause, ip);
  const old = c.segSel(SEG.tr);
  c.taskSwitched = true;
  if (cause === 'jump' || cause === 'iret') setBusy(c, c.lin(cpuState.gdtBase) + (old & 0xfff8), false);
  const nested = cause === 'call' || cause === 'interrupt';
  if (nested) c.write(descBase(x), 2, BigInt(old), false);
  if (cause !== 'iret') setBusy(c, x.at, true);
  c.set32(cpuState.cr0, c.get32(cpuState.cr0) | CR0_TS);
  c.setSeg(SEG.tr, sel, descAttr(x) | BUSY, descLimit(x), descBase(x));
  loadState(c, nested ? { ...next, flags: next.flags | NT } : next, format, ext);
}

/** The TSS descriptor, checked. */
function target(c: Core, sel: number, cause: SwitchCause, ext: number): Descriptor {
  const err = (sel & 0xfffc) | ext;
  const bad = cause === 'iret' ? EXC.TS : EXC.GP;
  if (sel & 4 || (sel & 0xfff8) === 0) c.fault(bad, err);
  const x = { ...readDescriptor(c, sel, bad) };
  const type = descAttr(x) & 0x1f;
  if ((type & ~(WIDE | BUSY)) !== 1 || ((type & BUSY) !== 0) !== (cause === 'iret')) c.fault(bad, err);
  if (!(descAttr(x) & ATTR_P)) c.fault(EXC.NP, err);
  if (descLimit(x) < formatOf(type).size - 1) c.fault(EXC.TS, err);
  return x;
}

function readState(c: Core, base: number, f: Format): State {
  c.load(base, f.size, false);
  const word = (at: number): number => (f.word === 4 ? c.buf.getUint32(at, true) : c.buf.getUint16(at, true));
  const wide = f.word === 4;
  return {
    ip: word(f.ip),
    flags: word(f.flags),
    // a 16-bit task leaves the upper halves all ones
    gpr: Array.from({ length: 8 }, (_, r) =>
      wide ? word(f.gpr + 4 * r) : (word(f.gpr + 2 * r) | 0xffff_0000) >>> 0,
    ),
    selectors: Array.from({ length: 6 }, (_, k) =>
      k < f.selectors ? word(f.selector + f.word * k) & 0xffff : 0,
    ),
    ldt: word(f.ldt) & 0xffff,
    cr3: wide ? word(28) : 0,
    trap: wide && (word(100) & 1) !== 0,
  };
}

/** Everything between the stack pointers and the LDT selector. */
function saveState(c: Core, cause: SwitchCause, ip: number): void {
  const f = formatOf(c.segAttr(SEG.tr));
  const put = (at: number, v: number): void => c.put(f.word, BigInt(v >>> 0), at - f.ip);
  put(f.ip, ip);
  put(f.flags, cause === 'iret' ? c.flags & ~NT : c.flags);
  for (let r = 0; r < 8; r++) put(f.gpr + f.word * r, c.gpr32(r));
  for (let k = 0; k < f.selectors; k++) put(f.selector + f.word * k, c.segSel(SELECTORS[k]!));
  c.store(c.segBase(SEG.tr) + f.ip, f.selector + f.word * f.selectors - f.ip, false);
}

function setBusy(c: Core, at: number, busy: boolean): void {
  const hi = c.read32(at + 4, false);
  c.write(at + 4, 4, BigInt((busy ? hi | (BUSY << 8) : hi & ~(BUSY << 8)) >>> 0), false);
}

function loadState(c: Core, s: State, f: Format, ext: number): void {
  const { m, cpu } = c;
  if (f.word === 4 && c.get32(cpuState.cr0) & CR0_PG) {
    c.set(cpuState.cr3, BigInt(s.cr3));
    c.flushTlb();
  }
  c.setLin(cpuState.rip, s.ip);
  for (let r = 0; r < 8; r++) c.setGpr32(r, s.gpr[r]!);
  c.flags = s.flags & (f.word === 4 ? FLAGS_32 : FLAGS_16);
  const dr7 = cpuState.dr.addr(cpu, 7);
  m.setU32(dr7, m.u32(dr7) & ~DR7_LOCAL);
  // selectors first, so that a fault finds them all in place and none usable
  SELECTORS.forEach((seg, k) => {
    c.setSeg(seg, s.selectors[k]!, 0, 0, 0);
  });
  c.setSeg(SEG.ldtr, s.ldt, 0, 0, 0);
  const vm86 = (s.flags & VM) !== 0 && f.word === 4;
  m.setU32(cpu + cpuState.cpl.offset, vm86 ? 3 : s.selectors[1]! & 3);
  modeChanged(c);
  loadLdt(c, s.ldt, ext);
  SELECTORS.forEach((seg, k) => {
    if (vm86) c.setSeg(seg, s.selectors[k]!, 0xf3, 0xffff, s.selectors[k]! << 4);
  });
  if (!vm86) for (const seg of [SEG.cs, SEG.ss, SEG.ds, SEG.es, SEG.fs, SEG.gs]) loadTaskSegment(c, seg, ext);
  modeChanged(c);
  if (s.trap) c.set32(cpuState.pendingDb, DR6_BT);
}

function loadLdt(c: Core, sel: number, ext: number): void {
  if ((sel & 0xfffc) === 0) return;
  const err = (sel & 0xfffc) | ext;
  if (sel & 4) c.fault(EXC.TS, err);
  const x = readDescriptor(c, sel, EXC.TS);
  if ((descAttr(x) & 0x1f) !== 2 || !(descAttr(x) & ATTR_P)) c.fault(EXC.TS, err);
  c.setSeg(SEG.ldtr, sel, descAttr(x), descLimit(x), descBase(x));
}

/** Gives a segment register whose selector is in place its hidden part. */
function loadTaskSegment(c: Core, s: number, ext: number): void {
  const sel = c.segSel(s);
  const err = (sel & 0xfffc) | ext;
  const must = s === SEG.cs || s === SEG.ss;
  if ((sel & 0xfffc) === 0) {
    if (must) c.fault(EXC.TS, err);
    return;
  }
  const x = readDescriptor(c, sel, EXC.TS);
  const attr = descAttr(x);
  if (!allowed(s, attr, descDpl(x), sel & 3, c.cpl)) c.fault(EXC.TS, err);
  if (!(attr & ATTR_P)) c.fault(s === SEG.ss ? EXC.SS : EXC.NP, err);
  if (!(x.hi & 0x100)) c.write(x.at + 4, 4, BigInt((x.hi | 0x100) >>> 0), false);
  c.setSeg(s, sel, attr | 1, descLimit(x), descBase(x));
}

function allowed(s: number, attr: number, dpl: number, rpl: number, cpl: number): boolean {
  if (s === SEG.cs) return isCode(attr) && (isConforming(attr) ? dpl <= rpl : dpl === rpl);
  if (s === SEG.ss) return (attr & 0x1a) === 0x12 && rpl === cpl && dpl === cpl;
  if (!(attr & 0x10) || (attr & 0xa) === 8) return false;
  return isConforming(attr) || (dpl >= cpl && dpl >= rpl);
}
