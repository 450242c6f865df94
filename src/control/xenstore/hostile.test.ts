/** Hostile clients: whatever bytes come, nothing is thrown, every message is answered once, the accounts stay right. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import * as xs from '../../abi/io_xs_wire.ts';
import { makeLogger, silent } from '../../base/log.ts';
import { Peer } from './fixtures/peer.ts';
import { XenStore } from './index.ts';

const newStore = (): XenStore =>
  new XenStore({ log: makeLogger('xenstore', silent), quota: { nodes: 20, watches: 5, outstanding: 5 } });

function withGuest(store: XenStore): { dom0: Peer; guest: Peer } {
  const dom0 = new Peer(store, 0);
  dom0.ask(xs.XS_INTRODUCE, '1\x001\x001\0');
  dom0.ask(xs.XS_WRITE, '/local/domain/1\0');
  dom0.ask(xs.XS_SET_PERMS, '/local/domain/1\0n1\0');
  return { dom0, guest: new Peer(store, 1) };
}

it('random bytes in random pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }), (chunks) => {
      const store = newStore();
      const { dom0, guest } = withGuest(store);
      for (const chunk of chunks) guest.conn.receive(chunk);
      expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
    }),
    { numRuns: 300 },
  );
});

const word = fc.constantFrom(
  '',
  'a',
  'data',
  '/',
  '@releaseDomain',
  '/local/domain/1/a',
  'n1',
  'r2',
  '0',
  '1',
  'T',
  'F',
);
const text = fc.oneof(word, word, fc.string({ maxLength: 8 }));
const payload = fc
  .tuple(fc.array(text, { maxLength: 4 }), fc.boolean())
  .map(([parts, ended]) => parts.join('\0') + (ended ? '\0' : ''))
  .map((s) => s.replace(/[^\0-\xff]/g, '?'));
const message = fc.record({
  from: fc.constantFrom(0, 1, 1, 1),
  type: fc.integer({ min: 0, max: 24 }),
  tx: fc.integer({ min: 0, max: 3 }),
  payload,
});

it('random messages from a guest and from domain 0', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 80 }), (messages) => {
      const store = newStore();
      const { dom0, guest } = withGuest(store);
      for (const m of messages) {
        const peer = m.from === 0 ? dom0 : guest;
        // Domain 0 may release the guest, or set limits to nothing.
        if (guest.conn.isClosed || (m.from === 0 && m.type === xs.XS_CONTROL)) continue;
        peer.ask(m.type, m.payload, m.tx);
        expect(peer.messages.every((e) => e.type === xs.XS_WATCH_EVENT)).toBe(true);
      }
      expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
      store.domainDied(1);
      expect(dom0.ask(xs.XS_CONTROL, 'quota\x001\0')).toBe('dom1 quota: not set\0');
      expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
    }),
    { numRuns: 500 },
  );
});

it('a deep path is served and removed like any other', () => {
  const { dom0, guest } = withGuest(new XenStore({ log: makeLogger('xenstore', silent) }));
  const deep = Array(900).fill('a').join('/');
  expect(guest.ask(xs.XS_WRITE, `${deep}\0v`)).toBe('OK\0');
  expect(guest.ask(xs.XS_READ, `${deep}\0`)).toBe('v');
  expect(guest.ask(xs.XS_RM, 'a\0')).toBe('OK\0');
  expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
});
