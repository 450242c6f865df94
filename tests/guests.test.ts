/** The test guests of dist/guests/, each run by bin/domzero: what they say, and the status that their end means. */
import { describe, expect, it } from 'vitest';
import type { GuestName } from '../guests/build.ts';
import { run as domzero, guest, type Result } from './harness.ts';

/** Runs guests of these names in one machine. */
const run = (names: readonly GuestName[], options: readonly string[] = []): Promise<Result> =>
  domzero(['run', ...names.map((name) => guest(name)), '--timeout', '60', ...options]);

describe('a guest that powers off ends with 0', () => {
  it.each<[GuestName, string]>([
    ['hello', 'Hello from a Domzero guest (64-bit)'],
    ['hello32', 'Hello from a Domzero guest (32-bit)'],
    ['hypercall-probe', 'hypercalls probed'],
    ['hypercall-probe32', 'hypercalls probed'],
    ['fault-probe', 'exceptions probed'],
    ['paging-long', 'accesses tried'],
    ['paging-pae', 'accesses tried'],
    ['paging-two-level', 'accesses tried'],
    ['paging-registers', 'page-directory-pointer registers'],
    ['paging-flush', 'looks at the TLB'],
    ['memory-crossing', 'accesses across pages'],
    ['memory-strings', 'strings interrupted'],
    ['memory-code', 'changes of code'],
    ['debug-step', 'kinds of steps'],
    ['debug-breakpoints', 'kinds of breakpoints'],
    ['debug-registers', 'things debug registers do'],
    ['apic-nmi', 'interrupts held off'],
    ['apic-registers', 'things the local APIC does'],
    ['apic-forms', 'accesses to a device'],
    ['atomic-pair', 'things CMPXCHG16B does'],
    ['timer', 'things timers do'],
    ['msr', 'things MSRs do'],
    ['msr-control', 'things control registers do'],
  ])('%s', async (name, says) => {
    const r = await run([name]);
    expect(r.stdout).toContain(says);
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
  });
});

describe('a guest that probes ring 0', () => {
  it.each<GuestName>([
    ...(['segments', 'gates', 'returns', 'tasks', 'vm86', 'real-mode', 'modes', 'priorities'] as const),
    ...([
      'long-mode',
      'double-faults',
      'syscalls',
      'syscalls32',
      'long-returns',
      'code-limits',
      'alignment',
      'alignment32',
    ] as const),
  ])('%s: every probe ends as the manuals say', async (name) => {
    const r = await run([name]);
    expect(r.stdout).toMatch(/^\d+ probes of ring 0$/m);
    expect(r.stdout).not.toContain('Fail');
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
  });
});

describe('nested virtualisation', () => {
  it.each<GuestName>(['svm-intercepts', 'svm-events', 'svm-state'])(
    '%s: as the manual says',
    async (name) => {
      for (const options of [[], ['--engine', 'interpreter']]) {
        const config = guest(name, name, ['nestedhvm = 1']);
        const r = await domzero(['run', config, '--timeout', '60', ...options]);
        expect(r.stdout).toMatch(/^\d+ checks of SVM$/m);
        expect(r.stdout).not.toContain('Fail');
        expect(r.stdout).toContain('Test result: SUCCESS');
        expect(r.status).toBe(0);
      }
    },
  );

  it('is not there unless it is asked for', async () => {
    const r = await run(['svm-state']);
    expect(r.stdout).toContain('Skip: no SVM');
    const cpuid = guest('svm-state', 'wishful', ['cpuid = "host,svm=1"']);
    expect((await domzero(['run', cpuid, '--timeout', '60'])).stdout).toContain('Skip: no SVM');
  });
});

describe('two vCPUs', () => {
  it.each([
    ['without MONITOR', []],
    ['with it', ['cpuid = "host,monitor=1"']],
  ])('start, stop and interrupt each other, %s', async (_name, lines) => {
    const r = await domzero(['run', guest('smp', 'smp', ['vcpus = 2', ...lines]), '--timeout', '60']);
    expect(r.stdout).toContain('Test result: SUCCESS');
    expect(r.status).toBe(0);
  });

  it('see the code that one changes while the other runs it', async () => {
    for (const options of [[], ['--engine', 'interpreter']]) {
      const r = await domzero([
        'run',
        guest('smp-code', 'code', ['vcpus = 2']),
        '--timeout',
        '60',
        ...options,
      ]);
      expect(r.stdout).not.toContain('Fail');
      expect(r.stdout).toContain('Test result: SUCCESS');
      expect(r.status).toBe(0);
    }
  });
});

describe('cpuid in a configuration', () => {
  /** The registers of a leaf, and the masks that were printed. */
  async function look(cpuid?: string) {
    const lines = cpuid === undefined ? [] : [`cpuid = ${cpuid}`];
    const r = await domzero(['run', guest('cpuid', 'cpuid', lines), '--timeout', '60']);
    expect(r.stdout).toContain('Test result: SUCCESS');
    const leaf = (name: string): number[] => {
      const words = new RegExp(`^cpuid ${name}:(.*)$`, 'm').exec(r.stdout)?.[1] ?? '';
      return [...words.matchAll(/[0-9a-f]{16}/g)].map((m) => Number(`0x${m[0]}`));
    };
    const takes = (name: string): number =>
      Number(`0x${new RegExp(`^${name} takes (\\w+)`, 'm').exec(r.stdout)?.[1]}`);
    return { leaf, takes, stderr: r.stderr };
  }

  it('hides features, and what CR4, EFER and XCR0 would do with them', async () => {
    const plain = await look();
    const less = await look(
      '"host,umip=0,fsgsbase=0,xsave=0,syscall=0,family=0x19,model=0x21,stepping=2,maxleaf=7"',
    );
    expect(plain.takes('CR4') & 0x50800).toBe(0x50800);
    expect(less.takes('CR4') & 0x50800).toBe(0);
    expect(plain.takes('EFER') & 1).toBe(1);
    expect(less.takes('EFER') & 1).toBe(0);
    expect(plain.takes('XCR0') & 3).toBe(3);
    expect(less.leaf('0.0')[0]).toBe(7);
    expect(less.leaf('1.0')[0]).toBe(0xa20f12);
    expect(less.leaf('d.0')).toEqual([0, 0, 0, 0]);
    expect(less.stderr).not.toContain('warning');
  });

  it('gives what is there but hidden, and warns of what is not', async () => {
    const plain = await look();
    const more = await look('"host,monitor=1,avx512f=1"');
    expect(plain.leaf('1.0')[2]! & 8).toBe(0);
    expect(plain.leaf('5.0')).toEqual([0, 0, 0, 0]);
    expect(more.leaf('1.0')[2]! & 8).toBe(8);
    expect(more.leaf('5.0')[0]).toBe(64);
    expect(more.stderr).toContain('what the CPU has not: avx512f');
  });

  it('takes registers bit by bit', async () => {
    const r = await look(
      `["1:ecx=0${'x'.repeat(31)},edx=${'k'.repeat(32)}", "0xd,1:eax=${'x'.repeat(30)}x0"]`,
    );
    expect(r.leaf('1.0')[2]! >>> 31).toBe(0);
    expect(r.leaf('d.1')[0]! & 1).toBe(0);
  });
});

describe('a guest that ends otherwise', () => {
  it('ends with 10 when it says that it crashed', async () => {
    const r = await run(['crash']);
    expect(r.stdout).toContain('PANIC: this guest was made to crash');
    expect(r.stderr).toContain('crash');
    expect(r.status).toBe(10);
  });

  it('ends with 11 when it rebooted and may not', async () => {
    const r = await run(['reboot'], ['--no-reboot']);
    expect(r.stdout).toContain('About to reboot');
    expect(r.status).toBe(11);
  });

  it('is rebooted for a triple fault, as Xen does', async () => {
    const r = await run(['triple-fault'], ['--no-reboot']);
    expect(r.stdout).toContain('About to triple-fault');
    expect(r.stderr).toContain('Triple fault');
    expect(r.status).toBe(11);
  });

  it('ends with 124 when it never ends by itself', async () => {
    const r = await run(['silent'], ['--timeout', '2']);
    expect(r.stdout).toBe('');
    expect(r.status).toBe(124);
  });
});

it('several guests share a machine, each line under its name', async () => {
  const r = await run(['hello', 'hello32']);
  expect(r.stdout).toContain('[hello] Test result: SUCCESS');
  expect(r.stdout).toContain('[hello32] Test result: SUCCESS');
  expect(r.status).toBe(0);
});
