/**
 * Address spaces in the TLBs: which entries belong to one, and where they are while another one runs.
 *
 * What runs is always tagged with the live generation, global pages for good. The other entries of an address space are
 * listed (in the vCPU's block, by `enter` of interp/tlb-functions.ts), and parked under the space's own generation while
 * it does not run, with the list in its record (SPACE). So a switch costs in proportion to the misses that filled what is
 * switched, and global pages cost nothing. Without PCIDs there is one space, number 0. When there are too many, the one
 * that came first is forgotten. Switching is WebAssembly, see interp/space-functions.ts.
 */
import { cpuState } from '../cpu-state.ts';
import { SPACE, SPACES, SPACES_AT } from '../interp/record.ts';
import type { TlbFunctions } from '../interp/tlb-functions.ts';
import type { Core } from './core.ts';

/** Those of the vCPU that runs. */
export class Spaces {
  private readonly c: Core;
  private readonly functions: TlbFunctions;

  constructor(c: Core, functions: TlbFunctions) {
    this.c = c;
    this.functions = functions;
  }

  private at(n: number): number {
    return this.c.cpu + SPACES_AT + n * SPACE.size;
  }

  /** Nothing is in the TLBs: one space, which runs, with a generation for when it does not. */
  begin(number: number, generation: number): void {
    const { c } = this;
    for (let n = 0; n < SPACES; n++) c.m.fill(this.at(n), SPACE.list);
    c.m.setU32(this.at(0) + SPACE.number, number + 1);
    c.m.setU32(this.at(0) + SPACE.generation, generation);
    c.set32(cpuState.space, SPACES_AT);
    c.set32(cpuState.nextSpace, 1);
  }

  /** False: no generation is left. */
  switchTo(number: number, keep: boolean): boolean {
    return this.functions.switchSpace(this.c.cpu, number, keep ? 1 : 0) === 0;
  }
  drop(number: number): void {
    this.functions.dropSpace(this.c.cpu, number);
  }
  dropAll(): void {
    for (let n = 0; n < SPACES; n++) {
      const number = this.c.m.u32(this.at(n) + SPACE.number);
      if (number !== 0) this.drop(number - 1);
    }
  }
}
