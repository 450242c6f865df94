/** The socket, and Debian's own tools on it, compared with what they print on real Xen. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeLogger, silent } from '../../base/log.ts';
import {
  guestAsCreated,
  type ListedNode,
  parseListing,
  parseSession,
  type Step,
} from '../../control/xenstore/fixtures/session.ts';
import { connectLocal, parsePerms, XenStore, XsClient } from '../../control/xenstore/index.ts';
import { serveXenStore, type XenStoreSocket } from './xenstore-socket.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../control/xenstore/fixtures/${name}.txt`, import.meta.url), 'latin1');

const has = (tool: string): boolean => spawnSync('bash', ['-c', `command -v ${tool}`]).status === 0;

let dir: string;
let store: XenStore;
let xs: XsClient;
let servers: XenStoreSocket[];

async function serve(name: string, domid = 0): Promise<string> {
  const server = await serveXenStore(store, join(dir, name), domid);
  servers.push(server);
  return server.path;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'xs-'));
  servers = [];
  store = new XenStore({
    log: makeLogger('xenstore', silent),
    implementation: '/usr/lib/xen-4.17/bin/oxenstored',
  });
  xs = connectLocal(store, 'test');
});

afterEach(async () => {
  await Promise.all(servers.map((s) => s.close()));
  await rm(dir, { recursive: true, force: true });
});

/** Connects a client of ours over the socket. */
function dial(path: string): Promise<{ client: XsClient; ended: Promise<void> }> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const client = new XsClient({ write: (bytes) => void socket.write(bytes), close: () => socket.end() });
    const ended = new Promise<void>((end) => socket.on('close', () => end(client.closed())));
    socket.on('data', (chunk) => client.receive(chunk));
    socket.once('error', reject);
    socket.once('connect', () => resolve({ client, ended }));
  });
}

describe('the XenStore socket', () => {
  it('is open to its owner alone, in a directory that is so too', async () => {
    const path = await serve('run/socket');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir, 'run'))).mode & 0o777).toBe(0o700);
  });

  it('serves several clients, each with its own watches', async () => {
    const path = await serve('socket');
    const a = (await dial(path)).client;
    const b = (await dial(path)).client;
    const seen: string[] = [];
    await a.watch('/x', (p) => seen.push(p));
    await b.write('/x/y', '1');
    expect(await a.read('/x/y')).toBe('1');
    expect(seen).toEqual(['/x', '/x/y']);
  });

  it('holds a client back that sends requests and reads no answers, and goes on when it does', async () => {
    const { client } = await dial(await serve('socket'));
    await client.write('/big', 'x'.repeat(2048));
    const answers = await Promise.all(Array.from({ length: 5000 }, () => client.read('/big')));
    expect(answers.every((a) => a.length === 2048)).toBe(true);
  });

  it('hangs up on a client that breaks the protocol', async () => {
    const path = await serve('socket');
    const socket = connect(path);
    const header = new Uint32Array([2, 1, 0, 4097]);
    socket.write(new Uint8Array(header.buffer));
    await new Promise((resolve) => socket.on('close', resolve).resume());
    expect(await (await dial(path)).client.read('/tool/xenstored')).not.toBe('');
  });

  it('takes the place of a socket that nobody answers on', async () => {
    const path = join(dir, 'socket');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(path)).toBe(true);
    await serve('socket');
    expect(await (await dial(path)).client.exists('/tool')).toBe(true);
  });

  it('refuses the place of a living server, and of a file', async () => {
    await serve('socket');
    await expect(serve('socket')).rejects.toThrow('another XenStore serves it');
    await writeFile(join(dir, 'file'), '');
    await expect(serve('file')).rejects.toThrow('something else');
  });

  it('names a path that is too long for a socket', async () => {
    await expect(serve('s'.repeat(108))).rejects.toThrow('longer than 107 bytes');
  });
});

/** Recorded commands take seconds to be sure; here the waits are a third of that. */
function adapt(command: string): string {
  return command
    .replace(/\b(sleep|timeout) (\d+)/g, (_, what, n) => `${what} ${Number(n) / 3}`)
    .replaceAll('/tmp/w', join(dir, 'w'));
}

function run(command: string, socket: string): Promise<Step> {
  const env = { ...process.env, XENSTORED_PATH: socket };
  return new Promise((resolve) => {
    const child = execFile(
      'bash',
      ['-c', adapt(command)],
      { env, encoding: 'latin1' },
      (e, stdout, stderr) => {
        const exit = e ? Number(e.code) : 0;
        resolve({ command, stdout, stderr, exit });
      },
    );
    child.stdin?.end();
  });
}

/** What a command needs that this machine may not have, or that is recorded differently on purpose. */
function unavailable(command: string): boolean {
  if (/\bxl /.test(command)) return true;
  if (/^xenstore-control/.test(command)) return true;
  if (/\bhexdump\b/.test(command)) return !has('hexdump');
  if (/\brunuser\b/.test(command)) return process.getuid?.() !== 0 || !has('runuser');
  return false;
}

async function create(nodes: ListedNode[]): Promise<void> {
  for (const { path, value, perms } of nodes) {
    await xs.write(path, value);
    await xs.setPerms(path, parsePerms(perms.split(',')));
  }
}

const tools = has('xenstore-read');

describe.skipIf(!tools)(`Debian's tools${tools ? '' : ' (xenstore-utils not installed)'}`, () => {
  it('print what they print on Xen', async () => {
    const dom0 = ['control/feature-poweroff', 'control/feature-reboot', 'control/feature-suspend'];
    for (const name of dom0) await xs.write(name, '1');
    await xs.write('domid', '0');
    await xs.write('name', 'Domain-0');
    await xs.write('/local/pool/0/name', 'Pool-0');
    const socket = await serve('socket');
    const steps = parseSession(fixture('xenstore-tools-oxenstored'));
    expect(steps.length).toBe(109);
    for (const step of steps) {
      if (unavailable(step.command)) continue;
      expect(await run(step.command, socket)).toEqual(step);
    }
  });

  it('print in a guest what they print in a guest on Xen', async () => {
    const text = fixture('xenstore-guest-oxenstored');
    const [guestPart, after] = text.split('\n== end\n');
    await create(guestAsCreated(parseListing(after!)));
    await xs.mkdir('/vm');
    await xs.mkdir('/libxl');
    await xs.write('name', 'Domain-0');
    const guest = await serve('guest', 2);
    for (const step of parseSession(guestPart!.concat('\n').split('\n== begin\n')[1]!)) {
      expect(await run(step.command, guest)).toEqual(step);
    }
    const listing = parseSession(after!.slice(after!.indexOf('$ ')))[0]!;
    const command = listing.command.replace('$(xl domid xs1)', '2');
    expect(await run(command, await serve('dom0'))).toEqual({ ...listing, command });
  });

  it('list a directory that needs many messages', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `node-${i}`);
    await Promise.all(names.map((n) => xs.write(`/big/${n}`, '')));
    const { stdout } = await run('xenstore-list /big', await serve('socket'));
    expect(stdout.trimEnd().split('\n')).toEqual([...names].sort());
  });
});

const testXenstore = [process.env.TEST_XENSTORE, '/usr/lib/xen-4.17/bin/test-xenstore'].find(
  (path) => path !== undefined && existsSync(path),
);

describe.skipIf(!testXenstore)(
  `Xen's test-xenstore${testXenstore ? '' : ' (xen-utils-4.17 not installed)'}`,
  () => {
    it('passes', async () => {
      const result = await run(`${testXenstore} -i 20`, await serve('socket'));
      expect(result).toMatchObject({ stderr: '', exit: 0 });
      expect(result.stdout).not.toContain('failed');
    });
  },
);
