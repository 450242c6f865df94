/**
 * `domzero fetch debian`: Debian's cloud kernel as it is, and a small initial ramdisk around Debian's static busybox,
 * into the cache. Packages come through apt where that is, else from the mirror that the user names.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { busyboxRamdisk } from '../../toolstack/initramfs/busybox.ts';
import { AppError, EXIT } from '../exit-status.ts';
import { Apt, type DebPackage, type PackageSource, type RunProgram } from './apt.ts';
import { type Cache, ENTRY, type Manifest } from './cache.ts';
import { hasProgram } from './commands.ts';
import { fileFromDeb } from './deb.ts';
import { Mirror } from './mirror.ts';

const KERNEL = 'linux-image-cloud-amd64';
const KERNEL_VERSIONED = /^linux-image-\d\S*-cloud-amd64$/;
const BUSYBOX = 'busybox-static';

/** Debian's releases by code name. */
const RELEASES: Readonly<Record<string, string>> = {
  bullseye: '11',
  bookworm: '12',
  trixie: '13',
  forky: '14',
};

export interface FetchOptions {
  readonly mirror: string | undefined;
  readonly cache: Cache;
  progress(note: string): void;
  /** For tests: another apt, and whether there is one. */
  readonly run?: RunProgram;
  readonly hasApt?: boolean;
}

type OpenSource = { readonly label: string; open(): Promise<PackageSource> };

/** Where packages may come from, best first. A mirror that the user names is taken before apt. */
function sources({ mirror, cache, progress, run, hasApt }: FetchOptions): OpenSource[] {
  const apt = [
    { label: 'apt', open: async () => Apt.system(run) },
    {
      label: 'apt with fresh lists',
      open: async () => {
        progress('fetching package lists');
        return Apt.fresh(join(cache.workDir(), 'apt'), run);
      },
    },
  ];
  if (mirror !== undefined) return [{ label: mirror, open: () => Mirror.open(mirror, progress) }];
  return (hasApt ?? (hasProgram('apt-get') && hasProgram('apt-cache'))) ? apt : [];
}

const NO_SOURCE =
  'there is no apt on this machine, so say where to fetch from: ' +
  '"domzero fetch debian --mirror URL" or DOMZERO_MIRROR=URL, with the https address of a Debian mirror';

/** Builds the entry from the packages of one source. */
async function build(source: PackageSource, options: FetchOptions): Promise<Manifest> {
  const dir = mkdtempSync(join(tmpdir(), 'domzero-fetch-'));
  try {
    options.progress(`looking for ${KERNEL}`);
    const name = await source.dependency(KERNEL, KERNEL_VERSIONED);
    options.progress(`fetching ${name}`);
    const kernel = await source.download(name, dir);
    options.progress(`fetching ${BUSYBOX}`);
    const busybox = await source.download(BUSYBOX, dir);
    options.progress('unpacking');
    return await store(kernel, busybox, options.cache);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function store(kernel: DebPackage, busybox: DebPackage, cache: Cache): Promise<Manifest> {
  const vmlinuz = await fileFromDeb(kernel.file, /^boot\/vmlinuz-/);
  const program = await fileFromDeb(busybox.file, /^(usr\/)?bin\/busybox$/);
  const number = RELEASES[kernel.suite];
  const title = number === undefined ? 'Debian' : `Debian ${number} (${kernel.suite})`;
  const ramdisk = busyboxRamdisk({ busybox: program.data, title });
  const from = ({ name, version }: DebPackage): string => `${name} ${version}`;
  return cache.store(ENTRY, `${title}, ${from(kernel)}`, {
    vmlinuz: { bytes: vmlinuz.data, from: from(kernel) },
    initrd: { bytes: gzipSync(ramdisk, { level: 9 }), from: from(busybox) },
  });
}

export async function fetchDebian(options: FetchOptions): Promise<Manifest> {
  const failures: string[] = [];
  try {
    for (const { label, open } of sources(options)) {
      try {
        return await build(await open(), options);
      } catch (error) {
        failures.push(`${label}: ${(error as Error).message}`);
      }
    }
  } finally {
    options.cache.removeWork();
  }
  if (failures.length === 0) throw new AppError(EXIT.failed, NO_SOURCE);
  throw new AppError(EXIT.failed, `cannot fetch Debian's kernel\n  ${failures.join('\n  ')}`);
}
