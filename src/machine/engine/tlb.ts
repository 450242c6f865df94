/**
 * The translation buffers of the vCPU that is running: what the interpreter looks in, filled and emptied from here.
 *
 * A tag holds the page, a generation and the privilege (see record.ts). A flush takes a new generation, and sweeps only
 * when there is none left. With PCIDs each address space has a generation of its own, which it comes back to. Global
 * pages are entered for each anew; INVLPG reaches them all since a page has one slot, whoever's entry is in it.
 */
import { cpuState } from '../cpu-state.ts';
import { EXEC_ENTRIES, TLB_ENTRIES, TLB_EXEC, TLB_READ, TLB_WRITE } from '../interp/record.ts';
import { frameInfo } from '../machine.ts';
import { CR4_PCIDE } from '../mmu.ts';
import { FRAME_WRITTEN } from './code-cache.ts';
import { type Core, HIGH } from './core.ts';
import { setContext } from './segments.ts';

const MAX_GENERATION = 127;
const PCID_MASK = 0xfff;
const REGION = 0x20_0000;

export class Tlb {
  private readonly c: Core;
  /** Regions (hashed) of which a piece of a large page may be cached: INVLPG there must reach all of it. */
  private readonly largeRegions = new Uint8Array(4096);
  /** Generations of PCIDs, for each vCPU. */
  private readonly spaces = new Map<number, Map<number, number>>();

  constructor(c: Core) {
    this.c = c;
  }

  flush(): void {
    const { c } = this;
    this.spaces.delete(c.cpu);
    const gen = this.nextGeneration();
    c.set32(cpuState.flushedAt, gen);
    c.set32(cpuState.largeSeen, 0);
    this.setGeneration(gen);
    if (c.get32(cpuState.cr4) & CR4_PCIDE) this.spacesOf(c.cpu).set(c.get32(cpuState.cr3) & PCID_MASK, gen);
  }

  /** Goes on in another address space, with what is known of it or empty. */
  switchSpace(pcid: number, keep: boolean): void {
    const { cpu } = this.c;
    let gen = keep ? this.spaces.get(cpu)?.get(pcid) : undefined;
    if (gen === undefined) {
      gen = this.nextGeneration();
      this.spacesOf(cpu).set(pcid, gen);
    }
    this.setGeneration(gen);
  }

  /** Empties one address space, perhaps the present one. */
  dropSpace(pcid: number): void {
    const { c } = this;
    if ((c.get32(cpuState.cr3) & PCID_MASK) === pcid) this.switchSpace(pcid, false);
    else this.spaces.get(c.cpu)?.delete(pcid);
  }

  private spacesOf(cpu: number): Map<number, number> {
    let known = this.spaces.get(cpu);
    if (known === undefined) this.spaces.set(cpu, (known = new Map()));
    return known;
  }

  private setGeneration(gen: number): void {
    this.c.set32(cpuState.generation, gen);
    setContext(this.c);
  }

  private nextGeneration(): number {
    const { c } = this;
    let gen = c.get32(cpuState.generationLast) + 1;
    if (gen > MAX_GENERATION) {
      c.m.fill(c.cpu + TLB_READ, TLB_ENTRIES * 16);
      c.m.fill(c.cpu + TLB_WRITE, TLB_ENTRIES * 16);
      this.clearCode(c.cpu);
      this.spaces.delete(c.cpu);
      gen = 1;
    }
    c.set32(cpuState.generationLast, gen);
    return gen;
  }

  clearCode(cpu: number): void {
    this.c.m.fill(cpu + TLB_EXEC, EXEC_ENTRIES * 16);
  }

  invalidate(linear: number): void {
    if (this.c.get32(cpuState.largeSeen) && this.largeRegions[region(linear)]) return this.flush();
    const { m, cpu } = this.c;
    const page = (linear >>> 12) & (TLB_ENTRIES - 1);
    m.setU32(cpu + TLB_READ + page * 16, 0);
    m.setU32(cpu + TLB_WRITE + page * 16, 0);
    m.setU32(cpu + TLB_EXEC + (page & (EXEC_ENTRIES - 1)) * 16, 0);
  }

  /** Enters a data page for reading, and for writing if it was translated for that. */
  fillData(linear: number, a: number, write: boolean): void {
    const { m, cpu, machine } = this.c;
    const slot = ((linear >>> 12) & (TLB_ENTRIES - 1)) * 16;
    this.noteLarge(linear);
    this.enter(cpu + TLB_READ + slot, linear, a - (linear >>> 0));
    if (!write) return;
    this.enter(cpu + TLB_WRITE + slot, linear, a - (linear >>> 0));
    const info = machine.frame(Math.floor(a / 4096));
    const flags = frameInfo.flags.get(m, info);
    if (!(flags & FRAME_WRITTEN)) frameInfo.flags.set(m, info, flags | FRAME_WRITTEN);
  }

  /** Enters a code page with the table of its records. */
  fillCode(linear: number, table: number): void {
    this.noteLarge(linear);
    this.enter(this.c.cpu + TLB_EXEC + ((linear >>> 12) & (EXEC_ENTRIES - 1)) * 16, linear, table);
  }

  private enter(at: number, linear: number, value: number): void {
    const { m, cpu } = this.c;
    m.setU32(at, ((linear & ~0xfff) | m.u32(cpu + cpuState.tlbCtx.offset)) >>> 0);
    m.setU32(at + 4, Math.floor(linear / HIGH) | 0);
    m.setU32(at + 8, value | 0);
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

const region = (linear: number): number => Math.floor(linear / REGION) & 4095;
