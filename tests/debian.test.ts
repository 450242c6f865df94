/** Debian's stock kernel as a PVH guest, started as a user starts it. Needs `domzero fetch debian` to work here. */
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { debian, debianMissing, ramdisk, root, run, start } from './harness.ts';

const missing = await debianMissing();

describe.skipIf(missing)(`Debian's kernel${missing ? ` (${missing})` : ''}`, () => {
  let initrd = '';
  beforeAll(() => {
    const script =
      'busybox mount -t proc proc /proc\necho "UP $(busybox nproc) cpus"\nexec busybox poweroff -f';
    initrd = ramdisk('up.initrd', script);
  });

  it.each([
    [1, 128],
    [4, 128],
    [1, 1536],
    [4, 1536],
  ])('runs its init with %i vCPUs and %i MiB, and powers off', async (vcpus, memory) => {
    const name = `up-${vcpus}-${memory}`;
    const file = debian(name, [`vcpus = ${vcpus}`, `memory = ${memory}`, `ramdisk = "${initrd}"`]);
    const r = await run(['run', file, '--timeout', '240']);
    expect(r.stdout).toContain(`UP ${vcpus} cpus`);
    expect(r.status).toBe(0);
  });

  it('runs as two guests of one machine', async () => {
    const files = ['alice', 'bob'].map((n) => debian(n, ['memory = 256', `ramdisk = "${initrd}"`]));
    const r = await run(['run', ...files, '--timeout', '240']);
    expect(r.stdout).toContain('[alice] UP 1 cpus');
    expect(r.stdout).toContain('[bob] UP 1 cpus');
    expect(r.status).toBe(0);
  });

  it('gives the user a shell that works, until poweroff', async () => {
    const guest = start(['run', join(root, 'examples', 'debian-pvh.cfg'), '--timeout', '240']);
    await guest.shows(/~ # /);
    await guest.type(
      'uname -r; nproc; grep -c ^processor /proc/cpuinfo; dmesg | grep -ci xen; echo asked',
      /\nasked/,
    );
    guest.child.stdin.write('poweroff\n');
    const r = await guest.ended;
    expect(r.stdout).toMatch(/\n6\.\d+\.\d+-\d+-cloud-amd64\r?\n2\r?\n2\r?\n\d\d+\r?\n/);
    expect(r.status).toBe(0);
  });
});
