/**
 * XenStore's Unix socket, for tools on the host. A client that may open the socket has the rights of domain 0, so the
 * socket and the directory made for it are for their owner alone.
 *
 * libxenstore connects to $XENSTORED_PATH; without it, to `socket` in $XENSTORED_RUNDIR (default /var/run/xenstored).
 */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import process from 'node:process';

/** The daemon behind the socket, as far as this needs to know it: `XenStore` of control/xenstore. */
export interface StreamServer {
  connect(transport: StreamTransport): StreamConnection;
}

export interface StreamTransport {
  readonly domid: number;
  readonly name: string;
  send(bytes: Uint8Array): boolean;
  closed(): void;
  resumed(): void;
}

export interface StreamConnection {
  readonly readable: boolean;
  receive(chunk: Uint8Array): void;
  drained(): void;
  close(): void;
}

export interface XenStoreSocket {
  readonly path: string;
  /** Ends all connections and removes the socket. */
  close(): Promise<void>;
}

/** The longest path that fits in a sockaddr_un, without its NUL. */
const SUN_PATH_MAX = 107;

/**
 * Serves `store` at `path`. Fails if somebody else serves there already, or if something that is no socket is in the
 * way. `domid` gives the clients another domain's rights.
 */
export async function serveXenStore(store: StreamServer, path: string, domid = 0): Promise<XenStoreSocket> {
  if (Buffer.byteLength(path) > SUN_PATH_MAX) {
    throw new Error(`XenStore socket ${path}: the path is longer than ${SUN_PATH_MAX} bytes`);
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await removeStale(path);
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    attach(store, socket, `socket ${++count}`, domid);
  });
  await listen(server, path);
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function attach(store: StreamServer, socket: Socket, name: string, domid: number): void {
  const conn = store.connect({
    domid,
    name,
    send: (bytes) => socket.write(bytes),
    closed: () => socket.end(),
    resumed: () => socket.resume(),
  });
  socket.on('data', (chunk: Buffer) => {
    conn.receive(chunk);
    if (!conn.readable) socket.pause();
  });
  socket.on('drain', () => conn.drained());
  socket.on('close', () => conn.close());
  // A client that is killed resets the connection; 'close' follows and says all that matters.
  socket.on('error', () => {});
}

/** Listens with rights for the owner alone, from the first moment on where the process may set its umask. */
async function listen(server: Server, path: string): Promise<void> {
  const umask = setUmask(0o177);
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  // The socket is bound by now; only its being reported is still to come.
  if (umask !== undefined) setUmask(umask);
  await listening;
  await chmod(path, 0o600);
}

/** The umask before, or undefined in a worker, which may not set it. */
function setUmask(mask: number): number | undefined {
  try {
    return process.umask(mask);
  } catch {
    return undefined;
  }
}

/** Removes a socket that nobody answers on. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket()) throw new Error(`XenStore socket ${path}: there is something else of that name`);
  if (await answers(path)) throw new Error(`XenStore socket ${path}: another XenStore serves it`);
  await unlink(path);
}

/** Whether somebody listens. Only a refusal is a no: a socket we may not open, say, is not ours to remove. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const done = (answer: boolean): void => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', () => done(true));
    probe.once('error', (e: NodeJS.ErrnoException) => done(e.code !== 'ECONNREFUSED'));
  });
}
