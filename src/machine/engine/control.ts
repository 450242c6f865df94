/** Control and debug registers, and INVPCID. @spec SDM 3A 2.5, 3B 17.2, APM 2 3.1 */
import { CPU_MAX_PHYS_BITS } from '../../x86/cpuid.ts';
import { RF } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { CR0_EM, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_PAE, CR4_PCIDE, EFER_LMA } from '../mmu.ts';
import type { Core } from './core.ts';
import { noteDebug } from './debug.ts';
import { checkUmip } from './descriptors.ts';
import { cr4Offered } from './offered.ts';
import { ATTR_L, EXC } from './registers.ts';
import { modeChanged } from './segments.ts';
import { inGuest, masksInterrupts, setVirtualTpr, virtualTpr } from './svm/state.ts';
import { canonical } from './system.ts';

const EFER_LME = 0x100;
const CR0_WRITABLE = 0xe005_003f;
const CR0_ET = 0x10;
const CR0_NW = 0x2000_0000;
const CR0_CD = 0x4000_0000;
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
  return BigInt(masksInterrupts(c) ? virtualTpr(c) : c.platform.readCr8(c.cpu));
}

export function writeCr(c: Core, hooks: SystemHooks, r: number, v: bigint): void {
  if (r === 0) return writeCr0(c, hooks, v);
  if (r === 2) return c.set(cpuState.cr2, v);
  if (r === 3) return writeCr3(c, hooks, v);
  if (r === 4) return writeCr4(c, hooks, v);
  if (v > 15n) c.gp();
  if (inGuest(c)) setVirtualTpr(c, Number(v));
  if (!masksInterrupts(c)) c.platform.writeCr8(c.cpu, Number(v));
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
