import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../base/text.ts';
import { busyboxRamdisk } from './busybox.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';

const entries: CpioEntry[] = [
  { type: 'dir', path: 'etc', mode: 0o755 },
  { type: 'file', path: 'etc/motd', mode: 0o640, data: utf8('hello') },
  { type: 'link', path: 'etc/issue', target: 'motd' },
  { type: 'char', path: 'null', mode: 0o666, major: 1, minor: 3 },
];
const hasCpio = spawnSync('cpio', ['--version']).status === 0;

const cpio = (args: string[], archive: Uint8Array): string => {
  const ran = spawnSync('cpio', args, { input: archive, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } });
  expect(ran.status).toBe(0);
  return ran.stdout.toString();
};

describe('an initial ramdisk archive', () => {
  it('begins a member with its newc header, name and aligned data', () => {
    const archive = writeCpio([entries[1]!]);
    const text = String.fromCharCode(...archive.subarray(0, 128));
    expect(text.slice(0, 22)).toBe('07070100000001000081a0');
    expect(text.slice(110, 119)).toBe('etc/motd\0');
    expect(text.slice(120, 128)).toBe('hello\0\0\0');
    expect(archive.length % 512).toBe(0);
  });

  it('is the same for the same entries', () => {
    expect(writeCpio(entries)).toEqual(writeCpio(entries));
  });

  it('refuses a path that could mean another place', () => {
    for (const path of ['/etc', 'a/../b', 'a//b', '', './a', 'a\0b']) {
      expect(() => writeCpio([{ type: 'dir', path, mode: 0o755 }])).toThrow(RangeError);
    }
  });

  it.skipIf(!hasCpio)('reads back the same in GNU cpio', () => {
    const lines = cpio(['-itv', '--quiet', '--numeric-uid-gid'], writeCpio(entries)).trim().split('\n');
    expect(lines.map((line) => line.replace(/ +/g, ' '))).toEqual([
      'drwxr-xr-x 2 0 0 0 Jan 1 1970 etc',
      '-rw-r----- 1 0 0 5 Jan 1 1970 etc/motd',
      'lrwxrwxrwx 1 0 0 4 Jan 1 1970 etc/issue -> motd',
      'crw-rw-rw- 1 0 0 1, 3 Jan 1 1970 null',
    ]);
  });

  it.skipIf(!hasCpio)('of busybox holds a console and an init that shells understand', () => {
    const disk = busyboxRamdisk({ busybox: utf8('BUSYBOX'), title: 'Debian 12 (bookworm)' });
    const names = cpio(['-it', '--quiet'], disk).trim().split('\n');
    expect(names).toEqual(expect.arrayContaining(['dev/console', 'init', 'bin/busybox']));
    const init = cpio(['-i', '--quiet', '--to-stdout', 'init'], disk);
    expect(spawnSync('sh', ['-n'], { input: init }).status).toBe(0);
    expect(init).toContain('Domzero: Debian 12 (bookworm) kernel $(uname -r)');
  });

  it('refuses a title that would break out of its script', () => {
    expect(() => busyboxRamdisk({ busybox: utf8(''), title: '"; reboot; "' })).toThrow(RangeError);
  });
});
