/** What an instruction checks before it accesses its memory operand. @spec SDM 3A 6.9, APM 2 8.5 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState } from '../cpu-state.ts';
import { CR0_EM, CR0_TS } from '../mmu.ts';
import type { Core } from './core.ts';
import { checkUnit } from './fpu.ts';
import { readFrame } from './iret.ts';
import { checkAligned } from './limits.ts';
import { ABSENT, missing } from './missing.ts';
import { wantsAlignment } from './sse.ts';
import { checkPort } from './system.ts';
import { checkPending } from './x87/unit.ts';

/** They neither wait for the x87 nor report what is pending. */
const CONTROL = new Set<number>([X.fnstcw, X.fnstsw, X.fnstenv, X.fnsave, X.fnclex, X.fninit]);
const CR4_OSFXSR = 0x200;
/** An exception of the x87 is pending. */
const FSW_ES = 0x80;
/** Only ring 0 has them. */
const PRIVILEGED = new Set<number>([X.lgdt, X.lidt, X.lldt, X.ltr, X.lmsw, X.invpcid]);

function waits(i: Insn): boolean {
  if (i.op >= X.fld && i.op <= X.fwait) return !CONTROL.has(i.op);
  return i.operands.some((o) => o.kind === OPK.mm);
}

/** Faults if something is wrong that comes before segment limits and paging. */
export function checkFirst(c: Core, i: Insn): void {
  if (ABSENT.has(i.op)) missing(c, i);
  checkUnit(c, i);
  if (waits(i)) checkPending(c);
  if (PRIVILEGED.has(i.op) && !c.vm86) c.requireCpl0();
  if (i.op === X.ins || i.op === X.outs) checkPort(c, c.gpr32(2) & 0xffff, i.opSize);
  if (i.op !== X.invpcid && wantsAlignment(i)) checkAligned(c, i, 16);
  if (i.op === X.iret && c.code64) readFrame(c, i.opSize);
}

/** Whether `checkFirst` surely finds nothing with an instruction that accesses so many bytes. */
export function nothingFirst(c: Core, size: number): boolean {
  if (size > 8 || c.get32(cpuState.cr0) & (CR0_EM | CR0_TS) || c.m.u16(c.cpu + cpuState.fsw.offset) & FSW_ES)
    return false;
  return (c.get32(cpuState.cr4) & CR4_OSFXSR) !== 0;
}
