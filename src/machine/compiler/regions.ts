/**
 * What is compiled, and when: what is hot, and two regions as one, where execution goes to and fro between them.
 *
 * Hot is where the interpreter's budget ran out several times: a sample of where it spends its time.
 */
import type { CodeSize } from '../../x86/insn.ts';
import { cpuState } from '../cpu-state.ts';
import type { CodeCache } from '../engine/code-cache.ts';
import { codePage } from '../engine/code-tlb.ts';
import type { Core } from '../engine/core.ts';
import { specialOf } from '../interp/handlers.ts';
import { REC, TLB_EXEC } from '../interp/record.ts';
import { instantiateModule } from '../wasm-api.ts';
import { ENTRY } from './entry.ts';
import { MAX_MERGED } from './flow-finder.ts';
import { type Batch, type Formed, type Job, MAX_STARTS, type StartPlace } from './job.ts';
import { type FunctionTable, type Region, RegionTable } from './region-table.ts';
import { Samples } from './samples.ts';
import { type Compiler, DirectCompiler } from './service.ts';

export type { FunctionTable } from './region-table.ts';

export interface CompileOptions {
  /** Blocks that the interpreter runs between two looks at where it is, on average. */
  readonly sampleEvery: number;
  /** Samples of a record after which it is hot, 255 at most; 1: what was not seen is compiled too. */
  readonly hot: number;
  /** For compiling on the CPU's own thread, see DirectCompiler. */
  readonly batch: number;
  readonly patience: number;
  /** Who compiles, if not the CPU's own thread. */
  readonly compiler?: Compiler;
  /** Bytes of machine code that there may be, about; no limit of its own if left out. */
  readonly codeBytes?: number;
}
export const COMPILE: CompileOptions = { sampleEvery: 512, hot: 64, batch: 8, patience: 64 };
/** Everything is compiled before it runs: for tests. */
export const COMPILE_ALL: CompileOptions = { sampleEvery: 0, hot: 1, batch: 1, patience: 0 };

const REGION = specialOf('region');
/** Regions' numbers are above all masks' low words but those of all ones, see ENTRY. */
const FIRST_ID = 0x1_0000;
/** Pages that the starts of a region lie from its base page at most. */
const REACH = 1 << 18;

/** A job that is not done yet. */
interface Sent {
  readonly job: Job;
  readonly replaces: readonly Region[];
  /** Drops of frames that there were before. */
  readonly drops: number;
}

export class Regions {
  readonly options: CompileOptions;
  readonly table: RegionTable;
  readonly compiler: Compiler;
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly routines: Record<string, unknown>;
  private readonly samples: Samples;
  private readonly sent = new Map<number, Sent>();
  /** The last drop of each frame that was dropped since something was sent. */
  private readonly dropped = new Map<number, number>();
  private drops = 0;
  private lastId = FIRST_ID;
  private random = 1;

  /** `routines` are those of importRoutines. */
  constructor(
    c: Core,
    cache: CodeCache,
    table: FunctionTable,
    routines: Record<string, unknown>,
    options: CompileOptions,
  ) {
    this.c = c;
    this.cache = cache;
    this.routines = routines;
    this.options = options;
    this.samples = new Samples(c.machine);
    this.table = new RegionTable(c.m, cache, table, options.codeBytes);
    this.compiler = options.compiler ?? new DirectCompiler(c.machine, options.batch, options.patience);
  }

  /** The interpreter's budget ran out at a record on the page at ripBase. True: regions were installed or removed. */
  sample(record: number): boolean {
    const { samples } = this;
    if (this.c.m.u16(record + REC.handler) !== REGION && samples.add(record) >= this.options.hot)
      if (this.start(record)) samples.restart(record);
    return this.take(false);
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
    if (!a || !b || !this.table.due(b, stub, a.size + b.size)) return;
    const starts = this.union(a, b);
    if (!starts) return this.table.keep(stub);
    // one that is being made part of another is looked at again when that is there
    for (const { replaces } of this.sent.values()) if (replaces.includes(a) || replaces.includes(b)) return;
    this.post(a.job.base, starts, true, a === b ? [a] : [a, b]);
    this.take(true);
  }

  /** Installs what another thread has compiled meanwhile. Not while a record is to be gone on at. */
  poll(): void {
    if (this.compiler.ready) this.take(false);
  }

  drop(mfn: number): void {
    this.table.drop(mfn);
    if (this.sent.size > 0) this.dropped.set(mfn, ++this.drops);
  }
  /** All records are gone. */
  clear(): void {
    this.table.clear();
    this.samples.clear();
    this.sent.clear();
  }

  // --- jobs --------------------------------------------------------------------------------------------------------

  private start(record: number): boolean {
    const base = this.pageAt();
    const off = this.c.m.u16(record + REC.off);
    const table = this.codePage(base);
    if (table === 0) return false;
    for (const { job } of this.sent.values())
      if (job.starts.some((s) => s.table === table && s.off === off)) return true;
    return this.post(base, [{ page: 0, table, off }], false, []);
  }
  /** The starts of both regions, from the base page of the first; undefined if they cannot be one. */
  private union(a: Region, b: Region): readonly StartPlace[] | undefined {
    if (a.job.codeSize === 16) return undefined;
    if (a === b) return a.job.merged ? undefined : a.job.starts;
    const between = (b.job.base - a.job.base) / 4096;
    if (a.size + b.size > MAX_MERGED || Math.abs(between) > REACH) return undefined;
    if (a.job.codeSize !== b.job.codeSize) return undefined;
    const starts = [...a.job.starts];
    for (const s of b.job.starts) {
      const page = s.page + between;
      if (!starts.some((other) => other.page === page && other.off === s.off)) starts.push({ ...s, page });
    }
    return starts.length <= MAX_STARTS ? starts : undefined;
  }

  private post(
    base: number,
    starts: readonly StartPlace[],
    merged: boolean,
    replaces: readonly Region[],
  ): boolean {
    // the code may have gone elsewhere since it was compiled
    if (starts.some((s) => this.codePage(base + 4096 * s.page) !== s.table)) return false;
    const { c } = this;
    const job: Job = {
      id: ++this.lastId,
      base,
      starts,
      merged,
      codeSize: c.get32(cpuState.mode) as CodeSize,
      tlb: c.cpu + TLB_EXEC,
      context: c.get32(cpuState.tlbCtx),
      samples: this.options.hot > 1 ? this.samples.at : 0,
    };
    if (!this.compiler.post(job)) return false;
    if (this.sent.size === 0) this.dropped.clear();
    this.sent.set(job.id, { job, replaces, drops: this.drops });
    return true;
  }

  /** Linear address of the page at rip. */
  private pageAt(): number {
    const { c } = this;
    return c.code64 ? c.lin(cpuState.ripBase) : (c.lin(cpuState.ripBase) + c.segBase(1)) >>> 0;
  }
  private codePage(linear: number): number {
    const { c } = this;
    return codePage(c.m, c.cpu + TLB_EXEC, linear, c.get32(cpuState.tlbCtx));
  }

  // --- results -----------------------------------------------------------------------------------------------------

  private take(now: boolean): boolean {
    const batch = this.compiler.take(now);
    return batch !== undefined && this.install(batch) > 0;
  }
  /** Takes what was compiled, but for code that has changed meanwhile; answers how many regions that are. */
  install({ done, regions, module }: Batch): number {
    const functions = instantiateModule(module, this.c.machine.memory, this.routines);
    let installed = 0;
    regions.forEach((formed, k) => {
      const sent = this.sent.get(formed.id);
      const frames = sent && this.framesOf(formed, sent.drops);
      // one that is not there any more is in another region by now
      if (!frames || sent.replaces.some((r) => r.dead)) return;
      if (this.table.full) this.table.evict();
      for (const old of sent.replaces) this.table.remove(old);
      this.table.install(sent.job, formed, frames, functions[k]);
      installed++;
    });
    for (const id of done) this.sent.delete(id);
    return installed;
  }
  /** The frames that its code is on; undefined if one of them has changed since it was asked for. */
  private framesOf(formed: Formed, drops: number): number[] | undefined {
    const frames = [...new Set(formed.tables.map((table) => this.cache.frameOf(table)))];
    return frames.some((mfn) => mfn < 0 || (this.dropped.get(mfn) ?? 0) > drops) ? undefined : frames;
  }
}
