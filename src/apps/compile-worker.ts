/** The thread that compiles what is hot, for a CPU's thread; it never ends by itself. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { CompileServer } from '../machine/compiler/server.ts';
import type { WasmMemory } from '../machine/machine.ts';

export interface CompileWorkerData {
  readonly memory: WasmMemory;
  readonly maxPages: number;
  /** Machine addresses, see CompileServer. */
  readonly mailbox: number;
  readonly dummy: number;
  /** Where what is compiled goes to. */
  readonly port: MessagePort;
}

const { memory, maxPages, mailbox, dummy, port } = workerData as CompileWorkerData;
const server = new CompileServer(memory, maxPages, mailbox, dummy);
for (;;) server.serve((batch) => port.postMessage(batch));
