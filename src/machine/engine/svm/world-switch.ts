/** VMRUN and #VMEXIT: a guest's state in, the monitor's back. @spec APM 2 15.5, 15.6 */
import type { Mem } from '../../../base/mem.ts';
import { VM } from '../../../x86/flags.ts';
import { cpuState, GPR, SEG, segment } from '../../cpu-state.ts';
import { CR0_PE, CR0_PG, CR4_PAE, CR4_PSE, EFER_LMA, EFER_NX } from '../../mmu.ts';
import type { Core } from '../core.ts';
import { modeChanged } from '../segments.ts';
import { saveLegal } from './checks.ts';
import { fetchedBytes } from './decode-assist.ts';
import { armVirtual, injectEvent } from './injection.ts';
import { controls, PAGING, SVM, svmState } from './state.ts';
import type { VmExit } from './vm-exit.ts';
import { SAVE_AT, VMCB_BYTES, vmcbControl, vmcbSave } from './vmcb.ts';

const EFER_LME = 0x100;
const FLAGS = 0x3f_7fd5;
const DR6_FIXED = 0xffff_0ff0n;
const DR7_OFF = 0x400n;

/** What the world switch needs of the engine. */
export interface SwitchHost {
  flush(): void;
  cr4Allowed: number;
}
type Place = { offset: number };

const HOST_SEGMENTS = [SEG.es, SEG.cs, SEG.ss, SEG.ds] as const;
const gprPlace = (r: number): Place => ({ offset: cpuState.gpr.offset + 8 * r });
/** Where VMRUN puts the monitor's registers, but for segments, RFLAGS and RIP. */
const HOST: readonly (readonly [Place, Place])[] = [
  [svmState.hostGdtBase, cpuState.gdtBase],
  [svmState.hostIdtBase, cpuState.idtBase],
  [svmState.hostEfer, cpuState.efer],
  [svmState.hostCr0, cpuState.cr0],
  [svmState.hostCr3, cpuState.cr3],
  [svmState.hostCr4, cpuState.cr4],
  [svmState.hostPat, cpuState.pat],
  [svmState.hostRsp, gprPlace(GPR.rsp)],
  [svmState.hostRax, gprPlace(GPR.rax)],
];

/** Machine address of the VMCB at a physical one, -1 if there is no memory. */
export function vmcbAt(c: Core, pa: number): number {
  return c.mmu.nested(c.cpu, pa, true);
}

// --- in ------------------------------------------------------------------------------------------------------------------

/** Reads the VMCB; whether it can be run. */
export function readVmcb(c: Core, pa: number, host: SwitchHost): boolean {
  const { m, cpu } = c;
  const at = vmcbAt(c, pa);
  svmState.vmcb.set(m, cpu, pa);
  m.move(svmState.control.addr(cpu), at, vmcbControl.$.size);
  m.move(svmState.save.addr(cpu), at + SAVE_AT, vmcbSave.$.size);
  return saveLegal(c, host.cr4Allowed);
}

/** Enters the guest that `readVmcb` has read. False: triple fault in it. */
export function enterGuest(c: Core, host: SwitchHost): boolean {
  saveHost(c);
  c.set32(svmState.flags, SVM.guest);
  enableNestedPaging(c);
  loadGuest(c);
  c.deliveries++;
  c.set32(cpuState.pendingDb, 0);
  c.set32(svmState.pausesLeft, vmcbControl.pauseCount.get(c.m, controls(c)));
  svmState.pausedAt.set(c.m, c.cpu, 0);
  modeChanged(c);
  host.flush();
  if (legacyPae(c)) c.mmu.loadPdptes(c.cpu, c.get32(cpuState.cr3));
  armVirtual(c);
  return injectEvent(c);
}

const legacyPae = (c: Core): boolean =>
  (c.get32(cpuState.cr0) & CR0_PG) !== 0 && (c.get32(cpuState.cr4) & CR4_PAE) !== 0 && !c.longMode;

function saveHost(c: Core): void {
  const { m, cpu } = c;
  HOST_SEGMENTS.forEach((s, k) => {
    m.move(svmState.hostSeg.addr(cpu, k), c.seg(s), segment.$.size);
  });
  c.set32(svmState.hostGdtLimit, c.get32(cpuState.gdtLimit));
  c.set32(svmState.hostIdtLimit, c.get32(cpuState.idtLimit));
  for (const [to, from] of HOST) c.set(to, c.get(from));
  c.set(svmState.hostFlags, BigInt(c.flags));
  c.setLin(svmState.hostRip, c.nextIp);
}

/** Nested page tables have the form that the monitor's own have. */
function enableNestedPaging(c: Core): void {
  const { m } = c;
  if (!(vmcbControl.nestedPaging.get(m, controls(c)) & 1n)) return c.set32(svmState.paging, 0);
  const cr4 = c.get32(cpuState.cr4);
  const efer = c.get32(cpuState.efer);
  let forms: number = PAGING.on;
  if (cr4 & CR4_PAE) forms |= PAGING.pae;
  if (cr4 & CR4_PSE) forms |= PAGING.pse;
  if (efer & EFER_LMA) forms |= PAGING.long;
  if (efer & EFER_NX) forms |= PAGING.nx;
  c.set32(svmState.paging, forms);
  svmState.nestedCr3.set(m, c.cpu, Number(vmcbControl.nestedCr3.get(m, controls(c))));
}

/** A canonical address: bits 63:48 are those of bit 47. */
const canonical = (v: bigint): bigint => BigInt.asUintN(64, BigInt.asIntN(48, v));

function loadSegment(c: Core, s: number, from: number): void {
  const { m } = c;
  const base = Number(BigInt.asIntN(48, m.u64(from + segment.base.offset)));
  c.setSeg(s, segment.sel.get(m, from), segment.attr.get(m, from) & 0xfff, segment.limit.get(m, from), base);
}

function loadGuest(c: Core): void {
  const { m, cpu } = c;
  const at = svmState.save.addr(cpu);
  const v = (f: { get(m: Mem, a: number): bigint }): bigint => f.get(m, at);
  const cr0 = Number(v(vmcbSave.cr0));
  const efer = Number(v(vmcbSave.efer));
  const long = efer & EFER_LME && cr0 & CR0_PG;
  c.set(cpuState.cr0, BigInt(cr0 >>> 0));
  c.set(cpuState.cr2, v(vmcbSave.cr2));
  c.set(svmState.cr2, v(vmcbSave.cr2));
  c.set(cpuState.cr3, v(vmcbSave.cr3));
  c.set(cpuState.cr4, v(vmcbSave.cr4));
  c.set(cpuState.efer, BigInt(long ? efer | EFER_LMA : efer & ~EFER_LMA));
  if (c.get32(svmState.paging)) c.set(cpuState.pat, v(vmcbSave.gPat));
  c.flags = Number(v(vmcbSave.rflags) & BigInt(FLAGS)) | 2;
  const cpl = !(cr0 & CR0_PE) ? 0 : c.flags & VM ? 3 : vmcbSave.cpl.get(m, at) & 3;
  m.setU64(cpuState.cpl.addr(cpu), BigInt(cpl));
  for (const s of HOST_SEGMENTS) loadSegment(c, s, vmcbSave.seg.addr(at, s));
  loadTable(c, cpuState.gdtBase, cpuState.gdtLimit, vmcbSave.gdtr.addr(at));
  loadTable(c, cpuState.idtBase, cpuState.idtLimit, vmcbSave.idtr.addr(at));
  m.setU64(cpuState.dr.addr(cpu, 6), (v(vmcbSave.dr6) & 0xe00fn) | DR6_FIXED);
  m.setU64(cpuState.dr.addr(cpu, 7), (v(vmcbSave.dr7) & 0xffff_27ffn) | DR7_OFF);
  c.set(gprPlace(GPR.rsp), v(vmcbSave.rsp));
  c.set(gprPlace(GPR.rax), v(vmcbSave.rax));
  c.set(cpuState.rip, v(vmcbSave.rip));
}

function loadTable(c: Core, base: Place, limit: Place, from: number): void {
  c.set(base, canonical(c.m.u64(from + segment.base.offset)));
  c.set32(limit, segment.limit.get(c.m, from) & 0xffff);
}

// --- out -----------------------------------------------------------------------------------------------------------------

/** Leaves the guest: tells the VMCB why, and goes on with the monitor behind VMRUN. */
export function leaveGuest(c: Core, exit: VmExit, host: SwitchHost): void {
  const { m, cpu } = c;
  const at = vmcbAt(c, svmState.vmcb.get(m, cpu));
  const bytes = fetchedBytes(c, exit);
  if (at >= 0) {
    saveGuest(c, at + SAVE_AT);
    vmcbControl.virtual.set(m, at, vmcbControl.virtual.get(m, controls(c)));
    vmcbControl.interruptShadow.set(m, at, c.get32(svmState.shadow));
    tell(c, at, exit);
    vmcbControl.bytesFetched.set(m, at, bytes.length);
    bytes.forEach((b, k) => {
      m.setU8(vmcbControl.instruction.addr(at) + k, b);
    });
    wroteVmcb(c, at);
  }
  loadHost(c);
  c.deliveries++;
  c.set32(cpuState.pendingDb, 0);
  modeChanged(c);
  host.flush();
  if (legacyPae(c)) c.mmu.loadPdptes(c.cpu, c.get32(cpuState.cr3));
}

/** VMRUN could not enter the guest: the monitor goes on behind it. */
export function refuseGuest(c: Core, exit: VmExit): void {
  const at = vmcbAt(c, svmState.vmcb.get(c.m, c.cpu));
  tell(c, at, exit);
  wroteVmcb(c, at);
  c.set32(svmState.flags, SVM.gifClear);
}

function wroteVmcb(c: Core, at: number): void {
  if (c.mmu.holdsCode(at / VMCB_BYTES, 0, VMCB_BYTES)) c.codeWritten(at / VMCB_BYTES);
}

/** Why the guest was left. */
function tell(c: Core, at: number, exit: VmExit): void {
  const { m } = c;
  vmcbControl.exitCode.set(m, at, BigInt.asUintN(64, BigInt(exit.code)));
  vmcbControl.exitInfo1.set(m, at, exit.info1);
  vmcbControl.exitInfo2.set(m, at, exit.info2);
  vmcbControl.exitIntInfo.set(m, at, exit.intInfo ?? 0n);
  vmcbControl.nextRip.set(m, at, exit.nextRip);
  vmcbControl.eventInjection.set(m, at, 0n);
}

function saveGuest(c: Core, at: number): void {
  const { m, cpu } = c;
  for (const s of HOST_SEGMENTS) m.move(vmcbSave.seg.addr(at, s), c.seg(s), segment.$.size);
  for (const [to, base, limit] of [
    [vmcbSave.gdtr, cpuState.gdtBase, cpuState.gdtLimit],
    [vmcbSave.idtr, cpuState.idtBase, cpuState.idtLimit],
  ] as const) {
    m.setU64(to.addr(at) + segment.base.offset, c.get(base));
    segment.limit.set(m, to.addr(at), c.get32(limit));
  }
  vmcbSave.cpl.set(m, at, c.cpl);
  vmcbSave.efer.set(m, at, c.get(cpuState.efer));
  vmcbSave.cr0.set(m, at, c.get(cpuState.cr0));
  vmcbSave.cr2.set(m, at, c.get(cpuState.cr2));
  vmcbSave.cr3.set(m, at, c.get(cpuState.cr3));
  vmcbSave.cr4.set(m, at, c.get(cpuState.cr4));
  vmcbSave.dr6.set(m, at, m.u64(cpuState.dr.addr(cpu, 6)));
  vmcbSave.dr7.set(m, at, m.u64(cpuState.dr.addr(cpu, 7)));
  vmcbSave.rflags.set(m, at, BigInt(c.flags));
  vmcbSave.rip.set(m, at, c.get(cpuState.rip));
  vmcbSave.rsp.set(m, at, c.gpr(GPR.rsp));
  vmcbSave.rax.set(m, at, c.gpr(GPR.rax));
  if (c.get32(svmState.paging)) vmcbSave.gPat.set(m, at, c.get(cpuState.pat));
}

/** The monitor goes on with GIF clear, at CPL 0, and without breakpoints. */
function loadHost(c: Core): void {
  const { m, cpu } = c;
  for (const [from, to] of HOST) c.set(to, c.get(from));
  c.set32(cpuState.gdtLimit, c.get32(svmState.hostGdtLimit));
  c.set32(cpuState.idtLimit, c.get32(svmState.hostIdtLimit));
  HOST_SEGMENTS.forEach((s, k) => {
    m.move(c.seg(s), svmState.hostSeg.addr(cpu, k), segment.$.size);
  });
  m.setU64(cpuState.cpl.addr(cpu), 0n);
  m.setU64(cpuState.dr.addr(cpu, 7), DR7_OFF);
  c.flags = Number(c.get(svmState.hostFlags));
  c.set(cpuState.rip, c.get(svmState.hostRip));
  c.set32(svmState.flags, SVM.gifClear);
  c.set32(svmState.paging, 0);
  c.set32(svmState.shadow, 0);
}
