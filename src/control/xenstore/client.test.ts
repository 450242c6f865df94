/** The client for domain 0's services. */
import { beforeEach, expect, it, vi } from 'vitest';
import { makeLogger, silent } from '../../base/log.ts';
import { connectLocal, XenStore, type XsClient, XsError } from './index.ts';

let store: XenStore;
let xs: XsClient;
let other: XsClient;

beforeEach(() => {
  store = new XenStore({ log: makeLogger('xenstore', silent) });
  xs = connectLocal(store, 'a');
  other = connectLocal(store, 'b');
});

it('writes, reads, lists, removes and sets permissions', async () => {
  await xs.write('/a/b', 'v\0\xff');
  expect(await xs.read('/a/b')).toBe('v\0\xff');
  await xs.mkdir('/a/c');
  expect(await xs.ls('/a')).toEqual(['b', 'c']);
  expect(await xs.ls('/a/c')).toEqual([]);
  expect(await xs.tryLs('/no')).toEqual([]);
  await xs.setPerms('/a/c', [
    { domid: 1, right: 'n' },
    { domid: 2, right: 'r' },
  ]);
  expect(await xs.getPerms('/a/c')).toEqual([
    { domid: 1, right: 'n' },
    { domid: 2, right: 'r' },
  ]);
  await xs.rm('/a/b');
  expect(await xs.exists('/a/b')).toBe(false);
  expect(await xs.exists('/a/c')).toBe(true);
  expect(await xs.tryRead('/a/b')).toBeUndefined();
});

it('lists what needs many messages', async () => {
  const names = Array.from({ length: 1000 }, (_, i) => `node-${i}`).sort();
  for (const name of names) await xs.write(`/big/${name}`, '');
  expect(await xs.ls('/big')).toEqual(names);
});

it('a refusal rejects with the word of the protocol', async () => {
  await expect(xs.read('/no')).rejects.toThrow(new XsError('ENOENT'));
  await expect(xs.read('/no')).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(xs.write('/a', 'x'.repeat(5000))).rejects.toMatchObject({ code: 'E2BIG' });
  await expect(connectLocal(store, 'g', 1).tryRead('/tool')).rejects.toMatchObject({ code: 'EACCES' });
});

it('a transaction is done again after a conflict, and given up when its function fails', async () => {
  await xs.write('/n', '1');
  let tries = 0;
  const result = await xs.transaction(async (t) => {
    const n = Number(await t.read('/n'));
    if (++tries === 1) await other.write('/n', '10');
    await t.write('/n', String(n + 1));
    return n;
  });
  expect([result, tries, await xs.read('/n')]).toEqual([10, 2, '11']);
  const failing = xs.transaction(async (t) => {
    await t.write('/n', '0');
    throw new Error('changed my mind');
  });
  await expect(failing).rejects.toThrow('changed my mind');
  expect(await xs.read('/n')).toBe('11');
});

it('a watch is told of changes until it is closed, and never from inside a request', async () => {
  const seen: string[] = [];
  const watch = await xs.watch('/w', (path) => seen.push(path));
  const writing = other.write('/w/x', '1');
  expect(seen).not.toContain('/w/x');
  await writing;
  await vi.waitFor(() => expect(seen).toEqual(['/w', '/w/x']));
  await watch.close();
  await watch.close();
  await other.write('/w/x', '2');
  expect(seen.length).toBe(2);
});

it('until waits for what it is asked to see', async () => {
  const state = xs.until('/dev/state', async (t) =>
    (await t.tryRead('/dev/state')) === '4' ? 'up' : undefined,
  );
  await other.write('/dev/state', '2');
  await other.write('/dev/state', '4');
  expect(await state).toBe('up');
  expect(await xs.control('watches')).toBe('');
});

it('introduces, asks for, resumes and releases domains', async () => {
  await xs.introduce(5, 100, 1);
  expect(await xs.isIntroduced(5)).toBe(true);
  expect(await xs.getDomainPath(5)).toBe('/local/domain/5');
  await xs.resume(5);
  await xs.setTarget(5, 6);
  await xs.release(5);
  expect(await xs.isIntroduced(5)).toBe(false);
});

it('after the end everything fails, also what was waiting', async () => {
  const guest = connectLocal(store, 'guest', 5);
  await xs.introduce(5, 100, 1);
  await xs.release(5);
  await expect(guest.read('data')).rejects.toThrow('closed');
  xs.close();
  await expect(xs.read('/')).rejects.toThrow('closed');
});
