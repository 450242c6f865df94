/** The flow of a region: its basic blocks, and how they follow each other. */
/** A place in the code, in pages from the region's base page. */
export interface Place {
  readonly page: number;
  readonly off: number;
}
/** A way out of a block: to another block, or (-1) out of the region. */
export interface Way extends Place {
  readonly block: number;
  /** A page whose translation must be as it was, since the block is on it. */
  readonly guard?: number | undefined;
  /** The record to go on at in the interpreter, which finds out about the page, where the way cannot be taken. */
  readonly instead?: number;
  /** Out of the region: what the address is masked with, where that is narrower than 64 bits. */
  readonly mask?: bigint;
}

export type Ending =
  | { readonly kind: 'goto'; readonly to: Way }
  | { readonly kind: 'if'; readonly record: number; readonly taken: Way; readonly next: Way }
  /** The last record is a call, or a return that goes on at `to` if that is where it returns to. */
  | { readonly kind: 'call' | 'return'; readonly to: Way }
  /** The last record jumps to an address that may be one of the region's entries. */
  | { readonly kind: 'indirect' }
  /** The last record leaves by itself (a helper). */
  | { readonly kind: 'out' };

export interface Block {
  readonly page: number;
  /** Where its first instruction is, in its page and as a record. */
  readonly off: number;
  readonly first: number;
  /** Records but for a jump that `ending` does. */
  readonly records: number[];
  /** Instructions. */
  count: number;
  ending: Ending;
}

export interface Flow {
  readonly blocks: Block[];
  /** Blocks where the region can be entered; the first is where it was asked for. */
  readonly entries: number[];
  /** Pages that instructions of the region are on. */
  readonly pages: number[];
  /** Records in it: a measure of its size. */
  readonly records: number;
}
/** Where a region begins: a record on a page. */
export interface Start {
  readonly page: number;
  readonly record: number;
}

/** Finds the table of a page, in pages from the base page; 0 where there is none. */
export type PageTables = (page: number) => number;

/** The ways that are known. */
export function waysOf(ending: Ending): Way[] {
  if (ending.kind === 'if') return [ending.taken, ending.next];
  return 'to' in ending ? [ending.to] : [];
}
