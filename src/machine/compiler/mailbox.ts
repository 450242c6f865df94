/**
 * Jobs on their way to the thread that compiles, in machine memory: a message costs as much as compiling a small region.
 * What comes back, a module, has to be a message.
 */
import type { Mem } from '../../base/mem.ts';
import type { CodeSize } from '../../x86/insn.ts';
import type { Job, StartPlace } from './job.ts';
import { MAX_STARTS } from './job.ts';

export const PLACES = 16;
const POSTED = 0;
const ANSWERED = 4;
const FIRST_PLACE = 64;
/** Of a place: the job's fields and its starts. */
const FIELD = {
  posted: 0,
  id: 4,
  base: 8,
  merged: 16,
  codeSize: 20,
  tlb: 24,
  context: 28,
  starts: 32,
  samples: 36,
  first: 40,
} as const;
const START = { page: 0, table: 4, off: 8, size: 12 } as const;
const PLACE_BYTES = 1024;
if (FIELD.first + MAX_STARTS * START.size > PLACE_BYTES) throw new Error('a job does not fit its place');

export const MAILBOX_BYTES = FIRST_PLACE + PLACES * PLACE_BYTES;

export class Mailbox {
  private readonly mem: Mem;
  private readonly at: number;
  private seen = 0;

  /** At a machine address: MAILBOX_BYTES of zeros to begin with. */
  constructor(mem: Mem, at: number) {
    this.mem = mem;
    this.at = at;
  }
  private place(k: number): number {
    return this.at + FIRST_PLACE + k * PLACE_BYTES;
  }
  private word(offset: number): number {
    return (this.at + offset) >>> 2;
  }

  // --- who asks ----------------------------------------------------------------------------------------------------

  /** Puts a job into a free place. */
  post(k: number, job: Job): void {
    const { mem } = this;
    const at = this.place(k);
    mem.setU32(at + FIELD.id, job.id);
    mem.setF64(at + FIELD.base, job.base);
    mem.setU32(at + FIELD.merged, job.merged ? 1 : 0);
    mem.setU32(at + FIELD.codeSize, job.codeSize);
    mem.setU32(at + FIELD.tlb, job.tlb);
    mem.setU32(at + FIELD.context, job.context);
    mem.setU32(at + FIELD.samples, job.samples);
    mem.setU32(at + FIELD.starts, job.starts.length);
    job.starts.forEach((s, i) => {
      const to = at + FIELD.first + i * START.size;
      mem.setU32(to + START.page, s.page >>> 0);
      mem.setU32(to + START.table, s.table);
      mem.setU32(to + START.off, s.off);
    });
    Atomics.store(mem.words, (at + FIELD.posted) >>> 2, 1);
    Atomics.add(mem.words, this.word(POSTED), 1);
    Atomics.notify(mem.words, this.word(POSTED));
  }
  /** Answers that were given. */
  get answers(): number {
    return this.mem.words[this.word(ANSWERED)] as number;
  }

  // --- who answers -------------------------------------------------------------------------------------------------

  /** Sleeps until there is a job; answers up to `most`, which stay in their places. */
  wait(most: number): Job[] {
    const { mem } = this;
    for (;;) {
      const jobs = this.posted(most);
      if (jobs.length > 0) return jobs;
      const count = Atomics.load(mem.words, this.word(POSTED));
      if (count === this.seen) Atomics.wait(mem.words, this.word(POSTED), count);
      this.seen = count;
    }
  }
  private posted(most: number): Job[] {
    const jobs: Job[] = [];
    for (let k = 0; k < PLACES && jobs.length < most; k++)
      if (Atomics.exchange(this.mem.words, (this.place(k) + FIELD.posted) >>> 2, 0) === 1)
        jobs.push(this.read(this.place(k)));
    return jobs.sort((a, b) => a.id - b.id);
  }
  private read(at: number): Job {
    const { mem } = this;
    const starts = Array.from({ length: mem.u32(at + FIELD.starts) }, (_, i): StartPlace => {
      const from = at + FIELD.first + i * START.size;
      return {
        page: mem.s32(from + START.page),
        table: mem.u32(from + START.table),
        off: mem.u32(from + START.off),
      };
    });
    return {
      id: mem.u32(at + FIELD.id),
      base: mem.f64(at + FIELD.base),
      starts,
      merged: mem.u32(at + FIELD.merged) === 1,
      codeSize: mem.u32(at + FIELD.codeSize) as CodeSize,
      tlb: mem.u32(at + FIELD.tlb),
      context: mem.u32(at + FIELD.context),
      samples: mem.u32(at + FIELD.samples),
    };
  }
  /** An answer has been sent. */
  answered(): void {
    Atomics.add(this.mem.words, this.word(ANSWERED), 1);
  }
}
