/**
 * `npm run lockstep -- [options] KERNEL`: runs a PVH kernel (any that domzero takes) on our engine and in QEMU's TCG, an
 * instruction at a time, and shows the first difference; with `--engines A,B` on two engines of ours instead, many
 * instructions at a time. Ends with 1 when there is a difference.
 *
 *   --append TEXT    the kernel's command line       --count N     instructions to compare (100000)
 *   --initrd FILE    its ramdisk                     --every N     instructions (with --engines: blocks) between
 *   --memory MIB     its RAM (128)                                 comparisons of memory (4096)
 *   --engine NAME    ours against QEMU (interpreter) --before N    instructions to show before the difference (10)
 *   --qemu PROGRAM, --cpu MODEL                      QEMU's program, and its -cpu
 *
 * There are no devices: a guest that waits for one, or for an interrupt, waits for ever.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isBzImage, unpackBzImage } from '../src/toolstack/loader/bzimage.ts';
import { loadKernel } from '../src/toolstack/loader/kernel.ts';
import { compareWithQemu } from './lockstep/against-qemu.ts';
import { type Agreement, compareEngines, type Limits } from './lockstep/between-engines.ts';
import { ENGINES } from './lockstep/engines.ts';
import { loadPvh } from './lockstep/load.ts';
import { CPU_MODEL } from './lockstep/qemu.ts';
import { type Difference, report } from './lockstep/report.ts';
import type { EngineFactory } from './lockstep/rig.ts';

const MIB = 1 << 20;

function options(args: string[]) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      append: { type: 'string', default: '' },
      initrd: { type: 'string' },
      memory: { type: 'string', default: '128' },
      count: { type: 'string', default: '100000' },
      every: { type: 'string', default: '4096' },
      before: { type: 'string', default: '10' },
      engine: { type: 'string', default: 'interpreter' },
      engines: { type: 'string' },
      qemu: { type: 'string', default: 'qemu-system-x86_64' },
      cpu: { type: 'string', default: CPU_MODEL },
    },
  });
  const [kernel] = positionals;
  if (kernel === undefined || positionals.length > 1)
    throw new Error('usage: npm run lockstep -- [options] KERNEL');
  const limits = {
    count: number(values.count, 'count'),
    every: number(values.every, 'every'),
    before: number(values.before, 'before'),
  };
  return { ...values, kernel, limits, memory: number(values.memory, 'memory') * MIB };
}
type Options = ReturnType<typeof options>;

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value <= 0) throw new Error(`--${name} ${text}: not a number above 0`);
  return value;
}

function engine(name: string): EngineFactory {
  const factory = ENGINES[name];
  if (!factory)
    throw new Error(`no engine is called "${name}"; there are ${Object.keys(ENGINES).join(', ')}`);
  return factory;
}

/** QEMU takes a bzImage for Linux and boots it another way: it gets the kernel inside. */
function withQemu(o: Options, file: Uint8Array, limits: Limits): Difference | Agreement {
  const { entry32 } = loadKernel(file, o.kernel, 'pvh');
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-'));
  try {
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, isBzImage(file) ? unpackBzImage(file) : file);
    const { qemu: program, cpu: model, initrd: ramdisk, append: cmdline, memory } = o;
    const guest = { program, model, kernel, ramdisk, cmdline, memory, entry: entry32! };
    return compareWithQemu(engine(o.engine), guest, limits);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function betweenEngines(o: Options, file: Uint8Array, pair: string, limits: Limits): Difference | Agreement {
  const [first, second, ...more] = pair.split(',');
  if (first === undefined || second === undefined || more.length > 0)
    throw new Error(`--engines ${pair}: two names, with a comma between them`);
  const kernel = loadKernel(file, o.kernel, 'pvh');
  const ramdisk = o.initrd === undefined ? undefined : readFileSync(o.initrd);
  const images = { kernel, ramdisk, cmdline: o.append };
  const names = first === second ? ([`${first} 1`, `${second} 2`] as const) : ([first, second] as const);
  const factories = [engine(first), engine(second)] as const;
  return compareEngines({ names, factories, memory: o.memory, load: (rig) => loadPvh(rig, images) }, limits);
}

export function main(_root: string, args: string[]): number {
  const o = options(args);
  const file = readFileSync(o.kernel);
  const result = o.engines ? betweenEngines(o, file, o.engines, o.limits) : withQemu(o, file, o.limits);
  if ('history' in result) {
    console.log(report(result));
    return 1;
  }
  console.log(`${result.count} instructions agree${result.ended && `; then both: ${result.ended}`}`);
  return 0;
}
