/** Which domain an argument names, and whether the caller may act on it. */
import { XEN_EPERM, XEN_ESRCH } from '../../abi/errno.ts';
import { DOMID_SELF } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';

/** The record of the domain, or -errno. Domains other than the caller need privilege. */
export function targetDomain(c: Caller, domid: number): number {
  if (domid === DOMID_SELF || domid === c.domid) return c.dom;
  const dom = c.hv.domain(domid);
  if (dom === 0) return -XEN_ESRCH;
  return c.privileged ? dom : -XEN_EPERM;
}
