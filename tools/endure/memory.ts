/** The memory of a process that runs guests, from outside; Linux only. */
import { readFileSync } from 'node:fs';

/** In MiB: what is resident, and of that the machine's memory (guests' RAM, decoded code), code, and the rest. */
export interface Memory {
  readonly all: number;
  readonly machine: number;
  readonly code: number;
  readonly rest: number;
}

/** `START-END PERMISSIONS OFFSET DEVICE INODE [PATH]`, of /proc/PID/smaps. */
const MAPPING = /^([\da-f]+)-([\da-f]+) (\S+) \S+ \S+ (\d+)/;

/** The machine's memory is the largest mapping of no file; code is what V8 has made executable. */
export function memoryOf(smaps: string): Memory {
  const mappings: { size: number; code: boolean; file: boolean; resident: number }[] = [];
  for (const line of smaps.split('\n')) {
    const mapping = MAPPING.exec(line);
    if (mapping) {
      const [, start, end, permissions, inode] = mapping as unknown as [
        string,
        string,
        string,
        string,
        string,
      ];
      const size = permissions.startsWith('rw') ? Number.parseInt(end, 16) - Number.parseInt(start, 16) : 0;
      mappings.push({ size, code: permissions.includes('x'), file: inode !== '0', resident: 0 });
    }
    const resident = /^Rss: +(\d+) kB/.exec(line);
    if (resident) mappings.at(-1)!.resident = Number(resident[1]) / 1024;
  }
  const sum = (of: typeof mappings) => of.reduce((total, m) => total + m.resident, 0);
  const own = mappings.filter((m) => !m.file && !m.code);
  const largest = Math.max(...own.map((m) => m.size));
  const [all, machine] = [sum(mappings), sum(own.filter((m) => m.size === largest))];
  const code = sum(mappings.filter((m) => m.code && !m.file));
  return { all, machine, code, rest: all - machine - code };
}

export const memoryOfProcess = (pid: number): Memory => memoryOf(readFileSync(`/proc/${pid}/smaps`, 'utf8'));

export function showMemory({ all, machine, code, rest }: Memory): string {
  const [a, m, c, r] = [all, machine, code, rest].map((n) => n.toFixed(0));
  return `${a} MiB (machine ${m}, compiled code ${c}, other ${r})`;
}

/** The sample that later ones are compared with: by then everything has been used once. */
export const BASE_MINUTE = 5;
const GROWTH = 0.1;

/** Whether there is more at the end than there was; undefined where the run was too short to tell. */
export function grown(
  minutes: readonly Memory[],
): { readonly text: string; readonly bad: boolean } | undefined {
  const [base, last] = [minutes[BASE_MINUTE - 1], minutes.at(-1)];
  if (!base || !last || base === last) return undefined;
  const bad = last.all > base.all * (1 + GROWTH);
  const growth = 100 * (last.all / base.all - 1);
  const percent = `${growth < 0 ? '' : '+'}${growth.toFixed(1)} %`;
  return { text: `memory since minute ${BASE_MINUTE}: ${percent}${bad ? ', GROWN' : ''}`, bad };
}
