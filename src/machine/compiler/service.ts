/** Who compiles: this thread, when there is enough for a module; or another. */

import type { Machine } from '../machine.ts';
import { compileModule } from '../wasm-api.ts';
import { type Batch, buildModule, type Formed, formRegion, type Job } from './job.ts';
import { MAILBOX_BYTES, Mailbox, PLACES } from './mailbox.ts';
import type { RegionCode } from './region.ts';

export interface Compiler {
  /** Whether `take` may have something, without doing any work. */
  readonly ready: boolean;
  /** Takes a job; false if there are too many. */
  post(job: Job): boolean;
  /** What is compiled, if anything is; `now`: what can be done at once is done. */
  take(now: boolean): Batch | undefined;
}

/** Compiles on this thread. */
export class DirectCompiler implements Compiler {
  readonly ready = false;
  private readonly machine: Machine;
  private readonly batch: number;
  private readonly patience: number;
  private waiting: { formed: Formed; code: RegionCode }[] = [];
  private done: number[] = [];
  private waited = 0;

  /** `batch` regions to a module; or as many as there are when the first has waited for `patience` calls of `take`. */
  constructor(machine: Machine, batch: number, patience: number) {
    this.machine = machine;
    this.batch = batch;
    this.patience = patience;
  }

  post(job: Job): boolean {
    const region = formRegion(this.machine.mem, job);
    if (this.done.length === 0) this.waited = 0;
    if (region) this.waiting.push(region);
    this.done.push(job.id);
    return true;
  }
  take(now: boolean): Batch | undefined {
    const { waiting, done } = this;
    if (done.length === 0) return undefined;
    if (!now && done.length < this.batch && ++this.waited <= this.patience) return undefined;
    this.waiting = [];
    this.done = [];
    const bytes = buildModule(
      waiting.map((r) => r.code),
      this.machine.maxPages,
    );
    return { done, regions: waiting.map((r) => r.formed), module: compileModule(bytes) };
  }
}

/** The way to a thread that compiles: it finds jobs in a mailbox. */
export interface CompilerChannel {
  /** There is a first job in the mailbox at this machine address. */
  start(mailbox: number): void;
  /** An answer that was sent. */
  receive(): Batch | undefined;
}

/** Has another thread compile. */
export class RemoteCompiler implements Compiler {
  private readonly mailbox: Mailbox;
  private readonly at: number;
  private readonly channel: CompilerChannel;
  private readonly free = Array.from({ length: PLACES }, (_, k) => k);
  private readonly places = new Map<number, number>();
  private started = false;
  private received = 0;

  /** Throws when the machine has no memory for the mailbox. */
  constructor(machine: Machine, channel: CompilerChannel) {
    const mfn = machine.allocFrames(Math.ceil(MAILBOX_BYTES / 4096));
    if (mfn < 0) throw new Error('no machine memory for the compiler');
    this.at = mfn * 4096;
    this.mailbox = new Mailbox(machine.mem, this.at);
    this.channel = channel;
  }

  get ready(): boolean {
    return this.mailbox.answers !== this.received;
  }
  post(job: Job): boolean {
    const place = this.free.pop();
    if (place === undefined) return false;
    this.places.set(job.id, place);
    this.mailbox.post(place, job);
    if (!this.started) this.channel.start(this.at);
    this.started = true;
    return true;
  }
  take(): Batch | undefined {
    if (!this.ready) return undefined;
    const batch = this.channel.receive();
    if (batch) this.received = (this.received + 1) | 0;
    for (const id of batch?.done ?? []) {
      this.free.push(this.places.get(id) as number);
      this.places.delete(id);
    }
    return batch;
  }
}
