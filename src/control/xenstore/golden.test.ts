/** Recorded sessions of Debian's tools on real Xen, replayed inside the process. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { makeLogger, silent } from '../../base/log.ts';
import { guestAsCreated, type ListedNode, parseListing, parseSession } from './fixtures/session.ts';
import { type Printed, runTool } from './fixtures/tools.ts';
import { connectLocal, parsePerms, XenStore, type XsClient } from './index.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`fixtures/${name}.txt`, import.meta.url), 'latin1');

const newStore = (): XenStore =>
  new XenStore({
    log: makeLogger('xenstore', silent),
    implementation: '/usr/lib/xen-4.17/bin/oxenstored',
  });

async function create(xs: XsClient, nodes: ListedNode[]): Promise<void> {
  for (const { path, value, perms } of nodes) {
    await xs.write(path, value);
    await xs.setPerms(path, parsePerms(perms.split(',')));
  }
}

/** Commands whose values a shell makes. */
const byHand: Record<string, [string, string]> = {
  'xenstore-write /t/bin ': ['/t/bin', 'a\x01b\ncd"e\t'],
  'xenstore-write -R /t/bin2 ': ['/t/bin2', 'a\\x01b\\n'],
};

/** Replays what it can of a session; answers how many commands that was. */
async function replay(xs: XsClient, text: string): Promise<number> {
  let count = 0;
  for (const step of parseSession(text)) {
    const made = Object.entries(byHand).find(([start]) => step.command.startsWith(start))?.[1];
    if (made) await xs.write(...made);
    let printed: Printed | undefined;
    for (const part of step.command.split(' && ')) printed = await runTool(xs, part);
    if (!printed) continue;
    count++;
    expect({ command: step.command, ...printed }).toEqual(step);
  }
  return count;
}

it("domain 0's session gives the recorded answers", async () => {
  const xs = connectLocal(newStore(), 'test');
  await xs.write('domid', '0');
  await xs.write('name', 'Domain-0');
  for (const what of ['poweroff', 'reboot', 'suspend']) await xs.write(`control/feature-${what}`, '1');
  await xs.write('/local/pool/0/name', 'Pool-0');
  expect(await replay(xs, fixture('xenstore-tools-oxenstored'))).toBe(60);
});

it("a guest's session gives the recorded answers, and leaves the recorded nodes", async () => {
  const store = newStore();
  const dom0 = connectLocal(store, 'dom0');
  const [session, after] = fixture('xenstore-guest-oxenstored').split('\n== end\n');
  const listing = parseListing(after!);
  await create(dom0, guestAsCreated(listing));
  for (const path of ['/vm', '/libxl', '/local/domain/0/name', '/local/domain/0/domid'])
    await dom0.mkdir(path);
  const guest = connectLocal(store, 'guest', 2);
  expect(await replay(guest, `${session}\n`)).toBe(44);

  // The recorded loop over 1100 nodes in one transaction, which came before data/after was made. It failed at this
  // node: the guest owned 17 others.
  await guest.rm('data/after');
  const many = guest.transaction(async (t) => {
    for (let i = 0; i < 1100; i++) await t.write(`data/n${i}`, '1').catch(() => Promise.reject(`data/n${i}`));
  });
  await expect(many).rejects.toBe('data/n983');
  expect(await guest.ls('data')).toEqual(['@x', 'x']);
  await guest.write('data/after', '1');

  const { stdout } = (await runTool(dom0, 'xenstore-ls -fp /local/domain/2'))!;
  expect(parseListing(stdout)).toEqual(listing);
});

it('a tree written with its permissions reads back as listed', async () => {
  const xs = connectLocal(newStore(), 'test');
  const listings = parseSession(fixture('xenstore-tree-pvh')).filter(
    (s) => s.command === 'xenstore-ls -fp /',
  );
  const { stdout } = listings[1]!;
  await create(xs, parseListing(stdout));
  expect((await runTool(xs, 'xenstore-ls -fp /'))!.stdout).toBe(stdout);
});
