/**
 * The translation buffers of the vCPU that is running: what the interpreter looks in, filled and emptied from here.
 *
 * A tag holds the page, a generation and the privilege (see record.ts). A flush takes a new generation, and sweeps only
 * when there is none left. Address spaces and global pages: see tlb-spaces.ts.
 */
import { AC } from '../../x86/flags.ts';
import { cpuState, OPEN_ENTRIES } from '../cpu-state.ts';
import {
  ENTRY_FLAG,
  EXEC_ENTRIES,
  LARGE_REGIONS,
  MAX_GENERATION,
  REGIONS,
  TAG_CLOSED,
  TAG_USER,
  TLB_ENTRIES,
  TLB_ENTRY,
  TLB_EXEC,
  TLB_READ,
  TLB_WRITE,
  tlbPlace,
} from '../interp/record.ts';
import type { TlbFunctions } from '../interp/tlb-functions.ts';
import { FRAME_WRITTEN, frameInfo } from '../machine.ts';
import { CR4_PCIDE, CR4_SMAP } from '../mmu.ts';
import type { Core } from './core.ts';
import { HIGH } from './registers.ts';
import { setContext } from './segments.ts';
import { Spaces } from './tlb-spaces.ts';

/** Bears no entry. */
const NO_TAG = 1;
const PCID_MASK = 0xfff;
const REGION_BYTES = 0x20_0000;

export class Tlb {
  private readonly c: Core;
  private readonly functions: TlbFunctions;
  private readonly spaces: Spaces;

  constructor(c: Core, functions: TlbFunctions) {
    this.c = c;
    this.functions = functions;
    this.spaces = new Spaces(c, functions);
  }

  flush(): void {
    const { c } = this;
    // one generation for what runs, one for its address space while another one does
    if (c.get32(cpuState.generationLast) + 2 > MAX_GENERATION) this.sweep();
    const gen = this.nextGeneration();
    c.set32(cpuState.flushedAt, gen);
    if (c.get32(cpuState.largeSeen)) c.m.fill(c.cpu + LARGE_REGIONS, 2 * REGIONS);
    c.set32(cpuState.largeSeen, 0);
    c.set32(cpuState.userOpen, 0);
    for (let k = 0; k < OPEN_ENTRIES; k++) c.m.setU32(cpuState.openTag.addr(c.cpu, k), NO_TAG);
    c.set32(cpuState.generation, gen);
    setContext(c);
    c.set32(cpuState.listed, 0);
    this.spaces.begin(this.spaceNumber(), this.nextGeneration());
  }

  private spaceNumber(): number {
    const { c } = this;
    return c.get32(cpuState.cr4) & CR4_PCIDE ? c.get32(cpuState.cr3) & PCID_MASK : 0;
  }

  /** Goes on in another address space, with what is known of it or empty. */
  switchSpace(pcid: number, keep: boolean): void {
    this.closeUser();
    // with no generation left everything is flushed, for CR3 as it now is
    if (!this.spaces.switchTo(pcid, keep)) this.flush();
  }
  /** Empties one address space, perhaps the present one. */
  dropSpace(pcid: number): void {
    this.spaces.drop(pcid);
  }
  /** Empties all address spaces; global pages stay. */
  dropSpaces(): void {
    this.spaces.dropAll();
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

  /** INVLPG; where a piece of a large page may be cached it must reach all of that. */
  invalidate(linear: number): void {
    const { m, cpu } = this.c;
    if (this.c.get32(cpuState.largeSeen) && m.u8(cpu + LARGE_REGIONS + region(linear))) return this.flush();
    for (const context of [0, TAG_USER]) {
      const at = tlbPlace(linear, context) * TLB_ENTRY.size;
      m.setU32(cpu + TLB_READ + at, 0);
      m.setU32(cpu + TLB_WRITE + at, 0);
    }
    m.setU32(cpu + codePlace(linear), 0);
  }

  /** Enters a data page for reading, and for writing if it was translated for that. */
  fillData(linear: number, a: number, write: boolean): void {
    const { c } = this;
    const { m, machine } = c;
    const slot = tlbPlace(linear, c.get32(cpuState.tlbCtx)) * TLB_ENTRY.size;
    const open = c.mmu.userPage && c.cpl !== 3 && (c.get32(cpuState.cr4) & CR4_SMAP) !== 0;
    this.enter(TLB_READ + slot, linear, a - (linear >>> 0), open);
    if (!write) return;
    this.enter(TLB_WRITE + slot, linear, a - (linear >>> 0), open);
    const info = machine.frame(Math.floor(a / 4096));
    const known = frameInfo.flags.get(m, info);
    if (!(known & FRAME_WRITTEN)) frameInfo.flags.set(m, info, known | FRAME_WRITTEN);
  }

  /** Enters a code page with the table of its records. */
  fillCode(linear: number, table: number): void {
    this.enter(codePlace(linear), linear, table, false);
  }

  /** What the translation just made gives. */
  private enter(place: number, linear: number, value: number, open: boolean): void {
    const { cpu, mmu } = this.c;
    const flags =
      (mmu.global ? ENTRY_FLAG.global : 0) |
      (mmu.large ? ENTRY_FLAG.large : 0) |
      (open ? ENTRY_FLAG.open : 0);
    this.functions.enter(cpu, place, linear | 0, Math.floor(linear / HIGH) | 0, value | 0, flags);
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

const codePlace = (linear: number): number =>
  TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * TLB_ENTRY.size;
const region = (linear: number): number =>
  (Math.floor(linear / REGION_BYTES) & (REGIONS - 1)) + (linear < 0 ? REGIONS : 0);
