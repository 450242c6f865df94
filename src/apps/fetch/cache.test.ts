import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../exit-status.ts';
import { imagePath } from '../images.ts';
import { Cache, cacheRoot } from './cache.ts';

let root: string;
let cache: Cache;
const file = (text: string) => ({ bytes: new TextEncoder().encode(text), from: 'pkg 1' });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'domzero-test-'));
  cache = new Cache(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('the cache', () => {
  it('lies where the environment says', () => {
    expect(cacheRoot({ DOMZERO_CACHE: '/c', XDG_CACHE_HOME: '/x' })).toBe('/c');
    expect(cacheRoot({ DOMZERO_CACHE: '', XDG_CACHE_HOME: '/x' })).toBe('/x/domzero');
    expect(cacheRoot({})).toMatch(/\/\.cache\/domzero$/);
  });

  it('finds what was stored, and lists it', () => {
    cache.store('debian', 'Debian', { vmlinuz: file('kernel'), initrd: file('disk') });
    expect(cache.path('debian', 'vmlinuz')).toBe(join(root, 'debian', 'vmlinuz'));
    expect(cache.has('debian')).toBe(true);
    expect(cache.intact('debian', 'initrd')).toBe(true);
    expect(cache.entries()).toEqual(['debian']);
    expect(readdirSync(join(root, 'debian')).sort()).toEqual(['initrd', 'manifest.json', 'vmlinuz']);
  });

  it('takes a cut file for missing and a changed one for damaged', () => {
    cache.store('debian', 'Debian', { vmlinuz: file('kernel'), initrd: file('disk') });
    writeFileSync(join(root, 'debian', 'vmlinuz'), 'kern');
    writeFileSync(join(root, 'debian', 'initrd'), 'dirk');
    expect(cache.path('debian', 'vmlinuz')).toBeUndefined();
    expect(cache.has('debian')).toBe(false);
    expect(cache.intact('debian', 'initrd')).toBe(false);
  });

  it('takes files without a manifest, or with a damaged or newer one, for missing', () => {
    mkdirSync(join(root, 'debian'));
    writeFileSync(join(root, 'debian', 'vmlinuz'), 'kernel');
    expect(cache.has('debian')).toBe(false);
    writeFileSync(join(root, 'debian', 'manifest.json'), '{"format":');
    expect(cache.has('debian')).toBe(false);
    writeFileSync(join(root, 'debian', 'manifest.json'), '{"format":99,"files":{}}');
    expect(cache.has('debian')).toBe(false);
  });

  it('removes old leftovers of killed runs, not those of a run that may be going on', () => {
    mkdirSync(join(root, 'debian'));
    for (const name of ['.tmp-1-old', '.tmp-2-new']) writeFileSync(join(root, 'debian', name), '');
    utimesSync(join(root, 'debian', '.tmp-1-old'), 0, 0);
    cache.store('debian', 'Debian', { vmlinuz: file('kernel') });
    expect(readdirSync(join(root, 'debian')).sort()).toEqual(['.tmp-2-new', 'manifest.json', 'vmlinuz']);
  });

  it('clears its entries and leaves what is not one', () => {
    cache.store('debian', 'Debian', { vmlinuz: file('kernel') });
    mkdirSync(join(root, 'mine'));
    expect(cache.clear()).toEqual(['debian']);
    expect(readdirSync(root)).toEqual(['mine']);
  });
});

describe('an image name in a config', () => {
  const failure = (name: string): AppError => {
    try {
      imagePath(name, join(root, 'a.cfg'), cache);
    } catch (error) {
      if (error instanceof AppError) return error;
    }
    throw new Error('accepted');
  };

  it('with cache: means a file of the cache', () => {
    cache.store('debian', 'Debian', { vmlinuz: file('kernel') });
    expect(imagePath('cache:debian/vmlinuz', 'a.cfg', cache)).toBe(join(root, 'debian', 'vmlinuz'));
  });

  it('that is not in the cache says how to get it', () => {
    expect(failure('cache:debian/vmlinuz')).toMatchObject({ status: 4 });
    expect(failure('cache:debian/vmlinuz').message).toContain('domzero fetch debian');
  });

  it('cannot leave the cache', () => {
    expect(failure('cache:../../etc/passwd')).toMatchObject({ status: 3 });
    expect(failure('cache:debian/..')).toMatchObject({ status: 4 });
  });

  it('that is a path is looked for in the working directory, then beside the config', () => {
    writeFileSync(join(root, 'kernel.elf'), '');
    expect(imagePath('kernel.elf', join(root, 'a.cfg'), cache)).toBe(join(root, 'kernel.elf'));
    expect(imagePath('package.json', join(root, 'a.cfg'), cache)).toBe(join(process.cwd(), 'package.json'));
    expect(failure('nowhere.elf')).toMatchObject({ status: 4 });
  });
});
