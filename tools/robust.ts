/**
 * `npm run robust -- [--cases N] [--from N] [--kind KIND] [--compiled]`: hands the engine N cases each of random code in random states
 * in ring 3, ring 0, protected, real and virtual-8086 mode. Prints what was run, and each case in which the engine threw,
 * wrote where it must not, or did not come back; ends with 1 if there are any.
 */
import { parseArgs } from 'node:util';
import { COMPILE_ALL } from '../src/machine/compiler/regions.ts';
import { runRobust } from '../src/machine/robust.fuzz.ts';
import { KINDS } from '../src/machine/robust-world.fuzz.ts';
import { TestCpu } from '../src/machine/testing.ts';

const EXITS = ['budget', 'hlt', 'hypercall', 'irqWindow', 'tripleFault', 'pause', 'failed'];

export function main(_root: string, args: string[]): number {
  const { values } = parseArgs({
    args,
    options: {
      cases: { type: 'string', default: '5000' },
      from: { type: 'string', default: '0' },
      kind: { type: 'string', default: '' },
      compiled: { type: 'boolean', default: false },
    },
  });
  if (values.compiled) TestCpu.compile = COMPILE_ALL;
  let failures = 0;
  for (const kind of KINDS.filter((k) => k.startsWith(values.kind))) {
    const found = runRobust(kind, Number(values.from), Number(values.cases));
    const exits = found.exits.map((n, exit) => `${EXITS[exit]} ${n}`).filter((s) => s);
    console.log(`${kind}: ${found.instructions} instructions; ${exits.join(', ')}`);
    for (const line of found.failures) console.log(`  ${line}`);
    failures += found.failures.length;
  }
  return failures === 0 ? 0 : 1;
}
