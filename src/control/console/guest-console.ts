/**
 * One domain's PV console: bytes from its ring to a sink, and input from a queue into its ring.
 *
 * A sink that is full stops the reading, so the guest waits; input that does not fit waits here, up to a limit. A guest
 * that prints without end gets a bounded number of bytes per turn of the event loop.
 *
 * @abi public/io/console.h
 */
import { XENCONS_IN_SIZE, XENCONS_OUT_SIZE, xencons_interface } from '../../abi/io_console.ts';
import type { Timers } from '../../base/host.ts';
import type { Logger } from '../../base/log.ts';
import { ByteRing, type EventChannels, type Mapping } from '../../kernel/index.ts';

/** Where a console's output goes. */
export interface ConsoleSink {
  /** Takes all the bytes. False: no more before `GuestConsole.drained` is called. */
  write(bytes: Uint8Array): boolean;
  /** The console has ended; nothing comes after this. */
  closed(): void;
}

export type ConsoleEvents = Pick<EventChannels, 'bindInterdomain' | 'notify' | 'mask' | 'unmask' | 'close'>;

/** Output taken from one guest in one turn of the event loop. */
const BYTES_PER_TURN = 16384;
/** Input that may wait for the guest. */
const INPUT_LIMIT = 65536;

export class GuestConsole {
  readonly domid: number;
  private readonly page: Mapping;
  private readonly events: ConsoleEvents;
  private readonly timers: Timers;
  private readonly log: Logger;
  private readonly sink: ConsoleSink;
  private readonly port: number;
  private readonly out: ByteRing;
  private readonly in: ByteRing;
  private input: Uint8Array[] = [];
  private inputBytes = 0;
  private sinkFull = false;
  private turn: { cancel(): void } | undefined;
  /** The port is masked. */
  private held = false;
  private ending = false;
  private ended = false;
  private complained = false;

  /** `page` is the mapped ring; the console closes it. */
  constructor(
    domid: number,
    page: Mapping,
    remotePort: number,
    sink: ConsoleSink,
    events: ConsoleEvents,
    timers: Timers,
    log: Logger,
  ) {
    this.domid = domid;
    this.page = page;
    this.sink = sink;
    this.events = events;
    this.timers = timers;
    this.log = log;
    const s = xencons_interface;
    const at = page.addr(0);
    const { mem } = page;
    this.out = new ByteRing(mem, s.out.addr(at), XENCONS_OUT_SIZE, s.out_cons.addr(at), s.out_prod.addr(at));
    this.in = new ByteRing(mem, s.in.addr(at), XENCONS_IN_SIZE, s.in_cons.addr(at), s.in_prod.addr(at));
    this.port = events.bindInterdomain(domid, remotePort, () => this.run());
  }

  /** Keys for the guest. Answers how many of the bytes were taken; the rest did not fit into the queue. */
  write(bytes: Uint8Array): number {
    if (this.ending) return 0;
    const taken = bytes.slice(0, INPUT_LIMIT - this.inputBytes);
    if (taken.length > 0) this.input.push(taken);
    this.inputBytes += taken.length;
    this.feed();
    return taken.length;
  }

  /** The sink can take output again. */
  drained(): void {
    if (!this.sinkFull) return;
    this.sinkFull = false;
    if (!this.ended) this.run();
  }

  /** The domain is gone: what is left in the ring still goes to the sink, then the console ends. */
  end(): void {
    if (this.ending) return;
    this.ending = true;
    this.input = [];
    this.inputBytes = 0;
    this.run();
  }

  private run(): void {
    if (this.turn !== undefined || this.ended) return;
    if (!this.ending) this.feed();
    const more = this.drain();
    if (!more) {
      if (this.ending) this.finish();
      else this.hold(false);
      return;
    }
    this.hold(true);
    if (this.sinkFull) return;
    this.turn = this.timers.after(0, () => {
      this.turn = undefined;
      this.run();
    });
  }

  /** While output cannot be taken, the guest's notifications are only noise. */
  private hold(on: boolean): void {
    if (on === this.held || this.ending) return;
    this.held = on;
    if (on) this.events.mask(this.port);
    else this.events.unmask(this.port);
  }

  /** Moves output until the ring is empty (false), or the sink is full or the turn over (true). */
  private drain(): boolean {
    for (let budget = BYTES_PER_TURN; budget > 0; ) {
      if (this.sinkFull) return true;
      const there = this.out.available();
      if (there < 0) this.complain('its console output ring', () => this.out.discard());
      if (there <= 0) return false;
      const bytes = this.out.read(budget);
      budget -= bytes.length;
      if (!this.ending) this.events.notify(this.port);
      this.sinkFull = !this.sink.write(bytes);
    }
    return true;
  }

  /** Moves input into the ring as far as there is room. */
  private feed(): void {
    let fed = 0;
    while (this.input.length > 0) {
      const first = this.input[0]!;
      if (this.in.space() < 0) {
        this.complain('its console input ring', () => {
          this.input = [];
          this.inputBytes = 0;
        });
        return;
      }
      const n = this.in.write(first);
      fed += n;
      this.inputBytes -= n;
      if (n < first.length) {
        this.input[0] = first.subarray(n);
        break;
      }
      this.input.shift();
    }
    if (fed > 0) this.events.notify(this.port);
  }

  /** The guest's indices make no sense: what they claim is dropped, and the log says so once. */
  private complain(what: string, drop: () => void): void {
    drop();
    if (this.complained) return;
    this.complained = true;
    this.log.warn(`domain ${this.domid} has impossible indices in ${what}: contents dropped`);
  }

  private finish(): void {
    this.ended = true;
    this.events.close(this.port);
    this.page.close();
    this.sink.closed();
  }
}
