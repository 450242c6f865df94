/**
 * The XenStore daemon: connections in, replies and watch events out. It does no I/O of its own; a Transport carries the
 * bytes of each connection, and whoever starts it says how a guest's ring is reached.
 *
 * One request is served at a time, and only whole: its reply goes first, then the events it caused, in order.
 *
 *   const store = new XenStore({ log });
 *   const conn = store.connect({ domid: 0, name: 'socket 1', send: (bytes) => socket.write(bytes) });
 *   socket.on('data', (chunk) => conn.receive(chunk));
 */
import { XS_ERROR } from '../../abi/io_xs_wire.ts';
import { Connection, type Server, type Transport } from './connection.ts';
import type { Core, Introduced, Surroundings } from './core.ts';
import { domainBase, INTRODUCE_DOMAIN, parsePath, RELEASE_DOMAIN } from './path.ts';
import type { Who } from './perms.ts';
import { defaultQuota, type Quota } from './quota.ts';
import { requests, serve } from './requests.ts';
import { Tree } from './tree.ts';
import { type WatchEvent, Watches } from './watches.ts';
import { type Message, XsError } from './wire.ts';

export interface XenStoreOptions extends Surroundings {
  readonly quota?: Partial<Quota>;
  /** The value of /tool/xenstored, by which tools tell daemons apart. */
  readonly implementation?: string;
}

const dom0: Who = { domid: 0, target: undefined };

export class XenStore {
  private readonly daemon: Daemon;

  constructor(options: XenStoreOptions) {
    this.daemon = new Daemon(options);
  }

  /** A new client with the rights of domain `transport.domid`. */
  connect(transport: Transport): Connection {
    return this.daemon.connect(transport);
  }

  /** The domain is gone: its connections end, its nodes and rights go, and @releaseDomain fires. */
  domainDied(domid: number): void {
    this.daemon.release(domid);
    this.daemon.deliver();
  }

  /** The domain has shut down but still exists: @releaseDomain fires, once until RESUME. */
  domainShutdown(domid: number): void {
    const domain = this.daemon.domains.get(domid);
    if (!domain || domain.shutdown) return;
    domain.shutdown = true;
    this.daemon.fireSpecial(RELEASE_DOMAIN, domid);
    this.daemon.deliver();
  }

  isIntroduced(domid: number): boolean {
    return domid === 0 || this.daemon.domains.has(domid);
  }
}

class Daemon implements Core, Server {
  readonly tree: Tree;
  readonly watches = new Watches<Connection>();
  readonly domains = new Map<number, Introduced>();
  readonly connections = new Set<Connection>();
  readonly quota: Quota;
  readonly surroundings: Surroundings;
  trace = false;
  private readonly identities = new Map<number, Who>();
  /** Connections that may have requests, in the order they got them. */
  private readonly waiting = new Set<Connection>();
  private working = false;
  private events: WatchEvent<Connection>[] = [];

  constructor(options: XenStoreOptions) {
    this.surroundings = options;
    this.quota = { ...defaultQuota, ...options.quota };
    this.tree = Tree.empty(this.quota);
    const node = (path: string, value = ''): void => {
      this.tree.write(dom0, parsePath(path, ''), value);
    };
    node(`/${INTRODUCE_DOMAIN}`);
    node(`/${RELEASE_DOMAIN}`);
    node(domainBase(0));
    node('/tool/xenstored', options.implementation ?? 'domzero');
  }

  get limits(): Quota {
    return this.quota;
  }

  connect(transport: Transport): Connection {
    const conn = new Connection(transport, this);
    this.connections.add(conn);
    return conn;
  }

  closed(conn: Connection): void {
    this.connections.delete(conn);
    this.waiting.delete(conn);
    this.forget(conn);
  }

  forget(conn: Connection): void {
    this.watches.removeAll(conn);
    conn.watches = 0;
    conn.watchBytes = 0;
    conn.transactions.clear();
    conn.dropEvents();
  }

  warn(line: string): void {
    this.surroundings.log.warn(line);
  }

  who(domid: number): Who {
    let who = this.identities.get(domid);
    if (!who) this.identities.set(domid, (who = { domid, target: undefined }));
    return who;
  }

  setTarget(domid: number, target: number): void {
    this.identities.set(domid, { domid, target });
  }

  /** Serves all requests at hand; a call from inside one (by a transport or a callback) leaves them to the outer call. */
  work(conn: Connection): void {
    this.waiting.add(conn);
    if (this.working) return;
    this.working = true;
    try {
      for (const next of this.waiting) {
        this.waiting.delete(next);
        this.serveAll(next);
      }
    } finally {
      this.working = false;
    }
  }

  private serveAll(conn: Connection): void {
    for (let m = conn.nextRequest(); m; m = conn.nextRequest()) {
      const { type, payload } = this.answer(conn, m);
      conn.reply({ type, reqId: m.reqId, txId: m.txId, payload });
      conn.flush();
      this.deliver();
    }
  }

  private answer(conn: Connection, m: Message): { type: number; payload: string } {
    try {
      const payload = serve(this, conn, m);
      if (this.trace) this.log(conn, m, payload);
      return { type: m.type, payload };
    } catch (e) {
      if (!(e instanceof XsError))
        this.surroundings.log.error(`${conn.name}: request ${m.type}: ${String(e)}`);
      const code = e instanceof XsError ? e.code : 'EIO';
      if (this.trace) this.log(conn, m, code);
      return { type: XS_ERROR, payload: `${code}\0` };
    }
  }

  private log(conn: Connection, m: Message, answer: string): void {
    const show = (text: string): string => text.replace(/[^ -~]/g, ' ').trimEnd();
    const name = requests[m.type]?.name ?? `type ${m.type}`;
    const line = `${conn.name} [${m.txId}] ${name} ${show(m.payload)} -> ${show(answer)}`;
    this.surroundings.log.info(line);
  }

  fire(events: WatchEvent<Connection>[]): void {
    for (const event of events) this.events.push(event);
  }

  fireSpecial(name: string, domid: number): void {
    this.fire(this.watches.special(name, domid, this.tree.root));
  }

  deliver(): void {
    if (this.events.length === 0) return;
    const events = this.events;
    this.events = [];
    const receivers = new Set<Connection>();
    for (const { watch, path } of events) {
      watch.watcher.event(path, watch.token);
      receivers.add(watch.watcher);
    }
    for (const conn of receivers) conn.flush();
  }

  release(domid: number): void {
    if (domid === 0) return;
    const known = this.domains.delete(domid);
    for (const conn of [...this.connections]) if (conn.domid === domid) conn.kill('released');
    this.identities.delete(domid);
    for (const [id, who] of this.identities) if (who.target === domid) this.identities.delete(id);
    this.tree.forget(domid);
    if (!known) return;
    this.surroundings.onRelease?.(domid);
    this.fireSpecial(RELEASE_DOMAIN, domid);
  }
}
