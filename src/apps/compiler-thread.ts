/** The thread that compiles for a CPU's: started when that first asks, gone with it. */
import { availableParallelism } from 'node:os';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { LogSink } from '../base/log.ts';
import { CPU_BYTES } from '../machine/interp/record.ts';
import type { Machine } from '../machine/machine.ts';
import type { CompileWorkerData } from './compile-worker.ts';

export class CompilerThread {
  /** The CPU's end of the way back. */
  readonly end: MessagePort;
  private readonly far: MessagePort;
  private worker: Worker | undefined;

  private constructor() {
    const { port1, port2 } = new MessageChannel();
    this.end = port1;
    this.far = port2;
  }
  /** Undefined where there is one processor only: the CPU's thread does it all then. */
  static create(): CompilerThread | undefined {
    return availableParallelism() > 1 ? new CompilerThread() : undefined;
  }

  /** Jobs are in the mailbox. Guests go on without what is not compiled if it fails. */
  start(machine: Machine, mailbox: number, log: LogSink): void {
    const failed = (why: unknown): void =>
      log('error', 'compiler', `gone: ${why}; guests run slower from now on`);
    const mfn = machine.allocFrames(Math.ceil(CPU_BYTES / 4096));
    if (mfn < 0) return failed('no machine memory');
    const workerData: CompileWorkerData = {
      memory: machine.memory,
      maxPages: machine.maxPages,
      mailbox,
      dummy: mfn * 4096,
      port: this.far,
    };
    this.worker = new Worker(new URL('./compile-worker.cjs', import.meta.url), {
      workerData,
      transferList: [this.far],
    });
    this.worker.on('error', failed);
  }
  stop(): void {
    void this.worker?.terminate();
  }
}
