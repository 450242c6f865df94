/** Instructions on descriptor tables, selectors and segment registers. @spec SDM 3A 2.4, 3.4, 5.10 */
import { ZF } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { checkWritable } from './limits.ts';
import { ATTR_P, EXC } from './registers.ts';
import {
  descAttr,
  descDpl,
  descLimit,
  isConforming,
  loadSegment,
  readDescriptor,
  systemBase,
  tableLimit,
} from './segments.ts';

const CR4_UMIP = 0x800;

export function loadTable(c: Core, i: Insn, idt: boolean): void {
  c.requireCpl0();
  const size = c.code64 ? 8 : 4;
  c.load(c.ea(i), size + 2);
  const limit = c.buf.getUint16(0, true);
  let base = c.take(size, 2);
  if (size === 4 && i.opSize === 2) base &= 0xff_ffffn;
  if (size === 8) c.linearOf(base, SEG.ds);
  c.set32(idt ? cpuState.idtLimit : cpuState.gdtLimit, limit);
  c.set(idt ? cpuState.idtBase : cpuState.gdtBase, base);
}

/** SGDT, SIDT, SLDT, STR and SMSW tell user code nothing under UMIP. */
export function checkUmip(c: Core): void {
  if (c.get32(cpuState.cr4) & CR4_UMIP) c.requireCpl0();
}

export function storeTable(c: Core, i: Insn, idt: boolean): void {
  checkUmip(c);
  const size = c.code64 ? 8 : 4;
  c.put(2, BigInt(c.get32(idt ? cpuState.idtLimit : cpuState.gdtLimit)));
  c.put(size, c.get(idt ? cpuState.idtBase : cpuState.gdtBase), 2);
  c.store(c.ea(i), size + 2);
}

/** LLDT and LTR. */
export function loadSystemSegment(c: Core, i: Insn, s: number): void {
  if (!c.protectedMode || c.vm86) c.ud();
  c.requireCpl0();
  const sel = Number(c.operand(i, i.operands[0], 2));
  const isTr = s === SEG.tr;
  if ((sel & 0xfffc) === 0) {
    if (isTr) c.gp(0);
    return c.setSeg(s, sel, 0, 0, 0);
  }
  if (sel & 4) c.gp(sel & 0xfffc);
  const x = { ...readDescriptor(c, sel) };
  const attr = descAttr(x);
  const type = attr & 0x1f;
  const ok = isTr ? type === 9 || (type === 1 && !c.longMode) : type === 2;
  if (!ok) c.gp(sel & 0xfffc);
  if (!(attr & ATTR_P)) c.fault(EXC.NP, sel & 0xfffc);
  const base = systemBase(c, x, sel);
  if (isTr) c.write(x.at + 4, 4, BigInt((x.hi | 0x200) >>> 0), false);
  c.setSeg(s, sel, isTr ? attr | 2 : attr, descLimit(x), base);
}

export function storeSystemSegment(c: Core, i: Insn, s: number): void {
  if (!c.protectedMode || c.vm86) c.ud();
  checkUmip(c);
  const d = i.operands[0];
  c.setOperand(i, d, d.kind === OPK.mem ? 2 : i.opSize, BigInt(c.segSel(s)));
}

export function movSreg(c: Core, i: Insn): void {
  const [d, s] = i.operands;
  if (d.kind === OPK.sreg) {
    if (d.reg === SEG.cs) c.ud();
    loadSegment(c, d.reg, Number(c.operand(i, s, 2)));
  } else c.setOperand(i, d, d.kind === OPK.mem ? 2 : i.opSize, BigInt(c.segSel(s.reg)));
}

/** LDS, LES, LFS, LGS, LSS. */
export function loadFar(c: Core, i: Insn, s: number): void {
  const z = i.opSize;
  c.load(c.ea(i), z + 2);
  const v = c.take(z);
  const sel = c.buf.getUint16(z, true);
  loadSegment(c, s, sel);
  c.setGpr(i.operands[0].reg, z, v);
}

/** The destination's RPL is raised to the source's; ZF tells whether it was. */
export function arpl(c: Core, i: Insn): void {
  if (!c.protectedMode || c.vm86) c.ud();
  const [d, s] = i.operands;
  const sel = c.operand(i, d, 2);
  const rpl = c.operand(i, s, 2) & 3n;
  const raise = (sel & 3n) < rpl;
  if (raise && d.kind === OPK.mem) checkWritable(c, i);
  if (raise) c.setOperand(i, d, 2, (sel & ~3n) | rpl);
  c.setStatus(raise ? c.flags | ZF : c.flags & ~ZF);
}

/** LAR, LSL, VERR, VERW: `what` succeeds or leaves ZF clear. */
export function inspectSelector(c: Core, i: Insn, what: 'lar' | 'lsl' | 'verr' | 'verw'): void {
  if (!c.protectedMode || c.vm86) c.ud();
  const two = what === 'lar' || what === 'lsl';
  const sel = Number(c.operand(i, two ? i.operands[1] : i.operands[0], 2));
  const v = selectorInfo(c, sel, what);
  const flags = c.flags & ~0x40;
  if (v >= 0 && two) c.setGpr(i.operands[0].reg, i.opSize, BigInt(v));
  c.setStatus(v >= 0 ? flags | 0x40 : flags);
}

function selectorInfo(c: Core, sel: number, what: string): number {
  if ((sel & 0xfffc) === 0) return -1;
  if ((sel & 0xfff8) + 7 > tableLimit(c, sel)) return -1;
  const x = readDescriptor(c, sel);
  const attr = descAttr(x);
  const code = (attr & 0x18) === 0x18;
  const reachable = isConforming(attr) || (descDpl(x) >= c.cpl && descDpl(x) >= (sel & 3));
  if (!reachable) return -1;
  if (!(attr & 0x10)) {
    if (what === 'verr' || what === 'verw') return -1;
    const allowed = c.longMode ? [2, 9, 11, 12] : [1, 2, 3, 4, 5, 9, 11, 12];
    const type = attr & 15;
    if (!allowed.includes(type) || (what === 'lsl' && [4, 5, 12].includes(type))) return -1;
  } else if (what === 'verr' && code && !(attr & 2)) return -1;
  else if (what === 'verw' && (code || !(attr & 2))) return -1;
  return what === 'lar' ? (x.hi & 0xff_ff00) >>> 0 : what === 'lsl' ? descLimit(x) : 0;
}
