import { describe, expect, it } from 'vitest';
import { readElf } from './elf.ts';
import { LoaderError } from './errors.ts';
import { readLegacyNotes, readNotes, type XenNotes } from './notes.ts';

const text = (s: string) => Array.from(s, (c) => c.charCodeAt(0));
const word = (n: number) => [n & 0xff, (n >> 8) & 0xff, (n >> 16) & 0xff, n >>> 24];
const padded = (bytes: number[]) => [...bytes, ...Array<number>((4 - (bytes.length % 4)) % 4).fill(0)];
const note = (name: string, type: number, desc: number[]) => [
  ...word(name.length + 1),
  ...word(desc.length),
  ...word(type),
  ...padded([...text(name), 0]),
  ...padded(desc),
];

function read(bytes: number[], end = bytes.length): XenNotes {
  const notes: XenNotes = {};
  readNotes(Uint8Array.from(bytes), 0, end, notes);
  return notes;
}

describe("Xen's notes", () => {
  it('are found among those of others', () => {
    const bytes = [
      ...note('GNU', 3, [1, 2, 3]),
      ...note('Xen', 18, word(0x1000)),
      ...note('Linux', 0x100, text('x')),
    ];
    expect(read(bytes)).toEqual({ phys32Entry: 0x1000n });
  });

  it('hold numbers of 4 or 8 bytes', () => {
    expect(read(note('Xen', 1, [...word(0x830791c0), ...word(0xffffffff)]))).toEqual({
      entry: 0xffffffff830791c0n,
    });
    expect(read(note('Xen', 17, word(0x8801)))).toEqual({ supportedFeatures: 0x8801n });
  });

  it('hold text with or without a NUL', () => {
    expect(read([...note('Xen', 8, [...text('generic'), 0]), ...note('Xen', 5, text('xen-3.0'))])).toEqual({
      loader: 'generic',
      xenVersion: 'xen-3.0',
    });
  });

  it('may go on behind the end of their segment, but not behind that of the file', () => {
    const bytes = note('Xen', 9, [...text('yes,bimodal'), 0]);
    expect(read(bytes, 16)).toEqual({ paeMode: 'yes,bimodal' });
    expect(() => read(bytes.slice(0, -4))).toThrow(LoaderError);
  });

  it('end at a length that leads nowhere', () => {
    expect(read([...word(0xffffffff), ...word(0xffffffff), ...word(1), ...note('Xen', 18, word(1))])).toEqual(
      {},
    );
  });

  it('may be written in the form of old kernels', () => {
    const notes: XenNotes = {};
    const section =
      'GUEST_OS=netbsd,XEN_VER=xen-3.0,VIRT_BASE=0xc0000000,HYPERCALL_PAGE=0x101,LOADER=generic,PAE=yes\0junk';
    readLegacyNotes(Uint8Array.from(text(section)), notes);
    expect(notes).toEqual({
      guestOs: 'netbsd',
      xenVersion: 'xen-3.0',
      virtBase: 0xc0000000n,
      hypercallPage: 0xc0101000n,
      loader: 'generic',
      paeMode: 'yes',
    });
  });
});

describe('a 32-bit ELF file', () => {
  it('gives its segments and notes', () => {
    const notes = note('Xen', 18, word(0x100010));
    const headers = [
      [...text('\x7fELF'), 1, 1, 1, ...Array<number>(9).fill(0), 2, 0, 3, 0, ...word(1)],
      [...word(0x100000), ...word(52), ...word(0), ...word(0), 52, 0, 32, 0, 2, 0, 0, 0, 0, 0, 0, 0],
      [1, 116, 0xc0100000, 0x100000, notes.length, 0x2000, 7, 4096].flatMap(word),
      [4, 116, 0xc0100000, 0x100000, notes.length, notes.length, 4, 4].flatMap(word),
    ].flat();
    expect(headers.length).toBe(116);
    const image = readElf(Uint8Array.from([...headers, ...notes]));
    expect(image).toMatchObject({
      bits: 32,
      machine: 3,
      entry: 0x100000n,
      notes: { phys32Entry: 0x100010n },
    });
    expect(image.segments).toEqual([
      { paddr: 0x100000, vaddr: 0xc0100000n, data: Uint8Array.from(notes), memsz: 0x2000 },
    ]);
  });
});
