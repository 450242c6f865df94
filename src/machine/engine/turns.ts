/** A turn of the code: into the interpreter, or what is compiled, until there is something to be done outside. */
import type { Regions } from '../compiler/regions.ts';
import { cpuState } from '../cpu-state.ts';
import type { Core } from './core.ts';
import type { InterpreterExports, Parts, Runner } from './parts.ts';
import type { Progress } from './progress.ts';

/** Compiled regions, and what runs them and the interpreter by turns. */
export interface Compiled extends Runner {
  readonly regions: Regions;
}

export class Turns {
  compiled: Compiled | undefined;
  private readonly c: Core;
  private readonly interp: InterpreterExports;
  private readonly progress: Progress;
  /** Blocks for the interpreter before it is looked at where it is. */
  private untilSample = 0;

  constructor({ core, progress }: Parts, interp: InterpreterExports) {
    this.c = core;
    this.interp = interp;
    this.progress = progress;
  }

  /** Runs until something is to be done here; answers why, a LEAVE. */
  take(): number {
    const { c, progress, compiled } = this;
    if (!compiled) {
      const why = this.interp.turn(c.cpu, progress.rp, progress.left);
      progress.left = c.get32(cpuState.fuel) | 0;
      return why;
    }
    if (progress.rp === 0) compiled.regions.poll();
    // the interpreter's budget is small, to see where it spends its time; what it left is for its next turn
    const some = Math.min(progress.left, this.untilSample);
    c.set32(cpuState.regionFuel, progress.left);
    const why = compiled.run(c.cpu, progress.rp, some);
    const used = some - (c.get32(cpuState.fuel) | 0);
    this.untilSample -= used;
    progress.left = (c.get32(cpuState.regionFuel) | 0) - used;
    return why;
  }

  /** Everything is compiled, before it runs. */
  get compilesAll(): boolean {
    return this.compiled?.regions.options.sampleEvery === 0;
  }
  /** The interpreter goes on where its budget ran out, at the start of a block, unless that was compiled now. */
  sample(rp: number): void {
    const { progress } = this;
    const regions = this.compiled?.regions;
    this.untilSample = regions?.interval() ?? 0;
    if (regions?.sample(rp)) progress.again(rp);
    else progress.rp = rp;
  }
  /** A region was left for another at a record, as it is time and again: they could be one. */
  merge(rp: number): void {
    this.compiled?.regions.merge(this.c.get32(cpuState.lastRegion), rp);
    this.progress.again(rp);
  }
}
