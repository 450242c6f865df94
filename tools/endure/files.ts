/** What a long run is made of: the programs of work/, Debian's where they are in the cache, the guest's ramdisk. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cache } from '../../src/apps/fetch/cache.ts';
import { type CpioEntry, writeCpio } from '../../src/toolstack/initramfs/cpio.ts';
import { busybox } from '../busybox.ts';

const CC = process.env.CC || 'cc';
/** The programs, and their sources. */
const COMPILED = { churn: ['churn.c', 'code.c'], object: ['object.c'] };
/** Parts of a round, and whether they need what `npm run programs` leaves in the cache. */
const PARTS = { churn: false, compress: false, forks: false, python: true, compile: true };
/** Of Debian's programs: theirs, the libraries that they need, Python's modules in its own language and some others. */
const DEBIAN_FILES = [
  /^usr\/bin\/(python3\.11|x86_64-linux-gnu-as)$/,
  /^usr\/lib\/gcc\/x86_64-linux-gnu\/12\/cc1$/,
  /^lib64\/ld-linux-x86-64\.so\.2$/,
  /^(usr\/)?lib\/x86_64-linux-gnu\/lib(c|m|z|bz2|lzma|expat|isl|mpc|mpfr|gmp|zstd|crypto|bfd|opcodes|sframe|jansson)[-.\d]*(-system)?\.so[.\d]*$/,
  /^usr\/lib\/python3\.11\/((collections|encodings|json|re)\/)?\w+\.py$/,
  /^usr\/lib\/python3\.11\/lib-dynload\/_(bz2|decimal|hashlib|json|lzma)\.[^/]+$/,
];

/** The tree of Debian's programs in the cache, or undefined. */
export function debianTree(): string | undefined {
  const tree = join(new Cache().root, 'programs', 'tree');
  return existsSync(tree) ? tree : undefined;
}

/** The parts that can be had, those asked for or all. */
export function possibleParts(wanted: string | undefined): string[] {
  const names = wanted === undefined ? Object.keys(PARTS) : wanted.split(',');
  for (const name of names) if (!(name in PARTS)) throw new Error(`--parts ${wanted}: there is no "${name}"`);
  return debianTree() ? names : names.filter((name) => !needsDebian(name));
}
const needsDebian = (part: string): boolean => PARTS[part as keyof typeof PARTS];

/** Why our programs cannot be compiled, undefined where they can. */
export function compilerMissing(): string | undefined {
  const { status } = spawnSync(CC, ['--version']);
  return status === 0 ? undefined : `there is no ${CC}`;
}

/** Puts what the host and the guest run into a folder. */
export function makeWork(root: string, folder: string): void {
  mkdirSync(folder);
  const sources = join(root, 'tools', 'endure', 'programs');
  for (const name of ['run.sh', 'work.py']) cpSync(join(sources, name), join(folder, name));
  cpSync(join(root, 'tools', 'programs', 'unit.c'), join(folder, 'unit.c'));
  for (const [program, files] of Object.entries(COMPILED)) {
    const paths = files.map((name) => join(sources, name));
    const args = ['-O2', '-static', '-pthread', '-o', join(folder, program), ...paths];
    const { status, stderr } = spawnSync(CC, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${CC} ${args.join(' ')}: ${stderr || status}`);
  }
  writeFileSync(join(folder, 'busybox'), busybox());
  chmodSync(join(folder, 'busybox'), 0o755);
}

/** Contents of files by their paths, and the folders above them. */
function entries(files: ReadonlyMap<string, Uint8Array>): CpioEntry[] {
  const folders = new Set<string>();
  for (const path of files.keys())
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) folders.add(path.slice(0, at));
  return [
    ...[...folders].map((path) => ({ type: 'dir', path, mode: 0o755 }) as const),
    ...[...files].map(([path, data]) => ({ type: 'file', path, mode: 0o755, data }) as const),
  ];
}

/** The ramdisk that was fetched, with this /init, the files of `work`, and Debian's that the parts need laid over it. */
export function writeRamdisk(path: string, init: string, work: string, parts: readonly string[]): void {
  const files = new Map([['init', Buffer.from(init)]]);
  for (const name of readdirSync(work)) files.set(`endure/${name}`, readFileSync(join(work, name)));
  const tree = parts.some(needsDebian) ? debianTree() : undefined;
  if (tree)
    for (const name of readdirSync(tree, { recursive: true, encoding: 'utf8' }))
      if (DEBIAN_FILES.some((pattern) => pattern.test(name))) files.set(name, readFileSync(join(tree, name)));
  const base = readFileSync(new Cache().path('debian', 'initrd') as string);
  const padding = new Uint8Array((4 - (base.length % 4)) % 4);
  writeFileSync(path, Buffer.concat([base, padding, writeCpio(entries(files))]));
}
