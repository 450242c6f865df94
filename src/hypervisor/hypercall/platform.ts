/** HYPERVISOR_platform_op: what a control domain tells of, or asks about, the machine. @abi public/platform.h */
import { XEN_EACCES, XEN_EFAULT, XEN_ENOSYS, XEN_EPERM } from '../../abi/errno.ts';
import { XENPF_INTERFACE_VERSION } from '../../abi/platform.ts';
import type { Caller } from '../guest-copy.ts';

export function doPlatformOp(c: Caller, arg: number): number {
  const at = c.copyIn(arg, 8);
  if (at < 0) return -XEN_EFAULT;
  if (c.scratch.u32(at + 4) !== XENPF_INTERFACE_VERSION) return -XEN_EACCES;
  return c.privileged ? -XEN_ENOSYS : -XEN_EPERM;
}
