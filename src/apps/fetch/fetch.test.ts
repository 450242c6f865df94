import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Apt, parsePolicy, type RunProgram } from './apt.ts';
import { Cache, sha256 } from './cache.ts';
import { fileFromDeb } from './deb.ts';
import { fetchDebian } from './debian.ts';
import { Mirror, parsePackages, parseRelease } from './mirror.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'domzero-fetch-test-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A Debian package of one file, made with tar; `compress` as in data.tar.NAME. */
function deb(path: string, contents: string, compress: 'gz' | 'xz' = 'gz'): Buffer {
  const tree = mkdtempSync(join(dir, 'tree-'));
  mkdirSync(join(tree, path, '..'), { recursive: true });
  writeFileSync(join(tree, path), contents);
  const flag = compress === 'gz' ? '-cz' : '-cJ';
  const data = execFileSync('tar', [flag, '-C', tree, '.'], { maxBuffer: 1 << 26 });
  const member = (name: string, bytes: Buffer): Buffer => {
    const head = `${name.padEnd(16)}${'0'.padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}${'100644'.padEnd(8)}`;
    const pad = Buffer.alloc(bytes.length & 1, '\n');
    return Buffer.concat([Buffer.from(`${head}${String(bytes.length).padEnd(10)}\`\n`), bytes, pad]);
  };
  const control = gzipSync(execFileSync('tar', ['-c', '-T', '/dev/null']));
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    member('debian-binary', Buffer.from('2.0\n')),
    member('control.tar.gz', control),
    member(`data.tar.${compress}`, data),
  ]);
}

const hasXz = spawnSync('xz', ['--version']).status === 0;
const hasDpkg = spawnSync('dpkg-deb', ['--version']).status === 0;

describe('a file of a Debian package', () => {
  const long = `boot/${'deep-'.repeat(30)}/vmlinuz-1`;

  it('is found without dpkg-deb, under a long name too', async () => {
    writeFileSync(join(dir, 'a.deb'), deb(long, 'kernel'));
    const found = await fileFromDeb(join(dir, 'a.deb'), /vmlinuz-/, false);
    expect([found.path, Buffer.from(found.data).toString()]).toEqual([long, 'kernel']);
  });

  it.skipIf(!hasXz)('is found in an xz package without dpkg-deb', async () => {
    writeFileSync(join(dir, 'a.deb'), deb('boot/vmlinuz-1', 'kernel'.repeat(9999), 'xz'));
    const found = await fileFromDeb(join(dir, 'a.deb'), /^boot\/vmlinuz-/, false);
    expect(found.data.length).toBe(59_994);
  });

  it.skipIf(!hasDpkg)('is found with dpkg-deb, without unpacking the rest', async () => {
    writeFileSync(join(dir, 'a.deb'), deb('boot/vmlinuz-1', 'kernel'));
    const found = await fileFromDeb(join(dir, 'a.deb'), /^boot\/vmlinuz-/, true);
    expect(Buffer.from(found.data).toString()).toBe('kernel');
  });

  it('that is not there, or a package that is damaged, is an error', async () => {
    const whole = deb('boot/vmlinuz-1', 'kernel');
    const path = join(dir, 'a.deb');
    writeFileSync(path, whole);
    await expect(fileFromDeb(path, /initrd/, false)).rejects.toThrow('no file matches initrd');
    for (const damaged of [whole.subarray(0, 200), whole.subarray(9), Buffer.from('<html>')]) {
      writeFileSync(path, damaged);
      await expect(fileFromDeb(path, /vmlinuz/, false)).rejects.toThrow();
    }
  });
});

const POLICY = `busybox-static:
  Installed: 1:1.34
  Candidate: 1:1.35.0-4+b1
  Version table:
     1:1.35.0-4+b1 500
        500 http://mirror.example/debian-security bookworm-security/main amd64 Packages
 *** 1:1.34 100
        100 /var/lib/dpkg/status
`;

describe('apt', () => {
  it("names the candidate's version and release", () => {
    expect(parsePolicy(POLICY)).toEqual({ version: '1:1.35.0-4+b1', suite: 'bookworm' });
    expect(parsePolicy(POLICY.replace('1:1.35.0-4+b1\n', '(none)\n'))).toBeUndefined();
    expect(parsePolicy('')).toBeUndefined();
  });

  /** An apt whose lists know the kernel only after an update, as in a fresh container. */
  function fakeApt(calls: string[]): RunProgram {
    const kernel = 'linux-image-6.1.0-9-cloud-amd64';
    return async (program, args, cwd) => {
      const words = args.filter((arg, i) => arg !== '-o' && args[i - 1] !== '-o' && arg !== '-q');
      const [verb, name = ''] = words;
      const fresh = args.some((arg) => arg.startsWith('Dir::State::Lists='));
      calls.push(`${program} ${words.join(' ')}${fresh ? ' (own lists)' : ''}`);
      const answer = (stdout: string, status = 0) => ({
        status,
        stdout,
        stderr: status === 0 ? '' : 'E: nothing',
      });
      if (verb === 'update') return answer('');
      if (!fresh) return answer('', 100);
      if (verb === 'depends') return answer(`${name}\n  Depends: ${kernel}\n`);
      if (verb === 'policy') return answer(POLICY);
      const [plain] = name.split('=');
      const contents = plain === kernel ? deb('boot/vmlinuz-6', 'KERNEL') : deb('bin/busybox', 'BUSYBOX');
      writeFileSync(join(cwd!, `${plain}_1_amd64.deb`), contents);
      return answer('');
    };
  }

  it('with lists that lack the kernel fetches lists of its own, without root', async () => {
    const calls: string[] = [];
    const cache = new Cache(join(dir, 'cache'));
    const options = { mirror: undefined, cache, progress: () => {}, run: fakeApt(calls), hasApt: true };
    const manifest = await fetchDebian(options);
    expect(manifest.title).toBe('Debian 12 (bookworm), linux-image-6.1.0-9-cloud-amd64 1:1.35.0-4+b1');
    expect(readFileSync(cache.path('debian', 'vmlinuz')!, 'utf8')).toBe('KERNEL');
    expect(readFileSync(cache.path('debian', 'initrd')!).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
    expect(calls.slice(0, 3)).toEqual([
      'apt-cache depends linux-image-cloud-amd64',
      'apt-get update (own lists)',
      'apt-cache depends linux-image-cloud-amd64 (own lists)',
    ]);
  });

  it('that cannot fetch leaves the cache as it was and says what apt said', async () => {
    const cache = new Cache(join(dir, 'cache'));
    const run: RunProgram = async () => ({ status: 100, stdout: '', stderr: 'E: no network\n' });
    const fetching = fetchDebian({ mirror: undefined, cache, progress: () => {}, run, hasApt: true });
    await expect(fetching).rejects.toMatchObject({ status: 1, message: /E: no network/ });
    expect(cache.has('debian')).toBe(false);
  });

  it('that is not installed is asked to be replaced by a mirror', async () => {
    const cache = new Cache(join(dir, 'cache'));
    const fetching = fetchDebian({ mirror: undefined, cache, progress: () => {}, hasApt: false });
    await expect(fetching).rejects.toMatchObject({ status: 1, message: /--mirror URL/ });
  });

  it('lists of its own lie below the directory it was given', async () => {
    const seen: string[] = [];
    await Apt.fresh(join(dir, 'work'), async (_program, args) => {
      seen.push(...args);
      return { status: 0, stdout: '', stderr: '' };
    });
    expect(seen).toContain(`Dir::State::Lists=${join(dir, 'work', 'lists')}`);
  });
});

describe('a mirror', () => {
  const packages = `Package: a\nVersion: 1\nDepends: b (>= 2), linux-image-6-cloud-amd64 | c\nFilename: pool/a.deb
Size: 3\nSHA256: ${sha256(Buffer.from('DEB'))}\nDescription: x\n more\n\nPackage: b\nVersion: 2\n`;

  it('lists packages with their fields', () => {
    const a = parsePackages(packages).get('a')!;
    expect([a.get('Version'), a.get('Description'), parsePackages(packages).size]).toEqual([
      '1',
      'x\nmore',
      2,
    ]);
  });

  it('lists index files with size and hash', () => {
    const hash = 'a'.repeat(64);
    const release = `Suite: x\nMD5Sum:\n ${'b'.repeat(32)} 9 f\nSHA256:\n ${hash} 12 main/f\n ${hash} 5 g\n`;
    expect(parseRelease(release).get('main/f')).toEqual({ size: 12, sha256: hash });
    expect(parseRelease(release).size).toBe(2);
  });

  it('is refused when its release file is not signed by a known key', async () => {
    const get = async (): Promise<Uint8Array> => Buffer.from('Suite: bookworm\n');
    await expect(Mirror.open('https://m.example', () => {}, get)).rejects.toThrow('not a clear-signed');
  });

  it('is refused when it is not a web address', async () => {
    await expect(Mirror.open('/srv/debian', () => {})).rejects.toThrow('https address');
  });

  const open = (files: Record<string, Buffer>) =>
    Mirror.open(
      'https://m.example/debian/',
      () => {},
      async (url) => files[url.replace('https://m.example/debian/', '')]!,
      (message) => Buffer.from(message).toString(),
    );

  const site = (index = gzipSync(packages)): Record<string, Buffer> => ({
    'dists/bookworm/InRelease': Buffer.from(
      `SHA256:\n ${sha256(gzipSync(packages))} ${gzipSync(packages).length} main/binary-amd64/Packages.gz\n`,
    ),
    'dists/bookworm/main/binary-amd64/Packages.gz': index,
    'pool/a.deb': Buffer.from('DEB'),
  });

  it('answers dependencies and packages whose hashes agree', async () => {
    const mirror = await open(site());
    expect(await mirror.dependency('a', /^linux-image-/)).toBe('linux-image-6-cloud-amd64');
    const got = await mirror.download('a', dir);
    expect([got.version, readFileSync(got.file, 'utf8')]).toEqual(['1', 'DEB']);
    await expect(mirror.download('zz', dir)).rejects.toThrow('no package zz');
  });

  it('is refused where a hash does not agree', async () => {
    await expect(open(site(gzipSync(`${packages}x`)))).rejects.toThrow('Packages.gz: does not have');
    const mirror = await open({ ...site(), 'pool/a.deb': Buffer.from('BAD') });
    await expect(mirror.download('a', dir)).rejects.toThrow('a.deb: does not have');
  });

  it('is refused when its release file has expired', async () => {
    const files = site();
    const until = Buffer.from('Valid-Until: Sat, 01 Jan 2022 00:00:00 UTC\n');
    files['dists/bookworm/InRelease'] = Buffer.concat([until, files['dists/bookworm/InRelease']!]);
    await expect(open(files)).rejects.toThrow('expired');
  });
});
