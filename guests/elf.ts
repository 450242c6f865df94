/**
 * Wraps an image in an ELF file that Xen boots as PVH (and QEMU with -kernel): one loadable segment and the
 * note that names the 32-bit entry point. @abi public/elfnote.h
 */

/** XEN_ELFNOTE_PHYS32_ENTRY */
export const PHYS32_ENTRY = 18;

export interface ElfImage {
  bits: 32 | 64;
  /** Physical address of the image's first byte. */
  address: number;
  entry: number;
  data: Uint8Array;
  /** Zeroed memory after the data. */
  bss: number;
}

const EM = { 32: 3, 64: 62 } as const;
const PT_LOAD = 1;
const PT_NOTE = 4;

/** name "Xen", one 32-bit descriptor. */
function xenNote(type: number, value: number): Uint8Array {
  const note = new DataView(new ArrayBuffer(20));
  note.setUint32(0, 4, true);
  note.setUint32(4, 4, true);
  note.setUint32(8, type, true);
  note.setUint32(12, 0x006e6558, true);
  note.setUint32(16, value, true);
  return new Uint8Array(note.buffer);
}

/** Writes fields in order; `word` is an address or an offset. */
class Fields {
  readonly bytes: number[] = [];
  private readonly wide: boolean;

  constructor(bits: 32 | 64) {
    this.wide = bits === 64;
  }
  int(v: number, size: number): this {
    for (let i = 0; i < size; i++) this.bytes.push(Math.floor(v / 2 ** (8 * i)) & 0xff);
    return this;
  }
  word(v: number): this {
    return this.int(v, this.wide ? 8 : 4);
  }
}

interface Segment {
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileSize: number;
  memSize: number;
  align: number;
}

function programHeader(bits: 32 | 64, s: Segment): number[] {
  const f = new Fields(bits).int(s.type, 4);
  if (bits === 64) f.int(s.flags, 4);
  f.word(s.offset).word(s.address).word(s.address).word(s.fileSize).word(s.memSize);
  if (bits === 32) f.int(s.flags, 4);
  return f.word(s.align).bytes;
}

function fileHeader(bits: 32 | 64, entry: number, size: number, phSize: number): number[] {
  const f = new Fields(bits);
  f.bytes.push(0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  f.int(2, 2).int(EM[bits], 2).int(1, 4).word(entry).word(size).word(0);
  return f.int(0, 4).int(size, 2).int(phSize, 2).int(2, 2).int(0, 2).int(0, 2).int(0, 2).bytes;
}

export function writeElf(image: ElfImage): Uint8Array {
  const { bits, address, entry, data, bss } = image;
  const size = bits === 64 ? 64 : 52;
  const phSize = bits === 64 ? 56 : 32;
  const note = xenNote(PHYS32_ENTRY, entry);
  const noteAt = size + 2 * phSize;
  const offset = 4096;
  const load: Segment = {
    type: PT_LOAD,
    flags: 7,
    offset,
    address,
    fileSize: data.length,
    memSize: data.length + bss,
    align: 4096,
  };
  const noteSegment: Segment = {
    type: PT_NOTE,
    flags: 4,
    offset: noteAt,
    address: 0,
    fileSize: note.length,
    memSize: note.length,
    align: 4,
  };
  const out = new Uint8Array(offset + data.length);
  out.set(fileHeader(bits, entry, size, phSize));
  out.set(programHeader(bits, load), size);
  out.set(programHeader(bits, noteSegment), size + phSize);
  out.set(note, noteAt);
  out.set(data, offset);
  return out;
}
