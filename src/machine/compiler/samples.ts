/**
 * Where the interpreter spends its time: how often its budget ran out at a record, in machine memory, where the thread
 * that compiles looks too. A jump's target was run about as often as it was seen here; records share places by chance.
 */
import type { Mem } from '../../base/mem.ts';
import type { Machine } from '../machine.ts';

const BYTES = 1 << 16;
const MOST = 255;

const place = (record: number): number => Math.imul(record >>> 4, 0x9e37_79b1) >>> 16;

/** Whether a record was seen, in the samples at a machine address. */
export const wasSeen = (mem: Mem, samples: number, record: number): boolean =>
  mem.u8(samples + place(record)) !== 0;

export class Samples {
  /** Machine address. */
  readonly at: number;
  private readonly mem: Mem;

  /** Throws when the machine has no memory for them. */
  constructor(machine: Machine) {
    const mfn = machine.allocFrames(BYTES / 4096);
    if (mfn < 0) throw new Error('no machine memory for samples');
    this.at = mfn * 4096;
    this.mem = machine.mem;
  }

  /** One more of a record; answers how many there are, 255 at most. */
  add(record: number): number {
    const at = this.at + place(record);
    const n = Math.min(this.mem.u8(at) + 1, MOST);
    this.mem.setU8(at, n);
    return n;
  }
  /** The record is counted anew, but was seen. */
  restart(record: number): void {
    this.mem.setU8(this.at + place(record), 1);
  }
  clear(): void {
    this.mem.fill(this.at, BYTES);
  }
}
