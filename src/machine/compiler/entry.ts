/**
 * The record that stands where a region can be entered, in the place of the one that was compiled: a copy of that, so
 * that it counts as that does, with the special handler `region`, the original in `slot`, and these in fields that only
 * an operation would use.
 */
import { REC } from '../interp/record.ts';

export const ENTRY = {
  /** u32: the region's place in the driver's table, and which of its entries this is. */
  index: REC.imm,
  number: REC.imm + 4,
  /**
   * u32: the region's number, which none other ever has, and no record there that is no entry (their masks are 16 or 32
   * bits, or all), nor machine address 0.
   */
  region: REC.mask,
  /** s32: times that it is entered from another region until the two are looked at. */
  count: REC.mask + 4,
} as const;
