/** Runs guests in one machine until the last is gone: the foreground counterpart of xl's waiting daemon. */
import type { Clock } from '../base/host.ts';
import { serveXenStore } from '../host/node/xenstore-socket.ts';
import { BuildError } from '../toolstack/builder/errors.ts';
import { type CreatedDomain, createDomain } from '../toolstack/ops/create.ts';
import { actionFor, type DomainEnd, DomainWatcher } from '../toolstack/ops/lifecycle.ts';
import { initDom0Tree, removeDomainTree, writeDomainTree } from '../toolstack/ops/xenstore-layout.ts';
import type { CpuThread } from './cpu-thread.ts';
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import type { ConfigSource, GuestConsole, RunIo, RunOptions } from './guest-run.ts';
import { type LoadedGuest, loadImages, machineSize, readConfigs } from './load-guest.ts';
import { MachineHost } from './machine-host.ts';

/** A guest that lives for less than this, so many times in a row, is not restarted again. */
const SHORT_LIFE_NS = 2e9;
const SHORT_LIVES = 5;

const HAPPENED: Readonly<Record<DomainEnd['reason'], string>> = {
  poweroff: 'powered off',
  reboot: 'rebooted',
  suspend: 'suspended itself',
  crash: 'crashed',
  watchdog: 'let its watchdog run out',
  soft_reset: 'asked for a soft reset',
  unknown: 'shut down for no known reason',
  gone: 'was destroyed',
};

/** As the `RunGuests` of guest-run.ts, on a CPU that has no machine yet. */
export async function runGuests(
  cpu: CpuThread,
  sources: readonly ConfigSource[],
  options: RunOptions,
  io: RunIo,
): Promise<ExitStatus> {
  const configs = readConfigs(sources, io);
  const machine = MachineHost.start(cpu, machineSize(configs, options), options, io.host, io.log);
  const names = new Map<number, string>();
  machine.onProfile = (p) => io.profiled(names.get(p.domid) ?? `domain ${p.domid}`, p);
  let socket: Awaited<ReturnType<typeof serveXenStore>> | undefined;
  try {
    const guests = configs.map((g) => ({ ...g, images: loadImages(g, io) }));
    const consoles = io.consoles(guests.map((g) => g.config.name));
    await initDom0Tree(machine.xs);
    if (options.xenstoreSocket) socket = await serveXenStore(machine.store, options.xenstoreSocket);
    const watcher = new DomainWatcher(machine.kernel, machine.store);
    const run = new Run(machine, watcher, options, io, names);
    const all = Promise.all(guests.map((g, i) => run.guest(g, consoles[i]!))).then(() => run.status);
    return await Promise.race([all, run.interrupted(), cpu.failure]);
  } finally {
    await socket?.close();
    await machine.stop();
  }
}

/** A guest from its start to its end. */
interface Life {
  readonly domid: number;
  /** Its last output has been delivered. */
  readonly silent: Promise<void>;
}

class Run {
  status: ExitStatus = EXIT.ok;
  private readonly machine: MachineHost;
  private readonly watcher: DomainWatcher;
  private readonly options: RunOptions;
  private readonly io: RunIo;
  private readonly live = new Map<number, LoadedGuest>();
  /** Of all domains that there were. */
  private readonly names: Map<number, string>;
  private ending = false;

  constructor(
    machine: MachineHost,
    watcher: DomainWatcher,
    options: RunOptions,
    io: RunIo,
    names: Map<number, string>,
  ) {
    this.machine = machine;
    this.watcher = watcher;
    this.options = options;
    this.io = io;
    this.names = names;
  }

  /** Once the run is to end early: destroys what is left. */
  async interrupted(): Promise<ExitStatus> {
    await this.io.ended;
    this.ending = true;
    for (const [domid, g] of [...this.live]) await this.destroy(g, domid);
    return this.status;
  }

  /** One guest through all its lives. */
  async guest(g: LoadedGuest, console: GuestConsole): Promise<void> {
    const clock: Clock = this.io.host.clock;
    for (let short = 0; ; ) {
      const began = clock.now();
      const { domid, silent } = await this.start(g, console);
      const end = await this.watcher.ended(domid);
      if (!this.live.has(domid)) return;
      await this.destroy(g, domid);
      await Promise.race([silent, this.io.ended]);
      if (this.ending || !this.again(g, end)) return;
      short = clock.now() - began < SHORT_LIFE_NS ? short + 1 : 0;
      if (short < SHORT_LIVES) continue;
      this.ended(
        EXIT.crashed,
        `${g.config.name}: ended ${short} times within seconds of its start; giving up`,
      );
      return;
    }
  }

  private async start(g: LoadedGuest, console: GuestConsole): Promise<Life> {
    const { kernel, xs } = this.machine;
    this.io.progress(`building ${g.config.name}`);
    try {
      const domain = await createDomain(kernel, g.config, g.images, (line) => this.io.message(line));
      this.live.set(domain.domid, g);
      this.names.set(domain.domid, g.config.name);
      await writeDomainTree(xs, { ...g.config, ...domain, startTime: this.io.host.clock.wall() });
      const silent = this.connect(domain, console);
      await xs.introduce(domain.domid, domain.storeGfn, domain.storePort);
      kernel.domctl.unpause(domain.domid);
      return { domid: domain.domid, silent };
    } catch (e) {
      if (!(e instanceof BuildError)) throw e;
      throw new AppError(e.code === 'memory' ? EXIT.memory : EXIT.build, e.message, { cause: e });
    }
  }

  /** Joins the guest's console to the user's; settles when it has said its last. */
  private connect(domain: CreatedDomain, console: GuestConsole): Promise<void> {
    return new Promise((resolve) => {
      const listeners: (() => void)[] = [];
      const { domid, consoleGfn, consolePort } = domain;
      const guestEnd = this.machine.consoles.introduce(domid, consoleGfn, consolePort, {
        write: (bytes) => console.write(bytes),
        closed: () => {
          for (const takeAway of listeners) takeAway();
          resolve();
        },
      });
      listeners.push(console.onDrain(() => guestEnd.drained()));
      listeners.push(console.onInput((bytes) => guestEnd.write(bytes)));
    });
  }

  /** Once only, though a guest may end while the run does. */
  private async destroy(g: LoadedGuest, domid: number): Promise<void> {
    if (!this.live.delete(domid)) return;
    this.machine.consoles.release(domid);
    await this.machine.kernel.domctl.destroy(domid);
    this.machine.store.domainDied(domid);
    await removeDomainTree(this.machine.xs, domid, g.config.uuid);
  }

  /** What its configuration wants done after such an end; true to start it again. */
  private again(g: LoadedGuest, end: DomainEnd): boolean {
    const { name } = g.config;
    const what = `${name}: ${HAPPENED[end.reason]}`;
    if (end.reason === 'gone') return this.ended(EXIT.crashed, what);
    const action = actionFor(g.config, end.reason);
    if (end.reason === 'reboot' && !this.options.reboot) return this.ended(EXIT.rebooted, what);
    if (action === 'restart') {
      this.io.message(`${what}; restarting it`);
      return true;
    }
    if (action !== undefined && action !== 'destroy')
      this.io.message(`${name}: ${action} is not supported yet; the domain is destroyed`);
    if (end.reason === 'poweroff') return false;
    return this.ended(end.reason === 'reboot' ? EXIT.rebooted : EXIT.crashed, what);
  }

  /** Notes how the run will end, if nothing was noted before. */
  private ended(status: ExitStatus, why: string): false {
    this.io.message(why);
    if (this.status === EXIT.ok) this.status = status;
    return false;
  }
}
