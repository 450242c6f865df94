/** Records as places in a region, while its flow is found: what they are known by, and where they lead to. */
import type { Mem } from '../../base/mem.ts';
import { HANDLERS, originalRecord, SPECIAL, type Special } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import { isPlain } from '../interp/routine-list.ts';
import type { PageTables, Way } from './flow.ts';

const PAGES = 1 << 20;
const WRAP32 = 0xffff_ffffn;

/** What a block is known by while the flow is found: the call it is in, its page and its record, in one number. */
export const key = (context: number, page: number, record: number): number =>
  (context * PAGES + page + PAGES / 2) * 0x1000_0000 + record / 16;
export const recordOf = (k: number): number => (k % 0x1000_0000) * 16;
export const pageOf = (k: number): number => (Math.floor(k / 0x1000_0000) % PAGES) - PAGES / 2;
export const contextOf = (k: number): number => Math.floor(k / (0x1000_0000 * PAGES));

/** How a handler that jumps does so; a system call comes back like a call, but goes to another privilege level. */
const JUMPS = {
  jcc: 'jcc',
  jmpRel: 'jmpRel',
  callRel: 'callRel',
  call: 'call',
  syscall: 'enter',
  ret: 'ret',
  jmp: 'jmp',
  sysret: 'exit',
  iretq: 'exit',
} as const;
export type Jump = (typeof JUMPS)[keyof typeof JUMPS];
export const JUMP_OF: (Jump | undefined)[] = [
  ...SPECIAL.map(() => undefined),
  ...HANDLERS.map((h) => (JUMPS as Record<string, Jump>)[h.name]),
];

export type GoesOn = 'goto' | 'nextPage' | 'straddle';
export const goesOn = (special: Special | undefined): special is GoesOn =>
  special === 'goto' || special === 'nextPage' || special === 'straddle';

/** The record cannot be part of a region: it is for a helper, or for a routine of which one does not know what it does. */
export function leavesAt(mem: Mem, record: number): boolean {
  const special = SPECIAL[mem.u16(record + REC.handler)];
  return special === 'helper' || (special === 'routine' && !isPlain(mem.u32(record + REC.slot)));
}

/** Where records lead to; `block` is what the place is known by, or -1. */
export class Ways {
  private readonly mem: Mem;
  private readonly tables: PageTables;

  constructor(mem: Mem, tables: PageTables) {
    this.mem = mem;
    this.tables = tables;
  }

  /** The place at an offset from the base page's start; `block` is a key as yet. */
  private way(from: number, offset: number): Way {
    const page = Math.floor(offset / 4096);
    const off = offset - page * 4096;
    const table = Math.abs(page) < PAGES / 2 ? this.tables(page) : 0;
    const record = table === 0 ? 0 : originalRecord(this.mem, this.mem.u32(table + off * 4));
    const block = record === 0 ? -1 : key(contextOf(from), page, record);
    return { block, page, off, guard: page === pageOf(from) ? undefined : page };
  }
  after(at: number): Way {
    return this.way(at, pageOf(at) * 4096 + this.mem.u16(recordOf(at) + REC.next));
  }
  target(at: number): Way {
    const r = recordOf(at);
    const to = this.way(at, pageOf(at) * 4096 + this.mem.u16(r + REC.next) + this.mem.s32(r + REC.imm));
    const mask = this.mem.s64(r + REC.mask);
    if (mask === -1n) return to;
    // 16 bits may lead elsewhere but where the decoder found the target in the page; where 32 bits wrap, the guard tells
    const known = mask === WRAP32 || this.mem.u32(r + REC.slot) !== 0;
    return known ? { ...to, mask } : { ...to, block: -1, mask };
  }
  nextOf(at: number, special: GoesOn): Way {
    const { mem } = this;
    const page = pageOf(at);
    if (special !== 'straddle') return this.after(at);
    const record = mem.u32(recordOf(at) + REC.slot);
    const to = { block: key(contextOf(at), page, record), page, off: mem.u16(record + REC.off) };
    // the rest of the instruction is on the page behind
    const known = this.tables(page + 1) === mem.u32(recordOf(at) + REC.imm);
    const instead = recordOf(at);
    return known ? { ...to, guard: page + 1, instead } : { ...to, block: -1, instead };
  }
}
