/**
 * Writes an initial ramdisk: a cpio archive in the "newc" format. The same entries always give the same bytes: inode
 * numbers count up, times are 0, everything belongs to root.
 *
 * @spec Linux Documentation/driver-api/early-userspace/buffer-format.rst
 */
import { utf8 } from '../../base/text.ts';

export type CpioEntry =
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: 'dir'; readonly path: string; readonly mode: number }
  | { readonly type: 'link'; readonly path: string; readonly target: string }
  | {
      readonly type: 'char';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = { file: 0o100000, dir: 0o040000, link: 0o120000, char: 0o020000 } as const;
const TRAILER = 'TRAILER!!!';
/** Archives are padded to tape blocks of this size. */
const BLOCK = 512;

const pad4 = (n: number): number => (4 - (n & 3)) & 3;

interface Header {
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
  readonly nameSize: number;
}

/** "070701" and thirteen fields of eight hexadecimal digits. */
function header(h: Header): string {
  const uid = 0;
  const gid = 0;
  const mtime = 0;
  const check = 0;
  const [devMajor, devMinor] = [0, 0];
  return [
    h.ino,
    h.mode,
    uid,
    gid,
    h.nlink,
    mtime,
    h.size,
    devMajor,
    devMinor,
    h.major,
    h.minor,
    h.nameSize,
    check,
  ].reduce((text, field) => text + field.toString(16).padStart(8, '0'), '070701');
}

/** Paths are relative, without `.` and `..`, so that an archive cannot mean another place. */
function checkedPath(path: string): string {
  const bad = path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (bad || path.includes('\0')) throw new RangeError(`cpio: "${path}" is not a plain relative path`);
  return path;
}

function contents(entry: CpioEntry): Uint8Array {
  if (entry.type === 'file') return entry.data;
  return entry.type === 'link' ? utf8(entry.target) : new Uint8Array(0);
}

/** The pieces of one member: header, name, padding, data, padding. */
function member(entry: CpioEntry, ino: number): Uint8Array[] {
  const name = utf8(`${checkedPath(entry.path)}\0`);
  const data = contents(entry);
  const device = entry.type === 'char' ? entry : { major: 0, minor: 0 };
  const permissions = entry.type === 'link' ? 0o777 : entry.mode;
  const head = utf8(
    header({
      ino,
      mode: TYPE_BITS[entry.type] | permissions,
      nlink: entry.type === 'dir' ? 2 : 1,
      size: data.length,
      major: device.major,
      minor: device.minor,
      nameSize: name.length,
    }),
  );
  const namePad = new Uint8Array(pad4(head.length + name.length));
  return [head, name, namePad, data, new Uint8Array(pad4(data.length))];
}

function trailer(): Uint8Array[] {
  const name = utf8(`${TRAILER}\0`);
  const head = utf8(
    header({ ino: 0, mode: 0, nlink: 1, size: 0, major: 0, minor: 0, nameSize: name.length }),
  );
  return [head, name, new Uint8Array(pad4(head.length + name.length))];
}

/** Directories must come before what is in them; entries are written in the order given. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const pieces = entries.flatMap((entry, i) => member(entry, i + 1)).concat(trailer());
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const out = new Uint8Array(Math.ceil(size / BLOCK) * BLOCK);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
