/** The code TLB, for those who only look. */
import type { Mem } from '../../base/mem.ts';
import { EXEC_ENTRIES } from '../interp/record.ts';
import { HIGH } from './registers.ts';

/** The table of the page at a linear address, as a code TLB has it; 0 if it has none. */
export function codePage(mem: Mem, tlb: number, linear: number, context: number): number {
  const at = tlb + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16;
  const lo = ((linear & ~0xfff) | context) >>> 0;
  return mem.u32(at) === lo && mem.s32(at + 4) === (Math.floor(linear / HIGH) | 0) ? mem.u32(at + 8) : 0;
}
