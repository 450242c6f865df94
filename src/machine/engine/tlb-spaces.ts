/**
 * Address spaces in the TLBs: which entries belong to one, and where they are while another one runs.
 *
 * What runs is always tagged with the live generation, global pages for good. The other entries of an address space are
 * listed, and parked under the space's own generation while it does not run. So a switch costs in proportion to the
 * misses that filled what is switched, and global pages cost nothing. Without PCIDs there is one space, number 0.
 */
import type { Mem } from '../../base/mem.ts';

/** In a tag: the generation, above the privilege. */
const GEN_SHIFT = 5;
const GEN_MASK = 127 << GEN_SHIFT;
/** The entry's fourth word. */
export const ENTRY_FLAGS = 12;
export const ENTRY_GLOBAL = 1;
/** Let in under SMAP: a user page for the supervisor. */
export const ENTRY_OPEN = 2;
/** Entries in a list, some of them perhaps more than once, before the space is emptied. */
const MAX_LISTED = 16_384;

const generationOf = (tag: number): number => (tag & GEN_MASK) >>> GEN_SHIFT;

export class Space {
  readonly generation: number;
  private entries: number[] = [];

  constructor(generation: number) {
    this.generation = generation;
  }

  /** An entry that is not global is about to be filled for this space, which runs. */
  note(m: Mem, at: number, live: number): void {
    if (generationOf(m.u32(at)) === live && (m.u32(at + ENTRY_FLAGS) & ENTRY_GLOBAL) === 0) return;
    if (this.entries.length === MAX_LISTED) this.empty(m, live);
    this.entries.push(at);
  }

  /** Retags the entries that bear one generation with another; those that others have taken meanwhile are let go. */
  move(m: Mem, from: number, to: number): void {
    this.entries = this.entries.filter((at) => {
      const tag = m.u32(at);
      if (!this.owns(m, at, tag, from)) return false;
      m.setU32(at, ((tag & ~GEN_MASK) | (to << GEN_SHIFT)) >>> 0);
      return true;
    });
  }

  /** Forgets the entries, which bear this generation. */
  empty(m: Mem, generation: number): void {
    for (const at of this.entries) if (this.owns(m, at, m.u32(at), generation)) m.setU32(at, 0);
    this.entries = [];
  }

  private owns(m: Mem, at: number, tag: number, generation: number): boolean {
    return generationOf(tag) === generation && (m.u32(at + ENTRY_FLAGS) & ENTRY_GLOBAL) === 0;
  }
}

/** The address spaces of one vCPU. */
export class Spaces {
  readonly byNumber = new Map<number, Space>();
  current: Space;

  constructor(number: number, generation: number) {
    this.current = new Space(generation);
    this.byNumber.set(number, this.current);
  }
}
