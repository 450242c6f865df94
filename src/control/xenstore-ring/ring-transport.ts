/**
 * XenStore's ring page as a byte stream: the way between a guest's kernel and the daemon's core.
 *
 * Output that does not fit waits here; `send` then answers false, and the client hears `drained` when it is gone. Input is
 * left in the ring while the client does not want more. A guest may ask for a fresh start (`connection`), which empties
 * the ring; one that breaks the ring is told so in `error` and not served until it asks for a fresh start.
 *
 * @abi public/io/xs_wire.h
 * @xen docs/misc/xenstore-ring.txt
 */
import * as abi from '../../abi/io_xs_wire.ts';
import type { Timers } from '../../base/host.ts';
import type { Logger } from '../../base/log.ts';
import { ByteRing, type EventChannels, type KernelMemory, type Mapping } from '../../kernel/index.ts';

/** The daemon's side of the stream; XenStore's Connection is one. */
export interface RingClient {
  /** More input is wanted now. When it is again after a pause, the client calls `RingTransport.resumed`. */
  readonly readable: boolean;
  receive(bytes: Uint8Array): void;
  drained(): void;
  /** Fresh start: nothing half read or unsent is left. */
  reset(): void;
  close(): void;
}

export interface RingKernel {
  readonly memory: Pick<KernelMemory, 'mapForeign'>;
  readonly events: Pick<EventChannels, 'bindInterdomain' | 'notify' | 'close'>;
}

/** Input taken from one guest in one turn of the event loop. */
const BYTES_PER_TURN = 16384;

const ring = abi.xenstore_domain_interface;

export class RingTransport {
  readonly domid: number;
  readonly name: string;
  private readonly kernel: RingKernel;
  private readonly timers: Timers;
  private readonly log: Logger;
  private readonly connect: (transport: RingTransport) => RingClient;
  private readonly page: Mapping;
  /** Machine address of the ring page. */
  private readonly at: number;
  private readonly requests: ByteRing;
  private readonly responses: ByteRing;
  private port: number;
  private client: RingClient | undefined;
  private output: Uint8Array[] = [];
  private turn: { cancel(): void } | undefined;
  private running = false;
  private isOpen = true;
  /** The guest broke the ring. */
  private refused = false;

  /** Maps the ring at guest frame `gfn`, binds its event channel, and asks `connect` for the other end. */
  constructor(
    domid: number,
    gfn: number,
    remotePort: number,
    kernel: RingKernel,
    timers: Timers,
    log: Logger,
    connect: (transport: RingTransport) => RingClient,
  ) {
    this.domid = domid;
    this.name = `domain ${domid}`;
    this.kernel = kernel;
    this.timers = timers;
    this.log = log;
    this.connect = connect;
    this.page = kernel.memory.mapForeign(domid, [gfn]);
    this.at = this.page.addr(0);
    const { mem } = this.page;
    const { at } = this;
    const size = abi.XENSTORE_RING_SIZE;
    this.requests = new ByteRing(
      mem,
      ring.req.addr(at),
      size,
      ring.req_cons.addr(at),
      ring.req_prod.addr(at),
    );
    this.responses = new ByteRing(
      mem,
      ring.rsp.addr(at),
      size,
      ring.rsp_cons.addr(at),
      ring.rsp_prod.addr(at),
    );
    const features = abi.XENSTORE_SERVER_FEATURE_RECONNECTION | abi.XENSTORE_SERVER_FEATURE_ERROR;
    mem.atomicStore(ring.server_features.addr(at), features);
    try {
      this.port = this.bind(remotePort);
    } catch (e) {
      this.page.close();
      throw e;
    }
    this.client = connect(this);
  }

  private bind(remotePort: number): number {
    return this.kernel.events.bindInterdomain(this.domid, remotePort, () => this.run());
  }

  /** The guest has a new port for the same ring (it was resumed). */
  rebind(remotePort: number): void {
    const port = this.bind(remotePort);
    this.kernel.events.close(this.port);
    this.port = port;
  }

  /** Takes all the bytes. False: no more before the client hears `drained`. */
  send(bytes: Uint8Array): boolean {
    if (!this.isOpen || this.refused) return true;
    this.output.push(bytes);
    this.flush();
    return this.output.length === 0;
  }

  /** The server ended the connection. */
  closed(reason: string): void {
    if (reason === 'released') this.close();
    else this.refuse(abi.XENSTORE_ERROR_PROTO, 'it broke the protocol');
  }

  /** The client wants input again. */
  resumed(): void {
    this.run();
  }

  /** Ends the stream; the guest is not told, it is gone. */
  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.turn?.cancel();
    this.dropClient();
    this.kernel.events.close(this.port);
    this.page.close();
  }

  private dropClient(): void {
    const { client } = this;
    this.client = undefined;
    this.output = [];
    client?.close();
  }

  /** Moves bytes both ways as far as they go. */
  private run(): void {
    // A client that answers at once ends up here again, through `resumed`.
    if (!this.isOpen || this.running || this.turn !== undefined) return;
    this.running = true;
    try {
      this.checkReconnect();
      const waited = this.output.length > 0;
      this.flush();
      if (waited && this.output.length === 0) this.client?.drained();
      this.pull();
    } finally {
      this.running = false;
    }
  }

  private pull(): void {
    let budget = BYTES_PER_TURN;
    while (this.client?.readable) {
      const there = this.requests.available();
      if (there < 0) this.refuse(abi.XENSTORE_ERROR_RINGIDX, 'impossible indices of requests');
      if (there <= 0) return;
      if (budget <= 0) {
        this.turn = this.timers.after(0, () => {
          this.turn = undefined;
          this.run();
        });
        return;
      }
      const bytes = this.requests.read(budget);
      budget -= bytes.length;
      this.kernel.events.notify(this.port);
      this.client.receive(bytes);
    }
  }

  /** Output into the ring, as far as there is room. */
  private flush(): void {
    if (this.output.length === 0) return;
    let sent = 0;
    while (this.output.length > 0) {
      if (this.responses.space() < 0) {
        this.refuse(abi.XENSTORE_ERROR_RINGIDX, 'impossible indices of responses');
        return;
      }
      const first = this.output[0]!;
      const n = this.responses.write(first);
      sent += n;
      if (n < first.length) {
        this.output[0] = first.subarray(n);
        break;
      }
      this.output.shift();
    }
    if (sent > 0) this.kernel.events.notify(this.port);
  }

  /** Not served any more, until it asks for a fresh start. */
  private refuse(error: number, why: string): void {
    if (this.refused) return;
    this.refused = true;
    this.log.warn(`domain ${this.domid}'s XenStore ring is not served any more: ${why}`);
    this.page.mem.atomicStore(ring.error.addr(this.at), error);
    this.dropClient();
    this.kernel.events.notify(this.port);
  }

  /** The guest asked for a fresh start: empty rings, and a client with nothing in flight. */
  private checkReconnect(): void {
    const { mem } = this.page;
    if (mem.atomicLoad(ring.connection.addr(this.at)) !== abi.XENSTORE_RECONNECT) return;
    this.output = [];
    for (const index of [ring.req_cons, ring.req_prod, ring.rsp_cons, ring.rsp_prod]) {
      mem.atomicStore(index.addr(this.at), 0);
    }
    mem.atomicStore(ring.error.addr(this.at), abi.XENSTORE_ERROR_NONE);
    this.refused = false;
    if (this.client) this.client.reset();
    else this.client = this.connect(this);
    mem.atomicStore(ring.connection.addr(this.at), abi.XENSTORE_CONNECTED);
    this.kernel.events.notify(this.port);
  }
}
