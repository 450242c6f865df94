/**
 * SSE instructions in their exact form: what no handler does whole, and what a handler leaves when an operand is
 * misaligned or a floating-point result would not be the plain one.
 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { checkAligned, checkLimit } from './limits.ts';
import { ABSENT, missing } from './missing.ts';
import { registerSseFloat } from './sse-float.ts';
import { Operands } from './sse-operands.ts';
import { registerSseWhole } from './sse-whole.ts';

export type SseHelper = (o: Operands) => void;

/** 16-byte operands that may lie anywhere, SHA's on AMD's CPUs. @spec SDM 1 11.2.1 */
const UNALIGNED = new Set([
  ...[X.movups, X.movupd, X.movdqu, X.lddqu, X.pcmpestri, X.pcmpestrm, X.pcmpistri, X.pcmpistrm],
  ...[X.sha1msg1, X.sha1msg2, X.sha1nexte, X.sha1rnds4, X.sha256msg1, X.sha256msg2, X.sha256rnds2],
]);
/** Whether a misaligned memory operand faults. */
export const wantsAlignment = (i: Insn): boolean =>
  !UNALIGNED.has(i.op) && i.operands.some((o) => o.kind === OPK.mem && o.size === 16);

const table = new Map<number, SseHelper>();

/** Runs an SSE instruction. */
export function runSse(c: Core, i: Insn): void {
  if (i.op === X.invalid) missing(c, i);
  const run = table.get(i.op);
  if (ABSENT.has(i.op)) missing(c, i);
  if (wantsAlignment(i)) checkAligned(c, i, 16);
  if (!run) missing(c, i);
  run(new Operands(c, i));
}

/** Stores the bytes of operand 0 whose byte in operand 1 has its top bit set, at (R)DI. */
function maskmovdqu(o: Operands): void {
  const { c, i } = o;
  const offset = BigInt.asUintN(8 * i.addrSize, c.gpr(7));
  const base = c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) });
  const at = BigInt(base) + offset;
  const value = o.lanes(0, 1);
  const mask = o.lanes(1, 1);
  // AMD's CPUs have to be able to write all of it, whatever the mask says
  for (const half of [0n, 8n]) {
    const from = BigInt.asUintN(8 * i.addrSize, offset + half);
    checkLimit(c, i.seg, Number(from), 8, true);
    c.probeWrite(c.linearOf(BigInt(base) + from, i.seg), 8);
  }
  for (let k = 0; k < 16; k++) if (mask[k]! & 0x80n) c.write(c.linearOf(at + BigInt(k), i.seg), 1, value[k]!);
}
table.set(X.maskmovdqu, maskmovdqu);
const register = (op: number, run: SseHelper): void => void table.set(op, run);
registerSseFloat(register);
registerSseWhole(register);
