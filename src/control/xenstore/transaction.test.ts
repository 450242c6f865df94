/** Transactions: isolation, conflicts, and histories compared with a model. */
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import * as xs from '../../abi/io_xs_wire.ts';
import { makeLogger, silent } from '../../base/log.ts';
import { Peer } from './fixtures/peer.ts';
import { XenStore } from './index.ts';

const newPeer = (): Peer => new Peer(new XenStore({ log: makeLogger('xenstore', silent) }), 0);

let dom0: Peer;

beforeEach(() => {
  dom0 = newPeer();
  for (const path of ['/a/x', '/a/y', '/b']) dom0.ask(xs.XS_WRITE, `${path}\x000`);
});

const begin = (): number => Number(dom0.ask(xs.XS_TRANSACTION_START, '\0').slice(0, -1));
const end = (tx: number): string => dom0.ask(xs.XS_TRANSACTION_END, 'T\0', tx);

it('a transaction sees its own changes and nobody else does, until it ends', () => {
  const tx = begin();
  dom0.ask(xs.XS_WRITE, '/a/x\x001', tx);
  dom0.ask(xs.XS_RM, '/b\0', tx);
  expect(dom0.ask(xs.XS_READ, '/a/x\0', tx)).toBe('1');
  expect(dom0.ask(xs.XS_READ, '/b\0', tx)).toBe('!ENOENT');
  expect(dom0.ask(xs.XS_READ, '/a/x\0')).toBe('0');
  expect(dom0.ask(xs.XS_READ, '/b\0')).toBe('0');
  expect(end(tx)).toBe('OK\0');
  expect(dom0.ask(xs.XS_READ, '/a/x\0')).toBe('1');
  expect(dom0.ask(xs.XS_READ, '/b\0')).toBe('!ENOENT');
});

it('a transaction does not see what changes outside', () => {
  const tx = begin();
  dom0.ask(xs.XS_WRITE, '/a/x\x001');
  dom0.ask(xs.XS_WRITE, '/new\x001');
  expect(dom0.ask(xs.XS_READ, '/a/x\0', tx)).toBe('0');
  expect(dom0.ask(xs.XS_READ, '/new\0', tx)).toBe('!ENOENT');
});

it('one given up leaves nothing, and its id is gone', () => {
  const tx = begin();
  dom0.ask(xs.XS_WRITE, '/a/x\x001', tx);
  expect(dom0.ask(xs.XS_TRANSACTION_END, 'F\0', tx)).toBe('OK\0');
  expect(dom0.ask(xs.XS_READ, '/a/x\0')).toBe('0');
  expect(dom0.ask(xs.XS_READ, '/a/x\0', tx)).toBe('!ENOENT');
  expect(end(tx)).toBe('!ENOENT');
});

it('an id that is not open is ENOENT, one inside another is EBUSY, an end neither T nor F is EINVAL', () => {
  expect(dom0.ask(xs.XS_READ, '/b\0', 99)).toBe('!ENOENT');
  expect(end(0)).toBe('!ENOENT');
  const tx = begin();
  expect(dom0.ask(xs.XS_TRANSACTION_START, '\0', tx)).toBe('!EBUSY');
  expect(dom0.ask(xs.XS_TRANSACTION_END, 'X\0', tx)).toBe('!EINVAL');
  expect(end(tx)).toBe('OK\0');
});

it('an id belongs to its connection', () => {
  const tx = begin();
  const store = new XenStore({ log: makeLogger('xenstore', silent) });
  expect(new Peer(store, 0).ask(xs.XS_READ, '/tool\0', tx)).toBe('!ENOENT');
});

it('watches fire after the commit, in the order of the changes; none for one given up', () => {
  dom0.ask(xs.XS_WATCH, '/\0t\0');
  dom0.events();
  const given = begin();
  dom0.ask(xs.XS_WRITE, '/a/x\x001', given);
  dom0.ask(xs.XS_TRANSACTION_END, 'F\0', given);
  const tx = begin();
  dom0.ask(xs.XS_WRITE, '/b\x001', tx);
  dom0.ask(xs.XS_WRITE, '/c/d\x001', tx);
  dom0.ask(xs.XS_RM, '/a\0', tx);
  expect(dom0.events()).toEqual([]);
  end(tx);
  expect(dom0.events()).toEqual(['/b t', '/c/d t', '/a t']);
});

it('WATCH ignores the transaction it is sent in', () => {
  const tx = begin();
  expect(dom0.ask(xs.XS_WATCH, '/b\0t\0', tx)).toBe('OK\0');
  expect(dom0.ask(xs.XS_WATCH, '/b\0u\0', 99)).toBe('OK\0');
  expect(dom0.ask(xs.XS_UNWATCH, '/b\0u\0', 99)).toBe('OK\0');
});

describe('a commit', () => {
  type Act = [type: number, payload: string];
  const write = (path: string, value = '1'): Act => [xs.XS_WRITE, `${path}\0${value}`];
  const read = (path: string): Act => [xs.XS_READ, `${path}\0`];
  const list = (path: string): Act => [xs.XS_DIRECTORY, `${path}\0`];
  const rm = (path: string): Act => [xs.XS_RM, `${path}\0`];
  const chmod = (path: string): Act => [xs.XS_SET_PERMS, `${path}\0n0\0r1\0`];
  const other = write('/other');

  const conflicts: [string, Act[], Act][] = [
    ['a node it read was written', [read('/a/x'), other], write('/a/x')],
    ['a node it wrote was written', [write('/a/x', '2')], write('/a/x')],
    ['a node it read was removed', [read('/a/x'), other], rm('/a')],
    ['a node it found missing was made', [read('/n'), other], write('/n')],
    ['a node it made was made', [write('/n/m', '2')], write('/n')],
    ['the place of a node it made was removed', [write('/a/n')], rm('/a')],
    ['the permissions around a node it made were changed', [write('/a/n')], chmod('/a')],
    ['the permissions of a node it read were changed', [read('/b'), other], chmod('/b')],
    ['a directory it listed has a new child', [list('/a'), other], write('/a/n')],
    ['a directory it listed has lost a child', [list('/a'), other], rm('/a/x')],
    ['something was made below what it removed', [rm('/a')], write('/a/x/n')],
    ['something was written below what it removed', [rm('/a')], write('/a/y')],
  ];
  it.each(conflicts)('is EAGAIN when %s', (_, inside, outside) => {
    const tx = begin();
    for (const act of inside) dom0.ask(...act, tx);
    expect(dom0.ask(...outside)).toBe('OK\0');
    expect(end(tx)).toBe('!EAGAIN');
    expect(dom0.ask(xs.XS_READ, '/other\0')).toBe('!ENOENT');
    expect(end(tx)).toBe('!ENOENT');
  });

  const fine: [string, Act[], Act][] = [
    ['another node was written', [read('/a/x'), write('/a/x')], write('/a/y')],
    ['a sibling of a node it made was made', [write('/a/n')], write('/a/m')],
    ['something below a node it read was written', [read('/a'), other], write('/a/x')],
    ['something below a directory it listed was written', [list('/a'), other], write('/a/x')],
    ['it wrote nothing', [read('/b'), list('/a')], write('/b')],
  ];
  it.each(fine)('succeeds when %s', (_, inside, outside) => {
    const tx = begin();
    for (const act of inside) dom0.ask(...act, tx);
    expect(dom0.ask(...outside)).toBe('OK\0');
    expect(end(tx)).toBe('OK\0');
  });

  it('keeps what others changed elsewhere meanwhile', () => {
    const tx = begin();
    dom0.ask(...write('/a/n'), tx);
    dom0.ask(...write('/a/m'));
    end(tx);
    expect(dom0.ask(...list('/a'))).toBe('m\0n\0x\0y\0');
  });

  it('is ENOSPC, and changes nothing, when the quota has been used up meanwhile', () => {
    const store = new XenStore({ log: makeLogger('xenstore', silent), quota: { nodes: 3 } });
    dom0 = new Peer(store, 0);
    dom0.ask(...write('/g'));
    dom0.ask(xs.XS_SET_PERMS, '/g\0n1\0');
    const guest = new Peer(store, 1);
    guest.ask(xs.XS_TRANSACTION_START, '\0');
    guest.ask(...write('/g/a'), 1);
    guest.ask(...write('/g/b'), 1);
    guest.ask(...write('/g/c'));
    expect(guest.ask(xs.XS_TRANSACTION_END, 'T\0', 1)).toBe('!ENOSPC');
    expect(dom0.ask(...list('/g'))).toBe('c\0');
    expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
  });
});

/** The tree as a plain map, with the answers that domain 0 gets. */
class Model {
  nodes: Map<string, string>;
  constructor(nodes: Iterable<[string, string]> = [['', '']]) {
    this.nodes = new Map(nodes);
  }
  copy(): Model {
    return new Model(this.nodes);
  }
  below(path: string): string[] {
    return [...this.nodes.keys()].filter((p) => p.startsWith(`${path}/`));
  }
  run(type: number, payload: string): string {
    const [path, value = ''] = payload.split('\0') as [string, string?];
    const known = this.nodes.has(path);
    if (type === xs.XS_READ) return known ? this.nodes.get(path)! : '!ENOENT';
    if (type === xs.XS_DIRECTORY) {
      const names = this.below(path).map((p) => p.slice(path.length + 1));
      const direct = names.filter((n) => !n.includes('/')).sort();
      return known ? direct.map((n) => `${n}\0`).join('') : '!ENOENT';
    }
    const parent = path.slice(0, path.lastIndexOf('/'));
    if (type === xs.XS_RM) {
      if (!this.nodes.has(parent)) return '!ENOENT';
      for (const p of [path, ...this.below(path)]) this.nodes.delete(p);
      return 'OK\0';
    }
    for (let p = parent; !this.nodes.has(p); p = p.slice(0, p.lastIndexOf('/'))) this.nodes.set(p, '');
    if (type === xs.XS_WRITE || !known) this.nodes.set(path, value);
    return 'OK\0';
  }
}

/** Whether the request, which succeeds, changes anything. */
function changesIn(model: Model, type: number, path: string): boolean {
  if (type === xs.XS_WRITE) return true;
  if (type === xs.XS_MKDIR) return !model.nodes.has(path);
  return type === xs.XS_RM && model.nodes.has(path);
}

describe('histories', () => {
  const path = fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
    .map((names) => `/${names.join('/')}`);
  const type = fc.constantFrom(xs.XS_READ, xs.XS_DIRECTORY, xs.XS_WRITE, xs.XS_WRITE, xs.XS_MKDIR, xs.XS_RM);
  const op = fc.record({
    kind: fc.constant('op' as const),
    tx: fc.integer({ min: 0, max: 3 }),
    type,
    path,
    value: fc.constantFrom('', '1', '2'),
  });
  const finish = fc.record({ kind: fc.constant('end' as const), tx: fc.integer({ min: 1, max: 3 }) });
  const history = fc.array(fc.oneof({ weight: 5, arbitrary: op }, { weight: 1, arbitrary: finish }), {
    maxLength: 60,
  });

  interface Open {
    id: number;
    model: Model;
    log: [type: number, payload: string, answer: string][];
    startedAt: number;
    writes: boolean;
  }

  it('every transaction saw one moment, and took effect as a whole at its end or not at all', () => {
    fc.assert(
      fc.property(history, (steps) => {
        dom0 = newPeer();
        let model = new Model();
        let changes = 0;
        const open = new Map<number, Open>();

        const finishOne = (tx: Open): void => {
          const answer = end(tx.id);
          if (answer === '!EAGAIN') {
            expect(changes).toBeGreaterThan(tx.startedAt);
            return;
          }
          expect(answer).toBe('OK\0');
          // One that changed nothing took effect when it began.
          if (!tx.writes) return;
          const next = model.copy();
          for (const [t, payload, a] of tx.log) expect(next.run(t, payload)).toBe(a);
          model = next;
          changes++;
        };

        for (const step of steps) {
          if (step.kind === 'end') {
            const tx = open.get(step.tx);
            open.delete(step.tx);
            if (tx) finishOne(tx);
            continue;
          }
          const payload = `${step.path}\0${step.type === xs.XS_WRITE ? step.value : ''}`;
          if (step.tx !== 0 && !open.has(step.tx)) {
            open.set(step.tx, {
              id: begin(),
              model: model.copy(),
              log: [],
              startedAt: changes,
              writes: false,
            });
          }
          const tx = open.get(step.tx);
          const answer = dom0.ask(step.type, payload, tx?.id);
          const on = tx?.model ?? model;
          const writes = changesIn(on, step.type, step.path);
          expect(answer).toBe(on.run(step.type, payload));
          if (tx) {
            tx.log.push([step.type, payload, answer]);
            tx.writes ||= writes;
          } else if (writes) changes++;
        }

        for (const [p, value] of model.nodes) {
          if (p !== '') expect(dom0.ask(xs.XS_READ, `${p}\0`)).toBe(value);
          if (p !== '')
            expect(dom0.ask(xs.XS_DIRECTORY, `${p}\0`)).toBe(model.run(xs.XS_DIRECTORY, `${p}\0`));
        }
        expect(dom0.ask(xs.XS_CONTROL, 'check\0')).toBe('OK\0');
      }),
      { numRuns: 500 },
    );
  });
});
