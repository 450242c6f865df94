/** What the benchmark's guests are made of: Debian's kernel, its ramdisk, and the programs of the rows laid over it. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { BOOT_INIT, rowsInit } from './rows.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
export const CC = process.env.CC || 'cc';
const TEXT_SIZE = 1 << 20;
/** The shared libraries of python3.11 and cc1. */
const LIBRARIES = /^lib(c|m|z|expat|isl|mpc|mpfr|gmp|zstd)\.so\.\d+$/;
const LIBRARY_FOLDER = 'lib/x86_64-linux-gnu';
const DEBIAN_FILES = {
  'usr/bin/python3.11': 'bench/python3.11',
  'usr/lib/gcc/x86_64-linux-gnu/12/cc1': 'bench/cc1',
  'lib/x86_64-linux-gnu/ld-linux-x86-64.so.2': 'lib64/ld-linux-x86-64.so.2',
  ...Object.fromEntries(
    ['__init__', 'aliases', 'utf_8']
      .map((name) => `usr/lib/python3.11/encodings/${name}.py`)
      .map((path) => [path, path]),
  ),
};

/** The project's own code that makes a guest; Node 20 cannot import TypeScript as it stands. */
export async function sources() {
  const contents = `export { Cache } from './src/apps/fetch/cache.ts';
export { fileFromDeb } from './src/apps/fetch/deb.ts';
export { busyboxRamdisk } from './src/toolstack/initramfs/busybox.ts';
export { writeCpio } from './src/toolstack/initramfs/cpio.ts';`;
  const settings = { bundle: true, platform: 'node', format: 'esm', write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir: root }, ...settings });
  const code = Buffer.from(outputFiles[0].contents).toString('base64');
  return import(`data:text/javascript;base64,${code}`);
}

const program = (path, data) => ({ type: 'file', path, mode: 0o755, data });

export const PROGRAMS = join(root, 'bench', 'programs');
/** Numbers of machines in an ELF header. */
export const EM_386 = 3;
const EM_X86_64 = 62;

/** The families' programs, or undefined without a compiler that makes static ones for this machine. */
export function compile(families, folder, { sources = PROGRAMS, flags = [], machine = EM_X86_64 } = {}) {
  const source = (name) => join(sources, `${name}.c`);
  const made = [];
  for (const family of families) {
    const file = join(folder, family);
    const args = ['-O2', '-static', ...flags, '-o', file, source('program'), source(family), '-lm'];
    const { status, stderr } = spawnSync(CC, args, { encoding: 'utf8' });
    if (status !== 0) {
      if (stderr) console.error(stderr.trim());
      return undefined;
    }
    const data = readFileSync(file);
    const isElf = data.toString('latin1', 0, 4) === '\x7fELF';
    if (!isElf || data.readUInt16LE(18) !== machine) return undefined;
    made.push(program(`bench/${family}`, data));
  }
  return made;
}

/** Debian's python3.11 and cc1 as `npm run programs` left them in the cache, or undefined. */
function debianPrograms(cache) {
  const tree = join(cache.root, 'programs', 'tree');
  if (!existsSync(tree)) return undefined;
  const files = Object.entries(DEBIAN_FILES);
  for (const folder of [LIBRARY_FOLDER, `usr/${LIBRARY_FOLDER}`])
    for (const name of readdirSync(join(tree, folder)).filter((n) => LIBRARIES.test(n)))
      files.push([`${folder}/${name}`, `${LIBRARY_FOLDER}/${name}`]);
  if (files.some(([from]) => !existsSync(join(tree, from)))) return undefined;
  const unit = readFileSync(join(root, 'tools', 'programs', 'unit.c'));
  return [
    ...files.map(([from, to]) => program(to, readFileSync(join(tree, from)))),
    program('bench/unit.c', unit),
  ];
}

/** Words in random order, the same ones always: a text that gzip makes a third of. */
function text() {
  let state = 1;
  const random = (n) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 12) % n;
  };
  const letters = (n) => Array.from({ length: n }, () => 'etaoinshrdlucmfwypvbgk'[random(22)]).join('');
  const words = Array.from({ length: 2000 }, () => letters(2 + random(9)));
  let made = '';
  while (made.length < TEXT_SIZE)
    made += words[Math.min(random(2000), random(2000))] + (random(12) ? ' ' : '.\n');
  return Buffer.from(made.slice(0, TEXT_SIZE));
}

/** Each folder above the files, the outer ones first. */
function folders(files) {
  const paths = new Set();
  for (const { path } of files)
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) paths.add(path.slice(0, at));
  return [...paths].map((path) => ({ type: 'dir', path, mode: 0o755 }));
}

/** The guests `boot` and `work` of a kernel and the ramdisk `base`, over which the rows' files are laid. */
export function layOver({ kernel, base, folder }, rows, rowFiles, writeCpio) {
  const ramdisk = (name, files) => {
    const initrd = join(folder, name);
    const over = writeCpio([...folders(files), ...files]);
    writeFileSync(initrd, Buffer.concat([base, Buffer.alloc((4 - (base.length % 4)) % 4), over]));
    return { kernel, initrd, folder };
  };
  const init = (script) => program('init', Buffer.from(script));
  return {
    boot: ramdisk('boot', [init(BOOT_INIT)]),
    work: ramdisk('work', [...rowFiles, program('bench/text', text()), init(rowsInit(rows))]),
  };
}

/**
 * Two guests, `boot` and `work`; of the rows those that can be had, and why the others (by what they need) cannot.
 */
export async function prepareGuests(rows, folder) {
  const fetched = spawnSync(process.execPath, [join(root, 'bin', 'domzero'), 'fetch', 'debian'], {
    encoding: 'utf8',
  });
  if (fetched.status !== 0) throw new Error(fetched.stderr.trim());
  const { Cache, writeCpio } = await sources();
  const cache = new Cache();
  const of = (need) => rows.filter(({ needs }) => needs === need);
  const compiled = compile(new Set(of('compiler').map(({ family }) => family)), folder);
  const debian = of('debian').length > 0 ? debianPrograms(cache) : [];
  const missing = {
    compiler: compiled ? undefined : `${CC} makes no static x86-64 programs`,
    debian: debian ? undefined : 'needs the files of `npm run programs`',
  };
  const possible = rows.filter(({ needs }) => !missing[needs]);
  const kernel = cache.path('debian', 'vmlinuz');
  const base = readFileSync(cache.path('debian', 'initrd'));
  const files = [...(compiled ?? []), ...(debian ?? [])];
  const guests = layOver({ kernel, base, folder }, possible, files, writeCpio);
  return { title: cache.manifest('debian').title, ...guests, possible, missing };
}
