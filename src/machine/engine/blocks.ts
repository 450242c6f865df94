/** Records for code that has none yet: where rip leads, and instructions that lie across two pages. */
import type { Insn } from '../../x86/insn.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { REC } from '../interp/record.ts';
import { EXIT } from '../platform.ts';
import type { Alone } from './alone.ts';
import type { CodeCache, Mode } from './code-cache.ts';
import type { Core } from './core.ts';
import type { Fetcher } from './fetch.ts';
import type { Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import type { Tlb } from './tlb.ts';
import type { Turns } from './turns.ts';

/** Of 32-bit addresses. */
const LAST_PAGE = 0xffff_f000;

export class Blocks {
  lastError = '';
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly turns: Turns;
  private readonly alone: Alone;

  constructor(parts: Parts, turns: Turns, alone: Alone) {
    this.c = parts.core;
    this.cache = parts.cache;
    this.tlb = parts.tlb;
    this.fetcher = parts.fetcher;
    this.progress = parts.progress;
    this.turns = turns;
    this.alone = alone;
  }

  /** There is no record for rip: decodes from there. An exit, or -1 to go on; faults. */
  fetch(): number {
    const { c, cache, fetcher, progress } = this;
    // as a block that is found costs: a fault's handler that faults itself must not go on for ever
    if (--progress.left < 0) return EXIT.budget;
    progress.count(1); // it is an instruction that faults
    const linear = fetcher.fetchAddress();
    const a = fetcher.translateFetch(linear);
    progress.count(-1);
    if (fetcher.limitInPage(linear)) return this.alone.single();
    const mfn = Math.floor(a / 4096);
    const mode = fetcher.currentMode();
    const { flushes } = cache;
    const table = cache.table(mfn, mode);
    const offset = a & 4095;
    let rp = table === 0 ? 0 : c.m.u32(table + offset * 4);
    if (table !== 0 && rp === 0) rp = cache.translate(table, mfn, offset, mode);
    // the cache was emptied to make room: the table went too, start over
    if (cache.flushes !== flushes) {
      progress.rp = 0;
      return -1;
    }
    if (rp === 0) {
      this.lastError = 'no machine memory left for translated code';
      return EXIT.failed;
    }
    this.tlb.fillCode(linear, table);
    c.setLin(cpuState.ripBase, c.lin(cpuState.rip) - offset);
    progress.enterAt(rp);
    // where everything is compiled this must be, before it runs
    if (this.turns.compilesAll) this.turns.sample(rp);
    return -1;
  }

  /** The record of an instruction that lies across two pages. An exit, or -1 to go on; faults. */
  straddler(rp: number): number {
    const { c, progress } = this;
    const counted = c.m.n64(c.cpu + cpuState.icount.offset);
    progress.countTo(rp, true);
    const i = this.fetcher.decodeAt();
    if (!this.keepStraddler(rp, i)) return this.alone.instruction(i, c.ip - c.lin(cpuState.ripBase));
    // it has records now, and is yet to be run
    c.m.setN64(c.cpu + cpuState.icount.offset, counted);
    progress.rp = rp;
    return -1;
  }
  /** Where rip is the linear address, without an end. */
  private isFlat({ codeSize, vex, limited }: Mode): boolean {
    if (codeSize !== 32) return codeSize === 64;
    return vex && (limited & (1 << SEG.cs)) === 0 && this.c.segBase(SEG.cs) === 0;
  }
  private keepStraddler(rp: number, i: Insn): boolean {
    const { c, cache } = this;
    const mode = this.fetcher.currentMode();
    const off = c.m.u16(rp + REC.off);
    if (!this.isFlat(mode) || off + i.length <= 4096) return false;
    const { flushes } = cache;
    const page = c.lin(cpuState.ripBase);
    if (mode.codeSize === 32 && page + 4096 > LAST_PAGE) return false;
    const [table, next] = [page, page + 4096].map((linear) => {
      const mfn = Math.floor(this.fetcher.translateFetch(linear) / 4096);
      return { mfn, table: cache.table(mfn, mode) };
    }) as [{ table: number }, { mfn: number; table: number }];
    if (cache.flushes !== flushes || next.table === 0) return false;
    if (!cache.straddle(rp, i, mode, table.table, next)) return false;
    this.tlb.fillCode(page + 4096, next.table);
    return true;
  }
}
