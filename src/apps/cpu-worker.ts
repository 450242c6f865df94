/** A physical CPU's thread: the engine, the hypervisor's code, and the loop that runs vCPUs. */
import { parentPort, workerData } from 'node:worker_threads';
import type { LogLevel } from '../base/log.ts';
import { nodeHost } from '../host/node/host.ts';
import { HvmPlatform, Hypervisor, PcpuLoop } from '../hypervisor/index.ts';
import { TSC_KHZ } from '../hypervisor/time.ts';
import { COMPILE } from '../machine/compiler/regions.ts';
import { createEngine } from '../machine/create-engine.ts';
import { Machine, type WasmMemory } from '../machine/machine.ts';
import { GUEST_CR4 } from '../x86/cpuid.ts';
import type { EngineName } from './args.ts';

export interface CpuWorkerData {
  readonly memory: WasmMemory;
  readonly pcpu: number;
  readonly codeCacheBytes: number;
  readonly engine: EngineName;
}

/** What the worker says: a log line, or that domain 0 has an event pending. */
export type CpuMessage = { log: [LogLevel, string, string] } | 'upcall';

const port = parentPort;
if (!port) throw new Error('this file is a worker');
const data = workerData as CpuWorkerData;
const say = (message: CpuMessage): void => port.postMessage(message);

const host = nodeHost();
const machine = Machine.attach(data.memory);
machine.available = () => host.availableMemory();
const hv = new Hypervisor(machine, host.clock, (...line) => say({ log: line }), {
  doorbell: { ring: () => say('upcall') },
});
const engine = createEngine(machine, new HvmPlatform(hv), {
  compile: data.engine === 'compiler' ? COMPILE : undefined,
  clock: host.clock,
  entropy: host.entropy,
  tscKhz: TSC_KHZ,
  codeCacheBytes: data.codeCacheBytes,
  cr4Allowed: GUEST_CR4,
  forcedEmulation: hv.forcedEmulation,
});
new PcpuLoop(hv, engine, data.pcpu).run();
