/** The code of programs and kernels that a Debian system has, for comparisons of decoders. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from '../apps/fetch/cache.ts';
import { isBzImage, unpackBzImage } from '../toolstack/loader/bzimage.ts';
import { isElf } from '../toolstack/loader/elf.ts';

/** Where Debian puts busybox (busybox-static), libc (libc6), libcrypto (libssl3), and we its kernel. */
const FILES: Readonly<Record<string, readonly string[]>> = {
  busybox: ['/bin/busybox', '/usr/bin/busybox'],
  libc: ['/lib/x86_64-linux-gnu/libc.so.6'],
  libcrypto: ['/usr/lib/x86_64-linux-gnu/libcrypto.so.3', '/usr/lib/x86_64-linux-gnu/libcrypto.so.1.1'],
  kernel: [join(cacheRoot(), 'debian', 'vmlinuz')],
};

/** The files of this host, by name; undefined where there is none. */
export function hostFiles(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(FILES).map(([name, paths]) => [name, paths.find(existsSync)]));
}

/** The section .text of a 64-bit ELF file, or of that in a Linux bzImage. */
export function textOf(path: string): Uint8Array {
  const bytes = readFileSync(path);
  const file = isBzImage(bytes) ? unpackBzImage(bytes) : bytes;
  if (!isElf(file) || file[4] !== 2) throw new Error(`${path}: neither a 64-bit ELF file nor a bzImage`);
  const text = textSection(file);
  if (text === undefined) throw new Error(`${path}: no section .text`);
  return text;
}

function textSection(file: Uint8Array): Uint8Array | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const table = Number(view.getBigUint64(40, true));
  const section = (n: number) => {
    const at = table + n * view.getUint16(58, true);
    const offset = Number(view.getBigUint64(at + 24, true));
    return { name: view.getUint32(at, true), offset, end: offset + Number(view.getBigUint64(at + 32, true)) };
  };
  const names = section(view.getUint16(62, true));
  const wanted = new TextEncoder().encode('.text\0');
  for (let n = 1; n < view.getUint16(60, true); n++) {
    const { name, offset, end } = section(n);
    if (wanted.every((byte, k) => file[names.offset + name + k] === byte)) return file.slice(offset, end);
  }
  return undefined;
}
