/**
 * Bundles the programs into dist/: domzero, xl and every worker they start, as scripts that need nothing but Node;
 * and builds the interpreter's WebAssembly module, dist/interpreter.wasm, and the test guests, dist/guests/.
 *
 * Runs on `npm ci` (prepare). Without esbuild (an install that leaves out the development dependencies) it keeps
 * the dist/ that is there and says so; the install does not fail for it.
 */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const programs = ['domzero.ts', 'xl.ts'];

async function loadEsbuild() {
  try {
    return await import('esbuild');
  } catch (error) {
    const built = existsSync(join(dist, 'domzero.cjs'));
    const reason = error.code === 'ERR_MODULE_NOT_FOUND' ? 'esbuild is not installed' : error.message;
    console.error(
      built
        ? `build: ${reason}; keeping the dist/ that is there`
        : `build: ${reason}, so dist/ was not built; run "npm ci" with development dependencies`,
    );
    return undefined;
  }
}

/** Modules of tables that follow from what is written in them: a program gets the tables, computed here. */
const TABLES = ['src/x86/opcode-table.ts'];

function literal(value) {
  if (typeof value === 'function') throw new Error(`a module of ${TABLES} exports more than tables`);
  return ArrayBuffer.isView(value)
    ? `new ${value.constructor.name}([${value.join()}])`
    : JSON.stringify(value);
}

/** @returns {import('esbuild').Plugin} */
const computedTables = (esbuild) => ({
  name: 'computed tables',
  setup(build) {
    const paths = new Set(TABLES.map((path) => join(root, path)));
    build.onLoad({ filter: /-table\.ts$/ }, async ({ path }) => {
      if (!paths.has(path)) return undefined;
      const exported = Object.entries(await load(esbuild, path));
      return {
        contents: exported.map(([name, value]) => `export const ${name} = ${literal(value)};`).join('\n'),
      };
    });
  },
});

/**
 * Scripts, not modules: Node loads a file of those in one go, and its workers do without the loader of modules. Names stay
 * as they are written: they are what stacks and profiles show.
 */
const OUTPUT = {
  outdir: dist,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: true,
  logLevel: 'warning',
};

async function buildPrograms(esbuild) {
  const apps = join(root, 'src', 'apps');
  const workers = readdirSync(apps).filter((name) => name.endsWith('-worker.ts'));
  await esbuild.build({
    ...OUTPUT,
    entryPoints: [...programs, ...workers].map((name) => join(apps, name)),
    plugins: [computedTables(esbuild)],
  });
}

/** What a TypeScript module of ours exports; Node 20 cannot run it as it stands. */
async function load(esbuild, path) {
  const bundle = await esbuild.build({
    entryPoints: [path],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'warning',
  });
  const code = Buffer.from(bundle.outputFiles[0].contents).toString('base64');
  return import(`data:text/javascript;base64,${code}`);
}

/** The interpreter's module, for a memory of any size. */
async function buildInterpreterModule(esbuild) {
  const { buildInterpreter } = await load(esbuild, join(root, 'src/machine/interp/build.ts'));
  writeFileSync(join(dist, 'interpreter.wasm'), buildInterpreter(1, 65536));
}

async function buildGuests(esbuild) {
  const { GUEST_NAMES, buildGuest } = await load(esbuild, join(root, 'guests/build.ts'));
  const dir = join(dist, 'guests');
  mkdirSync(dir, { recursive: true });
  for (const name of GUEST_NAMES) writeFileSync(join(dir, `${name}.elf`), buildGuest(name));
}

const esbuild = await loadEsbuild();
if (esbuild) {
  await buildPrograms(esbuild);
  await buildInterpreterModule(esbuild);
  await buildGuests(esbuild);
}
