import { beforeEach, describe, expect, it } from 'vitest';
import { xenstore_domain_interface as ring } from '../../abi/io_xs_wire.ts';
import { makeLogger } from '../../base/log.ts';
import { Mem } from '../../base/mem.ts';
import { fromLatin1, latin1 } from '../../base/text.ts';
import { Mapping } from '../../kernel/index.ts';
import { XenStore } from '../xenstore/index.ts';
import { type RingClient, RingTransport } from './index.ts';

let mem: Mem;
let lines: string[];
let tasks: (() => void)[];
let ports: number[];
let closed: (number | string)[];
let onEvent: () => void;
let client: TestClient;
let clients: number;
let ringTo: RingTransport;
let open: (connect: (t: RingTransport) => RingClient) => RingTransport;

class TestClient implements RingClient {
  readable = true;
  got = '';
  drains = 0;
  resets = 0;
  closes = 0;
  receive(bytes: Uint8Array): void {
    this.got += latin1(bytes);
  }
  drained(): void {
    this.drains++;
  }
  reset(): void {
    this.resets++;
  }
  close(): void {
    this.closes++;
  }
}

beforeEach(() => {
  mem = Mem.alloc(4096);
  [lines, tasks, ports, closed] = [[], [], [], []];
  clients = 0;
  const kernel = {
    memory: { mapForeign: () => new Mapping(mem, 0, [0], () => closed.push('page')) },
    events: {
      bindInterdomain: (_d: number, port: number, handler: (port: number) => void) => {
        onEvent = () => handler(port);
        ports.push(port);
        return port;
      },
      notify: () => {},
      close: (port: number) => void closed.push(port),
    },
  };
  const timers = { after: (_ms: number, run: () => void) => ({ cancel: () => {}, n: tasks.push(run) }) };
  const log = makeLogger('xenstore', (_l, _p, line) => lines.push(line));
  open = (connect) => new RingTransport(1, 77, 5, kernel, timers, log, connect);
  ringTo = open(() => {
    clients++;
    client = new TestClient();
    return client;
  });
});

function guestWrites(text: string): string {
  const prod = ring.req_prod.get(mem, 0);
  const room = 1024 - ((prod - ring.req_cons.get(mem, 0)) >>> 0);
  const bytes = fromLatin1(text.slice(0, room));
  bytes.forEach((b, i) => {
    mem.setU8(ring.req.addr(0) + ((prod + i) & 1023), b);
  });
  ring.req_prod.set(mem, 0, prod + bytes.length);
  return text.slice(room);
}

function guestReads(max = 1024): string {
  let text = '';
  let cons = ring.rsp_cons.get(mem, 0);
  for (; cons !== ring.rsp_prod.get(mem, 0) && text.length < max; cons++) {
    text += String.fromCharCode(mem.u8(ring.rsp.addr(0) + (cons & 1023)));
  }
  ring.rsp_cons.set(mem, 0, cons);
  return text;
}

const pattern = (n: number): string =>
  Array.from({ length: n }, (_, i) => String.fromCharCode(i % 251)).join('');

describe('a XenStore ring', () => {
  it('says what the server can do', () => {
    expect(ring.server_features.get(mem, 0)).toBe(3);
  });

  it('carries a long message in pieces, both ways', () => {
    const request = pattern(3000);
    for (let rest = request; rest !== ''; onEvent()) rest = guestWrites(rest);
    expect(client.got).toBe(request);
    const reply = pattern(2500);
    expect(ringTo.send(fromLatin1(reply))).toBe(false);
    let got = '';
    while (got.length < reply.length) {
      if (got.length === 0) expect(client.drains).toBe(0);
      got += guestReads(700);
      onEvent();
    }
    expect([got, client.drains]).toEqual([reply, 1]);
    expect(ringTo.send(fromLatin1('x'))).toBe(true);
  });

  it('leaves input in the ring while the client wants none', () => {
    client.readable = false;
    guestWrites('abc');
    onEvent();
    expect([client.got, ring.req_cons.get(mem, 0)]).toEqual(['', 0]);
    client.readable = true;
    ringTo.resumed();
    expect(client.got).toBe('abc');
  });

  it('gives the event loop its turn when a guest writes without end', () => {
    client.receive = (bytes) => {
      client.got += latin1(bytes);
      guestWrites('z'.repeat(1024));
    };
    guestWrites('z'.repeat(1024));
    onEvent();
    expect([client.got.length, tasks.length]).toEqual([16384, 1]);
  });

  it('with impossible indices is served no more, and says why', () => {
    ring.req_prod.set(mem, 0, 4000);
    onEvent();
    expect([ring.error.get(mem, 0), client.closes, lines.length]).toEqual([2, 1, 1]);
    ring.req_prod.set(mem, 0, 3);
    onEvent();
    expect([client.got, ringTo.send(fromLatin1('x')), guestReads()]).toEqual(['', true, '']);
  });

  it('tells the guest that it broke the protocol', () => {
    ringTo.closed('protocol');
    expect(ring.error.get(mem, 0)).toBe(3);
  });

  it('starts afresh when the guest asks', () => {
    guestWrites('half a mess');
    onEvent();
    ringTo.send(fromLatin1(pattern(2000)));
    ring.connection.set(mem, 0, 1);
    onEvent();
    expect([client.resets, ring.connection.get(mem, 0), ring.rsp_prod.get(mem, 0)]).toEqual([1, 0, 0]);
    guestWrites('new');
    onEvent();
    expect(client.got).toBe('half a messnew');
  });

  it('gets a new client for a fresh start after an error', () => {
    ringTo.closed('protocol');
    ring.connection.set(mem, 0, 1);
    onEvent();
    expect([clients, ring.error.get(mem, 0)]).toEqual([2, 0]);
    guestWrites('again');
    onEvent();
    expect(client.got).toBe('again');
  });

  it('gives up its port and page when it ends, and the old port when it gets another', () => {
    ringTo.rebind(9);
    expect([ports, closed]).toEqual([[5, 9], [5]]);
    ringTo.closed('released');
    expect([closed, client.closes]).toEqual([[5, 9, 'page'], 1]);
    onEvent();
  });

  it('brings requests to the real daemon, and its answers back', () => {
    const store = new XenStore({ log: makeLogger('xenstore', () => {}) });
    open((transport) => store.connect(transport));
    const message = (type: number, payload: string): string => {
      const head = Mem.alloc(16);
      [type, 7, 0, payload.length].forEach((v, i) => {
        head.setU32(i * 4, v);
      });
      return latin1(head.bytes) + payload;
    };
    guestWrites(message(10, '1\0'));
    onEvent();
    expect(guestReads()).toBe(message(10, '/local/domain/1\0'));
    guestWrites(message(2, '/nowhere\0').slice(0, 20));
    onEvent();
    expect(guestReads()).toBe('');
    guestWrites(message(2, '/nowhere\0').slice(20));
    onEvent();
    expect(guestReads()).toBe(message(16, 'ENOENT\0'));
  });
});
