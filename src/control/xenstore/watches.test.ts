/** Which watch hears of what, and when. */
import { beforeEach, expect, it } from 'vitest';
import * as xs from '../../abi/io_xs_wire.ts';
import { makeLogger, silent } from '../../base/log.ts';
import { Peer } from './fixtures/peer.ts';
import { XenStore } from './index.ts';

let store: XenStore;
let dom0: Peer;
let guest: Peer;

beforeEach(() => {
  store = new XenStore({ log: makeLogger('xenstore', silent), quota: { events: 5 } });
  dom0 = new Peer(store, 0);
  guest = new Peer(store, 1);
  dom0.ask(xs.XS_WRITE, '/local/domain/1\0');
  dom0.ask(xs.XS_SET_PERMS, '/local/domain/1\0n0\0r1\0');
  dom0.ask(xs.XS_WRITE, '/local/domain/1/data\0');
  dom0.ask(xs.XS_SET_PERMS, '/local/domain/1/data\0n1\0');
});

function watch(peer: Peer, path: string, token = 't', depth = ''): void {
  expect(peer.ask(xs.XS_WATCH, `${path}\0${token}\0${depth}`)).toBe('OK\0');
  expect(peer.events()).toEqual([`${path} ${token}`]);
}

it('a watch fires at once, after its reply, whether its path exists or not', () => {
  dom0.post(xs.XS_WATCH, '/no/such\0t\0');
  expect(dom0.messages.map((m) => m.type)).toEqual([xs.XS_WATCH, xs.XS_WATCH_EVENT]);
  expect(dom0.messages[1]).toMatchObject({ reqId: 0, txId: 0, payload: '/no/such\0t\0' });
});

it('the same path with the same token is EEXIST, with another token it is not', () => {
  watch(dom0, '/a');
  expect(dom0.ask(xs.XS_WATCH, '/a\0t\0')).toBe('!EEXIST');
  watch(dom0, '/a', 'other');
  watch(new Peer(store, 0), '/a');
});

it('an invalid path, a missing token or a fourth string is EINVAL', () => {
  for (const p of ['/a b\0t\0', 'bad//p\0t\0', '/a\0', '/a\0t', '/a\0t\0x\0', '/a\0t\x001\x002\0', '']) {
    expect(dom0.ask(xs.XS_WATCH, p)).toBe('!EINVAL');
  }
});

it('writes, new nodes, permissions and removals of a path and below fire; the made parents do not', () => {
  watch(dom0, '/w');
  dom0.ask(xs.XS_WRITE, '/w/b/c\x002');
  dom0.ask(xs.XS_WRITE, '/w\x002');
  dom0.ask(xs.XS_MKDIR, '/w/d\0');
  dom0.ask(xs.XS_MKDIR, '/w/d\0');
  dom0.ask(xs.XS_SET_PERMS, '/w/d\0r1\0');
  dom0.ask(xs.XS_RM, '/w/d\0');
  dom0.ask(xs.XS_RM, '/w/d\0');
  dom0.ask(xs.XS_WRITE, '/ww\0');
  dom0.ask(xs.XS_READ, '/w\0');
  expect(dom0.events()).toEqual(['/w/b/c t', '/w t', '/w/d t', '/w/d t', '/w/d t']);
});

it('a removal above a watched node fires with the watched path', () => {
  dom0.ask(xs.XS_WRITE, '/a/b/c\0');
  watch(dom0, '/a/b/c', 'c');
  watch(dom0, '/a/b/x', 'x');
  watch(dom0, '/a/x/y', 'y');
  watch(dom0, '/', 'root');
  dom0.ask(xs.XS_RM, '/a\0');
  expect(dom0.events()).toEqual(['/a root', '/a/b/c c', '/a/b/x x']);
});

it("a relative watch is told relative paths, and the guest's own absolute one absolute paths", () => {
  watch(guest, 'data', 'rel');
  watch(guest, '/local/domain/1/data', 'abs');
  guest.ask(xs.XS_WRITE, 'data/x\0');
  expect(guest.events()).toEqual(['data/x rel', '/local/domain/1/data/x abs']);
  dom0.ask(xs.XS_RM, '/local/domain/1\0');
  expect(guest.events()).toEqual(['data rel', '/local/domain/1/data abs']);
});

it('UNWATCH stops it, by the path as given or its other form; none is ENOENT', () => {
  watch(guest, 'data');
  expect(guest.ask(xs.XS_UNWATCH, 'data\0other\0')).toBe('!ENOENT');
  expect(guest.ask(xs.XS_UNWATCH, '/local/domain/1/data\0t\0')).toBe('OK\0');
  expect(guest.ask(xs.XS_UNWATCH, 'data\0t\0')).toBe('!ENOENT');
  guest.ask(xs.XS_WRITE, 'data/x\0');
  expect(guest.events()).toEqual([]);
});

it('RESET_WATCHES drops the watches and transactions of its caller alone', () => {
  watch(guest, 'data');
  watch(dom0, '/local');
  guest.ask(xs.XS_TRANSACTION_START, '\0');
  expect(guest.ask(xs.XS_RESET_WATCHES, '\0')).toBe('OK\0');
  guest.ask(xs.XS_WRITE, 'data/x\0');
  expect(guest.events()).toEqual([]);
  expect(dom0.events()).toEqual(['/local/domain/1/data/x t']);
  expect(guest.ask(xs.XS_TRANSACTION_END, 'T\0', 1)).toBe('!ENOENT');
});

it('a guest hears of what it may read: the node, before or after, or its parent', () => {
  watch(guest, '/s');
  dom0.ask(xs.XS_WRITE, '/s/x\0');
  expect(guest.events()).toEqual([]);
  dom0.ask(xs.XS_SET_PERMS, '/s/x\0r0\0');
  expect(guest.events()).toEqual(['/s/x t']);
  dom0.ask(xs.XS_WRITE, '/s/x\0v');
  dom0.ask(xs.XS_SET_PERMS, '/s/x\0n0\0');
  expect(guest.events()).toEqual(['/s/x t', '/s/x t']);
  dom0.ask(xs.XS_WRITE, '/s/x\0v');
  dom0.ask(xs.XS_RM, '/s/x\0');
  expect(guest.events()).toEqual([]);
  dom0.ask(xs.XS_SET_PERMS, '/s\0r0\0');
  dom0.ask(xs.XS_WRITE, '/s/x\0v');
  dom0.ask(xs.XS_SET_PERMS, '/s/x\0n0\0');
  dom0.ask(xs.XS_RM, '/s/x\0');
  expect(guest.events()).toEqual(['/s t', '/s/x t', '/s/x t', '/s/x t']);
});

it('a depth limits how far below the path changes count', () => {
  watch(dom0, '/w', 'zero', '0\0');
  watch(dom0, '/w', 'one', '1\0');
  dom0.ask(xs.XS_WRITE, '/w\0');
  dom0.ask(xs.XS_WRITE, '/w/a\0');
  dom0.ask(xs.XS_WRITE, '/w/a/b\0');
  expect(dom0.events()).toEqual(['/w zero', '/w one', '/w/a one']);
});

it('@introduceDomain and @releaseDomain tell which domain to those who ask, and guests only if let', () => {
  watch(dom0, '@introduceDomain', 'all');
  watch(dom0, '@introduceDomain', 'which', '1\0');
  watch(dom0, '@releaseDomain/6', 'six');
  watch(guest, '@releaseDomain', 'g');
  dom0.ask(xs.XS_INTRODUCE, '5\x001\x001\0');
  dom0.ask(xs.XS_INTRODUCE, '6\x001\x001\0');
  store.domainDied(5);
  expect(guest.events()).toEqual([]);
  expect(dom0.ask(xs.XS_SET_PERMS, '@releaseDomain\0n0\0r1\0')).toBe('OK\0');
  store.domainDied(6);
  expect(guest.events()).toEqual(['@releaseDomain g']);
  expect(dom0.events()).toEqual([
    '@introduceDomain all',
    '@introduceDomain/5 which',
    '@introduceDomain all',
    '@introduceDomain/6 which',
    '@releaseDomain/6 six',
  ]);
});

it('a closed connection has no watches', () => {
  const other = new Peer(store, 0);
  watch(other, '/w');
  other.conn.close();
  dom0.ask(xs.XS_WRITE, '/w\0');
  expect(other.events()).toEqual([]);
  expect(dom0.ask(xs.XS_CONTROL, 'watches\0')).toBe('\0');
});

it('to a client that takes nothing an event is queued once, and a guest loses those over its limit', () => {
  watch(guest, 'data');
  guest.takes = false;
  guest.post(xs.XS_GET_DOMAIN_PATH, '1\0');
  guest.events();
  for (let i = 0; i < 9; i++) dom0.ask(xs.XS_WRITE, `/local/domain/1/data/x\0${i}`);
  for (let i = 0; i < 9; i++) dom0.ask(xs.XS_WRITE, `/local/domain/1/data/y${i}\0`);
  guest.takes = true;
  guest.conn.drained();
  const events = ['data/x t', 'data/y0 t', 'data/y1 t', 'data/y2 t', 'data/y3 t'];
  expect(guest.events()).toEqual(events);
  dom0.ask(xs.XS_WRITE, '/local/domain/1/data/x\0');
  expect(guest.events()).toEqual(['data/x t']);
});

it("one of domain 0's clients that takes nothing for too long is cut off", () => {
  const stuck = new Peer(store, 0);
  watch(stuck, '/w');
  stuck.takes = false;
  for (let i = 0; i < 66_000; i++) {
    dom0.ask(xs.XS_WRITE, `/w/${i}\0`);
    dom0.ask(xs.XS_RM, `/w/${i}\0`);
  }
  expect(stuck.closedFor).toBe('overrun');
  expect(dom0.ask(xs.XS_CONTROL, 'watches\0')).toBe('\0');
});
