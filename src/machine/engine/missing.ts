/** Instructions that are not there: #UD, and their names for the log. */
import { encodingName } from '../../x86/disasm.ts';
import type { Insn } from '../../x86/insn.ts';
import { OP_NAMES, OP as X } from '../../x86/ops.ts';
import type { Core } from './core.ts';

/** Whole extensions that are not there; their memory operands then do not matter. */
export const ABSENT: ReadonlySet<number> = new Set([
  ...[X.gf2p8mulb, X.gf2p8affineqb, X.gf2p8affineinvqb, X.movntss, X.movntsd, X.xsaves, X.xrstors],
]);

/** For what no handler and no helper does: it is in no CPUID of ours, or no encoding at all. */
export function missing(c: Core, i: Insn): never {
  const what = i.op === X.invalid ? `opcode ${encodingName(i)}` : OP_NAMES[i.op]!;
  c.platform.cannotRun(c.cpu, `the instruction ${what}`);
  c.ud();
}
