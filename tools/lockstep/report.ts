/** The first difference, in words. */
import { disassemble } from '../../src/x86/disasm.ts';
import { differences, type State } from './registers.ts';
import type { Fetched } from './rig.ts';

export interface Difference {
  /** Who are compared. */
  readonly names: readonly [string, string];
  /** Instructions in order; the last `suspects` of them are where the two part. */
  readonly history: readonly Fetched[];
  readonly suspects: number;
  /** What both had before the suspects. */
  readonly before: State;
  readonly after: readonly [State, State];
  /** Flags that may differ. */
  readonly undefinedFlags: number;
  readonly memory: MemoryDifference | undefined;
  /** More to know. */
  readonly remark?: string;
}

export interface MemoryDifference {
  readonly gpa: number;
  readonly bytes: readonly [Uint8Array, Uint8Array];
}

const SHOWN = 16;
const hex = (v: bigint | number, digits = 1): string => v.toString(16).padStart(digits, '0');
const bytesText = (bytes: Uint8Array): string => Array.from(bytes, (b) => hex(b, 2)).join(' ');

/** Where the first byte differs, and what follows in both; undefined when none does. */
export function memoryDifference(
  a: Uint8Array,
  b: Uint8Array,
  from = 0,
  to = a.length,
): MemoryDifference | undefined {
  if (Buffer.compare(a.subarray(from, to), b.subarray(from, to)) === 0) return undefined;
  let gpa = from;
  while (a[gpa] === b[gpa]) gpa++;
  gpa &= ~7;
  return { gpa, bytes: [a.slice(gpa, gpa + SHOWN), b.slice(gpa, gpa + SHOWN)] };
}

function instruction(f: Fetched, mark: string): string {
  const text = f.bytes.length === 0 ? '(cannot be fetched)' : disassemble(f.insn, f.rip);
  return `${mark} ${String(f.number).padStart(9)}  ${hex(f.rip, 16)}  ${bytesText(f.bytes).padEnd(30)} ${text}`;
}

/** Registers that are not zero, four to a line. */
function registers(state: State): string[] {
  const shown = [...state].filter(([name, value]) => value !== 0n && !name.includes('.'));
  const lines: string[] = [];
  for (let i = 0; i < shown.length; i += 4) {
    const row = shown.slice(i, i + 4).map(([name, value]) => `${name}=${hex(value)}`.padEnd(26));
    lines.push(`  ${row.join(' ').trimEnd()}`);
  }
  return lines;
}

/** What the suspects changed on either side, those that differ marked. */
function changes({ before, after: [a, b], names, undefinedFlags }: Difference): string[] {
  const differ = differences(a, b, undefinedFlags);
  const lines: string[] = [];
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || (value === before.get(name) && other === value)) continue;
    const both = other === value ? hex(value) : `${names[0]} ${hex(value)}   ${names[1]} ${hex(other)}`;
    lines.push(`${differ.includes(name) ? '*' : ' '} ${name.padEnd(10)} ${both}`);
  }
  return lines;
}

export function report(d: Difference): string {
  const agreed = d.history.length - d.suspects;
  const lines = d.history.map((f, i) => instruction(f, i < agreed ? ' ' : '>'));
  const first = d.history[agreed];
  lines.unshift(`first difference: instruction ${first?.number ?? 'unknown'}`);
  if (d.remark) lines.push('', d.remark);
  lines.push('', 'before:', ...registers(d.before), '', 'after:', ...changes(d));
  if (d.memory) {
    lines.push(`* memory at guest-physical ${hex(d.memory.gpa)}`);
    d.memory.bytes.forEach((bytes, i) => {
      lines.push(`    ${d.names[i]!.padEnd(12)} ${bytesText(bytes)}`);
    });
  }
  return lines.join('\n');
}
