/** The file /bin/busybox of the ramdisk that `domzero fetch debian` made: what guests run, for the host to run too. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Cache } from '../src/apps/fetch/cache.ts';

export function busybox(): Uint8Array {
  const archive = gunzipSync(readFileSync(new Cache().path('debian', 'initrd') as string));
  const hex = (at: number): number => Number.parseInt(archive.toString('latin1', at, at + 8), 16);
  const pad = (n: number): number => (n + 3) & ~3;
  for (let at = 0; ; ) {
    const size = hex(at + 54);
    const name = archive.toString('latin1', at + 110, at + 109 + hex(at + 94));
    const content = pad(at + 110 + hex(at + 94));
    if (name === 'bin/busybox') return archive.subarray(content, content + size);
    if (name === 'TRAILER!!!') throw new Error('the ramdisk has no /bin/busybox');
    at = pad(content + size);
  }
}
