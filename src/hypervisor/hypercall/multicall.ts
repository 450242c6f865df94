/** HYPERVISOR_multicall: entries in order, each result written back; the call itself fails only by its own arguments. */
import { XEN_EFAULT, XEN_EINVAL, XEN_ERESTART } from '../../abi/errno.ts';
import { multicall_entry, multicall_entry_32 } from '../../abi/xen.ts';
import type { Caller } from '../guest-copy.ts';

const WORDS = 5;

export function doMulticall(c: Caller, list: number, count: number): number {
  if (c.inMulticall) return -XEN_EINVAL;
  c.inMulticall = true;
  const result = runEntries(c, list, count >>> 0);
  c.inMulticall = false;
  return result;
}

function runEntries(c: Caller, list: number, count: number): number {
  const layout = c.layout(multicall_entry, multicall_entry_32);
  const { size } = layout.$;
  const args = [0, 0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const mark = c.mark();
    const at = c.copyIn(list + i * size, size);
    if (at < 0) return -XEN_EFAULT;
    for (let k = 0; k < WORDS; k++) args[k] = argument(c, layout.args.addr(at, k));
    let r = c.dispatch(
      c,
      c.scratch.u32(layout.op.addr(at)),
      args[0]!,
      args[1]!,
      args[2]!,
      args[3]!,
      args[4]!,
    );
    while (r === -XEN_ERESTART) {
      c.restarted = true;
      r = c.dispatch(c, c.scratch.u32(layout.op.addr(at)), args[0]!, args[1]!, args[2]!, args[3]!, args[4]!);
    }
    c.restarted = false;
    c.progress = 0;
    c.scratch.setU32(layout.result.addr(at), r >>> 0);
    if (c.wide) c.scratch.setU32(layout.result.addr(at) + 4, r < 0 ? 0xffff_ffff : Math.floor(r / 2 ** 32));
    const out = layout.result.offset;
    if (!c.copyOut(list + i * size + out, at + out, c.wide ? 8 : 4)) return -XEN_EFAULT;
    c.release(mark);
  }
  return 0;
}

const argument = (c: Caller, at: number): number =>
  c.wide ? c.scratch.u32(at) + c.scratch.s32(at + 4) * 2 ** 32 : c.scratch.u32(at);
