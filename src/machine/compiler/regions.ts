/**
 * The compiled regions: what is hot gets compiled, several regions to a module, and entered from then on in place of the
 * record it begins with; what was written to or thrown away is entered no more.
 *
 * Hot is where the interpreter's budget ran out several times: a sample of where it spends its time.
 */

import { Code } from '../../wasm/code.ts';
import { I32, Module as WasmModule } from '../../wasm/module.ts';
import { cpuState } from '../cpu-state.ts';
import type { CodeCache } from '../engine/code-cache.ts';
import type { Core } from '../engine/core.ts';
import { HIGH } from '../engine/core.ts';
import { specialOf } from '../interp/handlers.ts';
import { EXEC_ENTRIES, REC, TLB_EXEC } from '../interp/record.ts';
import { instantiate } from '../wasm-api.ts';
import { ENTRY, MAX_REGIONS } from './driver.ts';
import { type Flow, FlowFinder, type PageTables } from './flow.ts';
import { compileRegion, type RegionCode } from './region.ts';

export interface CompileOptions {
  /** Blocks that the interpreter runs between two looks at where it is. */
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

/** The table of the driver's module. */
export interface FunctionTable {
  set(index: number, f: unknown): void;
}

interface Entry {
  /** Machine address of the slot in the page's table, and what was in it. */
  slot: number;
  record: number;
  stub: number;
}
interface Region {
  code: RegionCode;
  entries: Entry[];
  frames: number[];
  /** Place in the table; -1 before it is compiled and after it was dropped. */
  index: number;
  dead: boolean;
}

export class Regions {
  readonly options: CompileOptions;
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly table: FunctionTable;
  private readonly counts = new Uint8Array(COUNTS);
  private readonly byFrame = new Map<number, Set<Region>>();
  private readonly freeIndices: number[] = [];
  private nextIndex = 0;
  private live = 0;
  private pending: Region[] = [];
  private waited = 0;
  compiled = 0;

  constructor(c: Core, cache: CodeCache, table: FunctionTable, options: CompileOptions) {
    this.options = options;
    this.c = c;
    this.cache = cache;
    this.table = table;
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
    this.form(record);
    if (this.pending.length < options.batch) return false;
    this.compile();
    return true;
  }

  // --- forming -----------------------------------------------------------------------------------------------------

  private form(record: number): void {
    const { m } = this.c;
    const tables = this.pageTables();
    if (tables(0) === 0) return;
    if (this.live === MAX_REGIONS) this.evict();
    const flow = new FlowFinder(m, tables).find(record);
    const region: Region = {
      code: compileRegion(m, flow, tables),
      entries: flow.entries.map((n) => this.entry(flow, n, tables)),
      frames: [...new Set(flow.pages.map((page) => this.cache.frameOf(tables(page))))],
      index: -1,
      dead: false,
    };
    this.live++;
    if (this.pending.length === 0) this.waited = 0;
    this.pending.push(region);
    for (const f of region.frames) this.ofFrame(f).add(region);
  }
  private entry(flow: Flow, n: number, tables: PageTables): Entry {
    const b = flow.blocks[n]!;
    return { slot: tables(b.page) + 4 * b.off, record: b.first, stub: 0 };
  }

  /** Pages around rip that the code TLB knows. Out of 64-bit mode only rip's own: addresses wrap there. */
  private pageTables(): PageTables {
    const { c } = this;
    const base = c.code64 ? c.lin(cpuState.ripBase) : (c.lin(cpuState.ripBase) + c.segBase(1)) >>> 0;
    const known = new Map<number, number>();
    return (page) => {
      let table = known.get(page);
      if (table === undefined)
        known.set(page, (table = page !== 0 && !c.code64 ? 0 : this.probe(base + page * 4096)));
      return table;
    };
  }
  private probe(linear: number): number {
    const { m, cpu } = this.c;
    const at = cpu + TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16;
    const lo = ((linear & ~0xfff) | m.u32(cpu + cpuState.tlbCtx.offset)) >>> 0;
    return m.u32(at) === lo && m.s32(at + 4) === (Math.floor(linear / HIGH) | 0) ? m.u32(at + 8) : 0;
  }
  private ofFrame(mfn: number): Set<Region> {
    let regions = this.byFrame.get(mfn);
    if (!regions) this.byFrame.set(mfn, (regions = new Set()));
    return regions;
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
      this.install(r, functions[i]);
    });
  }

  private install(r: Region, f: unknown): void {
    const { m } = this.c;
    r.index = this.freeIndices.pop() ?? this.nextIndex++;
    this.table.set(r.index, f);
    this.compiled++;
    r.entries.forEach((e, number) => {
      // another region may have been entered here first
      if (m.u32(e.slot) !== e.record) return;
      const stub = this.cache.copyOf(e.record);
      if (stub === 0) return;
      m.setU16(stub + REC.handler, REGION);
      m.setU32(stub + REC.slot, e.record);
      m.setU32(stub + ENTRY.index, r.index);
      m.setU32(stub + ENTRY.number, number);
      m.setU32(e.slot, stub);
      e.stub = stub;
    });
  }

  // --- dropping ----------------------------------------------------------------------------------------------------

  /** Code in the frame has changed or goes. */
  drop(mfn: number): void {
    const regions = this.byFrame.get(mfn);
    if (!regions) return;
    for (const r of regions) this.remove(r);
    this.byFrame.delete(mfn);
  }
  /** All records are gone. */
  clear(): void {
    for (const regions of this.byFrame.values()) for (const r of regions) if (!r.dead) this.forget(r);
    this.byFrame.clear();
    this.counts.fill(0);
  }
  private remove(r: Region): void {
    if (r.dead) return;
    const { m } = this.c;
    for (const e of r.entries) if (e.stub !== 0 && m.u32(e.slot) === e.stub) m.setU32(e.slot, e.record);
    for (const f of r.frames) this.byFrame.get(f)?.delete(r);
    this.forget(r);
  }
  /** Room for what is hot now: everything goes, since nobody knows what else is in use. */
  private evict(): void {
    for (const regions of [...this.byFrame.values()]) for (const r of [...regions]) this.remove(r);
    this.byFrame.clear();
  }
  private forget(r: Region): void {
    r.dead = true;
    this.live--;
    if (r.index < 0) return;
    this.table.set(r.index, null);
    this.freeIndices.push(r.index);
  }
}
