/**
 * Pre-decoded records: what the interpreter executes. 48 bytes each, in machine memory, one after the other in the order
 * of a straight run of code; an instruction is one record, or several (load, operate, store) where no handler does it all.
 */
export const REC = {
  /** u16: index into the handler table. */
  handler: 0,
  /** u16: instructions from the start of the decoded run to this one, inclusive. */
  n: 2,
  /** u16: where the instruction starts in its page. */
  off: 4,
  /** u16: where the next one starts; 4096 or more at the end of the page. */
  next: 6,
  /** u16: byte offset of a register operand from the start of cpuState (from `xmm` for vectors). */
  r1: 8,
  r2: 10,
  /** u16: likewise, of the address's base and index; `zero` where there is none, `ripBase` for RIP-relative. */
  base: 12,
  /** u16: a third register, where there is no memory operand. */
  r3: 12,
  index: 14,
  /** s32 */
  disp: 16,
  /** u8: log2 of the index's scale. */
  scale: 20,
  /** u8: byte offset of the segment base in `segBase`. */
  seg: 21,
  /** u8: 1 if the address is in the stack segment, for the fault a bad one raises. */
  stack: 22,
  /** i64: immediate, or the displacement of a branch. */
  imm: 24,
  /** i64: what the effective address (or a branch target) is masked with. */
  mask: 32,
  /**
   * u32: machine address of the page table's slot for a branch target in this page (0: no such slot);
   * index of a routine; the records of an instruction that goes on in the next page, whose table is in `imm`.
   */
  slot: 40,
  /** u32: index of the decoded instruction, for helpers. */
  insn: 44,
  /**
   * u32: of a jump, in the place of `insn`, the record that it went to last. Where it goes is looked up all the same, but a
   * CPU fetches what is there before it is through with that: each step is a miss in its caches where code is large.
   */
  hint: 44,
  size: 48,
} as const;

/** The vCPU's block in machine memory: cpuState, then its TLBs. */
export const TLB_ENTRIES = 4096;
export const TLB_READ = 4096;
export const TLB_WRITE = TLB_READ + TLB_ENTRIES * 16;
export const EXEC_ENTRIES = 4096;
export const TLB_EXEC = TLB_WRITE + TLB_ENTRIES * 16;
export const EXEC_BYTES = EXEC_ENTRIES * 16;

/** A byte for each region of 2 MiB (hashed, in either half): whether a piece of a large page there may be in a TLB. */
export const LARGE_REGIONS = TLB_EXEC + EXEC_BYTES;
export const REGIONS = 4096;
/** u16 each: numbers of entries, counted through the three TLBs. */
export const TLB_LIST = LARGE_REGIONS + 2 * REGIONS;
/** Entries in the list, some of them perhaps more than once, before the address space is emptied. */
export const MAX_LISTED = 16_384;
/** Address spaces that are known of, and entries of one while it does not run: what is beyond is forgotten. */
export const SPACES = 8;
export const MAX_PARKED = 4096;
/** Its number, counted from 1 (0: free); the generation of its entries while it does not run (0: none yet); their list. */
export const SPACE = { number: 0, generation: 4, count: 8, list: 16, size: 16 + MAX_PARKED * 2 } as const;
export const SPACES_AT = TLB_LIST + MAX_LISTED * 2;
export const CPU_BYTES = SPACES_AT + SPACES * SPACE.size;

/** An entry's words: the tag's low one, the high one, what is added to an address (a code page's table), and flags. */
export const TLB_ENTRY = { tag: 0, high: 4, value: 8, flags: 12, size: 16 } as const;
/** GLOBAL: outlives a change of address space. OPEN: a user page, let in under SMAP. LARGE: a piece of a large page. */
export const ENTRY_FLAG = { global: 1, open: 2, large: 4 } as const;
/** In a tag: the generation, above the privilege. */
export const GEN_SHIFT = 5;
export const MAX_GENERATION = 127;
export const GEN_MASK = MAX_GENERATION << GEN_SHIFT;

/** Low tag bits: 3:0 alignment (always 0 in a tag), 11:4 context. */
/** In a tag, and in tlbCtx: the entry is ring 3's. */
export const TAG_USER = 0x10;
/** In a tag: the entry matches nothing, and can be made to match again (tags have no low bits). */
export const TAG_CLOSED = 8;
/**
 * Number of the entry for a page in a TLB for data: as the supervisor and as the user sees it are half a TLB apart, so
 * that neither puts the other out. `context` is tlbCtx.
 */
export const tlbPlace = (linear: number, context: number): number =>
  ((linear >>> 12) ^ (context & TAG_USER ? TLB_ENTRIES / 2 : 0)) & (TLB_ENTRIES - 1);

/** faultKind: what was attempted, and the size in bytes above. */
export const KIND_READ = 1;
export const KIND_WRITE = 2;
export const KIND_RMW = 3;
export const KIND_ATOMIC = 7;
export const kindSize = (kind: number): number => kind >>> 8;

/** Why the interpreter returned. */
export const LEAVE = {
  /** The block budget is used up; rip is at `exitRp`. */
  fuel: 0,
  /** No translation or no record for `rip`. */
  fetch: 1,
  /** A data access missed the TLB; the instruction at `exitRp` has not run. */
  miss: 2,
  /** The instruction at `exitRp` is for a helper. */
  helper: 3,
  /** A `stop` record: what was to be run alone has run; `exitRp` is the stop record. */
  stop: 4,
  /** The record at `exitRp` is a routine's; `run` calls that and goes on, so the engine never sees this. */
  routine: 5,
  /** The record at `exitRp` is a compiled region's entry. */
  region: 6,
  /** A region's: it is left for `rip`, to be looked up. */
  jump: 7,
  /** A region's: the record at `exitRp` is the interpreter's. */
  resume: 8,
  /** The driver's: two regions are often run one after the other, `lastRegion` and the one entered at `exitRp`. */
  merge: 9,
} as const;
