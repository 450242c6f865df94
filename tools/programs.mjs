/**
 * `npm run programs [-- --domzero FILE] [--timeout SECONDS] [--keep FOLDER]`: Debian's python3, perl, openssl and gcc
 * compute the same things on the host's processor and in a guest of ours, from the same files; prints a table, and for
 * each program the first line that differs. Ends with 1 when one does. Needs an x86-64 Debian or Ubuntu with apt, and
 * the right to chroot; takes some minutes. tools/programs holds what is computed.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import './build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options } = parseArgs({
  options: {
    domzero: { type: 'string', default: join(root, 'bin', 'domzero') },
    timeout: { type: 'string', default: '900' },
    keep: { type: 'string' },
  },
});

const PACKAGES =
  `python3.11-minimal libpython3.11-minimal libpython3.11-stdlib perl-base openssl gcc-12 cpp-12
  binutils-x86-64-linux-gnu busybox-static libbinutils libctf0 libctf-nobfd0 libgprofng0 libjansson4 libgmp10 libmpfr6
  libmpc3 libisl23 libzstd1 libc6 libssl3 zlib1g libexpat1 libcrypt1 libbz2-1.0 liblzma5 libffi8 libuuid1 libdb5.3
  libgcc-s1 libstdc++6`.split(/\s+/);
/** The programs that run; the packages' other programs and their documents only take memory. */
const PROGRAMS = /^(python3\.11|perl|openssl|busybox|x86_64-linux-gnu-as)$/;
const GCC = 'usr/lib/gcc/x86_64-linux-gnu/12';
const MEMORY_MIB = 1024;
/** The host's C library then takes the functions it takes in the guest: with FMA its results differ in the last bit. */
const PLAIN_CPU = 'glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F';

/** The project's own cache and cpio writer; Node 20 cannot import TypeScript as it stands. */
async function sources() {
  const contents = `export { cacheRoot } from './src/apps/fetch/cache.ts';
export { writeCpio } from './src/toolstack/initramfs/cpio.ts';`;
  const settings = { bundle: true, platform: 'node', format: 'esm', write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir: root }, ...settings });
  const code = Buffer.from(outputFiles[0].contents).toString('base64');
  return import(`data:text/javascript;base64,${code}`);
}

/** Runs a program of the host; its standard output. */
function command(program, args, cwd, env = process.env) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, env, maxBuffer: 1 << 28 });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout.toString('latin1');
}

/** The packages unpacked into a folder, without what nobody uses. */
function unpack(tree) {
  const packages = `${tree}.packages`;
  mkdirSync(packages, { recursive: true });
  mkdirSync(tree);
  command('apt-get', ['download', '-q', ...PACKAGES], packages);
  for (const name of readdirSync(packages)) command('dpkg-deb', ['-x', join(packages, name), tree]);
  const cut = (folder, keep) => {
    for (const name of readdirSync(join(tree, folder)).filter((n) => !keep.test(n)))
      rmSync(join(tree, folder, name), { recursive: true });
  };
  cut('usr/bin', PROGRAMS);
  cut(GCC, /^cc1$/);
  cut('usr/share', /^perl/);
  cut('usr/lib/x86_64-linux-gnu', /^lib.*\.so|^perl|^ossl|^engines/);
  rmSync(packages, { recursive: true });
}

/** The tree that both run, in the cache; made when it is not there. */
function prepare(cache) {
  const tree = join(cache, 'programs', 'tree');
  if (!existsSync(tree)) {
    const fresh = `${tree}.new`;
    rmSync(fresh, { recursive: true, force: true });
    unpack(fresh);
    for (const name of ['dev', 'proc', 'tmp', 'programs']) mkdirSync(join(fresh, name), { recursive: true });
    const key = (name, ...args) =>
      command('openssl', ['genpkey', '-out', join(fresh, 'programs', name), ...args]);
    key('rsa.pem', '-algorithm', 'RSA');
    key('ec.pem', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384');
    key('ed25519.pem', '-algorithm', 'ED25519');
    renameSync(fresh, tree);
  }
  cpSync(join(root, 'tools', 'programs'), join(tree, 'programs'), { recursive: true });
  const data = Buffer.alloc(1 << 20);
  for (let at = 0, hash = Buffer.from('domzero'); at < data.length; at += 32) {
    hash = createHash('sha256').update(hash).digest();
    hash.copy(data, at);
  }
  writeFileSync(join(tree, 'programs', 'data'), data);
  writeFileSync(join(tree, 'programs', 'some'), data.subarray(0, 100001));
  writeFileSync(join(tree, 'programs', 'small'), data.subarray(0, 4777));
  const init = '#!/bin/busybox sh\nbusybox mount -t proc proc /proc\n/bin/busybox sh /programs/run.sh\n';
  writeFileSync(join(tree, 'init'), `${init}exec busybox poweroff -f\n`);
  chmodSync(join(tree, 'init'), 0o755);
  return tree;
}

/** A folder's entries for an archive, each folder before what is in it. */
function entries(tree, folder = '') {
  return readdirSync(join(tree, folder)).flatMap((name) => {
    const path = folder ? `${folder}/${name}` : name;
    const full = join(tree, path);
    const stat = lstatSync(full);
    const mode = stat.mode & 0o7777;
    if (stat.isDirectory()) return [{ type: 'dir', path, mode }, ...entries(tree, path)];
    if (stat.isSymbolicLink()) return [{ type: 'link', path, target: readlinkSync(full) }];
    return stat.isFile() ? [{ type: 'file', path, mode, data: readFileSync(full) }] : [];
  });
}

function onHost(tree) {
  const env = { PATH: process.env.PATH, GLIBC_TUNABLES: PLAIN_CPU };
  const output = command('chroot', [tree, '/bin/busybox', 'sh', '/programs/run.sh'], '/', env);
  for (const name of readdirSync(join(tree, 'tmp'))) rmSync(join(tree, 'tmp', name));
  return output;
}

/** Runs the tree in a guest; what it prints. Each part's name is told as it starts. */
function inGuest(tree, folder, writeCpio) {
  const devices = [
    { type: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { type: 'char', path: 'dev/null', mode: 0o666, major: 1, minor: 3 },
    { type: 'char', path: 'dev/urandom', mode: 0o666, major: 1, minor: 9 },
  ];
  const made = new Set(devices.map(({ path }) => path));
  const files = entries(tree).filter(({ path }) => !made.has(path));
  const initrd = join(folder, 'initrd');
  writeFileSync(initrd, writeCpio([...files, ...devices]));
  const config = join(folder, 'programs.cfg');
  const lines = ['name = "programs"', 'type = "pvh"', 'kernel = "cache:debian/vmlinuz"'];
  lines.push('extra = "console=hvc0 quiet"', `memory = ${MEMORY_MIB}`, `ramdisk = ${JSON.stringify(initrd)}`);
  writeFileSync(config, `${lines.join('\n')}\n`);
  return new Promise((resolve, reject) => {
    const args = [options.domzero, 'run', config, '--timeout', options.timeout];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const started = Date.now();
    let out = '';
    child.stdout.setEncoding('latin1').on('data', (text) => {
      for (const [, name] of text.matchAll(/^== (\w+)/gm))
        process.stderr.write(`${((Date.now() - started) / 1000).toFixed(1)} s: ${name}\n`);
      out += text;
    });
    child.on('error', reject);
    child.on('close', () => resolve(out.replaceAll('\r', '')));
  });
}

/** The lines of each part by its name. */
function parts(output) {
  const pieces = output.split(/^== (\w+)\n/m);
  const found = new Map();
  for (let i = 1; i < pieces.length; i += 2) found.set(pieces[i], pieces[i + 1].split('\n'));
  return found;
}

/** Prints a row for each part; whether all are equal. */
function compare(host, guest) {
  let equal = true;
  for (const [name, wanted] of parts(host)) {
    const got = parts(guest).get(name) ?? [];
    const wrong = wanted.filter((line, i) => line !== got[i]).length;
    // What follows the end is the guest's own way of leaving.
    if (name === 'end' ? parts(guest).has('end') : wrong === 0 && got.length === wanted.length) {
      if (name !== 'end') console.log(`${name.padEnd(10)} ${wanted.length - 1} lines equal`);
      continue;
    }
    equal = false;
    const at = wanted.findIndex((line, i) => line !== got[i]);
    console.log(
      `${name.padEnd(10)} DIFFERS in ${wrong} of ${wanted.length - 1} lines, first in line ${at + 1}`,
    );
    console.log(`  host:  ${wanted[at]?.slice(0, 1000)}\n  guest: ${got[at]?.slice(0, 1000)}`);
  }
  return equal;
}

const { cacheRoot, writeCpio } = await sources();
const folder = options.keep ?? mkdtempSync(join(tmpdir(), 'domzero-programs-'));
mkdirSync(folder, { recursive: true });
try {
  command(process.execPath, [options.domzero, 'fetch', 'debian']);
  const tree = prepare(cacheRoot());
  const host = onHost(tree);
  writeFileSync(join(folder, 'host.txt'), host, 'latin1');
  const guest = await inGuest(tree, folder, writeCpio);
  writeFileSync(join(folder, 'guest.txt'), guest, 'latin1');
  process.exitCode = compare(host, guest) ? 0 : 1;
} finally {
  if (options.keep === undefined) rmSync(folder, { recursive: true });
}
