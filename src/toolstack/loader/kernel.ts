/** A kernel file, in whatever wrapping, to what the domain builder puts into memory. */
import { isBzImage, unpackBzImage } from './bzimage.ts';
import { decompress } from './decompress.ts';
import { type ElfImage, isElf, readElf } from './elf.ts';
import { LoaderError } from './errors.ts';

export interface Kernel extends ElfImage {
  /** Where a PVH guest starts, a physical address; undefined where the kernel does not say. */
  readonly entry32: number | undefined;
}

/** A compressed file may hold a bzImage, which holds a compressed kernel. */
const MAX_LAYERS = 3;

/** What a kernel must offer for each kind of guest. */
const requirements: Readonly<Record<'pv' | 'pvh', (kernel: Kernel) => void>> = {
  pv: requirePv,
  pvh: requirePvh,
};

/** Loads `bytes`, the content of the file `name`, for a guest type. Throws LoaderError with a message that names the file. */
export function loadKernel(bytes: Uint8Array, name: string, type: 'pv' | 'pvh'): Kernel {
  try {
    const image = readElf(unwrap(bytes));
    const kernel = { ...image, entry32: entry32(image) };
    if (!kernel.segments.length) throw new LoaderError('not-a-kernel', 'it has nothing to load');
    requirements[type](kernel);
    return kernel;
  } catch (error) {
    if (!(error instanceof LoaderError)) throw error;
    const cut = error.code === 'truncated' ? 'it is cut off: ' : '';
    throw new LoaderError(error.code, cut + error.detail, name);
  }
}

/** The ELF file inside. */
function unwrap(bytes: Uint8Array): Uint8Array {
  let file = bytes;
  for (let layer = 0; layer < MAX_LAYERS; layer++) {
    if (isElf(file)) return file;
    const inner = isBzImage(file) ? unpackBzImage(file) : decompress(file);
    if (!inner) break;
    file = inner;
  }
  if (isElf(file)) return file;
  throw notAKernel(file, file !== bytes);
}

const startsWith = (file: Uint8Array, text: string, at = 0): boolean =>
  Array.from(text).every((c, i) => file[at + i] === c.charCodeAt(0));

function notAKernel(file: Uint8Array, unpacked: boolean): LoaderError {
  const it = unpacked ? 'what is compressed in it' : 'it';
  if (startsWith(file, 'ARM\x64', 56))
    return new LoaderError('wrong-architecture', `${it} is a kernel for 64-bit Arm`);
  if (!file.length) return new LoaderError('not-a-kernel', `${it} is empty`);
  if (startsWith(file, '07070'))
    return new LoaderError('not-a-kernel', `${it} is an initial RAM disk, not a kernel`);
  if (startsWith(file, 'MZ'))
    return new LoaderError('not-a-kernel', `${it} is an EFI program, but not a Linux kernel`);
  return new LoaderError('not-a-kernel', `${it} is neither an ELF file nor a Linux kernel image`);
}

function entry32({ notes: { phys32Entry: entry } }: ElfImage): number | undefined {
  if (entry === undefined) return undefined;
  if (entry >> 32n) throw new LoaderError('corrupt', 'its PVH entry point is above 4 GB');
  return Number(entry);
}

function requirePvh({ entry32: entry, segments }: Kernel): void {
  if (entry === undefined) {
    throw new LoaderError('no-xen-note', 'it cannot run as a PVH guest: it has no PHYS32_ENTRY note');
  }
  if (!segments.some((s) => entry >= s.paddr && entry < s.paddr + s.memsz)) {
    throw new LoaderError('corrupt', 'its PVH entry point is outside of its segments');
  }
}

/** By Xen's rules: a version that begins with 3.0, and the generic loader unless it is Linux. */
function requirePv({ notes }: Kernel): void {
  const fault =
    notes.entry === undefined || notes.virtBase === undefined
      ? 'it has no ENTRY or no VIRT_BASE note'
      : !notes.xenVersion?.startsWith('xen-3.0')
        ? `it is made for "${notes.xenVersion ?? ''}", not "xen-3.0"`
        : notes.loader !== 'generic' && notes.guestOs !== 'linux'
          ? `it wants the loader "${notes.loader ?? ''}"`
          : undefined;
  if (fault) throw new LoaderError('no-xen-note', `it cannot run as a PV guest: ${fault}`);
}
