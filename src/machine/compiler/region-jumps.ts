/** How a region goes from block to block where that has to be found out: other pages, and jumps to anywhere. */
import { OP } from '../../wasm/opcodes.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL } from '../emit/access.ts';
import { findRecord, pageDiffers } from '../emit/lookup.ts';
import { LEAVE } from '../interp/record.ts';
import { ENTRY } from './entry.ts';
import type { PageTables, Way } from './flow.ts';
import type { RegionEmitter } from './region-emitter.ts';

export class RegionJumps {
  private readonly e: RegionEmitter;
  private readonly tables: PageTables;
  private readonly id: number;

  /** For the region with a number, see ENTRY. */
  constructor(e: RegionEmitter, tables: PageTables, id: number) {
    this.e = e;
    this.tables = tables;
    this.id = id;
  }
  private get code() {
    return this.e.code;
  }

  /** To a block, by `follow`, or out. */
  way(to: Way, follow: () => void): void {
    if (to.block < 0) return this.leaveFor(to);
    if (to.guard !== undefined) this.guard(to, to.guard);
    follow();
  }

  /** Leaves unless the page is still the one that was compiled. */
  private guard(to: Way, page: number): void {
    const { e, code } = this;
    e.pageAt(page);
    pageDiffers(e, () => code.i32(this.tables(page)), e.codeSize !== 64);
    e.open('inner', OP.if);
    this.leaveFor(to);
    e.end();
  }
  private leaveFor(to: Way): void {
    if (to.instead === undefined) this.e.leaveFor(to, to.mask);
    else this.e.leaveAt(LEAVE.resume, to.instead, to.page, 0);
  }

  /** `lip` is on the page that the code is on, with an entry of this region: on there. */
  onThisPage(page: number, follow: () => void): void {
    const { code, e } = this;
    code.get(LOCAL.lip);
    e.pageAt(page);
    code.op(OP.i64_sub);
    code.tee(LOCAL.w1);
    code.i64(4096);
    code.op(OP.i64_lt_u);
    e.open('inner', OP.if);
    code.get(LOCAL.w1);
    code.op(OP.i32_wrap_i64);
    code.i32(2);
    code.op(OP.i32_shl);
    code.mem(OP.i32_load, 2, this.tables(page));
    code.tee(LOCAL.rp);
    code.mem(OP.i32_load, 2, ENTRY.region);
    code.i32(this.id);
    code.op(OP.i32_eq);
    e.open('inner', OP.if);
    const known = e.save();
    this.charge();
    e.pageAt(page);
    code.set(e.locals.base);
    this.toEntry(follow);
    e.restore(known);
    e.end();
    e.end();
  }
  /** `lip` is found in the table of its page: on at an entry of this region, or the region is left. */
  onAnyPage(follow: () => void): void {
    const { code, e } = this;
    this.charge();
    findRecord(e);
    code.get(LOCAL.rp);
    code.mem(OP.i32_load, 2, ENTRY.region);
    code.i32(this.id);
    code.op(OP.i32_ne);
    this.orLeave();
    code.get(LOCAL.cpu);
    code.mem(OP.i64_load, 3, cpuState.ripBase.offset);
    code.set(e.locals.base);
    this.toEntry(follow);
  }
  /** On at the entry whose record is in `rp`; `base` is that of its page, which atEntry makes that of the base page. */
  private toEntry(follow: () => void): void {
    const { code } = this;
    code.get(LOCAL.rp);
    code.mem(OP.i32_load, 2, ENTRY.number);
    code.set(LOCAL.rp);
    follow();
  }
  private charge(): void {
    this.e.spend(LOCAL.fuel);
    this.orLeave();
  }
  private orLeave(): void {
    this.e.open('inner', OP.if);
    this.e.leave(LEAVE.jump, 0);
    this.e.end();
  }
}
