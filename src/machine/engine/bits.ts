/** PDEP and PEXT. @spec SDM 2 */
import type { Insn } from '../../x86/insn.ts';
import type { Core } from './core.ts';

/** Both sources as 32-bit halves, the low one first. */
function sources(c: Core, i: Insn): { value: number[]; mask: number[] } {
  if (!c.protectedMode || c.vm86) c.ud();
  const [, a, b] = i.operands;
  const halves = (v: bigint): number[] => [Number(v & 0xffff_ffffn), Number(v >> 32n)];
  return { value: halves(c.operand(i, a)), mask: halves(c.operand(i, b)) };
}

function finish(c: Core, i: Insn, out: Uint32Array): void {
  const { reg, size } = i.operands[0];
  c.setGpr(reg, size, (BigInt(out[1]!) << 32n) | BigInt(out[0]!));
}

/** The value's low bits go, in order, to where the mask has ones. */
export function depositBits(c: Core, i: Insn): void {
  const { value, mask } = sources(c, i);
  const out = new Uint32Array(2);
  let from = 0;
  for (let half = 0; half < 2; half++)
    for (let rest = mask[half]!; rest !== 0; rest &= rest - 1, from++)
      if ((value[from >> 5]! >>> (from & 31)) & 1) out[half]! |= rest & -rest;
  finish(c, i, out);
}

/** The value's bits where the mask has ones go, in order, to the low end. */
export function extractBits(c: Core, i: Insn): void {
  const { value, mask } = sources(c, i);
  const out = new Uint32Array(2);
  let to = 0;
  for (let half = 0; half < 2; half++)
    for (let rest = mask[half]!; rest !== 0; rest &= rest - 1, to++)
      if (value[half]! & rest & -rest) out[to >> 5]! |= 1 << (to & 31);
  finish(c, i, out);
}
