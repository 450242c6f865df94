/** HYPERVISOR_vm_assist and HYPERVISOR_console_io. */
import { XEN_EFAULT, XEN_EINVAL, XEN_ENOSYS, XEN_EPERM } from '../../abi/errno.ts';
import {
  CONSOLEIO_read,
  CONSOLEIO_write,
  VMASST_CMD_disable,
  VMASST_CMD_enable,
  VMASST_TYPE_runstate_update_flag,
} from '../../abi/xen.ts';
import { guestConsoleByte } from '../guest-console.ts';
import type { Caller } from '../guest-copy.ts';
import { domainRecord } from '../records.ts';

const HVM_ASSISTS = 1 << VMASST_TYPE_runstate_update_flag;

export function doVmAssist(c: Caller, cmd: number, type: number): number {
  if (type < 0 || type > 31 || ((1 << type) & HVM_ASSISTS) === 0) return -XEN_EINVAL;
  const now = domainRecord.vmAssist.get(c.mem, c.dom);
  switch (cmd >>> 0) {
    case VMASST_CMD_enable:
      domainRecord.vmAssist.set(c.mem, c.dom, now | (1 << type));
      return 0;
    case VMASST_CMD_disable:
      domainRecord.vmAssist.set(c.mem, c.dom, now & ~(1 << type));
      return 0;
    default:
      return -XEN_ENOSYS;
  }
}

const CHUNK = 4096;
/** What one call may write: the lock is held meanwhile. */
const MAX_WRITE = 64 << 10;

/** DIVERGES: every domain may write, as in Xen's debug builds; an early console is worth more than silence. */
export function doConsoleIo(c: Caller, cmd: number, count: number, buffer: number): number {
  const left = Math.min(count >>> 0, MAX_WRITE);
  switch (cmd >>> 0) {
    case CONSOLEIO_write:
      for (let done = 0; done < left; done += CHUNK) {
        const n = Math.min(CHUNK, left - done);
        const mark = c.mark();
        const at = c.copyIn(buffer + done, n);
        if (at < 0) return -XEN_EFAULT;
        for (let i = 0; i < n; i++) guestConsoleByte(c.hv, c.dom, c.scratch.u8(at + i));
        c.release(mark);
      }
      return 0;
    case CONSOLEIO_read:
      return c.privileged ? 0 : -XEN_EPERM;
    default:
      return -XEN_ENOSYS;
  }
}
