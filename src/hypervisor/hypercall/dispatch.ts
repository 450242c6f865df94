/**
 * From a number in a register to a handler. One hypercall holds the hypervisor lock from here to its end; a handler that
 * must wait for another CPU answers -ERESTART, and the lock is free before it is called again.
 */
import { XEN_ENOSYS, XEN_ERESTART } from '../../abi/errno.ts';
import type { Caller } from '../guest-copy.ts';
import { DOMAIN_TYPE, domainRecord } from '../records.ts';
import { hypercallRow } from './table.ts';

export function doHypercall(
  c: Caller,
  nr: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
  a5: number,
): number {
  const { hv } = c;
  c.dispatch = dispatch;
  for (;;) {
    hv.enter();
    try {
      const result = dispatch(c, nr, a1, a2, a3, a4, a5);
      if (result !== -XEN_ERESTART) return result;
    } finally {
      hv.leave();
    }
    c.restarted = true;
    c.release(0);
  }
}

/** Runs a handler with the lock held. */
export function dispatch(
  c: Caller,
  nr: number,
  a1: number,
  a2: number,
  a3: number,
  a4: number,
  a5: number,
): number {
  const row = hypercallRow(nr, domainRecord.type.get(c.mem, c.dom) === DOMAIN_TYPE.pv);
  if (row !== undefined) return row.fn(c, a1, a2, a3, a4, a5);
  logUnknown(c, nr);
  return -XEN_ENOSYS;
}

/** One line per domain and number; all numbers from 63 on share a line. */
function logUnknown(c: Caller, nr: number): void {
  const n = Math.min(nr, 63);
  const word = domainRecord.loggedCalls.addr(c.dom, n >>> 5);
  const bit = 1 << (n & 31);
  if ((c.mem.u32(word) & bit) !== 0) return;
  c.mem.setU32(word, c.mem.u32(word) | bit);
  c.hv.print(`d${c.domid} unknown hypercall ${nr}`, 'warn');
}
