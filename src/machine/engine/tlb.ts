/**
 * The translation buffers of the vCPU that is running: what the interpreter looks in, filled and emptied from here.
 *
 * A tag holds the page, a generation and the privilege (see record.ts). A flush takes a new generation, and sweeps only
 * when there is none left. Address spaces and global pages: see tlb-spaces.ts.
 */
import { AC } from '../../x86/flags.ts';
import { cpuState, OPEN_ENTRIES } from '../cpu-state.ts';
import {
  EXEC_ENTRIES,
  TAG_CLOSED,
  TAG_USER,
  TLB_ENTRIES,
  TLB_EXEC,
  TLB_READ,
  TLB_WRITE,
  tlbPlace,
} from '../interp/record.ts';
import { frameInfo } from '../machine.ts';
import { CR4_PCIDE, CR4_SMAP } from '../mmu.ts';
import { FRAME_WRITTEN } from './code-cache.ts';
import type { Core } from './core.ts';
import { HIGH } from './registers.ts';
import { setContext } from './segments.ts';
import { ENTRY_FLAGS, ENTRY_GLOBAL, ENTRY_OPEN, Space, Spaces } from './tlb-spaces.ts';

const MAX_GENERATION = 127;
/** Bears no entry. */
const NO_TAG = 1;
const PCID_MASK = 0xfff;
const REGION = 0x20_0000;
const REGIONS = 4096;

export class Tlb {
  private readonly c: Core;
  /** Regions (hashed, in either half) of which a piece of a large page may be cached: INVLPG there must reach all of it. */
  private readonly largeRegions = new Uint8Array(2 * REGIONS);
  private nextOpen = 0;
  /** Address spaces of each vCPU. */
  private readonly spaces = new Map<number, Spaces>();

  constructor(c: Core) {
    this.c = c;
  }

  flush(): void {
    const { c } = this;
    // one generation for what runs, one for its address space while another one does
    if (c.get32(cpuState.generationLast) + 2 > MAX_GENERATION) this.sweep();
    const gen = this.nextGeneration();
    c.set32(cpuState.flushedAt, gen);
    c.set32(cpuState.largeSeen, 0);
    c.set32(cpuState.userOpen, 0);
    for (let k = 0; k < OPEN_ENTRIES; k++) c.m.setU32(cpuState.openTag.addr(c.cpu, k), NO_TAG);
    c.set32(cpuState.generation, gen);
    setContext(c);
    this.spaces.set(c.cpu, new Spaces(this.spaceNumber(), this.nextGeneration()));
  }

  /** The vCPU is gone. */
  forget(cpu: number): void {
    this.spaces.delete(cpu);
  }

  private spaceNumber(): number {
    const { c } = this;
    return c.get32(cpuState.cr4) & CR4_PCIDE ? c.get32(cpuState.cr3) & PCID_MASK : 0;
  }
  private get live(): number {
    return this.c.get32(cpuState.generation);
  }
  private get own(): Spaces {
    const own = this.spaces.get(this.c.cpu);
    if (own) return own;
    this.flush();
    return this.spaces.get(this.c.cpu) as Spaces;
  }

  /** Goes on in another address space, with what is known of it or empty. */
  switchSpace(pcid: number, keep: boolean): void {
    const { m } = this.c;
    const { own, live } = this;
    this.closeUser();
    const next = own.byNumber.get(pcid);
    if (next === own.current) {
      if (!keep) next.empty(m, live);
      return;
    }
    own.current.move(m, live, own.current.generation);
    if (next === undefined) return this.enterNew(own, pcid);
    own.current = next;
    if (keep) next.move(m, next.generation, live);
    else next.empty(m, next.generation);
  }

  private enterNew(own: Spaces, pcid: number): void {
    // with no generation left everything is flushed, for CR3 as it now is
    if (this.c.get32(cpuState.generationLast) === MAX_GENERATION) return this.flush();
    own.current = new Space(this.nextGeneration());
    own.byNumber.set(pcid, own.current);
  }

  /** Empties one address space, perhaps the present one. */
  dropSpace(pcid: number): void {
    const { own } = this;
    const space = own.byNumber.get(pcid);
    space?.empty(this.c.m, space === own.current ? this.live : space.generation);
  }

  /** Empties all address spaces; global pages stay. */
  dropSpaces(): void {
    for (const pcid of this.own.byNumber.keys()) this.dropSpace(pcid);
  }

  /** Entries made under EFLAGS.AC serve no longer than that. */
  keepSmap(): void {
    const { c } = this;
    if (c.get32(cpuState.userOpen) && !(c.get32(cpuState.flagsRest) & AC)) this.closeUser();
  }
  /** EFLAGS.AC is clear: the supervisor's way into user pages is shut again. */
  closeUser(): void {
    const { c } = this;
    if (c.get32(cpuState.userOpen) === 0) return;
    c.set32(cpuState.userOpen, 0);
    for (let k = 0; k < OPEN_ENTRIES; k++) {
      const at = c.m.u32(cpuState.openEntry.addr(c.cpu, k));
      const tag = c.m.u32(cpuState.openTag.addr(c.cpu, k));
      if (at !== 0 && c.m.u32(at) === tag) c.m.setU32(at, tag | TAG_CLOSED);
    }
  }

  private nextGeneration(): number {
    const gen = this.c.get32(cpuState.generationLast) + 1;
    this.c.set32(cpuState.generationLast, gen);
    return gen;
  }

  /** Empties everything, so that generations can begin anew. */
  private sweep(): void {
    const { c } = this;
    c.m.fill(c.cpu + TLB_READ, TLB_ENTRIES * 16);
    c.m.fill(c.cpu + TLB_WRITE, TLB_ENTRIES * 16);
    this.clearCode(c.cpu);
    c.set32(cpuState.generationLast, 0);
  }

  clearCode(cpu: number): void {
    this.c.m.fill(cpu + TLB_EXEC, EXEC_ENTRIES * 16);
  }

  invalidate(linear: number): void {
    if (this.c.get32(cpuState.largeSeen) && this.largeRegions[region(linear)]) return this.flush();
    const { m, cpu } = this.c;
    for (const context of [0, TAG_USER]) {
      const at = tlbPlace(linear, context) * 16;
      m.setU32(cpu + TLB_READ + at, 0);
      m.setU32(cpu + TLB_WRITE + at, 0);
    }
    m.setU32(cpu + TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16, 0);
  }

  /** Enters a data page for reading, and for writing if it was translated for that. */
  fillData(linear: number, a: number, write: boolean): void {
    const { m, cpu, machine } = this.c;
    const slot = tlbPlace(linear, this.c.get32(cpuState.tlbCtx)) * 16;
    const flags = this.flagsOf();
    this.noteLarge(linear);
    this.enter(cpu + TLB_READ + slot, linear, a - (linear >>> 0), flags);
    if (!write) return;
    this.enter(cpu + TLB_WRITE + slot, linear, a - (linear >>> 0), flags);
    const info = machine.frame(Math.floor(a / 4096));
    const known = frameInfo.flags.get(m, info);
    if (!(known & FRAME_WRITTEN)) frameInfo.flags.set(m, info, known | FRAME_WRITTEN);
  }

  /** Enters a code page with the table of its records. */
  fillCode(linear: number, table: number): void {
    this.noteLarge(linear);
    const at = this.c.cpu + TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16;
    this.enter(at, linear, table, this.c.mmu.global ? ENTRY_GLOBAL : 0);
  }

  /** What kind of entry the translation just made gives. */
  private flagsOf(): number {
    const { c } = this;
    const open = c.mmu.userPage && c.cpl !== 3 && c.get32(cpuState.cr4) & CR4_SMAP ? ENTRY_OPEN : 0;
    return open | (c.mmu.global ? ENTRY_GLOBAL : 0);
  }

  private enter(at: number, linear: number, value: number, flags: number): void {
    const { m, cpu } = this.c;
    if ((flags & ENTRY_GLOBAL) === 0) this.own.current.note(m, at, this.live);
    const tag = ((linear & ~0xfff) | m.u32(cpu + cpuState.tlbCtx.offset)) >>> 0;
    if (flags & ENTRY_OPEN) this.listOpen(at, tag);
    m.setU32(at, tag);
    m.setU32(at + 4, Math.floor(linear / HIGH) | 0);
    m.setU32(at + 8, value | 0);
    m.setU32(at + ENTRY_FLAGS, flags);
  }

  /** STAC and CLAC open and close the entry from now on; the one that was listed longest goes. */
  private listOpen(at: number, tag: number): void {
    const { m, cpu } = this.c;
    const listed = Array.from({ length: OPEN_ENTRIES }, (_, k) => m.u32(cpuState.openEntry.addr(cpu, k)));
    const known = listed.indexOf(at);
    const k = known >= 0 ? known : this.nextOpen++ % OPEN_ENTRIES;
    const old = m.u32(cpuState.openEntry.addr(cpu, k));
    const oldTag = m.u32(cpuState.openTag.addr(cpu, k));
    if (old !== 0 && old !== at && (m.u32(old) & ~TAG_CLOSED) >>> 0 === oldTag) m.setU32(old, 0);
    m.setU32(cpuState.openEntry.addr(cpu, k), at);
    m.setU32(cpuState.openTag.addr(cpu, k), tag);
    this.c.set32(cpuState.userOpen, 1);
  }

  private noteLarge(linear: number): void {
    if (!this.c.mmu.large) return;
    this.c.set32(cpuState.largeSeen, 1);
    this.largeRegions[region(linear)] = 1;
  }

  /** Writes to the frame must come the slow way from now on, on all of these vCPUs. */
  dropWrites(mfn: number, cpus: Iterable<number>): void {
    const { m, machine } = this.c;
    for (const cpu of cpus)
      for (let at = cpu + TLB_WRITE; at < cpu + TLB_WRITE + TLB_ENTRIES * 16; at += 16) {
        const tag = m.u32(at);
        if (tag !== 0 && (m.u32(at + 8) + tag) >>> 12 === mfn) m.setU32(at, 0);
      }
    const info = machine.frame(mfn);
    frameInfo.flags.set(m, info, frameInfo.flags.get(m, info) & ~FRAME_WRITTEN);
  }
}

const region = (linear: number): number =>
  (Math.floor(linear / REGION) & (REGIONS - 1)) + (linear < 0 ? REGIONS : 0);
