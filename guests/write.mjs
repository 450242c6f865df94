/** Writes every guest's ELF image: node guests/write.mjs [folder], dist/guests when none is given. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = process.argv[2] ?? join(root, 'dist/guests');
const work = mkdtempSync(join(tmpdir(), 'guests-'));
const outfile = join(work, 'build.mjs');
try {
  await build({
    entryPoints: [join(root, 'guests/build.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
  });
  const { buildGuest, GUEST_NAMES } = await import(pathToFileURL(outfile).href);
  mkdirSync(folder, { recursive: true });
  for (const name of GUEST_NAMES) writeFileSync(join(folder, `${name}.elf`), buildGuest(name));
} finally {
  rmSync(work, { recursive: true });
}
