/**
 * What is compiled, and when: what is hot, several regions to a module; and two regions as one, where execution goes to
 * and fro between them.
 *
 * Hot is where the interpreter's budget ran out several times: a sample of where it spends its time.
 */
import { Code } from '../../wasm/code.ts';
import { I32, Module as WasmModule } from '../../wasm/module.ts';
import { cpuState } from '../cpu-state.ts';
import type { CodeCache } from '../engine/code-cache.ts';
import type { Core } from '../engine/core.ts';
import { HIGH } from '../engine/registers.ts';
import { specialOf } from '../interp/handlers.ts';
import { EXEC_ENTRIES, REC, TLB_EXEC } from '../interp/record.ts';
import { instantiate } from '../wasm-api.ts';
import { ENTRY } from './entry.ts';
import { type Flow, FlowFinder, MAX_MERGED, type PageTables } from './flow.ts';
import { compileRegion } from './region.ts';
import { type Entry, type FunctionTable, type Region, RegionTable, type StartPlace } from './region-table.ts';

export type { FunctionTable } from './region-table.ts';

export interface CompileOptions {
  /** Blocks that the interpreter runs between two looks at where it is, on average. */
  readonly sampleEvery: number;
  /** Samples of a record after which it is hot. */
  readonly hot: number;
  /** Regions to a module; or as many as there are when the first has waited so many samples. */
  readonly batch: number;
  readonly patience: number;
}
export const COMPILE: CompileOptions = { sampleEvery: 256, hot: 32, batch: 8, patience: 64 };
/** Everything is compiled before it runs: for tests. */
export const COMPILE_ALL: CompileOptions = { sampleEvery: 0, hot: 1, batch: 1, patience: 0 };

const COUNTS = 1 << 16;
const REGION = specialOf('region');
const MAX_STARTS = 64;
/** Pages that the starts of a region lie from its base page at most. */
const REACH = 1 << 18;

export class Regions {
  readonly options: CompileOptions;
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly table: RegionTable;
  private readonly counts = new Uint8Array(COUNTS);
  private pending: Region[] = [];
  private waited = 0;
  private lastId = 0;
  private random = 1;

  constructor(c: Core, cache: CodeCache, table: FunctionTable, options: CompileOptions) {
    this.options = options;
    this.c = c;
    this.cache = cache;
    this.table = new RegionTable(c.m, cache, table);
  }

  /** The interpreter's budget ran out at a record on the page at ripBase. True: regions were compiled. */
  sample(record: number): boolean {
    const { options } = this;
    if (this.pending.length > 0 && ++this.waited > options.patience) this.compile();
    if (this.c.m.u16(record + REC.handler) === REGION) return false;
    const at = Math.imul(record >>> 4, 0x9e37_79b1) >>> 16;
    const n = (this.counts[at] as number) + 1;
    this.counts[at] = n;
    if (n < options.hot) return false;
    this.counts[at] = 0;
    this.start(record);
    if (this.pending.length < options.batch) return false;
    this.compile();
    return true;
  }

  /** Blocks until the next sample: never the same number, since loops have a length too. */
  interval(): number {
    const { sampleEvery } = this.options;
    this.random = (Math.imul(this.random, 1_103_515_245) + 12_345) >>> 0;
    return (sampleEvery >>> 1) + (((this.random >>> 16) * sampleEvery) >>> 16);
  }

  /** Execution often goes from one region to the entry of another, or of itself. */
  merge(from: number, stub: number): void {
    const { m } = this.c;
    const a = this.table.at(from);
    const b = this.table.at(m.u32(stub + ENTRY.index));
    if (!a || !b || !this.table.due(b, stub, a.size + b.size) || !this.c.code64) return;
    const starts = this.union(a, b);
    if (!starts) return;
    this.form(a.base, starts, true, a === b ? [a] : [a, b]);
    this.compile();
  }

  drop(mfn: number): void {
    this.table.drop(mfn);
  }
  /** All records are gone. */
  clear(): void {
    this.table.clear();
    this.counts.fill(0);
  }

  // --- forming -----------------------------------------------------------------------------------------------------

  private start(record: number): void {
    const base = this.pageAt();
    const table = this.pageTables(base)(0);
    if (table === 0 || this.pending.some((r) => r.entries.some((e) => e.record === record))) return;
    this.form(base, [{ page: 0, table, off: this.c.m.u16(record + REC.off) }], false, []);
  }
  /** The starts of both regions, from the base page of the first; undefined if they cannot be one. */
  private union(a: Region, b: Region): StartPlace[] | undefined {
    if (a === b) return a.merged ? undefined : [...a.starts];
    const between = (b.base - a.base) / 4096;
    if (a.size + b.size > MAX_MERGED || Math.abs(between) > REACH) return undefined;
    const starts = [...a.starts];
    for (const s of b.starts) {
      const page = s.page + between;
      if (!starts.some((other) => other.page === page && other.off === s.off)) starts.push({ ...s, page });
    }
    return starts.length <= MAX_STARTS ? starts : undefined;
  }

  private form(base: number, starts: readonly StartPlace[], merged: boolean, replaces: Region[]): void {
    const { m } = this.c;
    const tables = this.pageTables(base);
    // the code may have gone elsewhere since it was compiled
    if (starts.some((s) => tables(s.page) !== s.table)) return;
    if (this.table.full) this.table.evict();
    const records = starts.map((s) => ({ page: s.page, record: m.u32(s.table + 4 * s.off) }));
    if (records.some((r) => r.record === 0)) return;
    const flow = new FlowFinder(m, tables).find(records, merged);
    const id = ++this.lastId;
    const region: Region = {
      id,
      code: compileRegion(m, flow, tables, id),
      entries: flow.entries.map((n) => this.entry(flow, n, tables)),
      frames: [...new Set(flow.pages.map((page) => this.cache.frameOf(tables(page))))],
      size: flow.records,
      base,
      starts,
      merged,
      replaces,
      index: -1,
      dead: false,
    };
    if (this.pending.length === 0) this.waited = 0;
    this.pending.push(region);
    this.table.add(region);
  }
  private entry(flow: Flow, n: number, tables: PageTables): Entry {
    const b = flow.blocks[n]!;
    return { slot: tables(b.page) + 4 * b.off, record: b.first, stub: 0, counted: 0 };
  }

  /** Linear address of the page at rip. */
  private pageAt(): number {
    const { c } = this;
    return c.code64 ? c.lin(cpuState.ripBase) : (c.lin(cpuState.ripBase) + c.segBase(1)) >>> 0;
  }
  /** Pages around a linear address that the code TLB knows. Out of 64-bit mode only its own: addresses wrap there. */
  private pageTables(base: number): PageTables {
    const known = new Map<number, number>();
    return (page) => {
      let table = known.get(page);
      if (table === undefined)
        known.set(page, (table = page !== 0 && !this.c.code64 ? 0 : this.probe(base + page * 4096)));
      return table;
    };
  }
  private probe(linear: number): number {
    const { m, cpu } = this.c;
    const at = cpu + TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16;
    const lo = ((linear & ~0xfff) | m.u32(cpu + cpuState.tlbCtx.offset)) >>> 0;
    return m.u32(at) === lo && m.s32(at + 4) === (Math.floor(linear / HIGH) | 0) ? m.u32(at + 8) : 0;
  }

  // --- compiling ---------------------------------------------------------------------------------------------------

  private compile(): void {
    const { machine } = this.c;
    const batch = this.pending.filter((r) => !r.dead);
    this.pending = [];
    const m = new WasmModule();
    m.importSharedMemory(1, machine.maxPages);
    batch.forEach((r, i) => {
      const code = new Code();
      code.append(r.code.body);
      m.func([I32, I32, I32], [I32], r.code.locals, code, `${i}`);
    });
    if (batch.length === 0) return;
    const functions = instantiate(m.bytes(), machine.memory);
    batch.forEach((r, i) => {
      this.table.install(r, functions[i]);
    });
  }
}
