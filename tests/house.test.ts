/** Rules of the house that tools check: types, the platform each layer may use, imports, and style. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A tool's complaints; empty when it has none. */
function complaints(tool: string, args: string[]): Promise<string> {
  const script = `${root}node_modules/${tool}`;
  if (!existsSync(script)) return Promise.resolve(`${script} is missing`);
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [script, ...args],
      { cwd: root, maxBuffer: 16 << 20 },
      (error, stdout, stderr) => {
        resolve(error ? `${stdout}${stderr}` || error.message : '');
      },
    );
  });
}

describe('the house rules', () => {
  it('the core compiles without anything of a host', async () => {
    expect(await complaints('typescript/bin/tsc', ['-p', 'tsconfig.core.json'])).toBe('');
  });

  it('everything compiles', async () => {
    expect(await complaints('typescript/bin/tsc', ['-p', 'tsconfig.json'])).toBe('');
  });

  it('layers import downward only, without cycles', async () => {
    const args = ['src', '--config', '.dependency-cruiser.cjs', '--output-type', 'err'];
    expect(await complaints('dependency-cruiser/bin/dependency-cruise.mjs', args)).toBe('');
  });

  it('formatting and lint are clean', async () => {
    expect(await complaints('@biomejs/biome/bin/biome', ['check', '.'])).toBe('');
  });

  it('the lock file names the packages of all platforms, without which npm ci refuses it', () => {
    type Package = { optionalDependencies?: Record<string, string> };
    const lock = readFileSync(`${root}package-lock.json`, 'utf8');
    const { packages } = JSON.parse(lock) as { packages: Record<string, Package> };
    const optional = Object.values(packages).flatMap((p) => Object.keys(p.optionalDependencies ?? {}));
    expect(
      optional.filter((name) => !Object.keys(packages).some((p) => p.endsWith(`node_modules/${name}`))),
    ).toEqual([]);
  });
});
