/**
 * A small initial ramdisk around a static busybox: a shell with job control on the guest's console, where `poweroff`,
 * `reboot` and `halt` act at once. Leaving the shell (Ctrl-D) starts a fresh one.
 */
import { utf8 } from '../../base/text.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';

export interface BusyboxRamdisk {
  readonly busybox: Uint8Array;
  /** What the welcome line and /etc/os-release call the system, such as "Debian 12 (bookworm)". */
  readonly title: string;
}

const DIRECTORIES = [
  'bin',
  'dev',
  'etc',
  'proc',
  'root',
  'run',
  'sbin',
  'sys',
  'tmp',
  'usr',
  'usr/bin',
  'usr/sbin',
];

/**
 * Process 1. The signals are those that busybox's poweroff, reboot and halt send to it; a shell takes them only while it
 * waits for something in the background. The user's shell cannot be that: what `&` starts has Ctrl-C ignored for good, in
 * all that it starts itself.
 */
const init = (title: string): string => `#!/bin/busybox sh
export PATH=/sbin:/bin:/usr/sbin:/usr/bin HOME=/root TERM=\${TERM:-vt100}
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
busybox --install -s
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /run
hostname -F /etc/hostname
trap 'poweroff -f' USR2
trap 'reboot -f' TERM
trap 'halt -f' USR1
cd /root
echo "Domzero: ${title} kernel $(uname -r), type 'poweroff' to leave"
start-stop-daemon -S -b -x ${SHELLS}
while :; do
  sleep 2147483647 &
  wait $!
done
`;

/**
 * The kernel has opened /dev/console from the archive; devtmpfs brings the real device of it, which `cttyhack` makes the
 * shell's controlling terminal.
 */
const SHELLS = '/etc/shells.sh';
const shells = `#!/bin/sh
while :; do
  setsid cttyhack sh -l < /dev/console > /dev/console 2>&1
done
`;

const file = (path: string, mode: number, data: Uint8Array | string): CpioEntry => ({
  type: 'file',
  path,
  mode,
  data: typeof data === 'string' ? utf8(data) : data,
});

export function busyboxRamdisk({ busybox, title }: BusyboxRamdisk): Uint8Array {
  if (/["'`$\\\n]/.test(title)) throw new RangeError(`initramfs: "${title}" cannot stand in a script`);
  return writeCpio([
    ...DIRECTORIES.map((path): CpioEntry => ({ type: 'dir', path, mode: path === 'tmp' ? 0o1777 : 0o755 })),
    { type: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { type: 'char', path: 'dev/null', mode: 0o666, major: 1, minor: 3 },
    file('bin/busybox', 0o755, busybox),
    file('init', 0o755, init(title)),
    file(SHELLS.slice(1), 0o755, shells),
    file('etc/hostname', 0o644, 'domzero\n'),
    file('etc/os-release', 0o644, `PRETTY_NAME="${title}"\n`),
    file('etc/passwd', 0o644, 'root:x:0:0:root:/root:/bin/sh\n'),
    file('etc/group', 0o644, 'root:x:0:\ntty:x:5:\n'),
  ]);
}
