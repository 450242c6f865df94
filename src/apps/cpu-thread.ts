/**
 * The thread of the guests' CPU, seen from domain 0's. It starts before there is a machine: to load the engine takes as
 * long as to make a machine and build the first guest, and needs nothing of them.
 */
import { fileURLToPath } from 'node:url';
import { type TransferListItem, Worker } from 'node:worker_threads';
import type { CpuMachine, CpuMessage, CpuWorkerData } from './cpu-worker.ts';
import { AppError, EXIT } from './exit-status.ts';

export class CpuThread {
  private readonly worker = new Worker(new URL('./cpu-worker.cjs', import.meta.url), {
    workerData: {
      interpreter: fileURLToPath(new URL('./interpreter.wasm', import.meta.url)),
    } satisfies CpuWorkerData,
  });
  /** Rejects if the thread dies; that is a bug of ours, not a guest's doing. */
  readonly failure: Promise<never>;
  /** Settles when the thread is gone. */
  readonly exited: Promise<void>;

  constructor() {
    const { worker } = this;
    this.failure = new Promise((_, reject) => {
      worker.on('error', (e) =>
        reject(new AppError(EXIT.failed, `the guests' CPU failed: ${e.stack ?? e}`, { cause: e })),
      );
    });
    this.failure.catch(() => {});
    this.exited = new Promise((resolve) => worker.once('exit', () => resolve()));
  }

  /** Gives the CPU its machine, once; it looks for guests from then on. */
  run(machine: CpuMachine, receive: (message: CpuMessage) => void): void {
    this.worker.on('message', receive);
    this.worker.postMessage(machine, machine.compiler ? [machine.compiler as TransferListItem] : []);
  }

  /** Ends a CPU that does not stop by itself. */
  terminate(): void {
    void this.worker.terminate();
  }
}
