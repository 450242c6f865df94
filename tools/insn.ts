/**
 * `npm run insn -- MNEMONIC`: everything about an instruction in one place: its encodings, the CPUID bits and flags of
 * each, and the source of what it does, with file and line. `--write` writes docs/INSTRUCTIONS.md anew instead.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OP, OP_NAMES, type OpName } from '../src/x86/ops.ts';
import { type Encoding, encodingsOf } from './insn/encodings.ts';
import { type Meaning, Sources } from './insn/meaning.ts';
import { instructionsPage, PAGE } from './insn/page.ts';

const CONDITION = /^(j|set|cmov)(n?[abceglopsz]|n?[abgl]e|n?ae|p[eo]|nz|nb|nl)$/;

/** Ours for a mnemonic, which may carry a condition or a size. */
export function operationOf(mnemonic: string): OpName | undefined {
  const name = mnemonic.toLowerCase();
  const known = (n: string): n is OpName => (OP_NAMES as readonly string[]).includes(n);
  const condition = CONDITION.exec(name);
  const candidates = [name, condition ? `${condition[1]}cc` : '', name.slice(0, -1), RENAMED[name] ?? ''];
  return candidates.find(known) as OpName | undefined;
}
const RENAMED: Record<string, string> = {
  sal: 'shl',
  movsxd: 'movsx',
  cwde: 'cbw',
  cdqe: 'cbw',
  cdq: 'cwd',
  cqo: 'cwd',
  pextrq: 'pextrd',
  pinsrq: 'pinsrd',
  xlatb: 'xlat',
  jecxz: 'jrcxz',
  jcxz: 'jrcxz',
  wait: 'fwait',
  prefetchw: 'prefetch',
  wbnoinvd: 'wbinvd',
};

function encodingLines(encodings: readonly Encoding[]): string[] {
  const rows = encodings.map((e) => [
    e.code,
    e.operands,
    [...e.features, e.lock ? 'LOCK' : '', e.modes].filter((s) => s).join(', '),
  ]);
  const width = (n: number): number => Math.max(...rows.map((r) => r[n]!.length));
  return rows.map(([code, operands, rest]) =>
    `  ${code!.padEnd(width(0))}  ${operands!.padEnd(width(1))}  ${rest}`.trimEnd(),
  );
}

/** The flags of all encodings, each set once. */
function flagLines(encodings: readonly Encoding[]): string[] {
  const line = ({ flags }: Encoding): string => {
    const parts = [
      flags.read && `reads ${flags.read}`,
      flags.written && `writes ${flags.written}`,
      flags.undefined && `leaves undefined ${flags.undefined}`,
    ].filter((s) => s);
    return parts.length > 0 ? parts.join('; ') : 'none';
  };
  return [...new Set(encodings.map(line))].map((l) => `  ${l}`);
}

const source = (m: Meaning): string[] => [
  '',
  `  ${m.file}:${m.line}`,
  ...m.text.split('\n').map((l) => `    ${l}`),
];
/** Longer ones are named only. */
const LONG = 45;

function used(m: Meaning): string[] {
  const lines = m.text.split('\n');
  return lines.length <= LONG
    ? source(m)
    : ['', `  ${m.file}:${m.line}`, `    ${lines.find((l) => !/^\s*(\/\*|\*)/.test(l))} ...`];
}

export function describe(root: string, op: OpName): string[] {
  const encodings = encodingsOf(OP[op]);
  const sources = new Sources(root);
  const meanings = sources.meaningsOf(op);
  return [
    `${op.toUpperCase()}`,
    ...encodingLines(encodings),
    '',
    'Flags',
    ...flagLines(encodings),
    '',
    meanings.length > 0
      ? 'What it does'
      : 'It is not there: #UD, and its name in the log (src/machine/engine/missing.ts)',
    ...meanings.flatMap(source),
    ...(meanings.length > 0 ? ['', 'With'] : []),
    ...sources.usedBy(meanings).flatMap(used),
    ...(op === 'mov' ? ['', 'See also mov_sreg, mov_cr and mov_dr.'] : []),
  ];
}

export function main(root: string, args: string[]): number {
  const { values, positionals } = parseArgs({
    args,
    options: { write: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.write) {
    writeFileSync(join(root, PAGE), instructionsPage(root));
    return 0;
  }
  if (positionals.length !== 1) throw new Error('usage: npm run insn -- MNEMONIC, or --write');
  const op = operationOf(positionals[0]!);
  if (op === undefined) {
    console.error(`${positionals[0]}: no such instruction; ${PAGE} lists them`);
    return 1;
  }
  console.log(describe(root, op).join('\n'));
  return 0;
}
