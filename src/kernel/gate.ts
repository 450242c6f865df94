/**
 * The hypercall gate: what domain 0's kernel has instead of a CPU. The hypervisor implements it.
 *
 * Domain 0 is an auto-translated domain: its guest frames map to machine frames through its own p2m, and "virtual"
 * addresses given to hypercalls are its guest-physical ones. A pointer argument is such an address; results of a call
 * are 0 or positive, or -errno.
 */
import type { Mem } from '../base/mem.ts';

export interface Gate {
  readonly mem: Mem;
  hypercall(nr: number, a1?: number, a2?: number, a3?: number, a4?: number, a5?: number): number;
  /** The MMU: machine address of a domain-0 guest frame, -1 when nothing is mapped there or `write` is not allowed. */
  resolve(gfn: number, write: boolean): number;
  /** First guest frame above domain 0's RAM: free for grant and foreign maps up to `mapEnd`. */
  readonly mapStart: number;
  readonly mapEnd: number;
  /** Guest frames of RAM that domain 0 owns: [0, ramFrames). */
  readonly ramFrames: number;
  /** Called (from the event loop, coalesced) when an event is pending for domain 0's vCPU 0. */
  onUpcall: (() => void) | undefined;
}
