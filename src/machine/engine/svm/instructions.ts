/** SVM's instructions: VMRUN and what goes with it. @spec APM 3 */
import type { Insn } from '../../../x86/insn.ts';
import { cpuState, SEG, segment } from '../../cpu-state.ts';
import { EXIT } from '../../platform.ts';
import type { Core } from '../core.ts';
import { NEXT, type Next } from '../next.ts';
import { PHYSICAL_END } from './checks.ts';
import { requireSvm } from './instruction-intercepts.ts';
import { inGuest, SVM, svmState } from './state.ts';
import { VmExit } from './vm-exit.ts';
import { SAVE_AT, VMCB_BYTES, VMEXIT, vmcbControl, vmcbSave } from './vmcb.ts';
import { enterGuest, readVmcb, refuseGuest, type SwitchHost, vmcbAt } from './world-switch.ts';

/** The VMCB that rAX names; #GP if there is none. */
function operand(c: Core, i: Insn): number {
  const pa = Number(BigInt.asUintN(8 * i.addrSize, c.gpr(0)));
  if (pa % VMCB_BYTES !== 0 || pa >= PHYSICAL_END || vmcbAt(c, pa) < 0) c.gp();
  return pa;
}

export function vmrun(c: Core, i: Insn, host: SwitchHost): Next {
  requireSvm(c);
  const pa = operand(c, i);
  if (!readVmcb(c, pa, host)) {
    refuseGuest(c, new VmExit(VMEXIT.invalid));
    return NEXT.next;
  }
  const shadow = vmcbControl.interruptShadow.get(c.m, svmState.control.addr(c.cpu)) & 1;
  if (!enterGuest(c, host)) return EXIT.tripleFault;
  if (!shadow) return NEXT.jumped;
  // its first instruction is one that interrupts wait for
  c.nextIp = c.lin(cpuState.rip);
  return NEXT.shadow;
}

/** What VMLOAD and VMSAVE move, besides segments. */
const REGISTERS = [
  [vmcbSave.star, cpuState.star, false],
  [vmcbSave.lstar, cpuState.lstar, true],
  [vmcbSave.cstar, cpuState.cstar, true],
  [vmcbSave.sfmask, cpuState.sfmask, false],
  [vmcbSave.kernelGsBase, cpuState.kernelGsBase, true],
  [vmcbSave.sysenterCs, cpuState.sysenterCs, false],
  [vmcbSave.sysenterEsp, cpuState.sysenterEsp, true],
  [vmcbSave.sysenterEip, cpuState.sysenterEip, true],
] as const;
const SEGMENTS = [
  [SEG.fs, (at: number) => vmcbSave.seg.addr(at, SEG.fs)],
  [SEG.gs, (at: number) => vmcbSave.seg.addr(at, SEG.gs)],
  [SEG.ldtr, (at: number) => vmcbSave.ldtr.addr(at)],
  [SEG.tr, (at: number) => vmcbSave.tr.addr(at)],
] as const;

export function vmload(c: Core, i: Insn): void {
  requireSvm(c);
  const { m } = c;
  const at = vmcbAt(c, operand(c, i)) + SAVE_AT;
  for (const [s, place] of SEGMENTS) {
    const from = place(at);
    const base = Number(BigInt.asIntN(48, m.u64(from + segment.base.offset)));
    c.setSeg(
      s,
      segment.sel.get(m, from),
      segment.attr.get(m, from) & 0xfff,
      segment.limit.get(m, from),
      base,
    );
  }
  for (const [from, to, address] of REGISTERS) {
    const v = from.get(m, at);
    c.set(to, address ? BigInt.asIntN(48, v) : v);
  }
}

export function vmsave(c: Core, i: Insn): void {
  requireSvm(c);
  const { m } = c;
  const page = vmcbAt(c, operand(c, i));
  for (const [s, place] of SEGMENTS) m.move(place(page + SAVE_AT), c.seg(s), segment.$.size);
  for (const [to, from] of REGISTERS) to.set(m, page + SAVE_AT, c.get(from));
  if (c.mmu.holdsCode(page / VMCB_BYTES, 0, VMCB_BYTES)) c.codeWritten(page / VMCB_BYTES);
}

/** STGI is there before EFER.SVME is set where the CPU has SKINIT; not so here. */
export function setGif(c: Core, on: boolean): void {
  requireSvm(c);
  const flags = c.get32(svmState.flags);
  c.set32(svmState.flags, on ? flags & ~SVM.gifClear : flags | SVM.gifClear);
}

/** Nothing is kept of an address space that does not run. */
export function invlpga(c: Core, i: Insn, host: { invalidate(linear: number): void }): void {
  requireSvm(c);
  const linear = BigInt.asUintN(8 * i.addrSize, c.gpr(0));
  host.invalidate(c.code64 ? Number(BigInt.asIntN(64, linear)) : Number(BigInt.asUintN(32, linear)));
}

/** VMCALL and VMMCALL: the hypervisor's own guest calls it, a guest of that does not. */
export function hypercall(c: Core): Next {
  if (inGuest(c)) c.ud();
  return EXIT.hypercall;
}
