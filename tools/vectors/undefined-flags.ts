/** Which status flags the manual leaves undefined after an instruction. The page of the instruction says so. */

import { K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { AT } from './record.ts';

export const FLAG = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, DF: 0x400, OF: 0x800 } as const;
const { CF, AF, PF, ZF, SF, OF } = FLAG;

/** Of a shift or rotate by `count`, masked as the CPU does. */
type Rule = number | ((count: number, bits: number) => number);

/** The count of a shift or rotate. */
function countOf(b: Builder): number {
  if (b.operand(K.one)) return 1;
  return b.operand(K.imm) ? b.imm[0]! : b.rec.bytes[AT.gpr + 8]!;
}

/** @spec SDM vol. 2B "RCL/RCR/ROL/ROR": OF is defined for 1-bit rotates only; a count of 0 affects no flag. */
const rotate: Rule = (count) => (count > 1 ? OF : 0);

/**
 * @spec SDM vol. 2B "SAL/SAR/SHL/SHR": CF is undefined for SHL and SHR by the operand's size or more, OF for
 * other than 1-bit shifts, AF for any non-zero count.
 */
const shift =
  (carryUndefined: boolean): Rule =>
  (count, bits) => {
    if (count === 0) return 0;
    return AF | (count > 1 ? OF : 0) | (carryUndefined && count >= bits ? CF : 0);
  };

/** @spec SDM vol. 2B "SHLD", "SHRD": beyond the operand's size everything is undefined. */
const shiftDouble: Rule = (count, bits) => {
  if (count === 0) return 0;
  if (count > bits) return CF | OF | SF | ZF | AF | PF;
  return AF | (count > 1 ? OF : 0);
};

const MULTIPLY = SF | ZF | AF | PF;
const DIVIDE = CF | OF | SF | ZF | AF | PF;
const BIT_TEST = OF | SF | AF | PF;

/** @spec SDM vol. 2, "Flags Affected" of each page */
const RULES: Partial<Record<OpName, Rule>> = {
  and: AF,
  or: AF,
  xor: AF,
  test: AF,
  rol: rotate,
  ror: rotate,
  rcl: rotate,
  rcr: rotate,
  shl: shift(true),
  shr: shift(true),
  sar: shift(false),
  shld: shiftDouble,
  shrd: shiftDouble,
  mul: MULTIPLY,
  imul: MULTIPLY,
  div: DIVIDE,
  idiv: DIVIDE,
  bt: BIT_TEST,
  bts: BIT_TEST,
  btr: BIT_TEST,
  btc: BIT_TEST,
  bsf: CF | OF | SF | AF | PF,
  bsr: CF | OF | SF | AF | PF,
  tzcnt: OF | SF | AF | PF,
  lzcnt: OF | SF | AF | PF,
  andn: AF | PF,
  bextr: AF | SF | PF,
  blsi: AF | PF,
  blsmsk: AF | PF,
  blsr: AF | PF,
  bzhi: AF | PF,
  aaa: OF | SF | ZF | PF,
  aas: OF | SF | ZF | PF,
  aad: OF | AF | CF,
  aam: OF | AF | CF,
  daa: OF,
  das: OF,
};

/** `count` is that of a shift or rotate, as it stands in the immediate or in CL. */
export function undefinedAfter(op: OpName, bits: number, count: number): number {
  const rule = RULES[op] ?? 0;
  return typeof rule === 'number' ? rule : rule(count & (bits === 64 ? 63 : 31), bits);
}

export function undefinedFlags(b: Builder): number {
  return undefinedAfter(b.form.op, b.bits, countOf(b));
}
