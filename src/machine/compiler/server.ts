/**
 * The other thread's half: compiles jobs, and calls each function once, so that V8 has compiled it before it gets to
 * the thread that runs guests. The code of a function is compiled for all threads that have its module.
 *
 * The records that it reads may change or go at the same time. What comes of that is thrown away by who asked for it;
 * here it may throw anything, or be a lot of nonsense.
 */
import { Mem } from '../../base/mem.ts';
import { cpuState, OPEN_ENTRIES } from '../cpu-state.ts';
import { CPU_BYTES, TLB_READ } from '../interp/record.ts';
import { ROUTINE_LIST } from '../interp/routine-list.ts';
import { routineName } from '../interp/routines.ts';
import type { WasmMemory } from '../machine.ts';
import { compileModule, instantiateModule } from '../wasm-api.ts';
import { type Batch, buildModule, type Formed, formRegion, type Job } from './job.ts';
import { Mailbox } from './mailbox.ts';
import type { RegionCode } from './region.ts';

/** Regions to a module at most: the first should not wait long for the others. */
const MODULE = 8;

export class CompileServer {
  private readonly memory: WasmMemory;
  private readonly maxPages: number;
  private readonly mem: Mem;
  private readonly dummy: number;
  private readonly mailbox: Mailbox;
  private readonly imports: Record<string, unknown>;

  /** Jobs are in the mailbox; `dummy` is the address of a vCPU's block that no vCPU has, for functions to be called with. */
  constructor(memory: WasmMemory, maxPages: number, mailbox: number, dummy: number) {
    this.memory = memory;
    this.maxPages = maxPages;
    this.mem = new Mem(() => memory.buffer);
    this.mailbox = new Mailbox(this.mem, mailbox);
    this.dummy = dummy;
    this.mem.fill(dummy + TLB_READ, CPU_BYTES - TLB_READ, 0xff);
    this.imports = Object.fromEntries([...ROUTINE_LIST.keys()].map((i) => [routineName(i), () => 1]));
  }

  /** Waits for jobs, has `send` send what became of them. */
  serve(send: (batch: Batch) => void): void {
    const jobs = this.mailbox.wait(MODULE);
    send(this.run(jobs));
    this.mailbox.answered();
  }
  private run(jobs: readonly Job[]): Batch {
    this.mem.refresh();
    const made: { formed: Formed; code: RegionCode }[] = [];
    for (const job of jobs) {
      const region = this.form(job);
      if (region) made.push(region);
    }
    const bytes = buildModule(
      made.map((r) => r.code),
      this.maxPages,
    );
    const module = compileModule(bytes);
    this.warmUp(module);
    return { done: jobs.map((j) => j.id), regions: made.map((r) => r.formed), module };
  }
  private form(job: Job): { formed: Formed; code: RegionCode } | undefined {
    try {
      return formRegion(this.mem, job);
    } catch {
      // records were changed while they were read: it is asked for again when it is hot again
      return undefined;
    }
  }

  /** Its TLBs match nothing, and there is no budget: a function leaves at the first access or the end of a loop. */
  private warmUp(module: object): void {
    const functions = Object.values(instantiateModule(module, this.memory, this.imports));
    for (const f of functions) {
      this.resetDummy();
      (f as (cpu: number, entry: number, fuel: number) => number)(this.dummy, 0, 0);
    }
  }
  private resetDummy(): void {
    const { mem, dummy } = this;
    mem.fill(dummy, TLB_READ);
    // what STAC and CLAC look at
    for (let k = 0; k < OPEN_ENTRIES; k++) mem.setU32(cpuState.openEntry.addr(dummy, k), dummy);
  }
}
