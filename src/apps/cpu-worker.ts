/** A physical CPU's thread: the engine, the hypervisor's code, and the loop that runs vCPUs. */
import { readFileSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { LogLevel } from '../base/log.ts';
import { nodeHost } from '../host/node/host.ts';
import { tuneV8 } from '../host/node/v8-flags.ts';
import { HvmPlatform, Hypervisor, PcpuLoop } from '../hypervisor/index.ts';
import { TSC_KHZ } from '../hypervisor/time.ts';
import type { Batch } from '../machine/compiler/job.ts';
import { COMPILE, type CompileOptions } from '../machine/compiler/regions.ts';
import { type CompilerChannel, RemoteCompiler } from '../machine/compiler/service.ts';
import { createEngine } from '../machine/create-engine.ts';
import { warmUp } from '../machine/interp/warm-up.ts';
import { Machine, type WasmMemory } from '../machine/machine.ts';
import { Profiler } from '../machine/profile/profiler.ts';
import { compileModule } from '../machine/wasm-api.ts';
import { GUEST_CR4 } from '../x86/cpuid.ts';
import type { EngineName } from './args.ts';
import { CpuProfile, type GuestProfile } from './cpu-profile.ts';

export interface CpuWorkerData {
  /** The file of the interpreter's WebAssembly module. */
  readonly interpreter: string;
}

/** What the thread is sent once there is a machine. */
export interface CpuMachine {
  readonly memory: WasmMemory;
  readonly pcpu: number;
  readonly codeCacheBytes: number;
  readonly engine: EngineName;
  readonly profile: boolean;
  /** The way back from the thread that compiles, if there is to be one. */
  readonly compiler: MessagePort | undefined;
}

/**
 * What the worker says: a log line, a guest's profile, that there is something to compile, in the mailbox at a machine
 * address, or that domain 0 has an event pending.
 */
export type CpuMessage =
  | { log: [LogLevel, string, string] }
  | { profile: GuestProfile }
  | { compiler: number }
  | 'upcall';

const port = parentPort;
if (!port) throw new Error('this file is a worker');
const say = (message: CpuMessage): void => port.postMessage(message);

const host = nodeHost();
tuneV8();
const interpreter = compileModule(readFileSync((workerData as CpuWorkerData).interpreter));
port.once('message', run);
// there is time until there is a machine
warmUp(interpreter);

function compileOptions(machine: Machine, { codeCacheBytes, compiler }: CpuMachine): CompileOptions {
  const options = { ...COMPILE, codeBytes: codeCacheBytes };
  if (!compiler) return options;
  const channel: CompilerChannel = {
    start: (mailbox) => say({ compiler: mailbox }),
    receive: () => receiveMessageOnPort(compiler)?.message as Batch | undefined,
  };
  return { ...options, compiler: new RemoteCompiler(machine, channel) };
}

/** Runs guests until the machine stops. */
function run(given: CpuMachine): void {
  const machine = Machine.attach(given.memory);
  machine.available = () => host.availableMemory();
  const hv = new Hypervisor(machine, host.clock, (...line) => say({ log: line }), {
    doorbell: { ring: () => say('upcall') },
  });
  const profiler = given.profile ? new Profiler(host.clock) : undefined;
  const engine = createEngine(machine, new HvmPlatform(hv), {
    compile: given.engine === 'compiler' ? compileOptions(machine, given) : undefined,
    clock: host.clock,
    entropy: host.entropy,
    tscKhz: TSC_KHZ,
    codeCacheBytes: given.codeCacheBytes,
    cr4Allowed: GUEST_CR4,
    forcedEmulation: hv.forcedEmulation,
    profiler,
    interpreter,
  });
  const loop = new PcpuLoop(hv, engine, given.pcpu);
  const profile = profiler && new CpuProfile(hv, profiler, (of) => say({ profile: of }));
  profile?.watch(engine, loop);
  loop.run();
  profile?.end();
}
