/** Decode assists: what an exit tells of the instruction, so that the monitor need not read it. @spec APM 2 15.33 */
import { cpuState, SEG } from '../../cpu-state.ts';
import { ACCESS } from '../../mmu.ts';
import type { Core } from '../core.ts';
import { EXC, GuestFault } from '../registers.ts';
import { VmExit } from './vm-exit.ts';
import { VMEXIT } from './vmcb.ts';

const MAX_BYTES = 15;
/** In a page fault's error code: it was a fetch. */
const FETCH = 0x10n;

/** The code at the guest's RIP, as far as it can be read, where a data access left the guest. */
export function fetchedBytes(c: Core, exit: VmExit): number[] {
  if (exit.code !== VMEXIT.npf && exit.code !== VMEXIT.exception + EXC.PF) return [];
  if (exit.info1 & FETCH || exit.intInfo) return [];
  const bytes: number[] = [];
  const ip = c.lin(cpuState.rip) + (c.code64 ? 0 : c.segBase(SEG.cs));
  for (let k = 0; k < MAX_BYTES; k++) {
    const a = readable(c, c.code64 ? ip + k : (ip + k) >>> 0);
    if (a < 0) break;
    bytes.push(c.m.u8(a));
  }
  return bytes;
}

/** Machine address of a byte of code, negative where it cannot be fetched. */
function readable(c: Core, linear: number): number {
  try {
    return c.mmu.translate(c.cpu, linear, ACCESS.exec, c.cpl === 3);
  } catch (e) {
    if (e instanceof VmExit || e instanceof GuestFault) return -1;
    throw e;
  }
}
