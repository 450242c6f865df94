/** One machine with its hypervisor and domain 0, on this thread; the guests' CPUs are workers. */
import type { Host } from '../base/host.ts';
import type { LogSink } from '../base/log.ts';
import { makeLogger } from '../base/log.ts';
import { ConsoleDaemon } from '../control/console/index.ts';
import { connectLocal, XenStore, type XsClient } from '../control/xenstore/index.ts';
import { RingTransport } from '../control/xenstore-ring/index.ts';
import type { Hypervisor } from '../hypervisor/index.ts';
import { bootHypervisor, Dom0Gate } from '../hypervisor/index.ts';
import { type Kernel, startKernel } from '../kernel/index.ts';
import { Machine } from '../machine/machine.ts';
import { sharedMemory } from '../machine/wasm-api.ts';
import { CompilerThread } from './compiler-thread.ts';
import type { GuestProfile } from './cpu-profile.ts';
import type { CpuThread } from './cpu-thread.ts';
import type { CpuMessage } from './cpu-worker.ts';
import { AppError, EXIT } from './exit-status.ts';
import type { RunOptions } from './guest-run.ts';

const MIB = 1 << 20;
export const DEFAULT_MACHINE_MIB = 2048;
export const MAX_MACHINE_MIB = 4096 - 4;
/** Domain 0's 64 MiB, tables, and a little for a guest. */
export const MIN_MACHINE_MIB = 80;
/** How long a CPU may take to stop. */
const STOP_MS = 2000;

/** The hypervisor's command line, and what runs guests' code. */
export type MachineOptions = Pick<RunOptions, 'xenArgs' | 'engine' | 'codeCacheBytes' | 'profile'>;

export class MachineHost {
  readonly machine: Machine;
  readonly hv: Hypervisor;
  readonly kernel: Kernel;
  readonly store: XenStore;
  readonly xs: XsClient;
  readonly consoles: ConsoleDaemon;
  /** A guest that was profiled is gone. */
  onProfile: (profile: GuestProfile) => void = () => {};
  private readonly gate: Dom0Gate;
  private readonly cpu: CpuThread;
  private readonly compiler: CompilerThread | undefined;

  private constructor(
    machine: Machine,
    hv: Hypervisor,
    gate: Dom0Gate,
    host: Host,
    log: LogSink,
    cpu: CpuThread,
    compiler: CompilerThread | undefined,
  ) {
    this.machine = machine;
    this.compiler = compiler;
    this.hv = hv;
    this.gate = gate;
    this.cpu = cpu;
    this.kernel = startKernel(gate, host.timers, log);
    const storeLog = makeLogger('xenstored', log);
    const { kernel } = this;
    this.store = new XenStore({
      log: storeLog,
      onIntroduce: (domid, gfn, port) => {
        new RingTransport(domid, gfn, port, kernel, host.timers, storeLog, (t) => this.store.connect(t));
        return undefined;
      },
    });
    this.xs = connectLocal(this.store, 'toolstack');
    this.consoles = new ConsoleDaemon(kernel, host.timers, log);
  }

  /** Starts a machine of `mib` MiB on a CPU. Throws AppError where the host cannot give it. */
  static start(cpu: CpuThread, mib: number, options: MachineOptions, host: Host, log: LogSink): MachineHost {
    const size = mib * MIB;
    const machine = MachineHost.makeMachine(size, host);
    let ring = (): void => {};
    const doorbell = { ring: () => ring() };
    const profile = options.profile !== undefined;
    const boot = { pcpus: 1, doorbell, commandLine: options.xenArgs, profile };
    const hv = bootHypervisor(machine, host.clock, log, boot);
    const gate = new Dom0Gate(hv);
    ring = () => setImmediate(() => gate.upcall());
    const compiler = options.engine === 'compiler' ? CompilerThread.create() : undefined;
    const { codeCacheBytes, engine } = options;
    const data = {
      memory: machine.memory,
      pcpu: 0,
      codeCacheBytes,
      engine,
      profile,
      compiler: compiler?.end,
    };
    const m = new MachineHost(machine, hv, gate, host, log, cpu, compiler);
    cpu.run(data, (message) => m.received(message, log));
    return m;
  }

  private static makeMachine(size: number, host: Host): Machine {
    const mib = size / MIB;
    try {
      const memory = sharedMemory(size);
      const machine = Machine.create(memory, size);
      machine.available = () => host.availableMemory();
      return machine;
    } catch (e) {
      throw new AppError(EXIT.memory, `a machine of ${mib} MiB: the host has no memory for it (${e})`, {
        cause: e,
      });
    }
  }

  private received(message: CpuMessage, log: LogSink): void {
    if (message === 'upcall') this.gate.upcall();
    else if ('compiler' in message) this.compiler?.start(this.machine, message.compiler, log);
    else if ('profile' in message) this.onProfile(message.profile);
    else log(...message.log);
  }

  /**
   * Stops the CPU between two instructions of a guest, so that it holds no lock; a CPU that does not stop is ended.
   * Nothing may use the machine afterwards.
   */
  async stop(): Promise<void> {
    this.gate.onUpcall = undefined;
    for (let id = 0; id < this.hv.pcpuCount; id++) this.hv.stopPcpu(id);
    const patience = setTimeout(() => this.cpu.terminate(), STOP_MS);
    await this.cpu.exited;
    clearTimeout(patience);
    this.compiler?.stop();
  }
}
