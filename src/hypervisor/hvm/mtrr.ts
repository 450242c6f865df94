/** MTRRs: they are kept and checked, and change nothing, as all memory here is cached alike. @spec SDM 3A 12.11 */

import type { Mem } from '../../base/mem.ts';
import { CPU_MAX_PHYS_BITS } from '../../x86/cpuid.ts';
import { vcpuRecord } from '../records.ts';

/** Eight variable ranges, fixed ranges, write combining. */
export const MTRR_CAP = 0x508;
const VARIABLE_FIRST = 0x200;
const VARIABLE_LAST = 0x20f;
const FIXED = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const CAP = 0xfe;
const DEF_TYPE = 0x2ff;
/** Bits of a physical address in an MSR's upper half. */
const PHYS_HIGH = 2 ** (CPU_MAX_PHYS_BITS - 32) - 1;
/** Memory types 0, 1, 4, 5, 6. */
const typeOk = (t: number): boolean => t <= 6 && t !== 2 && t !== 3;

/** The machine address of the MSR's storage; 0 for one that is no MTRR or is read-only. */
function storage(v: number, msr: number): number {
  if (msr === DEF_TYPE) return vcpuRecord.mtrrDefType.addr(v);
  if (msr >= VARIABLE_FIRST && msr <= VARIABLE_LAST) return vcpuRecord.mtrrVar.addr(v, msr - VARIABLE_FIRST);
  const fixed = FIXED.indexOf(msr);
  return fixed < 0 ? 0 : vcpuRecord.mtrrFixed.addr(v, fixed);
}

export function readMtrr(m: Mem, v: number, msr: number, out: Uint32Array): boolean {
  if (msr === CAP) {
    out[0] = MTRR_CAP;
    out[1] = 0;
    return true;
  }
  const at = storage(v, msr);
  if (at === 0) return false;
  out[0] = m.u32(at);
  out[1] = m.u32(at + 4);
  return true;
}

export function writeMtrr(m: Mem, v: number, msr: number, lo: number, hi: number): boolean {
  const at = storage(v, msr);
  if (at === 0 || !valueOk(msr, lo, hi)) return false;
  m.setU32(at, lo);
  m.setU32(at + 4, hi);
  return true;
}

function valueOk(msr: number, lo: number, hi: number): boolean {
  if (msr === DEF_TYPE) return hi === 0 && (lo & ~0xcff) === 0 && typeOk(lo & 0xff);
  if (msr <= VARIABLE_LAST && (hi & ~PHYS_HIGH) !== 0) return false;
  if (msr <= VARIABLE_LAST) return msr & 1 ? (lo & 0x7ff) === 0 : (lo & 0xf00) === 0 && typeOk(lo & 0xff);
  for (const word of [lo, hi]) {
    for (let i = 0; i < 32; i += 8) if (!typeOk((word >>> i) & 0xff)) return false;
  }
  return true;
}
