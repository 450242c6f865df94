/**
 * The cache of fetched files: ROOT/ENTRY/{manifest.json, files...}. Every file is written under a temporary name and
 * renamed into place, the manifest last; a file that does not agree with its manifest counts as missing.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export interface CachedFile {
  readonly size: number;
  readonly sha256: string;
  /** Where it came from: packages and versions. */
  readonly from: string;
}

export interface Manifest {
  /** Layout of the manifest and of what the tools put into the files; another number means: fetch again. */
  readonly format: number;
  readonly title: string;
  readonly files: Readonly<Record<string, CachedFile>>;
}

export const FORMAT = 2;
/** The one entry that there is so far. */
export const ENTRY = 'debian';
const MANIFEST = 'manifest.json';
/** Temporary names; leftovers of a run that was killed are removed after a day. */
const TEMPORARY = /^\.tmp-/;
const LEFTOVER_MS = 24 * 3600 * 1000;

/** $DOMZERO_CACHE, else $XDG_CACHE_HOME/domzero, else ~/.cache/domzero. Empty variables count as unset. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  if (env.DOMZERO_CACHE) return resolve(env.DOMZERO_CACHE);
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'domzero');
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export class Cache {
  readonly root: string;

  constructor(root = cacheRoot()) {
    this.root = root;
  }

  /** An entry's manifest; undefined when there is none that this version understands. */
  manifest(entry: string): Manifest | undefined {
    try {
      const manifest = JSON.parse(readFileSync(join(this.root, entry, MANIFEST), 'utf8')) as Manifest;
      return manifest.format === FORMAT && typeof manifest.files === 'object' ? manifest : undefined;
    } catch {
      return undefined;
    }
  }

  /** The path of a complete file; undefined when it is missing or not what the manifest says. */
  path(entry: string, file: string): string | undefined {
    const known = this.manifest(entry)?.files[file];
    const path = join(this.root, entry, file);
    return known && statSync(path, { throwIfNoEntry: false })?.size === known.size ? path : undefined;
  }

  /** True when the entry is there with all its files. */
  has(entry: string): boolean {
    const manifest = this.manifest(entry);
    return manifest !== undefined && Object.keys(manifest.files).every((file) => this.path(entry, file));
  }

  /** Compares a file's contents with its manifest, too. */
  intact(entry: string, file: string): boolean {
    const path = this.path(entry, file);
    return path !== undefined && sha256(readFileSync(path)) === this.manifest(entry)?.files[file]?.sha256;
  }

  /** Stores an entry's files, then the manifest that makes them count. */
  store(entry: string, title: string, files: Record<string, { bytes: Uint8Array; from: string }>): Manifest {
    const dir = join(this.root, entry);
    mkdirSync(dir, { recursive: true });
    const listed: Record<string, CachedFile> = {};
    for (const [name, { bytes, from }] of Object.entries(files)) {
      this.write(dir, name, bytes);
      listed[name] = { size: bytes.length, sha256: sha256(bytes), from };
    }
    const manifest = { format: FORMAT, title, files: listed };
    this.write(dir, MANIFEST, new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
    this.removeLeftovers(dir);
    return manifest;
  }

  /** Names of the entries, of those that are complete and those that are not. */
  entries(): string[] {
    if (!existsSync(this.root)) return [];
    return readdirSync(this.root, { withFileTypes: true })
      .filter((e) => e.isDirectory() && this.manifest(e.name) !== undefined)
      .map((e) => e.name)
      .sort();
  }

  /** Removes what the cache holds; answers the entries removed. What is not an entry stays. */
  clear(): string[] {
    const entries = this.entries();
    for (const entry of entries) rmSync(join(this.root, entry), { recursive: true, force: true });
    this.removeWork();
    return entries;
  }

  /** A directory of this process for a fetcher's own state, such as package lists. */
  workDir(): string {
    return join(this.root, `.work-${process.pid}`);
  }

  removeWork(): void {
    rmSync(this.workDir(), { recursive: true, force: true });
  }

  private write(dir: string, name: string, bytes: Uint8Array): void {
    const temporary = join(dir, `.tmp-${process.pid}-${randomBytes(6).toString('hex')}`);
    try {
      writeFileSync(temporary, bytes, { flush: true });
      renameSync(temporary, join(dir, name));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  private removeLeftovers(dir: string): void {
    for (const name of readdirSync(dir).filter((n) => TEMPORARY.test(n))) {
      const path = join(dir, name);
      const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age > LEFTOVER_MS) rmSync(path, { force: true });
    }
  }
}
