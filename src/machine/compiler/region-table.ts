/**
 * The compiled regions there are: entered through records in the place of those that they begin with, by their place in
 * the driver's table; gone when code on one of their pages changes or is thrown away.
 */
import type { Mem } from '../../base/mem.ts';
import type { CodeCache } from '../engine/code-cache.ts';
import { specialOf } from '../interp/handlers.ts';
import { REC } from '../interp/record.ts';
import { MAX_REGIONS } from './driver.ts';
import { ENTRY } from './entry.ts';
import type { Formed, Job } from './job.ts';

/**
 * Times that one region is entered from another, for each record in both, until they are made one: what that costs, in
 * what it spares.
 */
const MERGE_AFTER = 800;
/** As good as never. */
const NEVER = 0x7fff_ffff;
const REGION = specialOf('region');
/** Bytes of machine code that a host makes of one of WebAssembly, about. */
const CODE_GROWTH = 5;

/** The table of the driver's module. */
export interface FunctionTable {
  set(index: number, f: unknown): void;
}

interface Entry {
  /** Machine address of the slot in the page's table, and what was in it. */
  readonly slot: number;
  readonly record: number;
  /** The record there now; 0 while there is none. */
  stub: number;
  /** Times that it is to be entered from other regions before something happens. */
  counted: number;
}

export interface Region {
  readonly job: Job;
  readonly entries: readonly Entry[];
  readonly frames: readonly number[];
  /** Records in it, and bytes of its WebAssembly code. */
  readonly size: number;
  readonly bytes: number;
  /** Place in the driver's table. */
  index: number;
  dead: boolean;
}

export class RegionTable {
  private readonly mem: Mem;
  private readonly cache: CodeCache;
  private readonly table: FunctionTable;
  private readonly byFrame = new Map<number, Set<Region>>();
  private readonly byIndex: (Region | undefined)[] = [];
  private readonly freeIndices: number[] = [];
  private readonly codeBytes: number;
  /** Regions there are, and the bytes of their WebAssembly. */
  live = 0;
  private bytes = 0;

  /** `codeBytes`: of machine code. */
  constructor(mem: Mem, cache: CodeCache, table: FunctionTable, codeBytes = Number.POSITIVE_INFINITY) {
    this.mem = mem;
    this.cache = cache;
    this.table = table;
    this.codeBytes = codeBytes;
  }

  get full(): boolean {
    return this.live >= MAX_REGIONS || this.bytes * CODE_GROWTH >= this.codeBytes;
  }
  at(index: number): Region | undefined {
    return this.byIndex[index];
  }

  /** From now on the region is entered in the place of its entries' records, until one of its frames goes. */
  install(job: Job, formed: Formed, frames: readonly number[], f: unknown): void {
    const { mem } = this;
    const index = this.freeIndices.pop() ?? this.byIndex.length;
    const entries = formed.entries.map((e) => ({ ...e, stub: 0, counted: 0 }));
    const { size, bytes } = formed;
    const r: Region = { job, entries, frames, size, bytes, index, dead: false };
    this.live++;
    this.bytes += r.bytes;
    for (const mfn of frames) {
      const regions = this.byFrame.get(mfn);
      if (regions) regions.add(r);
      else this.byFrame.set(mfn, new Set([r]));
    }
    this.byIndex[index] = r;
    this.table.set(index, f);
    r.entries.forEach((e, number) => {
      // another region may have been entered here first
      if (mem.u32(e.slot) !== e.record) return;
      const stub = this.cache.copyOf(e.record);
      if (stub === 0) return;
      mem.setU16(stub + REC.handler, REGION);
      mem.setU32(stub + REC.slot, e.record);
      mem.setU32(stub + ENTRY.index, index);
      mem.setU32(stub + ENTRY.number, number);
      mem.setU32(stub + ENTRY.region, job.id);
      this.count(stub, e, MERGE_AFTER * r.size);
      mem.setU32(e.slot, stub);
      e.stub = stub;
    });
  }
  private count(stub: number, e: Entry, times: number): void {
    e.counted += times;
    this.mem.setU32(stub + ENTRY.count, times);
  }
  /** The count at a region's entry is over: whether it is enough for merging regions of this size. It begins anew. */
  due(r: Region, stub: number, size: number): boolean {
    const e = r.entries.find((entry) => entry.stub === stub);
    if (!e) return false;
    const left = MERGE_AFTER * size - e.counted;
    if (left <= 0) e.counted = 0;
    this.count(stub, e, left > 0 ? left : MERGE_AFTER * r.size);
    return left <= 0;
  }
  /** The region entered through this record stays what it is. */
  keep(stub: number): void {
    this.mem.setU32(stub + ENTRY.count, NEVER);
  }

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
  }
  /** Room for what is hot now: everything goes, since nobody knows what else is in use. */
  evict(): void {
    for (const regions of [...this.byFrame.values()]) for (const r of [...regions]) this.remove(r);
    this.byFrame.clear();
  }

  remove(r: Region): void {
    if (r.dead) return;
    const { mem } = this;
    for (const e of r.entries) if (e.stub !== 0 && mem.u32(e.slot) === e.stub) mem.setU32(e.slot, e.record);
    for (const f of r.frames) this.byFrame.get(f)?.delete(r);
    this.forget(r);
  }
  private forget(r: Region): void {
    r.dead = true;
    this.live--;
    this.bytes -= r.bytes;
    this.table.set(r.index, null);
    this.byIndex[r.index] = undefined;
    this.freeIndices.push(r.index);
  }
}
