/** System instructions: control registers, descriptor tables, ports, and their like. @spec SDM 2, APM 3 */

import { CPU_MAX_PHYS_BITS } from '../../x86/cpuid.ts';
import { AC, IF, IOPL, RF, VM, ZF } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { CR0_EM, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_PAE, CR4_PCIDE, EFER_LMA } from '../mmu.ts';
import { ATTR_L, ATTR_P, type Core, EXC } from './core.ts';
import { noteDebug } from './debug.ts';
import { ioplAllows } from './far.ts';
import { checkWritable } from './limits.ts';
import { cr4Offered } from './offered.ts';
import {
  descAttr,
  descDpl,
  descLimit,
  isConforming,
  loadSegment,
  modeChanged,
  readDescriptor,
  systemBase,
  tableLimit,
} from './segments.ts';

const EFER_LME = 0x100;
const CR0_WRITABLE = 0xe005_003f;
const CR0_ET = 0x10;
const CR0_NW = 0x2000_0000;
const CR0_CD = 0x4000_0000;
const CR4_UMIP = 0x800;
/** PSE PAE PGE SMEP: a change reads the page-directory-pointer entries anew. */
const CR4_TABLES = 0x10_00b0;
const DR6_BD = 0x2000;
const CR3_NOFLUSH = 1n << 63n;
const PCID_MASK = 0xfffn;
const INVPCID = { address: 0n, space: 1n, all: 2n, allButGlobal: 3n } as const;

export interface SystemHooks {
  /** The page tables or what they mean changed: forget translations. */
  flush(): void;
  invalidate(linear: number): void;
  /** CR3 with PCIDs: another address space, of which what is known is kept or forgotten. */
  switchSpace(pcid: number, keep: boolean): void;
  dropSpace(pcid: number): void;
  /** All but global pages. */
  dropSpaces(): void;
  /** CR4 bits the CPU offers. */
  cr4Allowed: number;
}

// --- control and debug registers ----------------------------------------------------------------------------------------

export function movCr(c: Core, hooks: SystemHooks, i: Insn): void {
  c.requireCpl0();
  const [d, s] = i.operands;
  const size = c.code64 ? 8 : 4;
  if (d.kind === OPK.cr) writeCr(c, hooks, d.reg, BigInt.asUintN(size * 8, c.gpr(s.reg)));
  else c.setGpr(d.reg, size, readCr(c, s.reg));
}

function readCr(c: Core, r: number): bigint {
  if (r === 0) return c.get(cpuState.cr0);
  if (r === 2) return c.get(cpuState.cr2);
  if (r === 3) return c.get(cpuState.cr3);
  if (r === 4) return c.get(cpuState.cr4);
  return BigInt(c.platform.readCr8(c.cpu));
}

export function writeCr(c: Core, hooks: SystemHooks, r: number, v: bigint): void {
  if (r === 0) return writeCr0(c, hooks, v);
  if (r === 2) return c.set(cpuState.cr2, v);
  if (r === 3) return writeCr3(c, hooks, v);
  if (r === 4) return writeCr4(c, hooks, v);
  if (v > 15n) c.gp();
  c.platform.writeCr8(c.cpu, Number(v));
}

function writeCr3(c: Core, hooks: SystemHooks, v: bigint): void {
  const pcids = (c.get32(cpuState.cr4) & CR4_PCIDE) !== 0;
  const next = pcids ? v & ~CR3_NOFLUSH : v;
  if (next >> BigInt(CPU_MAX_PHYS_BITS)) c.gp();
  loadPdptes(c, c.get32(cpuState.cr0), c.get32(cpuState.cr4), next);
  c.set(cpuState.cr3, next);
  hooks.switchSpace(pcids ? Number(next & PCID_MASK) : 0, next !== v);
}

/** With the legacy PAE form of page tables, loads what CR3 points at: #GP if it is not in order. @spec SDM 3A 4.4.1 */
function loadPdptes(c: Core, cr0: number, cr4: number, cr3: bigint): void {
  if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || c.longMode) return;
  if (!c.mmu.loadPdptes(c.cpu, Number(cr3))) c.gp();
}

function writeCr4(c: Core, hooks: SystemHooks, v: bigint): void {
  if (v & ~BigInt((hooks.cr4Allowed & cr4Offered(c)) >>> 0)) c.gp();
  const n = Number(v);
  if (c.longMode && (n & CR4_PAE) === 0) c.gp();
  if (n & CR4_PCIDE && !(c.get32(cpuState.cr4) & CR4_PCIDE))
    if (!c.longMode || c.get(cpuState.cr3) & PCID_MASK) c.gp();
  if ((n ^ c.get32(cpuState.cr4)) & CR4_TABLES) loadPdptes(c, c.get32(cpuState.cr0), n, c.get(cpuState.cr3));
  c.set(cpuState.cr4, v);
  hooks.flush();
}

/** @spec SDM 2B INVPCID */
export function invpcid(c: Core, hooks: SystemHooks, i: Insn): void {
  c.requireCpl0();
  const type = BigInt.asUintN(c.code64 ? 64 : 32, c.gpr(i.operands[0].reg));
  c.load(c.ea(i), 16);
  const pcid = c.take(8);
  const linear = c.take(8, 8);
  if (type > INVPCID.allButGlobal || pcid & ~PCID_MASK) c.gp();
  if (type === INVPCID.all) return hooks.flush();
  if (type === INVPCID.allButGlobal) return hooks.dropSpaces();
  if (pcid !== 0n && (c.get32(cpuState.cr4) & CR4_PCIDE) === 0) c.gp();
  if (type === INVPCID.address) {
    if (!canonical(linear)) c.gp();
    return hooks.invalidate(Number(BigInt.asIntN(64, linear)));
  }
  hooks.dropSpace(Number(pcid));
}

function writeCr0(c: Core, hooks: SystemHooks, v: bigint): void {
  if (v >> 32n) c.gp();
  const n = Number(v);
  if (n & CR0_PG && !(n & CR0_PE)) c.gp();
  if (n & CR0_NW && !(n & CR0_CD)) c.gp();
  const old = c.get32(cpuState.cr0);
  const next = ((n & CR0_WRITABLE) | CR0_ET) >>> 0;
  const efer = c.get32(cpuState.efer);
  if (next & CR0_PG && !(old & CR0_PG) && efer & EFER_LME) {
    if (!(c.get32(cpuState.cr4) & CR4_PAE) || c.segAttr(SEG.cs) & ATTR_L) c.gp();
    c.set32(cpuState.efer, efer | EFER_LMA);
  } else if ((old ^ next) & (CR0_PG | CR0_CD | CR0_NW)) {
    loadPdptes(c, next, c.get32(cpuState.cr4), c.get(cpuState.cr3));
  }
  if (!(next & CR0_PG) && old & CR0_PG) {
    if (c.code64 || c.get32(cpuState.cr4) & CR4_PCIDE) c.gp();
    c.set32(cpuState.efer, efer & ~EFER_LMA);
  }
  c.set(cpuState.cr0, BigInt(next));
  if (!(old & CR0_PE) && next & CR0_PE) c.m.setU32(c.cpu + cpuState.cpl.offset, 0);
  modeChanged(c);
  // EM and TS shape code that uses vectors
  if ((old ^ next) & (CR0_PG | CR0_PE | CR0_WP | CR0_EM | CR0_TS)) hooks.flush();
}

export function lmsw(c: Core, hooks: SystemHooks, i: Insn): void {
  c.requireCpl0();
  const v = Number(c.operand(i, i.operands[0], 2)) & 15;
  const old = c.get32(cpuState.cr0);
  writeCr0(c, hooks, BigInt(((old & ~14) | v | (old & 1)) >>> 0));
}

export function smsw(c: Core, i: Insn): void {
  checkUmip(c);
  const d = i.operands[0];
  c.setOperand(i, d, d.kind === OPK.mem ? 2 : i.opSize, c.get(cpuState.cr0));
}

export function movDr(c: Core, i: Insn): void {
  const [d, s] = i.operands;
  const which = d.kind === OPK.dr ? d.reg : s.reg;
  if ((which === 4 || which === 5) && c.get32(cpuState.cr4) & 8) c.ud();
  c.requireCpl0();
  const r = which === 4 || which === 5 ? which + 2 : which;
  const dr7 = Number(c.m.u64(cpuState.dr.addr(c.cpu, 7)));
  if (dr7 & 0x2000) {
    // general detect: DR7.GD makes the access itself a debug exception
    c.m.setU64(cpuState.dr.addr(c.cpu, 7), BigInt(dr7 & ~0x2000));
    noteDebug(c, DR6_BD);
    c.fault(EXC.DB);
  }
  if (d.kind !== OPK.dr) return c.setGpr(d.reg, c.code64 ? 8 : 4, c.m.u64(cpuState.dr.addr(c.cpu, r)));
  let v = BigInt.asUintN(c.code64 ? 64 : 32, c.gpr(s.reg));
  if (r >= 6 && v >> 32n) c.gp();
  if (r === 6) v = (v & 0xe00fn) | 0xffff_0ff0n;
  if (r === 7) v = (v & 0xffff_27ffn) | 0x400n;
  c.m.setU64(cpuState.dr.addr(c.cpu, r), v);
  // RF is over with this instruction, which may be the last that nobody watched
  c.set32(cpuState.flagsRest, c.get32(cpuState.flagsRest) & ~RF);
}

// --- descriptor tables --------------------------------------------------------------------------------------------------

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
function checkUmip(c: Core): void {
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

export function inOut(c: Core, i: Insn, out: boolean): void {
  const size = Math.min(i.opSize, 4);
  const o = out ? i.operands[0] : i.operands[1];
  const port = o.kind === OPK.imm ? i.imm & 0xff : c.gpr32(2) & 0xffff;
  checkPort(c, port, size);
  if (out) {
    const v = c.gpr32(0);
    c.platform.ioWrite(c.cpu, port, size, size === 4 ? v : v & ((1 << (8 * size)) - 1));
  } else c.setGpr(0, size, BigInt(c.platform.ioRead(c.cpu, port, size) >>> 0));
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
