/**
 * Debian packages straight from a mirror, for machines without apt. Trust runs as in apt: the suite's InRelease file
 * is signed by a key that is listed here, it carries the hash of the package index, and that the hash of each package.
 *
 * @spec Debian RepositoryFormat
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { DebPackage, PackageSource } from './apt.ts';
import { sha256 } from './cache.ts';
import { ARCHIVE_KEYS } from './debian-keys.ts';
import { verifyClearSigned } from './openpgp.ts';

const SUITE = 'bookworm';
/** Debian's indices are offered in this form by every mirror. */
const INDEX = 'main/binary-amd64/Packages.gz';

/** Gets a file; throws with the reason when it cannot. */
export type Get = (url: string) => Promise<Uint8Array>;

const httpGet: Get = async (url) => {
  const response = await fetch(url).catch((error: Error) => {
    throw new Error(`${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`);
  });
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
};

/** A paragraph of `Key: value` lines; continuation lines are joined with newlines. */
export function parseParagraph(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let key = '';
  for (const line of text.split('\n')) {
    const match = /^([A-Za-z0-9-]+):\s*(.*)$/.exec(line);
    if (match) fields.set((key = match[1]!), match[2]!);
    else if (/^\s/.test(line)) fields.set(key, `${fields.get(key) ?? ''}\n${line.trim()}`);
  }
  return fields;
}

interface IndexEntry {
  readonly size: number;
  readonly sha256: string;
}

/** The SHA256 list of a Release file: path to size and hash. */
export function parseRelease(text: string): Map<string, IndexEntry> {
  const list = parseParagraph(text).get('SHA256') ?? '';
  const rows = [...list.matchAll(/^([0-9a-f]{64})\s+(\d+)\s+(\S+)$/gm)];
  return new Map(rows.map(([, hash, size, path]) => [path!, { sha256: hash!, size: Number(size) }]));
}

const verifyRelease = (message: Uint8Array): string => verifyClearSigned(message, ARCHIVE_KEYS);

/** A Release file is good until its Valid-Until date, where it has one. */
function checkFresh(release: string, now: number): void {
  const until = parseParagraph(release).get('Valid-Until');
  if (until !== undefined && !(Date.parse(until) > now))
    throw new Error(`the release file expired on ${until}`);
}

function checkedHash(what: string, bytes: Uint8Array, expected: IndexEntry): Uint8Array {
  if (bytes.length === expected.size && sha256(bytes) === expected.sha256) return bytes;
  throw new Error(`${what}: does not have the size and hash that the signed index gives`);
}

/** Paragraphs of a package index by package name; of several versions the last, as indices list them in order. */
export function parsePackages(text: string): Map<string, Map<string, string>> {
  const packages = new Map<string, Map<string, string>>();
  for (const paragraph of text.split('\n\n')) {
    const name = /^Package: (\S+)$/m.exec(paragraph)?.[1];
    if (name !== undefined) packages.set(name, parseParagraph(paragraph));
  }
  return packages;
}

export class Mirror implements PackageSource {
  private readonly base: string;
  private readonly packages: Map<string, Map<string, string>>;
  private readonly get: Get;

  private constructor(base: string, packages: Map<string, Map<string, string>>, get: Get) {
    this.base = base;
    this.packages = packages;
    this.get = get;
  }

  static async open(
    url: string,
    progress: (note: string) => void,
    get = httpGet,
    verify = verifyRelease,
  ): Promise<Mirror> {
    const base = url.replace(/\/+$/, '');
    if (!/^https?:\/\//.test(base)) throw new Error('a mirror is named by its https address');
    const dists = `${base}/dists/${SUITE}`;
    progress('fetching the package index');
    const release = verify(await get(`${dists}/InRelease`));
    checkFresh(release, Date.now());
    const listed = parseRelease(release).get(INDEX);
    if (!listed) throw new Error(`${dists}/InRelease: lists no ${INDEX}`);
    const index = checkedHash(`${dists}/${INDEX}`, await get(`${dists}/${INDEX}`), listed);
    return new Mirror(base, parsePackages(gunzipSync(index).toString('utf8')), get);
  }

  async dependency(name: string, wanted: RegExp): Promise<string> {
    const depends = this.fields(name).get('Depends') ?? '';
    const found = depends.split(/[,|]/).map((d) => d.trim().split(' ')[0]!);
    const match = found.find((d) => wanted.test(d));
    if (match === undefined) throw new Error(`${name} depends on no package like ${wanted.source}`);
    return match;
  }

  async download(name: string, dir: string): Promise<DebPackage> {
    const fields = this.fields(name);
    const path = fields.get('Filename') ?? '';
    const expected = { size: Number(fields.get('Size')), sha256: fields.get('SHA256') ?? '' };
    const url = `${this.base}/${path}`;
    const bytes = checkedHash(url, await this.get(url), expected);
    const file = join(dir, `${name}.deb`);
    writeFileSync(file, bytes);
    return { name, version: fields.get('Version') ?? '', suite: SUITE, file };
  }

  private fields(name: string): Map<string, string> {
    const fields = this.packages.get(name);
    if (!fields) throw new Error(`the mirror has no package ${name}`);
    return fields;
  }
}
