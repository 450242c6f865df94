import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LoaderError } from './errors.ts';
import { loadKernel } from './kernel.ts';

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`./fixtures/${name}`, import.meta.url)));
const elf = new Uint8Array(gunzipSync(fixture('tiny.gz')));

/** Offsets in the ELF file of 64-bit headers. */
const PROGRAM = (i: number) => 64 + 56 * i;
const NOTE = 2;

function changed(file: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = file.slice();
  change(new DataView(copy.buffer));
  return copy;
}

/** A bzImage around a payload, with the unpacked size behind it unless it is gzip's. */
function bzImage(payload: Uint8Array, size: number | undefined): Uint8Array {
  const head = new Uint8Array(3 * 512 + 716);
  const view = new DataView(head.buffer);
  head[0x1f1] = 2;
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint32(0x248, 716, true);
  view.setUint32(0x24c, payload.length + (size === undefined ? 0 : 4), true);
  const tail = new Uint8Array(size === undefined ? 100 : 104);
  if (size !== undefined) new DataView(tail.buffer).setUint32(0, size, true);
  return Uint8Array.from([...head, ...payload, ...tail]);
}

function refusal(file: Uint8Array, type: 'pv' | 'pvh' = 'pvh'): Pick<LoaderError, 'code' | 'message'> {
  try {
    loadKernel(file, 'vmlinuz', type);
  } catch (error) {
    if (error instanceof LoaderError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('it loads');
}

const text = (s: string) => new TextEncoder().encode(s);

describe('a kernel', () => {
  const expected = {
    bits: 64,
    machine: 62,
    entry: 0x100000n,
    entry32: 0x100000,
    notes: {
      guestOs: 'linux',
      xenVersion: 'xen-3.0',
      loader: 'generic',
      features: '!writable_page_tables|pae_pgdir_above_4gb',
      virtBase: 0xffffffff80000000n,
      entry: 0xffffffff80100000n,
      supportedFeatures: 0x8801n,
      phys32Entry: 0x100000n,
    },
  };

  it('that is an ELF file gives its segments and notes', () => {
    const kernel = loadKernel(elf, 'vmlinux', 'pvh');
    expect(kernel).toMatchObject(expected);
    expect(kernel.segments.map((s) => [s.paddr, s.vaddr, s.data.length, s.memsz])).toEqual([
      [0x100000, 0x100000n, 0x918, 0x918],
      [0x101000, 0x101000n, 0xbf68, 0xdf68],
    ]);
    expect(kernel.segments[0]!.data[0]).toBe(0xf4);
    expect(loadKernel(elf, 'vmlinux', 'pv')).toMatchObject(expected);
  });

  it.each([
    'tiny.gz',
    'tiny.xz',
    'tiny.lzma',
    'tiny.lz4',
    'tiny.zst',
    'tiny-unsized.zst',
    'tiny.bz2',
    'tiny.lzo',
  ])(
    'compressed as %s loads from a bzImage, from the bare file and from a bzImage in a gzip file',
    (name) => {
      const packed = fixture(name);
      const image = bzImage(packed, name === 'tiny.gz' ? undefined : elf.length);
      for (const file of [image, packed, new Uint8Array(gzipSync(image))]) {
        expect(loadKernel(file, name, 'pvh')).toMatchObject(expected);
      }
    },
  );

  it('keeps a segment whose virtual address is 0 at its physical address', () => {
    const file = changed(elf, (v) => v.setBigUint64(PROGRAM(1) + 16, 0n, true));
    expect(loadKernel(file, 'k', 'pvh').segments[1]).toMatchObject({ paddr: 0x101000, vaddr: 0n });
  });

  it('may have a note that its note segment cuts short, if the header begins inside', () => {
    const file = changed(elf, (v) =>
      v.setBigUint64(PROGRAM(NOTE) + 32, v.getBigUint64(PROGRAM(NOTE) + 32, true) - 12n, true),
    );
    expect(loadKernel(file, 'k', 'pvh').entry32).toBe(0x100000);
  });

  it('without a note segment has its notes found through its sections', () => {
    const file = changed(elf, (v) => v.setUint32(PROGRAM(NOTE), 0, true));
    expect(loadKernel(file, 'k', 'pvh')).toMatchObject(expected);
  });
});

describe('a file that is no good', () => {
  const cases: [what: string, file: Uint8Array, code: string, message: string][] = [
    ['an empty file', new Uint8Array(0), 'not-a-kernel', 'vmlinuz: it is empty'],
    [
      'some text',
      text('hello'),
      'not-a-kernel',
      'vmlinuz: it is neither an ELF file nor a Linux kernel image',
    ],
    [
      'a compressed initial RAM disk',
      new Uint8Array(gzipSync(text('070701000000'))),
      'not-a-kernel',
      'vmlinuz: what is compressed in it is an initial RAM disk, not a kernel',
    ],
    [
      'an EFI program',
      text('MZ and more'),
      'not-a-kernel',
      'vmlinuz: it is an EFI program, but not a Linux kernel',
    ],
    [
      'a kernel for 64-bit Arm',
      text(`${'x'.repeat(56)}ARM\x64`),
      'wrong-architecture',
      'vmlinuz: it is a kernel for 64-bit Arm',
    ],
    [
      'an ELF file for 64-bit Arm',
      changed(elf, (v) => v.setUint16(18, 183, true)),
      'wrong-architecture',
      'vmlinuz: it is for 64-bit Arm, not for x86',
    ],
    [
      'a big-endian ELF file',
      changed(elf, (v) => v.setUint8(5, 2)),
      'wrong-architecture',
      'vmlinuz: it is for a big-endian processor',
    ],
    [
      'a cut ELF header',
      elf.subarray(0, 40),
      'truncated',
      'vmlinuz: it is cut off: it ends in its ELF header',
    ],
    [
      'cut program headers',
      elf.subarray(0, 100),
      'truncated',
      'vmlinuz: it is cut off: it ends before its program headers do',
    ],
    [
      'a cut ELF file',
      elf.subarray(0, 0x3000),
      'truncated',
      'vmlinuz: it is cut off: segment 1 takes bytes 0x2000 to 0xdf68, the file has 0x3000',
    ],
    [
      'a segment with less memory than data',
      changed(elf, (v) => v.setBigUint64(PROGRAM(0) + 40, 1n, true)),
      'corrupt',
      'vmlinuz: segment 0 is larger in the file than in memory',
    ],
    [
      'a segment at an impossible address',
      changed(elf, (v) => v.setBigUint64(PROGRAM(0) + 24, 2n ** 63n, true)),
      'corrupt',
      'vmlinuz: segment 0 has an impossible address',
    ],
    [
      'a cut bzImage',
      bzImage(fixture('tiny.lz4'), elf.length).subarray(0, 4000),
      'truncated',
      'vmlinuz: it is cut off: its payload takes bytes 0x8cc to 0x1937, the file has 0xfa0',
    ],
    [
      'a bzImage with an unknown compression',
      bzImage(text('nosuchcompression'), 0),
      'unknown-compression',
      'vmlinuz: its payload, which begins with 6e 6f 73 75, is compressed in no known way',
    ],
    [
      'a bzImage that says a wrong size',
      bzImage(fixture('tiny.lz4'), elf.length + 1),
      'corrupt',
      'vmlinuz: its payload unpacks to 57616 bytes instead of 57617',
    ],
    [
      'a very old bzImage',
      changed(bzImage(fixture('tiny.lz4'), elf.length), (v) => v.setUint16(0x206, 0x0203, true)),
      'not-a-kernel',
      'vmlinuz: it is a Linux kernel too old for Xen (boot protocol 2.03)',
    ],
    [
      'a kernel whose entry point is elsewhere',
      changed(elf, (v) => v.setUint32(lastNote(), 0x5000, true)),
      'corrupt',
      'vmlinuz: its PVH entry point is outside of its segments',
    ],
  ];
  it.each(cases)('%s is refused', (_what, file, code, message) => {
    expect(refusal(file)).toEqual({ code, message });
  });

  it('without Xen notes is refused, for PVH and PV in other words', () => {
    const bare = changed(elf, (v) => {
      for (let at = 0x1838; at < 0x1838 + 0xe0; at++) v.setUint8(at, 0);
    });
    expect(refusal(bare)).toEqual({
      code: 'no-xen-note',
      message: 'vmlinuz: it cannot run as a PVH guest: it has no PHYS32_ENTRY note',
    });
    expect(refusal(bare, 'pv')).toEqual({
      code: 'no-xen-note',
      message: 'vmlinuz: it cannot run as a PV guest: it has no ENTRY or no VIRT_BASE note',
    });
  });

  it('yields a kernel or a LoaderError, never anything else, wherever its headers are damaged', () => {
    const header = fc.oneof(fc.nat(64 + 56 * 3), fc.integer({ min: 0x1838, max: 0x1918 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(header, fc.nat(255)), { minLength: 1, maxLength: 8 }), (places) => {
        const file = changed(elf, (v) => {
          for (const [at, byte] of places) v.setUint8(at, byte);
        });
        try {
          loadKernel(file, 'k', 'pvh');
        } catch (error) {
          if (!(error instanceof LoaderError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});

/** Where the number in the last note, PHYS32_ENTRY, lies. */
function lastNote(): number {
  return 0x1838 + 0xe0 - 8;
}
