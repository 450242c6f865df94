/**
 * One client: its byte streams in both directions, its transactions and what it holds of its quotas.
 *
 * Back-pressure: `send` answering false stops the output until the transport calls `drained`. Replies then wait here,
 * and so do requests once `outstanding` messages wait, so a client that does not take its answers holds up only itself.
 * A watch event that already waits is not queued twice. Over the limit, a guest's events are dropped, and a client with
 * domain 0's rights, who must not miss any, is cut off.
 *
 * DIVERGES: oxenstored stops serving the client that causes the events instead.
 */
import { XS_WATCH_EVENT } from '../../abi/io_xs_wire.ts';
import { domainBase } from './path.ts';
import { isPrivileged, type Who } from './perms.ts';
import type { Transaction } from './transaction.ts';
import type { Watcher } from './watches.ts';
import { encode, type Message, MessageReader, Overlong } from './wire.ts';

/** The way to a client: a ring page, a socket, or a loop inside the process. */
export interface Transport {
  readonly domid: number;
  /** For logs. */
  readonly name: string;
  /** Takes the bytes, all of them. False: no more are to come before `Connection.drained`. */
  send(bytes: Uint8Array): boolean;
  /** The server ended the connection: the client broke the protocol, or its domain is gone. */
  closed?(reason: CloseReason): void;
  /** The connection reads again after `readable` was false. */
  resumed?(): void;
}

export type CloseReason = 'protocol' | 'released' | 'overrun';

/** Watch events that may wait for a client with domain 0's rights. */
const PRIVILEGED_EVENTS = 65536;

/** What a connection asks of the server it belongs to. */
export interface Server {
  who(domid: number): Who;
  /** Requests may be waiting in the connection's input. */
  work(conn: Connection): void;
  /** Drops what the connection has in the server: watches and transactions. */
  forget(conn: Connection): void;
  closed(conn: Connection): void;
  readonly limits: { readonly outstanding: number; readonly events: number };
  warn(line: string): void;
}

interface Outgoing {
  readonly bytes: Uint8Array;
  /** The event's payload; undefined for replies. */
  readonly event: string | undefined;
}

export class Connection implements Watcher {
  readonly base: string;
  readonly transactions = new Map<number, Transaction>();
  watches = 0;
  /** Bytes that its watches hold. */
  watchBytes = 0;
  isClosed = false;
  private readonly transport: Transport;
  private readonly server: Server;
  private readonly input = new MessageReader();
  private readonly output: Outgoing[] = [];
  /** Payloads of the watch events in `output`. */
  private readonly waitingEvents = new Set<string>();
  private waitingBytes = 0;
  private held = false;
  private full = false;
  private dropped = 0;
  private lastTransaction = 0;

  constructor(transport: Transport, server: Server) {
    this.transport = transport;
    this.server = server;
    this.base = domainBase(transport.domid);
  }

  get domid(): number {
    return this.transport.domid;
  }
  get name(): string {
    return this.transport.name;
  }
  get who(): Who {
    return this.server.who(this.transport.domid);
  }
  get privileged(): boolean {
    return isPrivileged(this.who);
  }

  /** Whether more input is wanted now; a transport that goes on anyway is served, from memory. */
  get readable(): boolean {
    return !this.isClosed && !this.full;
  }

  /** Bytes from the client, cut anywhere. */
  receive(chunk: Uint8Array): void {
    if (this.isClosed) return;
    this.input.push(chunk);
    this.server.work(this);
  }

  /** The transport can take output again. */
  drained(): void {
    this.held = false;
    this.flush();
  }

  /** The client is gone. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.output.length = 0;
    this.waitingEvents.clear();
    this.server.closed(this);
  }

  /** The server wants no more of this client. */
  kill(reason: CloseReason): void {
    if (this.isClosed) return;
    this.close();
    this.transport.closed?.(reason);
  }

  /** A ring's guest asked for a fresh start: nothing half read or unsent is left, no watch and no transaction. */
  reset(): void {
    if (this.isClosed) return;
    this.input.clear();
    this.output.length = 0;
    this.waitingEvents.clear();
    this.waitingBytes = 0;
    this.held = false;
    this.full = false;
    this.server.forget(this);
  }

  /** Memory that counts against the domain's quota, its nodes apart. */
  get bytesHeld(): number {
    let bytes = this.watchBytes + this.waitingBytes;
    for (const t of this.transactions.values()) bytes += t.bytes;
    return bytes;
  }

  /** The next request to serve; none while too much output waits. */
  nextRequest(): Message | undefined {
    if (this.isClosed) return undefined;
    this.full = this.output.length >= this.server.limits.outstanding;
    if (this.full) return undefined;
    try {
      return this.input.next();
    } catch (e) {
      if (!(e instanceof Overlong)) throw e;
      this.server.warn(`${this.name}: ${e.message}: connection closed`);
      this.kill('protocol');
      return undefined;
    }
  }

  reply(m: Message): void {
    this.output.push({ bytes: encode(m), event: undefined });
  }

  event(path: string, token: string): void {
    const payload = `${path}\0${token}\0`;
    if (this.isClosed || this.waitingEvents.has(payload)) return;
    const limit = this.privileged ? PRIVILEGED_EVENTS : this.server.limits.events;
    if (this.waitingEvents.size >= limit) {
      this.overrun();
      return;
    }
    this.waitingEvents.add(payload);
    this.waitingBytes += payload.length;
    this.output.push({
      bytes: encode({ type: XS_WATCH_EVENT, reqId: 0, txId: 0, payload }),
      event: payload,
    });
  }

  private overrun(): void {
    if (this.privileged) {
      this.server.warn(`${this.name}: does not take its watch events: connection closed`);
      this.kill('overrun');
    } else if (this.dropped++ === 0) {
      this.server.warn(`${this.name}: does not take its watch events: dropping some`);
    }
  }

  /** Drops the events of its watches that still wait. */
  dropEvents(): void {
    this.waitingEvents.clear();
    this.waitingBytes = 0;
    const replies = this.output.filter((out) => out.event === undefined);
    this.output.splice(0, this.output.length, ...replies);
  }

  flush(): void {
    while (!this.held && !this.isClosed) {
      const out = this.output.shift();
      if (!out) break;
      if (out.event !== undefined && this.waitingEvents.delete(out.event)) {
        this.waitingBytes -= out.event.length;
      }
      this.held = this.transport.send(out.bytes) === false;
    }
    if (this.output.length === 0) this.dropped = 0;
    if (this.full && this.output.length < this.server.limits.outstanding) {
      this.full = false;
      this.server.work(this);
      if (this.readable) this.transport.resumed?.();
    }
  }

  newTransactionId(): number {
    do this.lastTransaction = (this.lastTransaction % 0x7fff_ffff) + 1;
    while (this.transactions.has(this.lastTransaction));
    return this.lastTransaction;
  }
}
