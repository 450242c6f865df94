/**
 * SSE instructions in their exact form: what no handler does whole, and what a handler leaves when an operand is
 * misaligned or a floating-point result would not be the plain one.
 */
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { checkAligned } from './limits.ts';
import { missing } from './missing.ts';
import { registerSseFloat } from './sse-float.ts';
import { Operands } from './sse-operands.ts';
import { registerSseWhole } from './sse-whole.ts';

export type SseHelper = (o: Operands) => void;

/** 16-byte operands that may lie anywhere. @spec SDM 1 11.2.1 */
const UNALIGNED = new Set([X.movups, X.movupd, X.movdqu, X.lddqu]);

/** An extension that is not there has no misaligned operands either. */
const ABSENT = new Set([X.gf2p8mulb, X.gf2p8affineqb, X.gf2p8affineinvqb]);

const table = new Map<number, SseHelper>();

/** Runs an SSE instruction. */
export function runSse(c: Core, i: Insn): void {
  if (i.op === X.invalid) missing(c, i);
  const run = table.get(i.op);
  const m = i.operands.find((o) => o.kind === OPK.mem);
  if (ABSENT.has(i.op)) missing(c, i);
  if (m?.size === 16 && !UNALIGNED.has(i.op)) checkAligned(c, i, 16);
  if (!run) missing(c, i);
  run(new Operands(c, i));
}

/** Stores the bytes of operand 0 whose byte in operand 1 has its top bit set, at (R)DI. */
function maskmovdqu(o: Operands): void {
  const { c, i } = o;
  const base = c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) });
  const at = BigInt(base) + BigInt.asUintN(8 * i.addrSize, c.gpr(7));
  const value = o.lanes(0, 1);
  const mask = o.lanes(1, 1);
  for (let k = 0; k < 16; k++) if (mask[k]! & 0x80n) c.probeWrite(c.linearOf(at + BigInt(k), i.seg), 1);
  for (let k = 0; k < 16; k++) if (mask[k]! & 0x80n) c.write(c.linearOf(at + BigInt(k), i.seg), 1, value[k]!);
}
table.set(X.maskmovdqu, maskmovdqu);
const register = (op: number, run: SseHelper): void => void table.set(op, run);
registerSseFloat(register);
registerSseWhole(register);
