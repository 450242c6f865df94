/**
 * The compiler's work as data, so that it can be done on another thread: which records a region begins with, what became
 * of it, and several of them as a module. All it reads is machine memory.
 */
import type { Mem } from '../../base/mem.ts';
import { Code } from '../../wasm/code.ts';
import { I32, Module } from '../../wasm/module.ts';
import type { CodeSize } from '../../x86/insn.ts';
import { codePage } from '../engine/code-tlb.ts';
import { importRoutines } from '../interp/routines.ts';
import type { PageTables } from './flow.ts';
import { FlowFinder } from './flow-finder.ts';
import { compileRegion, type RegionCode } from './region.ts';

/** A record that flow is followed from: where it is from the base page, the table of its page, its offset in that. */
export interface StartPlace {
  readonly page: number;
  readonly table: number;
  readonly off: number;
}

/** Of a region, at most. */
export const MAX_STARTS = 64;

export interface Job {
  /** Number of the region. */
  readonly id: number;
  /** Linear address of the base page. */
  readonly base: number;
  readonly starts: readonly StartPlace[];
  /** Jumps within it go on in it. */
  readonly merged: boolean;
  /** Bits of its code. Addresses of 16-bit code wrap within a page of it, or anywhere: there the base page is all. */
  readonly codeSize: CodeSize;
  /**
   * Machine address of the vCPU's code TLB, and the context of its tags. It may change meanwhile: another page than the
   * starts' is looked at again where the code goes there.
   */
  readonly tlb: number;
  readonly context: number;
  /** Machine address of the samples that tell what is worth compiling; 0: all is that can be reached. */
  readonly samples: number;
}

/** A region that can be compiled. */
export interface Formed {
  readonly id: number;
  /** Where it can be entered: slots in tables of pages, and the records in them. */
  readonly entries: readonly { readonly slot: number; readonly record: number }[];
  /** Tables of the pages that its code is on. */
  readonly tables: readonly number[];
  /** Records in it. */
  readonly size: number;
  /** Bytes of its WebAssembly code. */
  readonly bytes: number;
}

/** What became of some jobs. */
export interface Batch {
  /** Numbers of the jobs, also of those that came to nothing. */
  readonly done: readonly number[];
  /** The regions are the module's exports 0, 1, ... */
  readonly regions: readonly Formed[];
  readonly module: object;
}

/** The region of a job; undefined if there is nothing to begin with any more. Throws what garbage in memory leads to. */
export function formRegion(mem: Mem, job: Job): { formed: Formed; code: RegionCode } | undefined {
  const starts = job.starts.map((s) => ({ page: s.page, record: mem.u32(s.table + 4 * s.off) }));
  if (starts.some((s) => s.record === 0)) return undefined;
  const tables = pageTables(mem, job);
  const flow = new FlowFinder(mem, tables, job.samples).find(starts, job.merged);
  const code = compileRegion(mem, flow, tables, job);
  const entries = flow.entries.map((n) => {
    const b = flow.blocks[n]!;
    return { slot: tables(b.page) + 4 * b.off, record: b.first };
  });
  const pages = flow.pages.map(tables).filter((table) => table !== 0);
  return {
    formed: { id: job.id, entries, tables: pages, size: flow.records, bytes: code.body.length },
    code,
  };
}

/** Tables of the starts' pages, and of those around the base page that the code TLB knows. */
function pageTables(mem: Mem, job: Job): PageTables {
  const known = new Map(job.starts.map((s) => [s.page, s.table]));
  return (page) => {
    let table = known.get(page);
    if (table === undefined) {
      table = job.codeSize !== 16 ? codePage(mem, job.tlb, job.base + page * 4096, job.context) : 0;
      known.set(page, table);
    }
    return table;
  };
}

/** The regions' functions as a module on a shared memory of so many pages at most; with imports if they call any. */
export function buildModule(regions: readonly RegionCode[], maxPages: number): Uint8Array {
  const m = new Module();
  m.importSharedMemory(1, maxPages);
  if (regions.some((r) => r.calls)) importRoutines(m);
  regions.forEach((r, i) => {
    const code = new Code();
    code.append(r.body);
    m.func([I32, I32, I32], [I32], r.locals, code, `${i}`);
  });
  return m.bytes();
}
