/** Data accesses that the TLB does not serve: the page is entered, or the instruction is one for alone.ts. */
import { cpuState, SEG } from '../cpu-state.ts';
import { KIND_ATOMIC, KIND_READ, REC, TLB_EXEC } from '../interp/record.ts';
import { ACCESS, FAULT, MMIO } from '../mmu.ts';
import type { CodeCache } from './code-cache.ts';
import { codePage } from './code-tlb.ts';
import type { Core } from './core.ts';
import { checkFirst, nothingFirst } from './fault-order.ts';
import type { Fetcher } from './fetch.ts';
import { checkWrap } from './limits.ts';
import type { Parts } from './parts.ts';
import type { Progress } from './progress.ts';
import { EXC, GuestFault, HIGH } from './registers.ts';
import { inGuest } from './svm/state.ts';
import { VmExit } from './svm/vm-exit.ts';
import type { Tlb } from './tlb.ts';

/** Times that a frame's code is given up, for as many frames (by the low bits of their numbers). */
const MAX_GIVEN_UP = 4;
const GIVEN_UP = 1 << 16;

export class Misses {
  private readonly c: Core;
  private readonly cache: CodeCache;
  private readonly tlb: Tlb;
  private readonly fetcher: Fetcher;
  private readonly progress: Progress;
  private readonly odd: (rp: number) => number;
  /** The last frame with code that was written to. */
  private lastWritten = -1;
  private readonly givenUp = new Uint8Array(GIVEN_UP);

  /** `odd` runs the instruction of a record whose access no TLB entry can serve. */
  constructor({ core, cache, tlb, fetcher, progress }: Parts, odd: (rp: number) => number) {
    this.c = core;
    this.cache = cache;
    this.tlb = tlb;
    this.fetcher = fetcher;
    this.progress = progress;
    this.odd = odd;
  }

  /** An access of the record's was not in the TLB. An exit, or -1 to go on; faults. */
  miss(rp: number): number {
    if (this.isPageFault(rp)) return this.progress.raise(EXC.PF, this.c.mmu.errorCode, 'fault');
    try {
      return this.missed(rp);
    } catch (e) {
      if (e instanceof GuestFault || e instanceof VmExit) checkFirst(this.c, this.fetcher.decodeAt());
      throw e;
    }
  }
  /** What most often ends here without a thrown fault: a page that 64-bit code cannot access so, and nothing else. */
  private isPageFault(rp: number): boolean {
    const c = this.c;
    const kind = c.get32(cpuState.faultKind);
    const size = kind >>> 8;
    const lo = c.get32(cpuState.faultAddr);
    const hi = c.m.s32(c.cpu + cpuState.faultAddr.offset + 4);
    if (!c.code64 || (hi >> 15 !== 0 && hi >> 15 !== -1) || (lo & 4095) + size > 4096) return false;
    if (inGuest(c) || !nothingFirst(c, size) || ((kind & 255) === KIND_ATOMIC && lo & (size - 1)))
      return false;
    const access = (kind & 255) === KIND_READ ? ACCESS.read : ACCESS.write;
    if (c.mmu.translate(c.cpu, hi * HIGH + lo, access, c.cpl === 3) !== FAULT) return false;
    this.progress.atInstruction(rp);
    this.progress.countTo(rp, true);
    c.setLin(cpuState.cr2, hi * HIGH + lo);
    return true;
  }
  private missed(rp: number): number {
    const { progress } = this;
    const kind = this.c.get32(cpuState.faultKind);
    progress.atInstruction(rp);
    try {
      if (this.plainFill(kind)) {
        progress.rp = rp;
        return -1;
      }
    } catch (e) {
      progress.countTo(rp, true);
      throw e;
    }
    return this.odd(rp);
  }

  /** The linear address of the access; faults when it is not canonical. */
  address(): number {
    const c = this.c;
    const lo = c.m.u32(c.cpu + cpuState.faultAddr.offset);
    const hi = c.m.s32(c.cpu + cpuState.faultAddr.offset + 4);
    if (!c.code64) return lo;
    if (hi >> 15 !== 0 && hi >> 15 !== -1) {
      const usesStack = c.m.u8(c.get32(cpuState.exitRp) + REC.stack) === 1;
      c.fault(usesStack ? EXC.SS : EXC.GP, 0);
    }
    return hi * HIGH + lo;
  }

  /** Puts the page in the TLB if that is all it takes; false for straddling, misaligned locked, device and code pages. */
  plainFill(kind: number): boolean {
    const c = this.c;
    const size = kind >>> 8;
    const how = kind & 255;
    const write = how !== KIND_READ;
    const ea = this.address();
    const highZero = c.code64 || c.m.u32(c.cpu + cpuState.faultAddr.offset + 4) === 0;
    const offset = (ea >>> 0) & 4095;
    if (offset + size > 4096) checkWrap(c, ea, size);
    if (!highZero || offset + size > 4096 || (how === KIND_ATOMIC && offset & (size - 1))) return false;
    const a = c.mmu.translate(c.cpu, ea, write ? ACCESS.write : ACCESS.read, c.cpl === 3);
    if (a === FAULT) {
      c.setLin(cpuState.cr2, ea);
      c.fault(EXC.PF, c.mmu.errorCode);
    }
    if (a === MMIO) return false;
    const mfn = Math.floor(a / 4096);
    // what is written may be what runs next: done alone, and looked up again afterwards
    if (write && c.mmu.anyCode(mfn) && !this.givesUpCode(mfn)) return false;
    c.watch?.data(ea, size, write);
    this.tlb.fillData(ea, a, write);
    return true;
  }
  /**
   * A second write in a row to a page with code, as when a kernel patches itself: what was decoded from it goes, so that
   * the next ones are plain. Not of the page that runs; nor time and again, where code and data share a page.
   */
  private givesUpCode(mfn: number): boolean {
    const again = mfn === this.lastWritten;
    this.lastWritten = mfn;
    const place = mfn & (GIVEN_UP - 1);
    if (!again || (this.givenUp[place] as number) >= MAX_GIVEN_UP || this.runs(mfn)) return false;
    this.givenUp[place]!++;
    this.c.codeWritten(mfn);
    return true;
  }
  private runs(mfn: number): boolean {
    const c = this.c;
    const base = c.lin(cpuState.ripBase);
    const linear = c.code64 ? base : (base + c.segBase(SEG.cs)) >>> 0;
    const frame = this.cache.frameOf(codePage(c.m, c.cpu + TLB_EXEC, linear, c.get32(cpuState.tlbCtx)));
    return frame < 0 || frame === mfn;
  }
}
