/** The maps that say which ports and MSRs a guest is left for. @spec APM 2 15.10, 15.11 */
import type { Core } from '../core.ts';
import { controls } from './state.ts';
import { vmcbControl } from './vmcb.ts';

export const IOPM_BYTES = 3 * 4096;
export const MSRPM_BYTES = 2 * 4096;

/** First MSR of a range, and the byte of the map where it begins: two bits for each of 8192 MSRs. */
const MSR_RANGES = [
  [0, 0],
  [0xc000_0000, 0x800],
  [0xc001_0000, 0x1000],
] as const;
const MSRS_IN_RANGE = 0x2000;

/** A byte of a map; where there is no memory, all ones. */
function mapByte(c: Core, base: { offset: number }, at: number): number {
  const map = Number(c.m.u64(controls(c) + base.offset) & ~0xfffn);
  const a = c.mmu.nested(c.cpu, map + at, false);
  return a < 0 ? 0xff : c.m.u8(a);
}

/** Whether one of the ports is to be intercepted. */
export function portIntercepted(c: Core, port: number, size: number): boolean {
  const at = port >> 3;
  const bits = mapByte(c, vmcbControl.iopmBase, at) | (mapByte(c, vmcbControl.iopmBase, at + 1) << 8);
  return ((bits >> (port & 7)) & ((1 << size) - 1)) !== 0;
}

export function msrIntercepted(c: Core, msr: number, write: boolean): boolean {
  const range = MSR_RANGES.find(([first]) => msr >= first && msr < first + MSRS_IN_RANGE);
  if (!range) return true;
  const bit = (msr - range[0]) * 2 + (write ? 1 : 0);
  return ((mapByte(c, vmcbControl.msrpmBase, range[1] + (bit >> 3)) >> (bit & 7)) & 1) !== 0;
}
