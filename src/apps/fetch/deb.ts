/** Takes one file out of a Debian package, with dpkg-deb where that is installed and without it elsewhere. */
import { readFileSync } from 'node:fs';
import { decompress } from '../../toolstack/loader/decompress.ts';
import { findInTar, readAr } from './archive.ts';
import { hasProgram, output } from './commands.ts';

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The data member of a package, decompressed. */
function dataTar(deb: Uint8Array): Uint8Array {
  for (const [name, bytes] of readAr(deb)) {
    if (!name.startsWith('data.tar')) continue;
    const tar = name === 'data.tar' ? bytes : decompress(bytes);
    if (!tar) throw new Error(`${name}: unknown compression`);
    return tar;
  }
  throw new Error('no data.tar in the package');
}

export async function fileFromDeb(
  deb: string,
  wanted: RegExp,
  withDpkg = hasProgram('dpkg-deb'),
): Promise<{ path: string; data: Uint8Array }> {
  const tar = withDpkg ? output('dpkg-deb', ['--fsys-tarfile', deb]) : once(dataTar(readFileSync(deb)));
  const found = await findInTar(tar, wanted);
  if (!found) throw new Error(`${deb}: no file matches ${wanted.source}`);
  return found;
}
