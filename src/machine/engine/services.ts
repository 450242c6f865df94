/** What helpers ask of the CPU they run on. */
import type { Clock, Entropy } from '../../base/host.ts';
import { cpuState } from '../cpu-state.ts';
import { CR0_PG, CR4_PAE } from '../mmu.ts';
import type { Core } from './core.ts';
import type { ForcedEmulation } from './forced.ts';
import type { HelperContext } from './helpers.ts';
import type { Next } from './next.ts';
import { guestTscOffset } from './svm/state.ts';
import type { Tlb } from './tlb.ts';

export interface ServiceOptions {
  readonly clock: Clock;
  /** The clock goes by the instructions counted: it is asked where that count is exact, by helpers. */
  readonly clockCounts?: boolean;
  readonly entropy: Entropy;
  /** kHz of every guest's TSC. */
  readonly tscKhz: number;
  readonly cr4Allowed: number;
}

/** The host's time in ticks of a guest's TSC. */
export function ticks({ clock, tscKhz }: ServiceOptions): number {
  const ns = clock.now();
  return Math.floor(tscKhz === 1_000_000 ? ns : (ns * tscKhz) / 1e6);
}

export class Services implements HelperContext {
  readonly cr4Allowed: number;
  /** There is a forced emulation prefix. */
  forcedEmulation: ForcedEmulation | undefined;
  private readonly c: Core;
  private readonly tlb: Tlb;
  private readonly options: ServiceOptions;
  private readonly random64 = new BigUint64Array(1);

  constructor(c: Core, tlb: Tlb, options: ServiceOptions) {
    this.c = c;
    this.tlb = tlb;
    this.options = options;
    this.cr4Allowed = options.cr4Allowed;
  }

  tsc(): bigint {
    const offset = this.c.get(cpuState.tscOffset) + guestTscOffset(this.c);
    return BigInt.asUintN(64, BigInt(ticks(this.options)) + offset);
  }
  random(): bigint {
    this.options.entropy.fill(new Uint8Array(this.random64.buffer));
    return this.random64[0]!;
  }
  forced(): Next | undefined {
    return this.forcedEmulation?.run();
  }

  flush(): void {
    this.tlb.flush();
  }
  invalidate(linear: number): void {
    this.tlb.invalidate(linear);
  }
  switchSpace(pcid: number, keep: boolean): void {
    this.tlb.switchSpace(pcid, keep);
  }
  dropSpace(pcid: number): void {
    this.tlb.dropSpace(pcid);
  }
  dropSpaces(): void {
    this.tlb.dropSpaces();
  }
  /** CR3 was replaced with everything else. */
  reloadTables(): void {
    const c = this.c;
    if (c.get32(cpuState.cr0) & CR0_PG && c.get32(cpuState.cr4) & CR4_PAE && !c.longMode)
      c.mmu.loadPdptes(c.cpu, c.get32(cpuState.cr3));
    this.tlb.flush();
  }
}
