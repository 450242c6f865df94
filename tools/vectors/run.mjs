/** Bundles the recorder and runs it: node tools/vectors/run.mjs record|check ..., see docs/VECTORS.md. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vectors-'));
const outfile = join(folder, 'main.mjs');
try {
  const entryPoints = [join(root, 'tools/vectors/main.ts')];
  await build({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm' });
  const { main } = await import(pathToFileURL(outfile).href);
  process.exitCode = main(root, process.argv.slice(2));
} finally {
  rmSync(folder, { recursive: true });
}
