/**
 * Bundles the programs into dist/: domzero, xl and every worker they start, as ES modules that need nothing but Node;
 * and builds the test guests into dist/guests/.
 *
 * Runs on `npm ci` (prepare). Without esbuild (an install that leaves out the development dependencies) it keeps
 * the dist/ that is there and says so; the install does not fail for it.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const programs = ['domzero.ts', 'xl.ts'];

async function loadEsbuild() {
  try {
    return await import('esbuild');
  } catch (error) {
    const built = existsSync(join(root, 'dist', 'domzero.js'));
    const reason = error.code === 'ERR_MODULE_NOT_FOUND' ? 'esbuild is not installed' : error.message;
    console.error(
      built
        ? `build: ${reason}; keeping the dist/ that is there`
        : `build: ${reason}, so dist/ was not built; run "npm ci" with development dependencies`,
    );
    return undefined;
  }
}

async function buildPrograms(esbuild) {
  const apps = join(root, 'src', 'apps');
  const workers = readdirSync(apps).filter((name) => name.endsWith('-worker.ts'));
  await esbuild.build({
    entryPoints: [...programs, ...workers].map((name) => join(apps, name)),
    outdir: join(root, 'dist'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: true,
    logLevel: 'warning',
  });
}

/** guests/build.ts assembles the guests; Node 20 cannot run it as it stands. */
async function buildGuests(esbuild) {
  const bundle = await esbuild.build({
    entryPoints: [join(root, 'guests', 'build.ts')],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'warning',
  });
  const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
  const { GUEST_NAMES, buildGuest } = await import(`data:text/javascript;base64,${code}`);
  const dir = join(root, 'dist', 'guests');
  mkdirSync(dir, { recursive: true });
  for (const name of GUEST_NAMES) writeFileSync(join(dir, `${name}.elf`), buildGuest(name));
}

const esbuild = await loadEsbuild();
if (esbuild) {
  await buildPrograms(esbuild);
  await buildGuests(esbuild);
}
