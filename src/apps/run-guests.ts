/** Starts guests: the composition root of the machine, the hypervisor and domain 0. */
import { readFileSync } from 'node:fs';
import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot } from '../abi/sched.ts';
import { VIRQ_DOM_EXC } from '../abi/xen.ts';
import { BuildError } from '../toolstack/builder/errors.ts';
import { LoaderError } from '../toolstack/loader/errors.ts';
import { loadKernel } from '../toolstack/loader/kernel.ts';
import { createDomain, type Images } from '../toolstack/ops/create.ts';
import { type DomainConfig, readDomainConfig } from '../toolstack/xlcfg/domain-config.ts';
import { ConfigError, formatConfigError } from '../toolstack/xlcfg/errors.ts';
import { parseConfig } from '../toolstack/xlcfg/parser.ts';
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import type { ConfigSource, GuestConsole, RunGuests, RunIo, RunOptions } from './guest-run.ts';
import { DEFAULT_MACHINE_MIB, MachineHost, MAX_MACHINE_MIB } from './machine-host.ts';
import { serveXenStore } from '../host/node/xenstore-socket.ts';

/** Domain 0, tables and translated code beside the guests' memory. */
const OVERHEAD_MIB = 256;

interface Guest {
  readonly config: DomainConfig;
  readonly source: ConfigSource;
  readonly images: Images;
  console: GuestConsole;
  domid: number;
}

export const runGuests: RunGuests = async (sources, options, io) => {
  const guests = sources.map((source) => load(source, io));
  const consoles = io.consoles(guests.map((g) => g.config.name));
  const machine = MachineHost.start(machineSize(guests, options), io.host, io.log);
  const socket = options.xenstoreSocket ? await serveXenStore(machine.store, options.xenstoreSocket) : undefined;
  try {
    const run = new Run(machine, options, io);
    guests.forEach((g, i) => {
      g.console = consoles[i]!;
    });
    return await Promise.race([run.all(guests), machine.failure]);
  } finally {
    await socket?.close();
    await machine.stop();
  }
};

function load(source: ConfigSource, io: RunIo): Guest {
  try {
    const parsed = parseConfig(source.text, source.path, [...source.overrides]);
    const config = readDomainConfig(parsed, { entropy: io.host.entropy, warn: (line) => io.message(line) });
    if (config.type !== 'pvh')
      throw new AppError(EXIT.config, `${source.path}: type "${config.type}" is not supported yet; use type = "pvh"`);
    return { config, source, images: images(config, source, io), domid: -1, console: undefined as never };
  } catch (e) {
    if (e instanceof ConfigError) throw new AppError(EXIT.config, formatConfigError(e), { cause: e });
    if (e instanceof LoaderError) throw new AppError(EXIT.image, e.message, { cause: e });
    throw e;
  }
}

function images(config: DomainConfig, source: ConfigSource, io: RunIo): Images {
  if (config.kernel === undefined) throw new AppError(EXIT.config, `${source.path}: no kernel given`);
  const read = (name: string): Uint8Array => {
    const path = io.imagePath(name, source.path);
    try {
      return readFileSync(path);
    } catch (e) {
      throw new AppError(EXIT.image, `${path}: ${(e as Error).message}`, { cause: e });
    }
  };
  io.progress(`loading ${config.kernel}`);
  return {
    kernel: loadKernel(read(config.kernel), config.kernel, 'pvh'),
    ramdisk: config.ramdisk === undefined ? undefined : read(config.ramdisk),
  };
}

/** MiB of the machine: what was asked for, or the default, or what the guests need. */
function machineSize(guests: readonly Guest[], options: RunOptions): number {
  const need = guests.reduce((sum, g) => sum + Math.ceil(g.config.targetMemkb / 1024), 0) + OVERHEAD_MIB;
  const mib = options.memoryMiB ?? Math.max(DEFAULT_MACHINE_MIB, Math.ceil(need / 4) * 4);
  if (mib > MAX_MACHINE_MIB)
    throw new AppError(EXIT.memory, `the guests need a machine of ${mib} MiB; the largest there can be has ${MAX_MACHINE_MIB} MiB`);
  return Math.ceil(mib / 4) * 4;
}

class Run {
  private readonly machine: MachineHost;
  private readonly options: RunOptions;
  private readonly io: RunIo;
  private readonly live = new Map<number, Guest>();
  private status: ExitStatus = EXIT.ok;
  private done: () => void = () => {};

  constructor(machine: MachineHost, options: RunOptions, io: RunIo) {
    this.machine = machine;
    this.options = options;
    this.io = io;
  }

  async all(guests: readonly Guest[]): Promise<ExitStatus> {
    const { kernel } = this.machine;
    const finished = new Promise<void>((resolve) => {
      this.done = resolve;
    });
    kernel.events.bindVirq(VIRQ_DOM_EXC, () => void this.look());
    for (const g of guests) await this.start(g);
    await Promise.race([finished, this.io.ended]);
    for (const g of [...this.live.values()]) await this.end(g);
    return this.status;
  }

  private async start(g: Guest): Promise<void> {
    const { kernel, consoles, xs } = this.machine;
    this.io.progress(`building ${g.config.name}`);
    try {
      const built = await createDomain(kernel, g.config, g.images);
      g.domid = built.domid;
      const console = consoles.introduce(built.domid, built.consoleGfn, built.consolePort, {
        write: (bytes) => g.console.write(bytes),
        closed: () => {},
      });
      g.console.onDrain(() => console.drained());
      g.console.onInput((bytes) => console.write(bytes));
      await xs.introduce(built.domid, built.storeGfn, built.storePort);
      this.live.set(built.domid, g);
      kernel.domctl.unpause(built.domid);
    } catch (e) {
      if (e instanceof BuildError) throw new AppError(e.code === 'memory' ? EXIT.memory : EXIT.build, e.message, { cause: e });
      throw e;
    }
  }

  /** A domain may have shut down: see which. */
  private async look(): Promise<void> {
    for (const [domid, g] of [...this.live]) {
      const info = this.machine.kernel.domctl.getDomainInfo(domid);
      if (info && !info.shutdown) continue;
      this.live.delete(domid);
      const code = info?.shutdownCode ?? SHUTDOWN_crash;
      await this.end(g);
      await this.after(g, code);
    }
    if (this.live.size === 0) this.done();
  }

  private async end(g: Guest): Promise<void> {
    this.live.delete(g.domid);
    this.machine.consoles.release(g.domid);
    this.machine.store.domainDied(g.domid);
    await this.machine.kernel.domctl.destroy(g.domid);
  }

  private async after(g: Guest, code: number): Promise<void> {
    if (code === SHUTDOWN_poweroff) return;
    if (code === SHUTDOWN_reboot && this.options.reboot) return this.start(g);
    const status = code === SHUTDOWN_reboot ? EXIT.rebooted : EXIT.crashed;
    this.io.message(`${g.config.name}: ${code === SHUTDOWN_reboot ? 'rebooted' : 'crashed'}`);
    if (this.status === EXIT.ok) this.status = status;
  }
}
