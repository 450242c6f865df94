/** The nodes against those that libxl made in recorded sessions on real Xen. */
import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeLogger, silent } from '../../base/log.ts';
import { type ListedNode, parseListing, parseSession } from '../../control/xenstore/fixtures/session.ts';
import { runTool } from '../../control/xenstore/fixtures/tools.ts';
import { connectLocal, XenStore, type XsClient } from '../../control/xenstore/index.ts';
import { type DomainTree, initDom0Tree, removeDomainTree, writeDomainTree } from './xenstore-layout.ts';

/** The recorded listings of the whole tree in a session. */
function recorded(file: string): ListedNode[][] {
  const text = readFileSync(new URL(file, import.meta.url), 'latin1');
  return parseSession(text)
    .filter((s) => s.command === 'xenstore-ls -fp /')
    .map((s) => parseListing(s.stdout));
}

const PVH = '../../control/xenstore/fixtures/xenstore-tree-pvh.txt';
const PV = 'fixtures/xenstore-tree-pv-created.txt';
const DOM0 = 'fixtures/xenstore-tree-dom0.txt';

/** Without disk and network, and without the terminal that a console daemon of Unix tells of. */
const ownNodes = (nodes: ListedNode[]): ListedNode[] =>
  nodes.filter(({ path }) => !/\/(vbd|vif)(\/|$)|\/console\/tty$/.test(path));

const pvh1: DomainTree = {
  domid: 2,
  type: 'pvh',
  name: 'pvh1',
  uuid: '22222222-2222-4222-8222-222222222222',
  vcpus: 1,
  maxVcpus: 1,
  targetMemkb: 131072,
  maxMemkb: 131072,
  kernel: '/root/vmlinuz',
  ramdisk: '/root/initrd.gz',
  cmdline: 'console=hvc0 mods',
  storePort: 1,
  storeGfn: 1044476,
  consolePort: 2,
  consoleGfn: 1044479,
  startTime: 1795347380.9712 * 1e9,
};
const pv1: DomainTree = {
  ...pvh1,
  domid: 1,
  type: 'pv',
  name: 'pv1',
  uuid: '11111111-1111-4111-8111-111111111111',
  vcpus: 2,
  maxVcpus: 2,
  storeGfn: 781825,
  consoleGfn: 781826,
  startTime: 1795347349.535 * 1e9,
};

let xs: XsClient;
beforeEach(async () => {
  const log = makeLogger('xenstore', silent);
  const implementation = '/usr/lib/xen-4.17/bin/oxenstored';
  xs = connectLocal(new XenStore({ log, implementation }), 'toolstack');
  await initDom0Tree(xs);
});

const tree = async (): Promise<ListedNode[]> =>
  parseListing((await runTool(xs, 'xenstore-ls -fp /'))!.stdout);

describe("a domain's XenStore nodes", () => {
  it('are those that libxl makes for a PVH guest', async () => {
    await writeDomainTree(xs, pvh1);
    expect(await tree()).toEqual(ownNodes(recorded(PVH)[0]!));
  });

  it('are those that libxl makes for a PV guest', async () => {
    await writeDomainTree(xs, pv1);
    expect(await tree()).toEqual(ownNodes(recorded(PV)[0]!));
  });

  it('are gone once they were removed, as after a recorded destruction', async () => {
    await writeDomainTree(xs, pvh1);
    await xs.write('/local/domain/0/backend/vbd/2/51712/state', '6');
    await removeDomainTree(xs, 2, pvh1.uuid);
    expect(await tree()).toEqual(recorded(PVH).at(-1)!);
    await removeDomainTree(xs, 2, pvh1.uuid);
    expect(await tree()).toEqual(recorded(PVH).at(-1)!);
  });

  it("leave another domain's alone when they go", async () => {
    await writeDomainTree(xs, pv1);
    const before = await tree();
    await writeDomainTree(xs, pvh1);
    await removeDomainTree(xs, 2, pvh1.uuid);
    expect(await tree()).toEqual(before);
  });

  it('take the place of what an earlier domain of that number left', async () => {
    await xs.write('/local/domain/2/data/old', 'x');
    await xs.write('/local/domain/0/backend/vbd/2/51712/state', '6');
    await writeDomainTree(xs, pvh1);
    expect(await tree()).toEqual(ownNodes(recorded(PVH)[0]!));
  });

  it('say which vCPUs are offline, and hold a name in UTF-8', async () => {
    await writeDomainTree(xs, { ...pvh1, name: 'gr\u00fcn', maxVcpus: 2, startTime: 5.009e9 });
    expect(await xs.read('/local/domain/2/cpu/1/availability')).toBe('offline');
    expect(await xs.read('/local/domain/2/name')).toBe('gr\xc3\xbcn');
    expect(await xs.read(`/vm/${pvh1.uuid}/start_time`)).toBe('5.00');
  });
});

it("domain 0's nodes are those of a booted Xen", async () => {
  expect(await tree()).toEqual(recorded(DOM0)[0]!);
});
