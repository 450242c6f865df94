/**
 * The XenStore nodes of a domain as libxl 4.17 makes them, and those of domain 0. Devices beside the console add
 * their own.
 *
 *   await writeDomainTree(xs, { ...config, ...created, startTime: clock.wall() });
 *   await xs.introduce(domid, storeGfn, storePort);
 *   ...
 *   await removeDomainTree(xs, domid, config.uuid);
 *
 * @xen docs/misc/xenstore-paths.pandoc; rights and values as recorded on 4.17
 */
import { latin1, utf8 } from '../../base/text.ts';
import {
  domainBase,
  type Perms,
  type XsAccess,
  type XsClient,
  XsError,
} from '../../control/xenstore/index.ts';
import type { DomainConfig } from '../xlcfg/domain-config.ts';

type Described =
  | 'type'
  | 'name'
  | 'uuid'
  | 'vcpus'
  | 'maxVcpus'
  | 'targetMemkb'
  | 'maxMemkb'
  | 'kernel'
  | 'ramdisk'
  | 'cmdline';

export interface DomainTree extends Pick<DomainConfig, Described> {
  readonly domid: number;
  readonly storePort: number;
  readonly storeGfn: number;
  readonly consolePort: number;
  readonly consoleGfn: number;
  /** Nanoseconds since 1970. */
  readonly startTime: number;
}

/** Values by path below some node; '' is that node itself. A node without a value is the empty string. */
type Nodes = Record<string, string>;

/** Bytes of console output that a console daemon keeps for a guest it cannot deliver. */
const CONSOLE_LIMIT = 1048576;
const BACKENDS = `${domainBase(0)}/backend`;

const dom0Only: Perms = [{ domid: 0, right: 'n' }];
const readableBy = (domid: number): Perms => [
  { domid: 0, right: 'n' },
  { domid, right: 'r' },
];
const ownedBy = (domid: number): Perms => [{ domid, right: 'n' }];
const ownedAndReadBy0 = (domid: number): Perms => [
  { domid, right: 'n' },
  { domid: 0, right: 'r' },
];

const vmPath = (uuid: string): string => `/vm/${uuid}`;
const libxlPath = (domid: number): string => `/libxl/${domid}`;
const consoleBackend = (domid: number): string => `${BACKENDS}/console/${domid}/0`;

/** Makes a domain's nodes in one transaction, in place of any that an earlier domain has left behind. */
export async function writeDomainTree(xs: XsClient, d: DomainTree): Promise<void> {
  const base = domainBase(d.domid);
  const readable = readableBy(d.domid);
  await xs.transaction(async (t) => {
    await removeAll(t, d.domid, d.uuid);
    await put(t, libxlPath(d.domid), dom0Only, libxlNodes(d));
    await put(t, vmPath(d.uuid), readable, vmNodes(d));
    await put(t, consoleBackend(d.domid), readable, consoleDevice(d.domid));
    await put(t, base, readable, domainNodes(d));
    await put(t, base, ownedBy(d.domid), GUEST_WRITABLE);
    await put(t, base, ownedAndReadBy0(d.domid), { 'console/backend-id': '0' });
  });
}

/** Removes what `writeDomainTree` made, and all devices' nodes of the domain in domain 0. */
export async function removeDomainTree(xs: XsClient, domid: number, uuid: string): Promise<void> {
  await xs.transaction((t) => removeAll(t, domid, uuid));
}

/** Domain 0's own nodes and the CPU pool's. The daemon itself makes /tool/xenstored and the special nodes. */
export async function initDom0Tree(xs: XsClient): Promise<void> {
  await xs.transaction(async (t) => {
    await put(t, domainBase(0), dom0Only, {
      '': '',
      domid: '0',
      name: 'Domain-0',
      'control/feature-poweroff': '1',
      'control/feature-reboot': '1',
      'control/feature-suspend': '1',
    });
    await put(t, '/local/pool/0', dom0Only, { '': '', name: 'Pool-0' });
  });
}

/** Nodes between `at` and those given take the rights of the one above them. */
async function put(t: XsAccess, at: string, perms: Perms, nodes: Nodes): Promise<void> {
  for (const [path, value] of Object.entries(nodes)) {
    const full = path === '' ? at : `${at}/${path}`;
    await t.write(full, value);
    await t.setPerms(full, perms);
  }
}

const libxlNodes = ({ domid, type }: DomainTree): Nodes => ({
  '': '',
  type,
  'dm-version': 'qemu_xen',
  ...below('device/console/0', {
    backend: consoleBackend(domid),
    ...consoleDevice(domid),
  }),
});

/** The back end's side of the console as it is at the start; also kept under /libxl. */
const consoleDevice = (domid: number): Nodes => ({
  '': '',
  frontend: `${domainBase(domid)}/console`,
  'frontend-id': String(domid),
  online: '1',
  protocol: 'vt100',
  state: '1',
});

const vmNodes = (d: DomainTree): Nodes => ({
  '': '',
  uuid: d.uuid,
  name: bytes(d.name),
  start_time: seconds(d.startTime),
  ...(d.type === 'pv' ? below('image', pvImage(d)) : {}),
});

const pvImage = ({ kernel, ramdisk, cmdline }: DomainTree): Nodes => ({
  ostype: 'linux',
  ...(kernel === undefined ? {} : { kernel: bytes(kernel) }),
  ...(ramdisk === undefined ? {} : { ramdisk: bytes(ramdisk) }),
  ...(cmdline === '' ? {} : { cmdline: bytes(cmdline) }),
});

const domainNodes = (d: DomainTree): Nodes => ({
  '': '',
  vm: vmPath(d.uuid),
  name: bytes(d.name),
  domid: String(d.domid),
  ...below('memory', {
    'static-max': String(d.maxMemkb),
    target: String(d.targetMemkb),
    videoram: '0',
  }),
  ...below('store', { port: String(d.storePort), 'ring-ref': String(d.storeGfn) }),
  ...below('console', {
    backend: consoleBackend(d.domid),
    limit: String(CONSOLE_LIMIT),
    output: 'pty',
    port: String(d.consolePort),
    'ring-ref': String(d.consoleGfn),
    type: 'xenconsoled',
  }),
  ...below('control', {
    'platform-feature-multiprocessor-suspend': '1',
    'platform-feature-xs_reset_watches': '1',
  }),
  ...cpuNodes(d),
});

function cpuNodes({ vcpus, maxVcpus }: DomainTree): Nodes {
  const nodes: Nodes = {};
  for (let id = 0; id < maxVcpus; id++) nodes[`cpu/${id}/availability`] = id < vcpus ? 'online' : 'offline';
  return nodes;
}

const GUEST_WRITABLE: Nodes = {
  attr: '',
  'control/feature-poweroff': '',
  'control/feature-reboot': '',
  'control/feature-suspend': '',
  'control/shutdown': '',
  'control/sysrq': '',
  data: '',
  'device/suspend/event-channel': '',
  drivers: '',
  error: '',
  feature: '',
};

function below(path: string, nodes: Nodes): Nodes {
  const out: Nodes = {};
  for (const [name, value] of Object.entries(nodes)) out[name === '' ? path : `${path}/${name}`] = value;
  return out;
}

/** XenStore's values are bytes. */
const bytes = (text: string): string => latin1(utf8(text));

/** Seconds with two decimals. */
function seconds(ns: number): string {
  const hundredths = Math.floor(ns / 1e7);
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}`;
}

async function removeAll(t: XsAccess, domid: number, uuid: string): Promise<void> {
  for (const type of await t.tryLs(BACKENDS)) await removeBackends(t, type, domid);
  for (const path of [domainBase(domid), vmPath(uuid), libxlPath(domid)]) await rm(t, path);
}

/** Removes a domain's back ends of one type, and the nodes above that are empty then. */
async function removeBackends(t: XsAccess, type: string, domid: number): Promise<void> {
  const path = `${BACKENDS}/${type}`;
  if (!(await t.exists(`${path}/${domid}`))) return;
  await rm(t, `${path}/${domid}`);
  for (const parent of [path, BACKENDS]) {
    if ((await t.ls(parent)).length > 0) return;
    await rm(t, parent);
  }
}

async function rm(t: XsAccess, path: string): Promise<void> {
  try {
    await t.rm(path);
  } catch (e) {
    if (!(e instanceof XsError) || e.code !== 'ENOENT') throw e;
  }
}
