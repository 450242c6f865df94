/**
 * Debug exceptions: which instructions the debug registers and TF stop at. While any of them is set the engine runs one
 * instruction at a time and asks here. @spec SDM 3B 18.2, 18.3; APM 2 13.1
 */
import { TF } from '../../x86/flags.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core, Watch } from './core.ts';

/** DR6.BS: single-stepping. */
export const DR6_BS = 0x4000;
/** DR6.B0 to B3. */
export const DR6_HITS = 0xf;
const DR7_ENABLES = 0xff;
const CR4_DE = 8;
const DEBUGCTL_BTF = 2;
/** R/W fields of DR7. */
const ON = { exec: 0, write: 1, port: 2, access: 3 } as const;
/** Bytes that a LEN field of DR7 stands for. */
const LENGTHS = [1, 2, 8, 4] as const;

/** True while instructions have to be run one by one. */
export function stepping(c: Core): boolean {
  const { m, cpu } = c;
  return (
    (m.u32(cpu + cpuState.flagsRest.offset) & TF) !== 0 ||
    (m.u32(cpuState.dr.addr(cpu, 7)) & DR7_ENABLES) !== 0 ||
    m.u32(cpu + cpuState.pendingDb.offset) !== 0
  );
}

/** Branches alone are single-stepped. */
export const onlyBranches = (c: Core): boolean => (c.get32(cpuState.debugCtl) & DEBUGCTL_BTF) !== 0;

/** What a #DB leaves in DR6 and DEBUGCTL before it is delivered. */
export function noteDebug(c: Core, why: number): void {
  const dr6 = cpuState.dr.addr(c.cpu, 6);
  c.m.setU32(dr6, ((c.m.u32(dr6) & ~DR6_HITS) | why) >>> 0);
  c.set32(cpuState.debugCtl, c.get32(cpuState.debugCtl) & ~DEBUGCTL_BTF);
}

export class Breakpoints implements Watch {
  /** DR6 bits of the data and port breakpoints met since `arm`. */
  hits = 0;
  private readonly c: Core;

  constructor(c: Core) {
    this.c = c;
  }

  private get dr7(): number {
    return this.c.m.u32(cpuState.dr.addr(this.c.cpu, 7));
  }
  private kind(n: number): number {
    return (this.dr7 >>> (16 + 4 * n)) & 3;
  }
  private enabled(n: number): boolean {
    return ((this.dr7 >>> (2 * n)) & 3) !== 0;
  }
  private length(n: number): number {
    return LENGTHS[(this.dr7 >>> (18 + 4 * n)) & 3]!;
  }

  /** Starts to watch accesses; false when no breakpoint is on any. */
  arm(): boolean {
    this.hits = 0;
    for (let n = 0; n < 4; n++)
      if (this.enabled(n) && this.kind(n) !== ON.exec) {
        this.watch(this);
        return true;
      }
    return false;
  }
  disarm(): void {
    this.watch(undefined);
  }
  private watch(by: Watch | undefined): void {
    const { c } = this;
    c.watch = by;
    c.set32(cpuState.watched, by ? 1 : 0);
  }

  data(linear: number, size: number, write: boolean): void {
    for (let n = 0; n < 4; n++) {
      const kind = this.kind(n);
      if ((kind === ON.access || (kind === ON.write && write)) && this.overlaps(n, linear, size))
        this.hits |= 1 << n;
    }
  }
  port(port: number, size: number): void {
    if ((this.c.get32(cpuState.cr4) & CR4_DE) === 0) return;
    for (let n = 0; n < 4; n++)
      if (this.kind(n) === ON.port && this.overlaps(n, port, size)) this.hits |= 1 << n;
  }
  /** DR6 bits of the breakpoints on the instruction at a linear address. */
  atInstruction(linear: number): number {
    let hits = 0;
    for (let n = 0; n < 4; n++) if (this.kind(n) === ON.exec && this.overlaps(n, linear, 1)) hits |= 1 << n;
    return hits;
  }

  private overlaps(n: number, at: number, size: number): boolean {
    if (!this.enabled(n)) return false;
    const length = this.length(n);
    const dr = this.c.lin({ offset: cpuState.dr.offset + 8 * n });
    const from = dr - ((dr >>> 0) & (length - 1));
    return at < from + length && from < at + size;
  }
}
