/** The 32-bit guests of the comparison with v86: Debian's 686-pae kernel and the rows' programs as 32-bit ones. */
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CC, compile, EM_386, layOver, PROGRAMS, sources } from './guest.mjs';

const KERNEL = /^linux-image-(\d\S*-686-pae)_([^_]+)_i386\.deb$/;
const BUSYBOX = /^busybox-static_[^_]+_i386\.deb$/;
const PATCH = fileURLToPath(new URL('v86-programs.patch', import.meta.url));
/** The rows' floating point is SSE2's, as 64-bit compilers make it; the checksums are the same then. */
const FLAGS = ['-m32', '-msse2', '-mfpmath=sse'];
/** What v86's CPU has not, by the row that needs it. */
const LACKS = { shuffle: 'v86 has no SSSE3' };

/** The one package in a folder whose name matches. */
function packageIn(folder, pattern, what) {
  const found = readdirSync(folder).filter((name) => pattern.test(name));
  if (found.length !== 1)
    throw new Error(`--debian ${folder}: ${found.length} packages of ${what} there, not one`);
  return found[0];
}

/** The programs' sources without what only 64-bit compilers have, in a folder of their own. */
function portableSources(folder) {
  const copy = join(folder, 'programs');
  cpSync(PROGRAMS, copy, { recursive: true });
  const { status, error, stdout, stderr } = spawnSync('patch', ['-N', '-p1', '-i', PATCH], {
    cwd: copy,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`patch ${PATCH}: ${error?.message ?? `${stdout}${stderr}`.trim()}`);
  return copy;
}

/** The row as it is here: what it needs says why it cannot run. */
export const rowFor32 = (row) => (LACKS[row.name] ? { ...row, needs: row.name } : row);

/** Makes the guests, as `prepareGuests` does, of the packages in a folder. */
export async function prepareGuests32(debian, rows, folder) {
  const { busyboxRamdisk, fileFromDeb, writeCpio } = await sources();
  const [name, version, number] = KERNEL.exec(packageIn(debian, KERNEL, 'linux-image-*-686-pae'));
  const deb = (file, wanted) => fileFromDeb(join(debian, file), wanted);
  const { data: vmlinuz } = await deb(name, /^boot\/vmlinuz-/);
  const busybox = packageIn(debian, BUSYBOX, 'busybox-static');
  const { data: shell } = await deb(busybox, /^(usr\/)?bin\/busybox$/);
  const title = `Debian, linux-image-${version} ${decodeURIComponent(number)}`;
  const kernel = join(folder, 'vmlinuz');
  writeFileSync(kernel, vmlinuz);

  const families = new Set(rows.filter(({ needs }) => needs === 'compiler').map(({ family }) => family));
  const compiled = compile(families, folder, {
    sources: portableSources(folder),
    flags: FLAGS,
    machine: EM_386,
  });
  const missing = {
    compiler: compiled ? undefined : `${CC} makes no static 32-bit programs`,
    debian: 'a 64-bit program',
    ...LACKS,
  };
  const possible = rows.filter(({ needs }) => !missing[needs]);
  const base = Buffer.from(busyboxRamdisk({ busybox: shell, title }));
  return {
    title,
    ...layOver({ kernel, base, folder }, possible, compiled ?? [], writeCpio),
    possible,
    missing,
  };
}
