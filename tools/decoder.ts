/**
 * `npm run decoder -- [--count N] [--seed N] [--every-byte] [FILE...]`: compares the decoder with iced-x86 on N random
 * strings, on every opcode, and on the code of the files (64-bit ELF, or a Linux bzImage): one instruction after the
 * other, or with --every-byte what begins at each byte. Without files it takes those that this host has where Debian puts them.
 * Prints the number of strings by source, and the first differences; ends with 1 when there are any.
 */
import { parseArgs } from 'node:util';
import {
  type Agreement,
  compareEveryOpcode,
  compareRandom,
  compareShaped,
  compareText,
  compareTruncated,
  UNSUPPORTED,
} from '../src/x86/decoder-agreement.fuzz.ts';
import { hostFiles, textOf } from '../src/x86/decoder-files.fuzz.ts';
import type { CodeSize } from '../src/x86/insn.ts';

const SIZES: readonly CodeSize[] = [64, 32, 16];

function options(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    options: {
      count: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: '1' },
      'every-byte': { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  const number = (name: 'count' | 'seed'): number => {
    const n = Number(values[name]);
    if (Number.isSafeInteger(n) && n >= 0) return n;
    throw new Error(`--${name} ${values[name]}: not a number of strings`);
  };
  return { count: number('count'), seed: number('seed'), dense: values['every-byte'], files: positionals };
}

/** A quarter of the strings are random, a twentieth end too early, and the others look like instructions. */
function* random(count: number, seed: number): Generator<Agreement> {
  for (const size of SIZES) {
    const share = (part: number): number => Math.ceil((count * part) / SIZES.length);
    yield compareRandom(size, share(0.25), seed);
    yield compareShaped(size, share(0.7), seed);
    yield compareTruncated(size, share(0.05), seed);
  }
}

function* everything(args: string[]): Generator<Agreement> {
  const { count, seed, dense, files } = options(args);
  yield* random(count, seed);
  for (const size of SIZES) yield* compareEveryOpcode(size);
  const host = hostFiles();
  for (const [name, path] of Object.entries(host))
    if (files.length === 0 && path === undefined)
      console.log(`(this host has no ${name} where Debian puts it)`);
  for (const path of files.length > 0 ? files : Object.values(host))
    if (path !== undefined) yield compareText(`${path} .text`, textOf(path), dense);
}

export function main(_root: string, args: string[]): number {
  console.log('   strings      valid  differences  source');
  let strings = 0;
  let differences = 0;
  for (const a of everything(args)) {
    const cells = [
      String(a.strings).padStart(10),
      String(a.valid).padStart(11),
      String(a.count).padStart(13),
    ];
    console.log(`${cells.join('')}  ${a.source}`);
    for (const line of a.differences) console.log(`    ${line}`);
    strings += a.strings;
    differences += a.count;
  }
  console.log(`${String(strings).padStart(10)} strings, ${differences} differences`);
  console.log(
    'Not counted as differences, being invalid here on purpose: VEX but BMI, EVEX, XOP, 3DNow!, and',
  );
  for (const [reason, names] of Object.entries(UNSUPPORTED)) console.log(`  ${reason}: ${names}`);
  return differences === 0 ? 0 : 1;
}
