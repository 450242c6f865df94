/**
 * A XenStore client over any byte stream, for domain 0's own services.
 *
 * Values are byte strings: one character for each byte (`utf8` and `latin1` of base convert). A refused request rejects
 * with XsError. Watch handlers run after the request that caused the event has been served, never inside it.
 *
 *   const xs = connectLocal(store, 'toolstack');
 *   await xs.write('/local/domain/1/name', 'guest');
 *   await xs.transaction(async (t) => t.write('count', String(Number(await t.read('count')) + 1)));
 */
import * as xs from '../../abi/io_xs_wire.ts';
import type { Transport } from './connection.ts';
import { formatPerms, type Perms, parsePerms } from './perms.ts';
import type { XenStore } from './store.ts';
import { encode, type Message, MessageReader, strings, XsError } from './wire.ts';

interface Pending {
  resolve(payload: string): void;
  reject(error: Error): void;
}

/** What a client asks through: sends a request, answers the reply's payload. */
type Ask = (type: number, payload: string, txId: number) => Promise<string>;

/** The requests on nodes; those of a transaction's own tree where it stands for a transaction. */
export class XsAccess {
  protected readonly ask: Ask;
  private readonly txId: number;

  constructor(ask: Ask, txId: number) {
    this.ask = ask;
    this.txId = txId;
  }

  private node(type: number, payload: string): Promise<string> {
    return this.ask(type, payload, this.txId);
  }

  read(path: string): Promise<string> {
    return this.node(xs.XS_READ, `${path}\0`);
  }

  /** The value, or undefined where there is no such node. */
  tryRead(path: string): Promise<string | undefined> {
    return this.read(path).catch(unlessMissing);
  }

  async exists(path: string): Promise<boolean> {
    return (await this.getPerms(path).catch(unlessMissing)) !== undefined;
  }

  async write(path: string, value: string): Promise<void> {
    await this.node(xs.XS_WRITE, `${path}\0${value}`);
  }

  async mkdir(path: string): Promise<void> {
    await this.node(xs.XS_MKDIR, `${path}\0`);
  }

  async rm(path: string): Promise<void> {
    await this.node(xs.XS_RM, `${path}\0`);
  }

  /** The names of the children, in byte order. */
  async ls(path: string): Promise<string[]> {
    const list = await this.node(xs.XS_DIRECTORY, `${path}\0`).catch((e: unknown) => {
      if (e instanceof XsError && e.code === 'E2BIG') return this.longList(path);
      throw e;
    });
    return strings(list) ?? [];
  }

  /** The children where one message cannot hold them; starts again when they change between two parts. */
  private async longList(path: string): Promise<string> {
    let generation = '';
    let list = '';
    for (;;) {
      const part = await this.node(xs.XS_DIRECTORY_PART, `${path}\0${list.length}\0`);
      const end = part.indexOf('\0') + 1;
      const current = part.slice(0, end);
      if (list !== '' && current !== generation) {
        list = '';
        continue;
      }
      generation = current;
      list += part.slice(end);
      if (list.length <= 1) return '';
      if (list.endsWith('\0\0')) return list.slice(0, -1);
    }
  }

  async tryLs(path: string): Promise<string[]> {
    return (await this.ls(path).catch(unlessMissing)) ?? [];
  }

  async getPerms(path: string): Promise<Perms> {
    return parsePerms(strings(await this.node(xs.XS_GET_PERMS, `${path}\0`)) ?? []);
  }

  async setPerms(path: string, perms: Perms): Promise<void> {
    await this.node(xs.XS_SET_PERMS, `${path}\0${formatPerms(perms)}`);
  }
}

function unlessMissing(e: unknown): undefined {
  if (e instanceof XsError && e.code === 'ENOENT') return undefined;
  throw e;
}

export interface XsWatch {
  /** Stops the watch; no event comes after this was called. */
  close(): Promise<void>;
}

/** The stream to the daemon. The other direction goes into `XsClient.receive`. */
export interface XsStream {
  write(bytes: Uint8Array): void;
  close(): void;
}

/** How often a transaction is tried before its conflict is the caller's. */
const TRANSACTION_TRIES = 100;

export class XsClient extends XsAccess {
  private readonly stream: XsStream;
  private readonly input = new MessageReader();
  private readonly pending = new Map<number, Pending>();
  private readonly handlers = new Map<string, (path: string) => void>();
  private lastReqId = 0;
  private lastToken = 0;
  private gone: Error | undefined;

  constructor(stream: XsStream) {
    super((type, payload, txId) => this.send(type, payload, txId), 0);
    this.stream = stream;
  }

  private send(type: number, payload: string, txId: number): Promise<string> {
    if (this.gone) return Promise.reject(this.gone);
    if (payload.length > xs.XENSTORE_PAYLOAD_MAX) return Promise.reject(new XsError('E2BIG'));
    this.lastReqId = (this.lastReqId % 0xffff_ffff) + 1;
    const reqId = this.lastReqId;
    return new Promise((resolve, reject) => {
      this.pending.set(reqId, { resolve, reject });
      this.stream.write(encode({ type, reqId, txId, payload }));
    });
  }

  /** Bytes from the daemon, cut anywhere. */
  receive(chunk: Uint8Array): void {
    this.input.push(chunk);
    for (let m = this.input.next(); m; m = this.input.next()) this.take(m);
  }

  private take(m: Message): void {
    if (m.type === xs.XS_WATCH_EVENT) {
      const [path, token] = strings(m.payload) ?? [];
      // Not inside the daemon's request, and not after a close in the meantime.
      void Promise.resolve().then(() => this.handlers.get(token!)?.(path!));
      return;
    }
    const waiting = this.pending.get(m.reqId);
    this.pending.delete(m.reqId);
    if (m.type === xs.XS_ERROR) waiting?.reject(new XsError(m.payload.slice(0, -1) as xs.XsdError));
    else waiting?.resolve(m.payload);
  }

  /** The stream has ended: all that waits fails, as does what comes later. */
  closed(reason = 'the connection to XenStore is closed'): void {
    this.gone ??= new Error(reason);
    for (const { reject } of this.pending.values()) reject(this.gone);
    this.pending.clear();
    this.handlers.clear();
  }

  close(): void {
    this.stream.close();
    this.closed();
  }

  /** Calls `run` with a transaction and commits it; again from the start when another change got in between. */
  async transaction<T>(run: (t: XsAccess) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const id = Number((await this.ask(xs.XS_TRANSACTION_START, '\0', 0)).slice(0, -1));
      let result: T;
      try {
        result = await run(new XsAccess(this.ask, id));
      } catch (e) {
        await this.ask(xs.XS_TRANSACTION_END, 'F\0', id).catch(() => {});
        throw e;
      }
      try {
        await this.ask(xs.XS_TRANSACTION_END, 'T\0', id);
        return result;
      } catch (e) {
        if (!(e instanceof XsError) || e.code !== 'EAGAIN' || tries === TRANSACTION_TRIES) throw e;
      }
    }
  }

  /** Calls `handler` with the changed path: at once with `path` itself, then for each change there and below. */
  async watch(path: string, handler: (path: string) => void): Promise<XsWatch> {
    const token = String(++this.lastToken);
    this.handlers.set(token, handler);
    try {
      await this.ask(xs.XS_WATCH, `${path}\0${token}\0`, 0);
    } catch (e) {
      this.handlers.delete(token);
      throw e;
    }
    return {
      close: async () => {
        if (!this.handlers.delete(token)) return;
        await this.ask(xs.XS_UNWATCH, `${path}\0${token}\0`, 0);
      },
    };
  }

  /**
   * Waits until `check` answers something else than undefined; it is asked at once and after every event on `path`.
   */
  until<T>(path: string, check: (t: XsAccess) => Promise<T | undefined>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let watch: Promise<XsWatch> | undefined;
      const end = (): void => void watch?.then((w) => w.close()).catch(() => {});
      const ask = (): void => {
        check(this)
          .then((result) => {
            if (result === undefined) return;
            end();
            resolve(result);
          })
          .catch((e: unknown) => {
            end();
            reject(e);
          });
      };
      watch = this.watch(path, ask);
      watch.catch(reject);
    });
  }

  async introduce(domid: number, gfn: number, port: number): Promise<void> {
    await this.ask(xs.XS_INTRODUCE, `${domid}\0${gfn}\0${port}\0`, 0);
  }

  async release(domid: number): Promise<void> {
    await this.ask(xs.XS_RELEASE, `${domid}\0`, 0);
  }

  async resume(domid: number): Promise<void> {
    await this.ask(xs.XS_RESUME, `${domid}\0`, 0);
  }

  async setTarget(domid: number, target: number): Promise<void> {
    await this.ask(xs.XS_SET_TARGET, `${domid}\0${target}\0`, 0);
  }

  async isIntroduced(domid: number): Promise<boolean> {
    return (await this.ask(xs.XS_IS_DOMAIN_INTRODUCED, `${domid}\0`, 0)) === 'T\0';
  }

  async getDomainPath(domid: number): Promise<string> {
    return (await this.ask(xs.XS_GET_DOMAIN_PATH, `${domid}\0`, 0)).slice(0, -1);
  }

  async resetWatches(): Promise<void> {
    this.handlers.clear();
    await this.ask(xs.XS_RESET_WATCHES, '\0', 0);
  }

  async control(...args: string[]): Promise<string> {
    const reply = await this.ask(xs.XS_CONTROL, args.map((a) => `${a}\0`).join(''), 0);
    return reply.replace(/\0$/, '');
  }
}

/** A client inside the daemon's process, with the rights of `domid`. */
export function connectLocal(store: XenStore, name: string, domid = 0): XsClient {
  const transport: Transport = {
    domid,
    name,
    send: (bytes) => {
      client.receive(bytes);
      return true;
    },
    closed: () => client.closed(),
  };
  const conn = store.connect(transport);
  const client: XsClient = new XsClient({ write: (bytes) => conn.receive(bytes), close: () => conn.close() });
  return client;
}
