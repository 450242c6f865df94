/**
 * Address spaces in the TLBs: which entries belong to one, and where they are while another one runs.
 *
 * What runs is always tagged with the live generation, global pages for good. The other entries of an address space are
 * listed (in the vCPU's block, by `enter` of interp/tlb-functions.ts), and parked under the space's own generation while
 * it does not run. So a switch costs in proportion to the misses that filled what is switched, and global pages cost
 * nothing. Without PCIDs there is one space, number 0.
 */
import { cpuState } from '../cpu-state.ts';
import { ENTRY_FLAG, GEN_MASK, GEN_SHIFT, TLB_ENTRY, TLB_LIST, TLB_READ } from '../interp/record.ts';
import type { TlbFunctions } from '../interp/tlb-functions.ts';
import type { Core } from './core.ts';

const NONE = new Uint8Array(0);

export class Space {
  /** Of its entries while it does not run. */
  readonly generation: number;
  private readonly c: Core;
  private readonly tlb: TlbFunctions;
  /** Its list while it does not run. */
  private parked = NONE;

  constructor(c: Core, tlb: TlbFunctions, generation: number) {
    this.c = c;
    this.tlb = tlb;
    this.generation = generation;
  }

  /** It has run so far. */
  park(): void {
    const { m, cpu } = this.c;
    this.tlb.retag(cpu, this.c.get32(cpuState.generation), this.generation);
    const list = cpu + TLB_LIST;
    this.parked = m.bytes.slice(list, list + 2 * this.c.get32(cpuState.listed));
    this.c.set32(cpuState.listed, 0);
  }

  /** It runs from now on. */
  resume(): void {
    const { m, cpu } = this.c;
    m.bytes.set(this.parked, cpu + TLB_LIST);
    this.c.set32(cpuState.listed, this.parked.length / 2);
    this.parked = NONE;
    this.tlb.retag(cpu, this.generation, this.c.get32(cpuState.generation));
  }

  /** Forgets the entries of the space that runs. */
  emptyLive(): void {
    this.tlb.retag(this.c.cpu, this.c.get32(cpuState.generation), 0);
  }

  /** Forgets the entries that are parked. */
  empty(): void {
    const { m, cpu } = this.c;
    for (let k = 0; k < this.parked.length; k += 2) {
      const at = cpu + TLB_READ + (this.parked[k]! | (this.parked[k + 1]! << 8)) * TLB_ENTRY.size;
      const own = (m.u32(at) & GEN_MASK) >>> GEN_SHIFT === this.generation;
      if (own && (m.u32(at + TLB_ENTRY.flags) & ENTRY_FLAG.global) === 0) m.setU32(at, 0);
    }
    this.parked = NONE;
  }
}

/** The address spaces of one vCPU. */
export class Spaces {
  readonly byNumber = new Map<number, Space>();
  current: Space;

  constructor(number: number, current: Space) {
    this.current = current;
    this.byNumber.set(number, current);
  }
}
