/**
 * The requests of the protocol, one function each: from a payload to a reply, `OK` where it has nothing to say.
 * Refusals are thrown as XsError.
 *
 * @xen docs/misc/xenstore.txt
 */
import * as xs from '../../abi/io_xs_wire.ts';
import type { Connection } from './connection.ts';
import { control } from './control.ts';
import type { Core } from './core.ts';
import { domainBase, INTRODUCE_DOMAIN, parsePath, type XsPath } from './path.ts';
import { formatPerms, parsePerms } from './perms.ts';
import { DirectView, Transaction, type View } from './transaction.ts';
import { childNames } from './tree.ts';
import { type Message, parseU32, strings, XsError } from './wire.ts';

export interface Request {
  readonly core: Core;
  readonly conn: Connection;
  readonly message: Message;
  /** The tree, or the transaction that the message names. */
  readonly view: View;
}

type Handler = (rq: Request) => string | undefined;

interface Entry {
  readonly name: string;
  readonly run: Handler;
  /** Works on nodes: tx_id names a transaction. Elsewhere it is ignored. */
  readonly nodes?: true;
  /** Makes the server hold more for the client. */
  readonly grows?: true;
  readonly privileged?: true;
}

/** By message type. RESTRICT (20) is gone from the protocol; types above 22 are newer than this version. */
export const requests: Readonly<Record<number, Entry>> = {
  [xs.XS_CONTROL]: { name: 'CONTROL', run: doControl, privileged: true },
  [xs.XS_DIRECTORY]: { name: 'DIRECTORY', run: doDirectory, nodes: true },
  [xs.XS_READ]: { name: 'READ', run: (rq) => rq.view.read(onePath(rq)), nodes: true },
  [xs.XS_GET_PERMS]: {
    name: 'GET_PERMS',
    run: (rq) => formatPerms(rq.view.getPerms(onePath(rq))),
    nodes: true,
  },
  [xs.XS_WATCH]: { name: 'WATCH', run: doWatch, grows: true },
  [xs.XS_UNWATCH]: { name: 'UNWATCH', run: doUnwatch },
  [xs.XS_TRANSACTION_START]: { name: 'TRANSACTION_START', run: doTransactionStart, grows: true },
  [xs.XS_TRANSACTION_END]: { name: 'TRANSACTION_END', run: doTransactionEnd },
  [xs.XS_INTRODUCE]: { name: 'INTRODUCE', run: doIntroduce, privileged: true },
  [xs.XS_RELEASE]: { name: 'RELEASE', run: doRelease, privileged: true },
  [xs.XS_GET_DOMAIN_PATH]: { name: 'GET_DOMAIN_PATH', run: (rq) => `${domainBase(oneDomid(rq))}\0` },
  [xs.XS_WRITE]: { name: 'WRITE', run: doWrite, nodes: true, grows: true },
  [xs.XS_MKDIR]: { name: 'MKDIR', run: (rq) => void rq.view.mkdir(onePath(rq)), nodes: true, grows: true },
  [xs.XS_RM]: { name: 'RM', run: (rq) => void rq.view.remove(onePath(rq)), nodes: true },
  [xs.XS_SET_PERMS]: { name: 'SET_PERMS', run: doSetPerms, nodes: true, grows: true },
  [xs.XS_IS_DOMAIN_INTRODUCED]: { name: 'IS_DOMAIN_INTRODUCED', run: doIsIntroduced, privileged: true },
  [xs.XS_RESUME]: { name: 'RESUME', run: doResume, privileged: true },
  [xs.XS_SET_TARGET]: { name: 'SET_TARGET', run: doSetTarget, privileged: true },
  [xs.XS_RESET_WATCHES]: { name: 'RESET_WATCHES', run: doResetWatches },
  [xs.XS_DIRECTORY_PART]: { name: 'DIRECTORY_PART', run: doDirectoryPart, nodes: true },
};

/** Serves one message; answers the payload of the reply. Throws XsError. */
export function serve(core: Core, conn: Connection, message: Message): string {
  const entry = requests[message.type];
  if (!entry) throw new XsError('ENOSYS');
  // DIVERGES: oxenstored answers a guest's CONTROL with OK and does nothing.
  if (entry.privileged && !conn.privileged) throw new XsError('EACCES');
  if (entry.grows) checkMemory(core, conn, message);
  const view = entry.nodes ? viewOf(core, conn, message.txId) : direct(core, conn);
  const reply = entry.run({ core, conn, message, view }) ?? 'OK\0';
  if (reply.length > xs.XENSTORE_PAYLOAD_MAX) throw new XsError('E2BIG');
  return reply;
}

const direct = (core: Core, conn: Connection): View =>
  new DirectView(core.tree, conn.who, (change) => core.fire(core.watches.concerned(change)));

function viewOf(core: Core, conn: Connection, txId: number): View {
  if (txId === 0) return direct(core, conn);
  const transaction = findTransaction(conn, txId);
  if (!conn.privileged && transaction.requests >= core.quota.transactionRequests) throw new XsError('ENOSPC');
  transaction.requests++;
  return transaction;
}

// DIVERGES: oxenstored answers EIO; ENOENT is the C daemon's word.
function findTransaction(conn: Connection, txId: number): Transaction {
  const transaction = conn.transactions.get(txId);
  if (!transaction) throw new XsError('ENOENT');
  return transaction;
}

// DIVERGES: over quota is ENOSPC as in the C daemon; oxenstored's EQUOTA is no word of the protocol.
function checkMemory(core: Core, conn: Connection, message: Message): void {
  if (conn.privileged) return;
  const held = core.tree.usage(conn.domid).bytes + conn.bytesHeld;
  if (held + message.payload.length > core.quota.memory) throw new XsError('ENOSPC');
}

/** The payload's strings, which must be `min` to `max`. */
function args(rq: Request, min: number, max = min): string[] {
  const list = strings(rq.message.payload);
  if (!list || list.length < min || list.length > max) throw new XsError('EINVAL');
  return list;
}

const onePath = (rq: Request): XsPath => parsePath(args(rq, 1)[0]!, rq.conn.base);
const oneDomid = (rq: Request): number => parseU32(args(rq, 1)[0]);

function doControl(rq: Request): string | undefined {
  return control(rq.core, strings(rq.message.payload) ?? [rq.message.payload]);
}

function doDirectory(rq: Request): string {
  const names = childNames(rq.view.list(onePath(rq)));
  return names.map((name) => `${name}\0`).join('');
}

/** As much of the list, from a byte offset, as fits in whole names; an empty name after the last one. */
function doDirectoryPart(rq: Request): string {
  const [path, offset] = args(rq, 2);
  const node = rq.view.list(parsePath(path!, rq.conn.base));
  const all = childNames(node)
    .map((name) => `${name}\0`)
    .join('');
  const head = `${node.generation}\0`;
  const rest = all.slice(parseU32(offset));
  if (head.length + rest.length + 1 <= xs.XENSTORE_PAYLOAD_MAX) return `${head}${rest}\0`;
  const room = xs.XENSTORE_PAYLOAD_MAX - head.length - 1;
  return head + rest.slice(0, rest.lastIndexOf('\0', room - 1) + 1);
}

function doWrite(rq: Request): undefined {
  const { payload } = rq.message;
  const end = payload.indexOf('\0');
  if (end < 0) throw new XsError('EINVAL');
  rq.view.write(parsePath(payload.slice(0, end), rq.conn.base), payload.slice(end + 1));
}

function doSetPerms(rq: Request): undefined {
  const [path, ...perms] = args(rq, 2, Number.POSITIVE_INFINITY);
  rq.view.setPerms(parsePath(path!, rq.conn.base), parsePerms(perms));
}

/** Special paths stand for themselves; `@releaseDomain/<domid>` is no node. */
function watchedPath(rq: Request, path: string): string {
  if (!path.startsWith('@')) return parsePath(path, rq.conn.base).abs;
  return parsePath(path, rq.conn.base).abs.slice(1);
}

function doWatch(rq: Request): undefined {
  const { core, conn } = rq;
  const [path, token, depth] = args(rq, 2, 3);
  const abs = watchedPath(rq, path!);
  if (!conn.privileged && conn.watches >= core.quota.watches) throw new XsError('ENOSPC');
  const watch = {
    watcher: conn,
    path: path!,
    abs,
    token: token!,
    depth: depth === undefined ? undefined : parseU32(depth),
  };
  core.watches.add(watch);
  conn.watches++;
  conn.watchBytes += rq.message.payload.length;
  // Fires once at the start, whether the path exists, or may be read, or not.
  core.fire([{ watch, path: path! }]);
}

function doUnwatch(rq: Request): undefined {
  const [path, token] = args(rq, 2);
  const watch = rq.core.watches.remove(rq.conn, watchedPath(rq, path!), token!);
  rq.conn.watches--;
  rq.conn.watchBytes -= watch.path.length + watch.token.length + 2;
}

function doTransactionStart(rq: Request): string {
  const { core, conn, message } = rq;
  if (message.txId !== 0) throw new XsError('EBUSY');
  if (!conn.privileged && conn.transactions.size >= core.quota.transactions) throw new XsError('ENOSPC');
  const id = conn.newTransactionId();
  conn.transactions.set(id, new Transaction(id, core.tree, conn.who));
  return `${id}\0`;
}

function doTransactionEnd(rq: Request): undefined {
  const { core, conn, message } = rq;
  const transaction = findTransaction(conn, message.txId);
  const [how] = args(rq, 1);
  if (how !== 'T' && how !== 'F') throw new XsError('EINVAL');
  conn.transactions.delete(transaction.id);
  if (how === 'F') return;
  const changes = transaction.commit(core.tree);
  for (const change of changes) core.fire(core.watches.concerned(change));
}

/** DOMIDs from here on stand for no domain of their own. @abi public/xen.h DOMID_FIRST_RESERVED */
const FIRST_RESERVED = 0x7ff0;

function doIntroduce(rq: Request): undefined {
  const { core } = rq;
  const [domidText, gfnText, portText] = args(rq, 3, 4);
  const domid = parseU32(domidText);
  const port = parseU32(portText);
  const gfn = parseGfn(gfnText!);
  if (domid === 0 || domid >= FIRST_RESERVED) throw new XsError('EINVAL');
  const known = core.domains.get(domid);
  if (known && known.gfn !== gfn) throw new XsError('EINVAL');
  if (known?.port === port) return;
  const refusal = core.surroundings.onIntroduce?.(domid, gfn, port);
  if (refusal) throw new XsError(refusal);
  if (known) {
    known.port = port;
    return;
  }
  core.domains.set(domid, { gfn, port, shutdown: false });
  core.fireSpecial(INTRODUCE_DOMAIN, domid);
}

/** A frame number, which comes as a signed decimal. */
function parseGfn(text: string): number {
  const gfn = /^-?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(gfn)) throw new XsError('EINVAL');
  return gfn;
}

function doRelease(rq: Request): undefined {
  const domid = oneDomid(rq);
  if (!rq.core.domains.has(domid)) throw new XsError('EINVAL');
  rq.core.release(domid);
}

const DOMID_SELF = 0x7ff0;

function doIsIntroduced(rq: Request): string {
  const domid = oneDomid(rq);
  return domid === 0 || domid === DOMID_SELF || rq.core.domains.has(domid) ? 'T\0' : 'F\0';
}

function doResume(rq: Request): undefined {
  const domid = oneDomid(rq);
  const domain = rq.core.domains.get(domid);
  if (!domain) throw new XsError('EINVAL');
  domain.shutdown = false;
  rq.core.surroundings.onResume?.(domid);
}

function doSetTarget(rq: Request): undefined {
  const [domid, target] = args(rq, 2).map(parseU32);
  if (!rq.core.domains.has(domid!)) throw new XsError('ENOENT');
  rq.core.setTarget(domid!, target!);
}

function doResetWatches(rq: Request): undefined {
  rq.core.forget(rq.conn);
}
