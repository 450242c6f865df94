/**
 * Runs one of the tools that are written in TypeScript: `node tools/run.mjs NAME ARGUMENT...` bundles tools/NAME.ts and
 * calls its `main(root, arguments)`; what that answers is the exit status.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const [name, ...args] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), `${name}-`));
const outfile = join(folder, `${name}.mjs`);

/** Packages stay where they are installed: the bundle, which lies elsewhere, names them by their place. */
const installed = {
  name: 'installed packages',
  setup({ onResolve }) {
    const { resolve } = createRequire(import.meta.url);
    onResolve({ filter: /^(iced-x86|typescript)$/ }, ({ path }) => ({
      path: pathToFileURL(resolve(path)).href,
      external: true,
    }));
  },
};

try {
  await build({
    entryPoints: [join(root, 'tools', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    plugins: [installed],
    logLevel: 'warning',
  });
  const { main } = await import(pathToFileURL(outfile).href);
  process.exitCode = await main(root, args);
} finally {
  rmSync(folder, { recursive: true });
}
