/**
 * The forced emulation prefix: UD2 and the letters "xen", by which a guest of a Xen booted with `hvm_fep` has the
 * instruction behind it emulated. All instructions are emulated here, so it only moves rip on.
 *
 * @abi public/arch-x86/xen.h (XEN_EMULATE_PREFIX)
 */
import { RF } from '../../x86/flags.ts';
import { cpuState } from '../cpu-state.ts';
import type { Exit } from '../platform.ts';
import type { Core } from './core.ts';
import type { Fetcher } from './fetch.ts';
import { NEXT, type Next } from './next.ts';

const PREFIX = [0x0f, 0x0b, 0x78, 0x65, 0x6e] as const;

export class ForcedEmulation {
  private readonly c: Core;
  private readonly fetcher: Fetcher;
  private readonly single: () => number;
  /** The instruction in hand has its prefix; another one is an UD2 like any other. */
  private prefixed = false;

  /** `single` runs one instruction at rip. */
  constructor(c: Core, fetcher: Fetcher, single: () => number) {
    this.c = c;
    this.fetcher = fetcher;
    this.single = single;
  }

  /**
   * At an UD2: runs the instruction behind the prefix that begins here; undefined if none does. The prefix is done once
   * rip is behind it: that is where faults are reported.
   */
  run(): Next | undefined {
    const { c } = this;
    if (this.prefixed || !this.fetcher.isAt(PREFIX)) return undefined;
    const ip = c.ip + PREFIX.length;
    c.setLin(cpuState.rip, c.code64 ? ip : ip >>> 0);
    c.set32(cpuState.flagsRest, c.get32(cpuState.flagsRest) & ~RF);
    this.prefixed = true;
    const exit = this.single();
    this.prefixed = false;
    return exit >= 0 ? (exit as Exit) : NEXT.jumped;
  }
}
