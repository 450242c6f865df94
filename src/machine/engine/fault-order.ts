/** What an instruction checks before it accesses its memory operand. @spec SDM 3A 6.9, APM 2 8.5 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import type { Core } from './core.ts';
import { checkUnit } from './fpu.ts';
import { checkAligned } from './limits.ts';
import { checkPending } from './x87/unit.ts';

/** They neither wait for the x87 nor report what is pending. */
const CONTROL = new Set<number>([X.fnstcw, X.fnstsw, X.fnstenv, X.fnsave, X.fnclex, X.fninit]);

function waits(i: Insn): boolean {
  if (i.op >= X.fld && i.op <= X.fwait) return !CONTROL.has(i.op);
  return i.operands.some((o) => o.kind === OPK.mm);
}

/** Faults if something is wrong that comes before segment limits and paging. */
export function checkFirst(c: Core, i: Insn): void {
  checkUnit(c, i);
  if (waits(i)) checkPending(c);
  if (i.op === X.cmpxchg16b) checkAligned(c, i, 16);
}
