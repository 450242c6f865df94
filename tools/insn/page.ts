/** docs/INSTRUCTIONS.md: all operations by family, made from the opcode tables and the sources. */
import { OP, OP_FAMILIES } from '../../src/x86/ops.ts';
import { type Encoding, encodingsOf } from './encodings.ts';
import { type Meaning, Sources } from './meaning.ts';

export const PAGE = 'docs/INSTRUCTIONS.md';

const HEAD = `# Instructions

Every instruction that the decoder knows, by family: where its meaning stands, the flags it changes, the CPUID bits that
announce it. Made by \`npm run insn -- --write\`, and compared by a test. All about one of them, with its encodings and the
source of its meaning: \`npm run insn -- adc\`.

A meaning in \`sem/\` (src/x86/sem) is in the algebra that the interpreter and the compiler are made from, and so is one in
\`emit/\` or \`interp/\` (src/machine), which does a system instruction where all is plain; one in \`engine/\`
(src/machine/engine) is a helper's, for what is rare, and for the cases that the first leaves to it. Flags are those
written; in brackets those that the manuals leave undefined. A dash is none, and for CPUID what every 64-bit processor
has. Where no meaning is named the instruction is not there: #UD, and its name once in the log.
`;

const unique = (all: readonly string[]): string => [...new Set(all)].join(', ') || '-';

function flagsOf(encodings: readonly Encoding[]): string {
  const one = ({ flags }: Encoding): string =>
    `${flags.written}${flags.undefined ? ` [${flags.undefined}]` : ''}`.trim();
  return unique(encodings.map(one).filter((s) => s));
}

const short = (m: Meaning): string => m.file.replace('src/x86/', '').replace('src/machine/', '');

function row(name: string, sources: Sources): string {
  const encodings = encodingsOf(OP[name as keyof typeof OP]);
  const meanings = unique(sources.meaningsOf(name).map(short));
  const cpuid = unique(encodings.flatMap((e) => e.features));
  return `| ${[name, meanings, flagsOf(encodings), cpuid].join(' | ')} |`;
}

export function instructionsPage(root: string): string {
  const sources = new Sources(root);
  const sections = Object.entries(OP_FAMILIES).map(([family, names]) => {
    const rows = [...names].sort().map((name) => row(name, sources));
    const table = ['| instruction | meaning | flags | CPUID |', '| --- | --- | --- | --- |', ...rows];
    return `\n## ${family}\n\n${table.join('\n')}\n`;
  });
  return HEAD + sections.join('');
}
