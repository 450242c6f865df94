/** Runs cases on the host's own CPU, in a child that host.c is; a case that kills it is known by its number. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AT, FAULT_STRAY, type Rec } from './record.ts';

/** The program lies where 32 bits reach, since 32-bit code returns to it, and random addresses seldom lead. */
const PLACE = '-Wl,-Ttext-segment=0x66600000';
const FLAGS = ['-O1', '-Wall', '-static', '-fno-pie', '-no-pie', '-mfsgsbase', '-fno-stack-protector', PLACE];
const ERROR_PRESENT = 1;

export class Host {
  private readonly folder = mkdtempSync(join(tmpdir(), 'vectors-'));
  private readonly program = join(this.folder, 'host');
  /** What did not come back: the child died, and with which signal or status. */
  readonly lost: string[] = [];

  /** `root` is the project's folder. */
  constructor(root: string) {
    const source = join(root, 'tools/vectors/host.c');
    execFileSync('gcc', [...FLAGS, '-o', this.program, source], { stdio: 'inherit' });
  }
  close(): void {
    rmSync(this.folder, { recursive: true });
  }

  /** Runs the records that lie in `batch` one after another; answers them with their outcomes. */
  run(batch: Uint8Array): Uint8Array {
    const { stdout, status, signal } = spawnSync(this.program, {
      input: batch,
      maxBuffer: batch.length + 4096,
    });
    if (status === 0 && stdout.length === batch.length) return normalised(stdout);
    // what its buffer held is lost with it, so that the rest of the batch is run anew
    return this.oneByOne(batch, `status ${status}, signal ${signal}`);
  }

  /** Halves a batch that ended badly until the case that did it is alone. */
  private oneByOne(batch: Uint8Array, why: string): Uint8Array {
    const starts = [...recordStarts(batch)];
    if (starts.length === 1) {
      const [from, to] = [AT.code, AT.code + batch[AT.codeLength]!];
      this.lost.push(`${Buffer.from(batch.subarray(from, to)).toString('hex')}: ${why}`);
      const out = batch.slice();
      new DataView(out.buffer).setInt32(AT.fault, FAULT_STRAY, true);
      return out;
    }
    const half = starts[starts.length >> 1]!;
    return Buffer.concat([this.run(batch.slice(0, half)), this.run(batch.slice(half))]);
  }
}

export function* recordStarts(batch: Uint8Array): Iterable<number> {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  for (let at = 0; at < batch.length; at += AT.mem + view.getUint32(at + AT.windowLength, true)) yield at;
}

/**
 * Linux says of any fault in the kernel's half that the page was there, so that programs learn nothing of what is mapped
 * (x86/mm: set_signal_archinfo); nothing is, for a program.
 */
function normalised(batch: Buffer): Uint8Array {
  for (const at of recordStarts(batch)) {
    const kernel = batch.readInt32LE(at + AT.fault) === 14 && batch[at + AT.cr2 + 7]! >= 0x80;
    if (kernel) batch[at + AT.error]! &= ~ERROR_PRESENT;
  }
  return batch;
}

/** Appends records to a batch. */
export class Batch {
  private buffer = new Uint8Array(1 << 20);
  private length = 0;

  add(rec: Rec): void {
    const { length } = rec;
    if (this.length + length > this.buffer.length) {
      const bigger = new Uint8Array(this.buffer.length * 2);
      bigger.set(this.buffer);
      this.buffer = bigger;
    }
    this.buffer.set(rec.bytes.subarray(0, length), this.length);
    this.length += length;
  }
  take(): Uint8Array {
    const out = this.buffer.subarray(0, this.length);
    this.length = 0;
    return out;
  }
}
