/** What each command of `domzero` does. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseCommand, type RunCommand, USAGE } from './args.ts';
import { EXIT, type ExitStatus } from './exit-status.ts';
import { Cache, ENTRY } from './fetch/cache.ts';
import type { RunGuests } from './guest-run.ts';
import type { ProgramParts } from './program.ts';
import { runCommand } from './run.ts';

export interface MainParts extends ProgramParts {
  readonly runGuests: RunGuests;
}

/** A file of the package; the same from src/apps/ and from dist/. */
function packageFile(name: string): string {
  const up = import.meta.url.includes('/src/apps/') ? '../..' : '..';
  return fileURLToPath(new URL(`${up}/${name}`, import.meta.url));
}

const version = (): string =>
  (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;

async function fetch(parts: MainParts, mirror: string | undefined, force: boolean): Promise<ExitStatus> {
  const { progress } = parts;
  const cache = new Cache();
  const kept = force ? undefined : cache.has(ENTRY) && cache.manifest(ENTRY);
  const from = mirror ?? (process.env.DOMZERO_MIRROR || undefined);
  const options = { mirror: from, cache, progress: (note: string) => progress.show(note) };
  const manifest = kept || (await (await import('./fetch/debian.ts')).fetchDebian(options));
  progress.clear();
  parts.message(`${kept ? 'in the cache' : 'fetched'}: ${manifest.title}`);
  return EXIT.ok;
}

async function start(parts: MainParts, command: RunCommand): Promise<ExitStatus> {
  if (!new Cache().has(ENTRY)) await fetch(parts, undefined, false);
  return runCommand({ ...command, files: [packageFile('examples/debian-pvh.cfg')] }, parts);
}

function cacheList(parts: MainParts): ExitStatus {
  const cache = new Cache();
  const entries = cache.entries();
  parts.print(entries.length === 0 ? `${cache.root}: empty\n` : `${cache.root}:\n`);
  for (const entry of entries) {
    const manifest = cache.manifest(entry)!;
    parts.print(`${entry}  ${manifest.title}\n`);
    for (const [name, file] of Object.entries(manifest.files)) {
      const state = cache.intact(entry, name) ? '' : '  DAMAGED';
      const size = `${(file.size / 2 ** 20).toFixed(1)} MiB`;
      parts.print(`  cache:${entry}/${name}  ${size}  ${file.from}${state}\n`);
    }
  }
  return EXIT.ok;
}

function cacheClear(parts: MainParts): ExitStatus {
  const removed = new Cache().clear();
  parts.message(removed.length === 0 ? 'the cache was empty' : `removed ${removed.join(', ')}`);
  return EXIT.ok;
}

export async function main(argv: readonly string[], parts: MainParts): Promise<ExitStatus> {
  const command = parseCommand(argv);
  switch (command.name) {
    case 'run':
      return runCommand(command, parts);
    case 'start':
      return start(parts, command);
    case 'fetch':
      return fetch(parts, command.mirror, command.force);
    case 'cache list':
      return cacheList(parts);
    case 'cache clear':
      return cacheClear(parts);
    case 'help':
      parts.print(USAGE);
      return EXIT.ok;
    case 'version':
      parts.print(`domzero ${version()}\n`);
      return EXIT.ok;
  }
}
