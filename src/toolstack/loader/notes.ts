/** Xen's notes in a kernel image. @abi public/elfnote.h */
import { cString } from '../../base/text.ts';
import { corrupt } from './errors.ts';

/** What a kernel says about itself; addresses are 64 bits wide. */
export interface XenNotes {
  /** PV entry point, a virtual address. */
  entry?: bigint;
  hypercallPage?: bigint;
  /** Virtual address of pseudo-physical address 0. */
  virtBase?: bigint;
  /** To be taken off the physical addresses of the program headers. */
  paddrOffset?: bigint;
  xenVersion?: string;
  guestOs?: string;
  guestVersion?: string;
  loader?: string;
  paeMode?: string;
  /** Names joined with `|`; `!` before a name: the kernel cannot do without. */
  features?: string;
  bsdSymtab?: string;
  hvStartLow?: bigint;
  suspendCancel?: bigint;
  /** Where the p2m list is to be mapped. */
  initP2m?: bigint;
  /** The initial RAM disk need not be mapped. */
  modStartPfn?: bigint;
  /** XENFEAT bits. */
  supportedFeatures?: bigint;
  /** PVH entry point, a physical address below 4 GiB. */
  phys32Entry?: bigint;
}

type Numeric = { [K in keyof XenNotes]-?: Required<XenNotes>[K] extends bigint ? K : never }[keyof XenNotes];
type Textual = Exclude<keyof XenNotes, Numeric>;

const numeric: Readonly<Record<number, Numeric>> = {
  1: 'entry',
  2: 'hypercallPage',
  3: 'virtBase',
  4: 'paddrOffset',
  12: 'hvStartLow',
  14: 'suspendCancel',
  15: 'initP2m',
  16: 'modStartPfn',
  17: 'supportedFeatures',
  18: 'phys32Entry',
};
const textual: Readonly<Record<number, Textual>> = {
  5: 'xenVersion',
  6: 'guestOs',
  7: 'guestVersion',
  8: 'loader',
  9: 'paeMode',
  10: 'features',
  11: 'bsdSymtab',
};

const HEADER = 12;
const MAX_NOTES = 65536;

/**
 * Adds to `notes` the Xen notes that begin in [start, end) of the file; answers how many.
 *
 * Only a note's header must lie before `end`, as for Xen: GRUB's images say that their last note is shorter than it is.
 */
export function readNotes(file: Uint8Array, start: number, end: number, notes: XenNotes): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let found = 0;
  let at = start;
  for (let count = 0; at < end && at + HEADER <= file.length; count++) {
    if (count === MAX_NOTES) corrupt('it has too many notes');
    const nameSize = view.getUint32(at, true);
    const size = view.getUint32(at + 4, true);
    const type = view.getUint32(at + 8, true);
    const name = at + HEADER;
    const desc = name + align4(nameSize);
    at = desc + align4(size);
    if (cString(file.subarray(name, name + nameSize)) !== 'Xen') continue;
    if (desc + size > file.length) corrupt(`its Xen note ${type} goes beyond the end of the file`);
    store(notes, type, file.subarray(desc, desc + size));
    found++;
  }
  return found;
}

const align4 = (n: number): number => Math.ceil(n / 4) * 4;

function store(notes: XenNotes, type: number, desc: Uint8Array): void {
  const text = textual[type];
  const number = numeric[type];
  if (text) notes[text] = cString(desc);
  else if (number) notes[number] = littleEndian(desc);
}

/** A number of 1, 2, 4 or 8 bytes; of any other size 0, as for Xen. 64-bit kernels give 8 bytes where 4 would do. */
function littleEndian(desc: Uint8Array): bigint {
  if (![1, 2, 4, 8].includes(desc.length)) return 0n;
  return desc.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

const legacyNumeric: Readonly<Record<string, Numeric>> = {
  VIRT_BASE: 'virtBase',
  VIRT_ENTRY: 'entry',
  ELF_PADDR_OFFSET: 'paddrOffset',
  HYPERCALL_PAGE: 'hypercallPage',
};
const legacyTextual: Readonly<Record<string, Textual>> = {
  LOADER: 'loader',
  GUEST_OS: 'guestOs',
  GUEST_VER: 'guestVersion',
  XEN_VER: 'xenVersion',
  PAE: 'paeMode',
  FEATURES: 'features',
  BSD_SYMTAB: 'bsdSymtab',
};

/** The form before notes: section `__xen_guest` with `KEY=VALUE,...`. */
export function readLegacyNotes(section: Uint8Array, notes: XenNotes): void {
  for (const pair of cString(section).split(',')) {
    const [key = '', value = ''] = pair.split('=', 2);
    const number = legacyNumeric[key];
    const text = legacyTextual[key];
    if (text) notes[text] = value;
    else if (number && /^(0x[0-9a-f]+|[0-9]+)$/i.test(value)) notes[number] = BigInt(value);
  }
  // Here the hypercall page is a page number from the base.
  if (notes.hypercallPage !== undefined)
    notes.hypercallPage = (notes.hypercallPage << 12n) + (notes.virtBase ?? 0n);
}
