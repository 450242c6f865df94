/** What is wrong is named, with its place, and has its exit status (docs/EXIT-STATUS.md); no guest disturbs another. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  config,
  debian,
  debianMissing,
  debianShell,
  domzero,
  file,
  guest,
  guestImage,
  onTerminal,
  PROMPT,
  Running,
  ramdisk,
  run,
  start,
} from './harness.ts';

const missing = await debianMissing();
const hasPython = spawnSync('python3', ['--version']).status === 0;

const hello = readFileSync(guestImage('hello'));

/** hello.elf with other bytes at a place. */
function changed(at: number, bytes: readonly number[]): Uint8Array {
  const copy = Uint8Array.from(hello);
  copy.set(bytes, at);
  return copy;
}

const EM_AARCH64 = 183;
const E_MACHINE = 18;
const withoutNotes = changed(hello.indexOf('Xen\0'), [...Buffer.from('Nix')]);

describe('a kernel', () => {
  it.each([
    ['cut', 'cut.elf', hello.subarray(0, 5000), 'it is cut off: segment 0 takes bytes 0x1000 to'],
    ['cut in its header', 'stub.elf', hello.subarray(0, 40), 'it is cut off: it ends in its ELF header'],
    ['that is empty', 'empty', '', 'it is empty'],
    ['that is text', 'text', 'hello\n', 'it is neither an ELF file nor a Linux kernel image'],
    ['for Arm', 'arm.elf', changed(E_MACHINE, [EM_AARCH64, 0]), 'it is for 64-bit Arm, not for x86'],
    ['without Xen notes', 'plain.elf', withoutNotes, 'as a PVH guest: it has no PHYS32_ENTRY note'],
  ])('%s is refused', async (_what, name, data, says) => {
    file(name, data);
    const cfg = config('k', [`kernel = "${name}"`]);
    const r = await run(['run', cfg]);
    expect(r.stderr).toContain(`${cfg}: ${name}: `);
    expect(r.stderr).toContain(says);
    expect([r.status, r.stdout]).toEqual([4, '']);
  });

  it.each([
    ['kernel', ['kernel = "none"']],
    ['ramdisk', [`kernel = "${guestImage('hello')}"`, 'ramdisk = "none"']],
  ])('or ramdisk that is not there is named: %s', async (_key, lines) => {
    const cfg = config('absent', lines);
    const r = await run(['run', cfg]);
    expect(r.stderr).toBe(`domzero: ${cfg}: none: no such file\n`);
    expect(r.status).toBe(4);
  });

  it('that is a folder is refused', async () => {
    const r = await run(['run', config('folder', ['kernel = "/"'])]);
    expect(r.stderr).toContain('folder.cfg: cannot read /: ');
    expect(r.status).toBe(4);
  });
});

describe('a configuration', () => {
  it('that is not there is named', async () => {
    const r = await run(['run', 'none.cfg']);
    expect(r.stderr).toContain('cannot read none.cfg: ');
    expect(r.status).toBe(3);
  });

  it('with faults has each named by file, line and column', async () => {
    const cfg = guest('hello', 'faulty', ['vcpus = = 2', 'on_crash = "restart', 'extra = "fine"']);
    const r = await run(['run', cfg]);
    expect(r.stderr).toContain(`${cfg}:5:9: expected a string, a number or '[' for 'vcpus', found '='\n`);
    expect(r.stderr).toContain(`${cfg}:6:12: the string that begins with " has no closing "\n`);
    expect([r.status, r.stdout]).toEqual([3, '']);
  });

  it('with a value that cannot be is refused, naming key and value', async () => {
    const cfg = guest('hello', 'value', ['vcpus = "many"']);
    const r = await run(['run', cfg]);
    expect(r.stderr).toBe(`domzero: ${cfg}:5:9: 'vcpus' is not a number: "many"\n`);
    expect(r.status).toBe(3);
  });

  it('with unknown and unsupported options is warned of, and runs', async () => {
    const cfg = guest('hello', 'odd', ['nonsense = 2', 'pci = ["00:01.0"]']);
    const r = await run(['run', cfg, '--timeout', '60']);
    expect(r.stderr).toContain(`${cfg}:5: warning: 'nonsense' is not an option of xl.cfg and is ignored`);
    expect(r.stderr).toContain(`${cfg}:6: warning: 'pci' is not supported yet and is ignored`);
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
  });

  it('of another type of guest is refused', async () => {
    const r = await run(['run', guest('hello', 'other'), 'type=pv']);
    expect(r.stderr).toContain('guests of type "pv" are not supported yet');
    expect(r.status).toBe(3);
  });
});

describe('too much memory', () => {
  it.each([
    ['for a guest in a machine of a given size', ['memory=300', '--memory', '256'], 'no room for 300 MiB'],
    ['for any machine', ['memory=5000'], 'the largest there can be has'],
    ['asked for the machine', ['--memory', '5000'], 'the largest there can be has'],
  ])('%s ends with 5', async (_what, options, says) => {
    const r = await run(['run', guest('hello'), ...options]);
    expect(r.stderr).toContain(says);
    expect([r.status, r.stdout]).toEqual([5, '']);
  });

  it('is needed by a kernel for a guest that has too little', async () => {
    const r = await run(['run', guest('hello', 'tiny'), 'memory=1']);
    expect(r.stderr).toMatch(/tiny: kernel and ramdisk need \d+ MiB of memory, the domain has 1 MiB/);
    expect(r.status).toBe(5);
  });

  it('is not to be had in a machine that is too small for itself', async () => {
    const r = await run(['run', guest('hello'), '--memory', '8']);
    expect(r.stderr).toBe('domzero: you ask for a machine of 8 MiB; the smallest there can be has 80 MiB\n');
    expect(r.status).toBe(5);
  });
});

describe('a guest that makes a triple fault', () => {
  const lives = (stdout: string): number => stdout.split('About to triple-fault').length - 1;

  it('is restarted, but not for ever', async () => {
    const r = await run(['run', guest('triple-fault'), '--timeout', '60']);
    expect(r.stderr).toContain('triple-fault: rebooted; restarting it');
    expect(r.stderr).toContain('triple-fault: ended 5 times within seconds of its start; giving up');
    expect([r.status, lives(r.stdout)]).toEqual([10, 5]);
  });

  it.each([
    ['with --no-reboot', '--no-reboot'],
    ['where on_reboot is destroy', 'on_reboot=destroy'],
  ])('ends with 11 %s', async (_when, option) => {
    const r = await run(['run', guest('triple-fault'), option]);
    expect(r.stderr).toContain('Triple fault');
    expect(r.stderr).toContain('domzero: triple-fault: rebooted\n');
    expect([r.status, lives(r.stdout)]).toEqual([11, 1]);
  });
});

describe('a guest that never answers', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('is ended by %s', async (signal, status) => {
    const running = start(['run', guest('silent'), '--verbose', '--timeout', '60']);
    await running.says(/CPU 0/);
    const sent = performance.now();
    running.child.kill(signal);
    const r = await running.ended;
    expect(r.status).toBe(status);
    expect(performance.now() - sent).toBeLessThan(2000);
  });
});

describe('a guest that prints without end', () => {
  const residentMiB = (pid: number | undefined): number =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  it('waits for a reader who pauses, takes no memory meanwhile, and goes on after it', async () => {
    const running = start(['run', guest('flood'), '--timeout', '60']);
    await running.shows(/fox/);
    running.child.stdout.pause();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const before = process.platform === 'linux' ? residentMiB(running.child.pid) : 0;
    await new Promise((resolve) => setTimeout(resolve, 2500));
    if (process.platform === 'linux') expect(residentMiB(running.child.pid) - before).toBeLessThan(64);
    running.child.stdout.resume();
    await running.prints(200_000); // more than there is room for between the guest and us
    running.child.kill('SIGTERM');
    expect((await running.ended).status).toBe(143);
  });

  it.each([
    ['the time limit', 124, undefined],
    ['a signal', 143, 'SIGTERM'],
  ] as const)('is ended by %s though nobody reads', async (_what, status, signal) => {
    const limit = signal ? '60' : '3';
    const running = new Running('sh', [
      '-c',
      `exec "$@" 2>messages`,
      'sh',
      process.execPath,
      domzero,
      'run',
      guest('flood'),
      '--timeout',
      limit,
    ]);
    running.child.stdout.pause();
    const exited = new Promise((resolve) => running.child.on('exit', resolve));
    if (signal) setTimeout(() => running.child.kill(signal), 2000);
    expect(await exited).toBe(status);
    running.child.stdout.resume();
  });

  it('ends quietly when its reader goes away', async () => {
    const running = start(['run', guest('flood'), '--timeout', '60']);
    await running.shows(/fox/);
    running.child.stdout.destroy();
    const r = await running.ended;
    expect([r.status, r.stderr]).toEqual([1, '']);
  });
});

it.each(['flood', 'silent'] as const)('a hostile guest leaves another alone: %s', async (kernel) => {
  const files = [guest(kernel, 'hostile'), guest('hello', 'peaceful')];
  const r = await run(['run', ...files, '--expect', 'Test result: SUCCESS', '--timeout', '60']);
  expect(r.stdout).toContain('[peaceful] Hello from a Domzero guest (64-bit)\n');
  expect(r.stdout.includes('[hostile] The quick brown fox')).toBe(kernel === 'flood');
  expect([r.status, r.stderr]).toEqual([0, '']);
});

it('a guest that crashes leaves another alone, and the run ends with 10', async () => {
  const r = await run(['run', guest('crash'), guest('hello'), '--timeout', '60']);
  expect(r.stdout).toContain('[crash] PANIC: this guest was made to crash');
  expect(r.stdout).toContain('[hello] Test result: SUCCESS');
  expect(r.stderr).toContain('domzero: crash: crashed\n');
  expect(r.status).toBe(10);
});

it.each(['< /dev/null', '<&-', '< .', '| '])('standard input may be anything: %s', async (input) => {
  const run = `"$@" ${input}`;
  const script = input === '| ' ? 'true | "$@"' : run;
  const args = [process.execPath, domzero, 'run', guest('hello'), '--timeout', '60'];
  const r = await new Running('sh', ['-c', script, 'sh', ...args]).ended;
  expect(r.stdout).toContain('Test result: SUCCESS');
  expect([r.status, r.stderr]).toEqual([0, '']);
});

describe.skipIf(missing)(`with Debian's kernel${missing ? ` (${missing})` : ''}`, () => {
  it('a kernel that is cut is refused', async () => {
    const { Cache } = await import('../src/apps/fetch/cache.ts');
    const kernel = readFileSync(new Cache().path('debian', 'vmlinuz') as string);
    file('vmlinuz', kernel.subarray(0, kernel.length >> 1));
    const r = await run(['run', config('half', ['kernel = "vmlinuz"'])]);
    expect(r.stderr).toMatch(/half\.cfg: vmlinuz: it is cut off: its payload takes bytes 0x[0-9a-f]+ to 0x/);
    expect(r.status).toBe(4);
  });

  it('a guest too small for kernel and ramdisk is refused', async () => {
    const cfg = debian('small', ['ramdisk = "cache:debian/initrd"', 'memory = 32']);
    const r = await run(['run', cfg]);
    expect(r.stderr).toMatch(/small: kernel and ramdisk need \d\d MiB of memory, the domain has 32 MiB/);
    expect(r.status).toBe(5);
  });

  it('what a pipe brings reaches the shell, and its end leaves the guest running', async () => {
    const running = start(['run', debianShell('piped'), '--timeout', '100']);
    running.child.stdin.end('sleep 1; echo "answer: $((6 * 7))"\npoweroff\n');
    const r = await running.ended;
    expect(r.stdout).toMatch(/^answer: 42\r?$/m);
    expect(r.status).toBe(0);
  });

  it('a slow reader gets the last words of a guest that has powered off', async () => {
    const initrd = ramdisk('words.initrd', 'busybox seq 20000\nexec busybox poweroff -f');
    const cfg = debian('words', [`ramdisk = "${initrd}"`, 'memory = 128']);
    const running = start(['run', cfg, '--timeout', '100']);
    await running.shows(/^1000\r?$/m);
    running.child.stdout.pause();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    running.child.stdout.resume();
    const r = await running.ended;
    expect(r.stdout).toMatch(/^20000\r?$/m);
    expect(r.status).toBe(0);
  });

  it.skipIf(!hasPython).each([
    ['Ctrl-]', { wait: PROMPT, send: '\x1d' }, 130],
    ['SIGTERM', { wait: PROMPT, signal: 'SIGTERM' }, 143],
  ])('a terminal is as it was after %s', async (_what, step, status) => {
    const steps = [
      { wait: PROMPT, send: '{ sleep 1; echo $((6 * 7))th; } & sleep 100\r' },
      { wait: '42th', send: '\x03' }, // Ctrl-C is for the guest
      step,
    ];
    const r = await onTerminal(['run', debianShell('term'), '--timeout', '100'], steps);
    expect(r).toMatchObject({ raw: true, restored: true, status });
    expect(r.seconds).toBeLessThan(2);
  });
});
