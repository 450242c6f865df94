/** The two machines that are compared: each runs the same kernel and ramdisk, and says when which line came. */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
export const MEMORY_MIB = 512;
const LIMIT_S = 600;
const QEMU = 'qemu-system-x86_64';

export const domzero = {
  name: 'domzero',
  command({ kernel, initrd, folder }) {
    const config = join(folder, 'bench.cfg');
    const lines = {
      name: 'bench',
      type: 'pvh',
      kernel,
      ramdisk: initrd,
      extra: 'console=hvc0',
      memory: MEMORY_MIB,
      vcpus: 1,
    };
    const text = Object.entries(lines).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    writeFileSync(config, text.join(''));
    return [process.execPath, join(root, 'bin', 'domzero'), 'run', config, '--verbose'];
  },
};

export const qemu = {
  name: 'qemu',
  command({ kernel, initrd }) {
    const machine = ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(MEMORY_MIB)];
    const devices = ['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot'];
    const guest = ['-kernel', kernel, '-initrd', initrd, '-append', 'console=ttyS0'];
    return [QEMU, ...machine, ...devices, ...guest];
  },
};

/** QEMU's version, undefined where it is not installed. */
export function qemuVersion() {
  const { stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  return stdout ? /version (\S+)/.exec(stdout)?.[1] : undefined;
}

/**
 * Runs one guest until the line `last` or its end: the time of each `bench:` line in ms since the process was
 * started, and what the machine said of itself.
 */
export function run(machine, guest, last) {
  const [program, ...args] = machine.command(guest);
  const started = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_S * 1000);
  const lines = [];
  let out = '';
  let seen = 0;
  let err = '';
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.stderr.setEncoding('utf8').on('data', (text) => {
      err += text;
    });
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const at = performance.now() - started;
      out += text;
      for (const end = () => out.indexOf('\n', seen); end() >= 0; seen = end() + 1) {
        const match = /bench: (.*?)\r?$/.exec(out.slice(seen, end()));
        if (match) lines.push({ text: match[1], at });
      }
    });
    child.on('close', () => {
      clearTimeout(limit);
      if (lines.some((line) => line.text === last)) return resolve({ lines, err });
      const tail = `${out}${err}`.trim().split('\n').slice(-8).join('\n');
      reject(new Error(`${machine.name} ended without "bench: ${last}"; it said last:\n${tail}`));
    });
  });
}
