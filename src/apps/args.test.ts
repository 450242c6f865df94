import { describe, expect, it } from 'vitest';
import { type Command, parseCommand } from './args.ts';
import { AppError } from './exit-status.ts';

function run(...args: string[]): Extract<Command, { name: 'run' | 'start' }> {
  const command = parseCommand(args);
  if (command.name !== 'run' && command.name !== 'start') throw new Error(command.name);
  return command;
}

function usageError(...args: string[]): string {
  try {
    parseCommand(args);
  } catch (error) {
    if (error instanceof AppError && error.status === 2) return error.message;
  }
  return 'accepted';
}

describe('run', () => {
  it('tells files from key=value arguments, wherever they stand', () => {
    const command = run('run', 'vcpus=2', 'a.cfg', 'extra += "quiet"', './b=c/d.cfg');
    expect(command.files).toEqual(['a.cfg', './b=c/d.cfg']);
    expect(command.overrides).toEqual(['vcpus=2', 'extra += "quiet"']);
  });

  it('takes every option', () => {
    const args = ['--timeout', '1.5', '--expect', '^ok$', '--no-reboot', '--memory=640', '--console', 'web'];
    const paths = ['--xenstore-socket', '/tmp/xs', '--xen-args', 'hvm_fep', '--engine', 'interpreter'];
    expect(run('run', 'a.cfg', ...args, ...paths, '-v')).toMatchObject({
      timeoutMs: 1500,
      expect: '^ok$',
      reboot: false,
      memoryMiB: 640,
      console: 'web',
      xenstoreSocket: '/tmp/xs',
      xenArgs: 'hvm_fep',
      engine: 'interpreter',
      verbose: true,
    });
    const profiled = run('run', 'a.cfg', '--profile', '--symbols', 'System.map', '--code-cache', '64m');
    expect(profiled).toMatchObject({
      files: ['a.cfg'],
      profile: { file: undefined, symbols: 'System.map' },
      codeCacheBytes: 64 << 20,
    });
    expect(run('run', '--profile=p.json', 'a.cfg').profile).toEqual({ file: 'p.json', symbols: undefined });
  });

  it('without options restarts guests, waits without limit and is quiet', () => {
    expect(run('run', 'a.cfg')).toMatchObject({
      timeoutMs: undefined,
      reboot: true,
      engine: 'compiler',
      codeCacheBytes: 256 << 20,
      profile: undefined,
      verbose: false,
    });
  });

  it('refuses what it does not understand as a usage error that names it', () => {
    expect(usageError('run')).toContain('no configuration file');
    expect(usageError('run', 'a.cfg', '--bogus')).toContain("'--bogus'");
    expect(usageError('run', 'a.cfg', '--timeout', '0')).toContain('--timeout 0');
    expect(usageError('run', 'a.cfg', '--timeout', '1e3')).toContain('--timeout 1e3');
    expect(usageError('run', 'a.cfg', '--memory', '1.5')).toContain('--memory 1.5');
    expect(usageError('run', 'a.cfg', '--expect', '(')).toContain('--expect (');
    expect(usageError('run', 'a.cfg', '--timeout')).toContain('--timeout');
    expect(usageError('run', 'a.cfg', '--code-cache', '64')).toContain(
      '--code-cache 64: expected a size like 64M',
    );
    expect(usageError('run', 'a.cfg', '--code-cache', '1M')).toContain(
      '--code-cache 1M: expected a size from 2M',
    );
    expect(usageError('run', 'a.cfg', '--code-cache', '2G')).toContain(
      '--code-cache 2G: expected a size from 2M',
    );
    expect(usageError('run', 'a.cfg', '--symbols', 'map')).toContain('--symbols goes with --profile');
  });
});

describe('the other commands', () => {
  it('start takes options but no file', () => {
    expect(run('start', 'memory=256', '--timeout', '9')).toMatchObject({ name: 'start', timeoutMs: 9000 });
    expect(usageError('start', 'a.cfg')).toContain('a.cfg');
  });

  it('fetch knows debian, and a mirror', () => {
    const command = parseCommand(['fetch', 'debian', '--mirror', 'https://m.example/debian']);
    expect(command).toEqual({ name: 'fetch', mirror: 'https://m.example/debian', force: false });
    expect(usageError('fetch', 'plan9')).toContain('debian');
  });

  it('cache has list and clear', () => {
    expect(parseCommand(['cache', 'list']).name).toBe('cache list');
    expect(parseCommand(['cache', 'clear']).name).toBe('cache clear');
    expect(usageError('cache', 'burn')).toContain('"list" or "clear"');
  });

  it('help is found in each of its places', () => {
    for (const args of [['help'], ['--help'], ['-h'], ['run', '--help'], ['cache', '-h']]) {
      expect(parseCommand(args).name).toBe('help');
    }
    expect(parseCommand(['--version']).name).toBe('version');
  });

  it('an unknown command and none at all are usage errors', () => {
    expect(usageError('frob')).toContain('"frob" is not a command');
    expect(usageError()).toContain('usage: domzero');
  });
});
