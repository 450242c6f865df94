/** Which status flags the manual leaves undefined, where that depends on the operands. */

export const FLAG = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, DF: 0x400, OF: 0x800 } as const;
const { CF, AF, PF, ZF, SF, OF } = FLAG;

/** The undefined flags of a shift or rotate by `count` (already masked to 5 or 6 bits) on `bits` bits. */
export type UndefinedByCount = (count: number, bits: number) => number;

/** @spec SDM vol. 2B "RCL/RCR/ROL/ROR": OF is defined for 1-bit rotates only; a count of 0 affects no flag. */
export const undefinedRotate: UndefinedByCount = (count) => (count > 1 ? OF : 0);

/**
 * @spec SDM vol. 2B "SAL/SAR/SHL/SHR": CF is undefined for SHL and SHR by the operand's size or more, OF for
 * other than 1-bit shifts, AF for any non-zero count.
 */
export const undefinedShift =
  (carryUndefined: boolean): UndefinedByCount =>
  (count, bits) => {
    if (count === 0) return 0;
    return AF | (count > 1 ? OF : 0) | (carryUndefined && count >= bits ? CF : 0);
  };

/** @spec SDM vol. 2B "SHLD", "SHRD": beyond the operand's size everything is undefined. */
export const undefinedShiftDouble: UndefinedByCount = (count, bits) => {
  if (count === 0) return 0;
  if (count > bits) return CF | OF | SF | ZF | AF | PF;
  return AF | (count > 1 ? OF : 0);
};
