/** Every message of the protocol, with its answers and refusals. */
import { beforeEach, describe, expect, it } from 'vitest';
import * as xs from '../../abi/io_xs_wire.ts';
import { type LogSink, makeLogger } from '../../base/log.ts';
import { Peer } from './fixtures/peer.ts';
import type { XenStoreOptions } from './index.ts';
import { XenStore } from './index.ts';
import { encode } from './wire.ts';

let store: XenStore;
let dom0: Peer;
let guest: Peer;
let lines: string[];
let calls: string[];

function start(options: Partial<XenStoreOptions> = {}): void {
  lines = [];
  calls = [];
  const sink: LogSink = (_level, _part, line) => lines.push(line);
  store = new XenStore({
    log: makeLogger('xenstore', sink),
    onIntroduce: (domid, gfn, port) => {
      calls.push(`introduce ${domid} ${gfn} ${port}`);
      return domid === 66 ? 'EIO' : undefined;
    },
    onRelease: (domid) => calls.push(`release ${domid}`),
    onResume: (domid) => calls.push(`resume ${domid}`),
    ...options,
  });
  dom0 = new Peer(store, 0);
  guest = new Peer(store, 1);
  dom0.ask(xs.XS_WRITE, '/local/domain/1\0');
  dom0.ask(xs.XS_SET_PERMS, '/local/domain/1\0n0\0r1\0');
  dom0.ask(xs.XS_WRITE, '/local/domain/1/data\0');
  dom0.ask(xs.XS_SET_PERMS, '/local/domain/1/data\0n1\0');
}

beforeEach(() => start());

describe('READ, WRITE, MKDIR, RM', () => {
  it('a value may hold any byte, also NUL, up to 2048 of them', () => {
    expect(dom0.ask(xs.XS_WRITE, '/a\0x\0\xff')).toBe('OK\0');
    expect(dom0.ask(xs.XS_READ, '/a\0')).toBe('x\0\xff');
    expect(dom0.ask(xs.XS_WRITE, `/a\0${'x'.repeat(2048)}`)).toBe('OK\0');
    expect(dom0.ask(xs.XS_WRITE, `/a\0${'x'.repeat(2049)}`)).toBe('!E2BIG');
  });

  it('WRITE and MKDIR make missing parents, empty; MKDIR keeps a value', () => {
    dom0.ask(xs.XS_WRITE, '/a/b/c\0v');
    expect(dom0.ask(xs.XS_READ, '/a/b\0')).toBe('');
    expect(dom0.ask(xs.XS_MKDIR, '/a/b/c\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_READ, '/a/b/c\0')).toBe('v');
    expect(dom0.ask(xs.XS_MKDIR, '/d/e\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_READ, '/d/e\0')).toBe('');
  });

  it('a missing node is ENOENT', () => {
    for (const type of [xs.XS_READ, xs.XS_DIRECTORY, xs.XS_GET_PERMS]) {
      expect(dom0.ask(type, '/no\0')).toBe('!ENOENT');
      expect(dom0.ask(type, '/no/such\0')).toBe('!ENOENT');
    }
    expect(dom0.ask(xs.XS_DIRECTORY_PART, '/no\x000\0')).toBe('!ENOENT');
    expect(dom0.ask(xs.XS_SET_PERMS, '/no\0n0\0')).toBe('!ENOENT');
  });

  it('RM takes everything below; a missing node is fine, a missing parent is ENOENT', () => {
    dom0.ask(xs.XS_WRITE, '/a/b/c\0v');
    expect(dom0.ask(xs.XS_RM, '/a\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_READ, '/a/b/c\0')).toBe('!ENOENT');
    expect(dom0.ask(xs.XS_RM, '/a\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_RM, '/a/b\0')).toBe('!ENOENT');
  });

  it('the root and the special nodes cannot be removed', () => {
    for (const path of ['/', '@introduceDomain', '/@releaseDomain']) {
      expect(dom0.ask(xs.XS_RM, `${path}\0`)).toBe('!EINVAL');
    }
    expect(dom0.ask(xs.XS_DIRECTORY, '/\0')).toBe('@introduceDomain\0@releaseDomain\0local\0tool\0');
  });

  it('a payload of another form is EINVAL', () => {
    const one = [xs.XS_READ, xs.XS_DIRECTORY, xs.XS_GET_PERMS, xs.XS_MKDIR, xs.XS_RM];
    for (const type of one) {
      for (const payload of ['', '/a', '\0', '/a\0b\0', '/a\0b'])
        expect(dom0.ask(type, payload)).toBe('!EINVAL');
    }
    for (const payload of ['', '/a', '\0v']) expect(dom0.ask(xs.XS_WRITE, payload)).toBe('!EINVAL');
  });
});

describe('paths', () => {
  const bad = ['a b', '/a//b', '/a/', '//', 'a/', '/a.b', '/a\xe9', '@a/', '', `/${'x'.repeat(3072)}`];
  it.each(bad)('%j is EINVAL', (path) => {
    expect(dom0.ask(xs.XS_WRITE, `${path}\0`)).toBe('!EINVAL');
  });

  it('a relative path is one below /local/domain/<domid>', () => {
    guest.ask(xs.XS_WRITE, 'data/x\x001');
    expect(dom0.ask(xs.XS_READ, '/local/domain/1/data/x\0')).toBe('1');
    dom0.ask(xs.XS_WRITE, 'name\0Domain-0');
    expect(dom0.ask(xs.XS_READ, '/local/domain/0/name\0')).toBe('Domain-0');
  });

  it('what is relative to a domain is limited to 2048 bytes, however written', () => {
    const long = `data/${'x'.repeat(2043)}`;
    expect(guest.ask(xs.XS_WRITE, `${long}\0`)).toBe('OK\0');
    expect(guest.ask(xs.XS_WRITE, `${long}x\0`)).toBe('!EINVAL');
    expect(guest.ask(xs.XS_WRITE, `/local/domain/1/${long}\0`)).toBe('OK\0');
    expect(guest.ask(xs.XS_WRITE, `/local/domain/1/${long}x\0`)).toBe('!EINVAL');
    expect(dom0.ask(xs.XS_WRITE, `/${'x'.repeat(3071)}\0`)).toBe('OK\0');
  });
});

describe('DIRECTORY and DIRECTORY_PART', () => {
  it('children come in byte order, each ended by NUL; none is an empty reply', () => {
    for (const name of ['b', 'a', 'B', '@', '-', '10', '9']) dom0.ask(xs.XS_MKDIR, `/d/${name}\0`);
    expect(dom0.ask(xs.XS_DIRECTORY, '/d\0')).toBe('-\x0010\x009\0@\0B\0a\0b\0');
    expect(dom0.ask(xs.XS_DIRECTORY, '/d/a\0')).toBe('');
  });

  it('a list that does not fit is E2BIG, and comes in parts that end at names', () => {
    const names = Array.from({ length: 300 }, (_, i) => `a-name-of-some-length-${i}`).sort();
    for (const name of names) dom0.ask(xs.XS_MKDIR, `/d/${name}\0`);
    expect(dom0.ask(xs.XS_DIRECTORY, '/d\0')).toBe('!E2BIG');
    let list = '';
    const generations = new Set<string>();
    while (!list.endsWith('\0\0')) {
      const reply = dom0.ask(xs.XS_DIRECTORY_PART, `/d\0${list.length}\0`);
      expect(reply.length).toBeLessThanOrEqual(4096);
      const end = reply.indexOf('\0');
      generations.add(reply.slice(0, end));
      list += reply.slice(end + 1);
    }
    expect(list.slice(0, -2).split('\0')).toEqual(names);
    expect(generations.size).toBe(1);
    dom0.ask(xs.XS_RM, `/d/${names[0]}\0`);
    expect(generations).not.toContain(dom0.ask(xs.XS_DIRECTORY_PART, '/d\x000\0').split('\0')[0]);
  });

  it('an offset behind the list, or an empty list, gives an empty name', () => {
    dom0.ask(xs.XS_MKDIR, '/d\0');
    expect(dom0.ask(xs.XS_DIRECTORY_PART, '/d\x000\0')).toMatch(/^\d+\0\0$/);
    expect(dom0.ask(xs.XS_DIRECTORY_PART, '/d\x0099\0')).toMatch(/^\d+\0\0$/);
    expect(dom0.ask(xs.XS_DIRECTORY_PART, '/d\0x\0')).toBe('!EINVAL');
  });
});

describe('permissions', () => {
  it('a guest reads and writes what it is let, and is told EACCES for the rest', () => {
    dom0.ask(xs.XS_WRITE, '/secret\0s');
    for (const type of [xs.XS_READ, xs.XS_DIRECTORY, xs.XS_GET_PERMS, xs.XS_RM, xs.XS_MKDIR]) {
      expect(guest.ask(type, '/secret\0')).toBe('!EACCES');
    }
    expect(guest.ask(xs.XS_WRITE, '/secret\0x')).toBe('!EACCES');
    expect(guest.ask(xs.XS_WRITE, '/secret/x\0x')).toBe('!EACCES');
    expect(guest.ask(xs.XS_SET_PERMS, '/secret\0b0\0')).toBe('!EACCES');
    dom0.ask(xs.XS_SET_PERMS, '/secret\0n0\0w1\0');
    expect(guest.ask(xs.XS_READ, '/secret\0')).toBe('!EACCES');
    expect(guest.ask(xs.XS_WRITE, '/secret\0x')).toBe('OK\0');
    dom0.ask(xs.XS_SET_PERMS, '/secret\0r0\0n1\0');
    expect(guest.ask(xs.XS_READ, '/secret\0')).toBe('!EACCES');
    dom0.ask(xs.XS_SET_PERMS, '/secret\0r0\0');
    expect(guest.ask(xs.XS_READ, '/secret\0')).toBe('x');
    expect(guest.ask(xs.XS_WRITE, '/secret\0y')).toBe('!EACCES');
  });

  it('a new node has the permissions of its parent, and its maker as owner if that is a guest', () => {
    dom0.ask(xs.XS_MKDIR, '/shared\0');
    dom0.ask(xs.XS_SET_PERMS, '/shared\0n0\0b1\0r2\0');
    guest.ask(xs.XS_WRITE, '/shared/a/b\0');
    expect(dom0.ask(xs.XS_GET_PERMS, '/shared/a/b\0')).toBe('n1\0b1\0r2\0');
    dom0.ask(xs.XS_WRITE, '/local/domain/1/data/x\0');
    expect(dom0.ask(xs.XS_GET_PERMS, '/local/domain/1/data/x\0')).toBe('n1\0');
  });

  it('an owner sets permissions but does not give the node away; only domain 0 does', () => {
    guest.ask(xs.XS_WRITE, 'data/x\0');
    expect(guest.ask(xs.XS_SET_PERMS, 'data/x\0n1\0r0\0')).toBe('OK\0');
    expect(guest.ask(xs.XS_SET_PERMS, 'data/x\0n2\0')).toBe('!EACCES');
    expect(dom0.ask(xs.XS_SET_PERMS, '/local/domain/1/data/x\0n2\0')).toBe('OK\0');
    expect(guest.ask(xs.XS_READ, 'data/x\0')).toBe('!EACCES');
  });

  it.each(['q1\0', 'r\0', 'r-1\0', 'rx\0', '\0', 'r1', 'r99999999999\0'])('%j is EINVAL', (perms) => {
    expect(dom0.ask(xs.XS_SET_PERMS, `/tool\0${perms}`)).toBe('!EINVAL');
  });

  it('SET_PERMS without permissions is EINVAL', () => {
    expect(dom0.ask(xs.XS_SET_PERMS, '/tool\0')).toBe('!EINVAL');
  });

  it('SET_TARGET lets a domain act for another, until either is gone', () => {
    const stub = new Peer(store, 7);
    expect(dom0.ask(xs.XS_SET_TARGET, '7\x001\0')).toBe('!ENOENT');
    dom0.ask(xs.XS_INTRODUCE, '7\x001\x001\0');
    expect(stub.ask(xs.XS_READ, '/local/domain/1\0')).toBe('!EACCES');
    expect(dom0.ask(xs.XS_SET_TARGET, '7\x001\0')).toBe('OK\0');
    expect(stub.ask(xs.XS_READ, '/local/domain/1\0')).toBe('');
    expect(stub.ask(xs.XS_WRITE, '/local/domain/1/data/x\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_GET_PERMS, '/local/domain/1/data/x\0')).toBe('n1\0');
    store.domainDied(1);
    expect(stub.ask(xs.XS_READ, '/local/domain/1\0')).toBe('!EACCES');
    expect(guest.conn.isClosed).toBe(true);
  });
});

describe('domains', () => {
  it('INTRODUCE asks for the ring, once for each port, and fires @introduceDomain once', () => {
    dom0.ask(xs.XS_WATCH, '@introduceDomain\0t\0');
    dom0.events();
    expect(dom0.ask(xs.XS_IS_DOMAIN_INTRODUCED, '5\0')).toBe('F\0');
    expect(dom0.ask(xs.XS_INTRODUCE, '5\x00781825\x003\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_INTRODUCE, '5\x00781825\x003\0')).toBe('OK\0');
    expect(dom0.ask(xs.XS_INTRODUCE, '5\x00781825\x004\0')).toBe('OK\0');
    expect(calls).toEqual(['introduce 5 781825 3', 'introduce 5 781825 4']);
    expect(dom0.events()).toEqual(['@introduceDomain t']);
    expect(dom0.ask(xs.XS_IS_DOMAIN_INTRODUCED, '5\0')).toBe('T\0');
    expect(dom0.ask(xs.XS_IS_DOMAIN_INTRODUCED, '0\0')).toBe('T\0');
    expect(store.isIntroduced(5)).toBe(true);
  });

  it('INTRODUCE refuses another frame, domain 0, reserved ids, and what the surroundings refuse', () => {
    dom0.ask(xs.XS_INTRODUCE, '5\x00100\x003\0');
    for (const p of [
      '5\x00101\x003\0',
      '0\x001\x001\0',
      '32752\x001\x001\0',
      '5\x00100\0',
      '5\0x\x001\0',
      '',
    ]) {
      expect(dom0.ask(xs.XS_INTRODUCE, p)).toBe('!EINVAL');
    }
    expect(dom0.ask(xs.XS_INTRODUCE, '66\x001\x001\0')).toBe('!EIO');
    expect(store.isIntroduced(66)).toBe(false);
  });

  it('RELEASE ends the connections, takes the nodes and rights, and fires @releaseDomain', () => {
    dom0.ask(xs.XS_WATCH, '@releaseDomain\0t\0');
    dom0.ask(xs.XS_INTRODUCE, '1\x001\x001\0');
    guest.ask(xs.XS_WRITE, 'data/x\0');
    dom0.events();
    expect(dom0.ask(xs.XS_RELEASE, '1\0')).toBe('OK\0');
    expect(guest.closedFor).toBe('released');
    expect(calls.at(-1)).toBe('release 1');
    expect(dom0.events()).toEqual(['@releaseDomain t']);
    expect(dom0.ask(xs.XS_DIRECTORY, '/local/domain/1\0')).toBe('');
    expect(dom0.ask(xs.XS_GET_PERMS, '/local/domain/1\0')).toBe('n0\0');
    expect(dom0.ask(xs.XS_RELEASE, '1\0')).toBe('!EINVAL');
    expect(dom0.ask(xs.XS_RELEASE, '0\0')).toBe('!EINVAL');
  });

  it("a dead domain's node that holds others' nodes goes to domain 0", () => {
    guest.ask(xs.XS_WRITE, 'data/own\0');
    dom0.ask(xs.XS_WRITE, '/local/domain/1/data/mine/x\0v');
    dom0.ask(xs.XS_SET_PERMS, '/local/domain/1/data/mine/x\0n0\0');
    store.domainDied(1);
    expect(dom0.ask(xs.XS_DIRECTORY, '/local/domain/1/data\0')).toBe('mine\0');
    expect(dom0.ask(xs.XS_GET_PERMS, '/local/domain/1/data\0')).toBe('n0\0');
    expect(dom0.ask(xs.XS_READ, '/local/domain/1/data/mine/x\0')).toBe('v');
    expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
  });

  it('a shutdown fires @releaseDomain once, and again after RESUME', () => {
    dom0.ask(xs.XS_WATCH, '@releaseDomain\0t\0');
    dom0.ask(xs.XS_INTRODUCE, '1\x001\x001\0');
    dom0.events();
    store.domainShutdown(1);
    store.domainShutdown(1);
    store.domainShutdown(9);
    expect(dom0.events()).toEqual(['@releaseDomain t']);
    expect(dom0.ask(xs.XS_RESUME, '1\0')).toBe('OK\0');
    expect(calls.at(-1)).toBe('resume 1');
    store.domainShutdown(1);
    expect(dom0.events()).toEqual(['@releaseDomain t']);
    expect(dom0.ask(xs.XS_RESUME, '9\0')).toBe('!EINVAL');
  });

  it('GET_DOMAIN_PATH answers anybody', () => {
    expect(guest.ask(xs.XS_GET_DOMAIN_PATH, '0012\0')).toBe('/local/domain/12\0');
    expect(guest.ask(xs.XS_GET_DOMAIN_PATH, 'x\0')).toBe('!EINVAL');
  });

  it('what is for domain 0 is refused to guests', () => {
    const types = [
      xs.XS_CONTROL,
      xs.XS_INTRODUCE,
      xs.XS_RELEASE,
      xs.XS_IS_DOMAIN_INTRODUCED,
      xs.XS_RESUME,
      xs.XS_SET_TARGET,
    ];
    for (const type of types) expect(guest.ask(type, '1\x001\x001\0')).toBe('!EACCES');
  });
});

it.each([xs.XS_WATCH_EVENT, xs.XS_ERROR, 20, 23, 0xffff, 0xffff_ffff])('type %d is ENOSYS', (type) => {
  expect(dom0.ask(type, '/\0')).toBe('!ENOSYS');
});

describe('quotas of a guest', () => {
  it('nodes: ENOSPC, and nothing of a path that does not fit as a whole is made', () => {
    start({ quota: { nodes: 4 } });
    expect(guest.ask(xs.XS_WRITE, 'data/a/b/c/d\0')).toBe('!ENOSPC');
    expect(guest.ask(xs.XS_DIRECTORY, 'data\0')).toBe('');
    expect(guest.ask(xs.XS_MKDIR, 'data/a/b/c\0')).toBe('OK\0');
    expect(guest.ask(xs.XS_WRITE, 'data/x\0')).toBe('!ENOSPC');
    expect(guest.ask(xs.XS_WRITE, 'data/a\0v')).toBe('OK\0');
    expect(dom0.ask(xs.XS_WRITE, '/local/domain/1/data/y\0')).toBe('OK\0');
    guest.ask(xs.XS_RM, 'data/a\0');
    expect(guest.ask(xs.XS_WRITE, 'data/x\0')).toBe('OK\0');
  });

  it('watches, transactions and permissions: ENOSPC', () => {
    start({ quota: { watches: 2, transactions: 2, permissions: 2 } });
    for (const [i, answer] of ['OK\0', 'OK\0', '!ENOSPC'].entries()) {
      expect(guest.ask(xs.XS_WATCH, `data\0${i}\0`)).toBe(answer);
    }
    guest.ask(xs.XS_UNWATCH, 'data\x000\0');
    expect(guest.ask(xs.XS_WATCH, 'data\x009\0')).toBe('OK\0');
    expect(guest.ask(xs.XS_TRANSACTION_START, '\0')).toBe('1\0');
    expect(guest.ask(xs.XS_TRANSACTION_START, '\0')).toBe('2\0');
    expect(guest.ask(xs.XS_TRANSACTION_START, '\0')).toBe('!ENOSPC');
    expect(guest.ask(xs.XS_SET_PERMS, 'data\0n1\0r2\0')).toBe('OK\0');
    expect(guest.ask(xs.XS_SET_PERMS, 'data\0n1\0r2\0r3\0')).toBe('!ENOSPC');
  });

  it('requests in a transaction: ENOSPC, but it can be ended', () => {
    start({ quota: { transactionRequests: 2 } });
    guest.ask(xs.XS_TRANSACTION_START, '\0');
    expect(guest.ask(xs.XS_WRITE, 'data/a\0', 1)).toBe('OK\0');
    expect(guest.ask(xs.XS_READ, 'data/a\0', 1)).toBe('');
    expect(guest.ask(xs.XS_READ, 'data/a\0', 1)).toBe('!ENOSPC');
    expect(guest.ask(xs.XS_TRANSACTION_END, 'F\0', 1)).toBe('OK\0');
  });

  it('memory, of nodes and open transactions together: ENOSPC', () => {
    start({ quota: { memory: 5000 } });
    const value = 'x'.repeat(2000);
    expect(guest.ask(xs.XS_WRITE, `data/a\0${value}`)).toBe('OK\0');
    guest.ask(xs.XS_TRANSACTION_START, '\0');
    expect(guest.ask(xs.XS_WRITE, `data/a\0${value}`, 1)).toBe('OK\0');
    expect(guest.ask(xs.XS_WRITE, `data/a\0${value}`, 1)).toBe('!ENOSPC');
    expect(guest.ask(xs.XS_READ, 'data/a\0')).toBe(value);
    expect(dom0.ask(xs.XS_WRITE, `/local/domain/1/data/b\0${value}`)).toBe('OK\0');
  });
});

describe('CONTROL', () => {
  const control = (...args: string[]): string => dom0.ask(xs.XS_CONTROL, args.map((a) => `${a}\0`).join(''));

  it('answers as recorded: OK, also for what it does not know', () => {
    for (const command of ['check', 'nosuch', 'toString', '']) expect(control(command)).toBe('OK\0');
    expect(control('log', 'on')).toBe('OK\0');
  });

  it('log on writes requests and answers to the log, log off stops that', () => {
    control('log', 'on');
    dom0.ask(xs.XS_READ, '/no\0');
    expect(lines.at(-1)).toBe('peer 0 [0] READ /no -> ENOENT');
    control('log', 'off');
    const count = lines.length;
    dom0.ask(xs.XS_READ, '/no\0');
    expect(lines.length).toBe(count);
  });

  it('print and memreport go to the log', () => {
    control('print', 'hello');
    expect(lines.at(-1)).toBe('hello');
    control('memreport');
    expect(lines.at(-1)).toBe('dom1: 1 nodes, 12 bytes');
  });

  it('quota shows and sets limits and shows what a domain uses', () => {
    expect(control('quota')).toMatch(/^nodes +1000$/m);
    expect(control('quota', '1')).toBe('dom1 quota: 1/1000\0');
    expect(control('quota', '9')).toBe('dom9 quota: not set\0');
    expect(control('quota', 'set', 'nodes', '1')).toBe('OK\0');
    expect(guest.ask(xs.XS_WRITE, 'data/x\0')).toBe('!ENOSPC');
    expect(control('quota', 'set', 'nosuch', '1')).toBe('!EINVAL');
    expect(control('quota', 'set', 'nodes', 'x')).toBe('!EINVAL');
  });

  it('help lists the commands, watches the watches, and files are refused', () => {
    expect(control('help')).toMatch(/^check$/m);
    guest.ask(xs.XS_WATCH, 'data\0tok\0');
    expect(control('watches')).toBe('watch peer 1: data tok\n\0');
    expect(control('logfile', '/tmp/x')).toBe('!ENOSYS');
    expect(control('live-update', '-s')).toBe('!ENOSYS');
  });
});

describe('the byte stream', () => {
  const request = encode({ type: xs.XS_READ, reqId: 77, txId: 0, payload: '/tool/xenstored\0' });

  it('messages may come cut anywhere, or many at once', () => {
    for (const byte of request) dom0.conn.receive(Uint8Array.of(byte));
    dom0.conn.receive(Uint8Array.from([...request, ...request, ...request.slice(0, 20)]));
    dom0.conn.receive(request.slice(20));
    expect(dom0.messages.map((m) => [m.reqId, m.payload])).toEqual(Array(4).fill([77, 'domzero']));
  });

  it('a payload of 4096 bytes is served, of 4097 closes the connection', () => {
    expect(dom0.ask(xs.XS_WRITE, `/a\0${'x'.repeat(4093)}`)).toBe('!E2BIG');
    dom0.post(xs.XS_WATCH, '/a\0t\0');
    dom0.raw([2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0]);
    expect(dom0.closedFor).toBe('protocol');
    expect(lines.at(-1)).toContain('payload of 4097 bytes');
    const other = new Peer(store, 0);
    other.ask(xs.XS_WRITE, '/a\0');
    dom0.conn.receive(request);
    expect(dom0.messages.filter((m) => m.reqId === 77)).toEqual([]);
  });

  it('a client that takes no answers is not served further, until it does', () => {
    start({ quota: { outstanding: 3 } });
    guest.takes = false;
    for (let i = 0; i < 10; i++) guest.post(xs.XS_GET_DOMAIN_PATH, `${i}\0`);
    // The first went out, three wait, and the others are not looked at.
    expect(guest.messages.length).toBe(1);
    expect(guest.conn.readable).toBe(false);
    guest.takes = true;
    guest.conn.drained();
    expect(guest.messages.length).toBe(10);
    expect(guest.messages.map((m) => m.reqId)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(guest.conn.readable).toBe(true);
    expect(guest.resumed).toBeGreaterThan(0);
  });

  it('a reset forgets half a message, what waits, watches and transactions', () => {
    guest.ask(xs.XS_WATCH, 'data\0t\0');
    guest.ask(xs.XS_TRANSACTION_START, '\0');
    guest.conn.receive(request.slice(0, 20));
    guest.conn.reset();
    guest.events();
    guest.ask(xs.XS_WRITE, 'data/x\0');
    expect(guest.events()).toEqual([]);
    expect(guest.ask(xs.XS_READ, 'data/x\0', 1)).toBe('!ENOENT');
  });

  it('requests made from inside the daemon wait for the present one', () => {
    let inner: Peer | undefined;
    let answered = -1;
    start({
      onIntroduce: () => {
        inner!.post(xs.XS_IS_DOMAIN_INTRODUCED, '3\0');
        answered = inner!.messages.length;
        return undefined;
      },
    });
    inner = new Peer(store, 0);
    expect(dom0.ask(xs.XS_INTRODUCE, '3\x001\x001\0')).toBe('OK\0');
    expect(answered).toBe(0);
    expect(inner.messages.map((m) => m.payload)).toEqual(['T\0']);
  });

  it('a fault in the surroundings is EIO for the request, and the daemon lives on', () => {
    start({
      onIntroduce: () => {
        throw new TypeError('no such frame');
      },
    });
    expect(dom0.ask(xs.XS_INTRODUCE, '3\x001\x001\0')).toBe('!EIO');
    expect(lines.at(-1)).toContain('no such frame');
    expect(dom0.ask(xs.XS_READ, '/tool/xenstored\0')).toBe('domzero');
  });
});
