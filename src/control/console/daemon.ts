/** The console daemon: the consoles of all introduced domains. */
import { GNTTAB_RESERVED_CONSOLE } from '../../abi/grant_table.ts';
import type { Timers } from '../../base/host.ts';
import { type Logger, type LogSink, makeLogger } from '../../base/log.ts';
import { KernelError, type KernelMemory, type Mapping } from '../../kernel/index.ts';
import { type ConsoleEvents, type ConsoleSink, GuestConsole } from './guest-console.ts';

export interface ConsoleKernel {
  readonly memory: Pick<KernelMemory, 'mapForeign' | 'mapGrants'>;
  readonly events: ConsoleEvents;
}

export class ConsoleDaemon {
  private readonly kernel: ConsoleKernel;
  private readonly timers: Timers;
  private readonly log: Logger;
  private readonly consoles = new Map<number, GuestConsole>();

  constructor(kernel: ConsoleKernel, timers: Timers, sink: LogSink) {
    this.kernel = kernel;
    this.timers = timers;
    this.log = makeLogger('console', sink);
  }

  /** Serves a domain's console: its ring at guest frame `gfn` (or in the reserved grant entry), its event channel. */
  introduce(domid: number, gfn: number, port: number, sink: ConsoleSink): GuestConsole {
    if (this.consoles.has(domid)) throw new Error(`domain ${domid} has a console already`);
    const page = this.mapRing(domid, gfn);
    try {
      const console = new GuestConsole(domid, page, port, sink, this.kernel.events, this.timers, this.log);
      this.consoles.set(domid, console);
      return console;
    } catch (e) {
      page.close();
      throw e;
    }
  }

  /** The grant needs no privilege; a domain whose builder made no entry is reached by frame number. */
  private mapRing(domid: number, gfn: number): Mapping {
    try {
      return this.kernel.memory.mapGrants(domid, [GNTTAB_RESERVED_CONSOLE]);
    } catch (e) {
      if (!(e instanceof KernelError)) throw e;
      return this.kernel.memory.mapForeign(domid, [gfn]);
    }
  }

  get(domid: number): GuestConsole | undefined {
    return this.consoles.get(domid);
  }

  /** The domain is gone: its console ends once its last output is delivered. */
  release(domid: number): void {
    const console = this.consoles.get(domid);
    this.consoles.delete(domid);
    console?.end();
  }
}
