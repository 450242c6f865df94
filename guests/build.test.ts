import { describe, expect, test } from 'vitest';
import { buildGuest, GUEST_NAMES } from './build.ts';
import { PHYS32_ENTRY, writeElf } from './elf.ts';
import { LAYOUT, LOAD_ADDRESS } from './guest.ts';

interface ProgramHeader {
  type: number;
  offset: number;
  paddr: number;
  filesz: number;
  memsz: number;
}

/** Reads an ELF32 file's entry point and program headers. */
function readElf(file: Uint8Array): { entry: number; headers: ProgramHeader[]; view: DataView } {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const u32 = (at: number): number => view.getUint32(at, true);
  expect([...file.subarray(0, 7)]).toEqual([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  const table = u32(28);
  const headers = Array.from({ length: view.getUint16(44, true) }, (_, i) => {
    const at = table + i * 32;
    return {
      type: u32(at),
      offset: u32(at + 4),
      paddr: u32(at + 12),
      filesz: u32(at + 16),
      memsz: u32(at + 20),
    };
  });
  return { entry: u32(24), headers, view };
}

describe.each(GUEST_NAMES)('guest %s', (name) => {
  const file = buildGuest(name);
  const { entry, headers, view } = readElf(file);

  test('is one segment at 1 MB that ends where its layout says', () => {
    const load = headers.find((h) => h.type === 1)!;
    expect(load.paddr).toBe(LOAD_ADDRESS);
    expect(load.paddr + load.memsz).toBe(LAYOUT.end);
    expect(load.offset + load.filesz).toBe(file.length);
    expect(load.paddr + load.filesz).toBeLessThan(LAYOUT.stackTop - 4096);
  });

  test('names its 32-bit entry in a Xen note', () => {
    const note = headers.find((h) => h.type === 4)!;
    const words = [0, 4, 8, 12, 16].map((at) => view.getUint32(note.offset + at, true));
    expect(words).toEqual([4, 4, PHYS32_ENTRY, 0x006e6558, entry]);
    expect(entry).toBeGreaterThanOrEqual(LOAD_ADDRESS);
  });

  test('is the same file each time', () => {
    expect(buildGuest(name)).toEqual(file);
  });
});

test('an ELF64 file has its fields where the 64-bit layout wants them', () => {
  const file = writeElf({
    bits: 64,
    address: 0x100000,
    entry: 0x100004,
    data: Uint8Array.of(1, 2, 3),
    bss: 5,
  });
  const view = new DataView(file.buffer);
  expect([file[4], view.getUint16(18, true), view.getUint16(52, true)]).toEqual([2, 62, 64]);
  expect(view.getBigUint64(24, true)).toBe(0x100004n);
  expect(view.getUint32(64, true)).toBe(1);
  expect([view.getBigUint64(64 + 24, true), view.getBigUint64(64 + 40, true)]).toEqual([0x100000n, 8n]);
  expect([...file.subarray(4096)]).toEqual([1, 2, 3]);
});
