/**
 * The hypervisor's console: a ring of bytes in machine memory that every thread appends to, under the hypervisor lock,
 * and that XEN_SYSCTL_readconsole reads. Indices run freely; the ring holds the last CON_RING_BYTES.
 */
import type { Mem } from '../base/mem.ts';
import { rootRecord } from './records.ts';

export const CON_RING_BYTES = 32768;

export function consoleAppend(mem: Mem, root: number, text: string): void {
  const ring = rootRecord.conRing.get(mem, root);
  let prod = rootRecord.conRingProd.get(mem, root);
  for (let i = 0; i < text.length; i++) {
    mem.setU8(ring + (prod & (CON_RING_BYTES - 1)), text.charCodeAt(i) & 0xff);
    prod = (prod + 1) >>> 0;
  }
  rootRecord.conRingProd.set(mem, root, prod);
  const cons = rootRecord.conRingCons.get(mem, root);
  if ((prod - cons) >>> 0 > CON_RING_BYTES)
    rootRecord.conRingCons.set(mem, root, (prod - CON_RING_BYTES) >>> 0);
}

/** The byte at a free-running index. */
export function consoleByte(mem: Mem, root: number, index: number): number {
  return mem.u8(rootRecord.conRing.get(mem, root) + (index & (CON_RING_BYTES - 1)));
}
