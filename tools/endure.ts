/**
 * `npm run endure [-- options]`: one guest of Debian's kernel works for a long time, on compilers, compressors, processes,
 * Python and code that is made, run and thrown away; what it computes is compared with what this CPU computes. Prints a
 * line a minute: rounds, results, the memory of the process. Ends with 1 when a result is wrong, the guest does not end
 * as it should, or the process has grown by more than a tenth since minute 5.
 *
 *   --minutes N        for so long (20)            --vcpus N           of the guest (1); each does rounds of its own
 *   --rounds N         rounds at most              --code-cache SIZE   as of domzero run: small, it is full often
 *   --from N           the first round (1)
 *   --parts A,B        of churn, compress, forks, python, compile; all of them if not given
 *   --profile          shows at the end where the time went and what became of compiled code
 *
 * Needs Linux, a C compiler (`CC`, else `cc`), and for the last two parts what `npm run programs` leaves in the cache.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeWork, possibleParts } from './endure/files.ts';
import { hostRounds, type Plan, startGuest } from './endure/guest.ts';
import { grown, type Memory, memoryOfProcess, showMemory } from './endure/memory.ts';
import { Results } from './endure/results.ts';

const MINUTE_MS = 60_000;
/** Without a result for so long, the guest hangs. */
const PATIENCE_MINUTES = 10;

function planOf(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '20' },
      from: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '1000000' },
      vcpus: { type: 'string', default: '1' },
      parts: { type: 'string' },
      'code-cache': { type: 'string' },
      profile: { type: 'boolean', default: false },
    },
  });
  const number = (name: 'minutes' | 'from' | 'rounds' | 'vcpus'): number => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new Error(`--${name} ${values[name]}: not a number above 0`);
    return value;
  };
  const cache = values['code-cache'];
  const options = [...(cache ? ['--code-cache', cache] : []), ...(values.profile ? ['--profile'] : [])];
  const parts = possibleParts(values.parts);
  const [from, rounds] = [number('from'), number('rounds')];
  return { parts, minutes: number('minutes'), from, rounds, vcpus: number('vcpus'), options };
}

/** Runs the guest to its end; its status, and the memory of each minute. */
async function runGuest(domzero: string, folder: string, plan: Plan, results: Results) {
  const child = startGuest(domzero, folder, plan);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill());
  const memory: Memory[] = [];
  let [before, silent] = [0, 0];
  const timer = setInterval(() => {
    const now = memoryOfProcess(child.pid as number);
    memory.push(now);
    const { rounds, right, wrong } = results;
    const count = `${rounds} rounds, ${right} results right, ${wrong} wrong`;
    console.log(`minute ${memory.length}: ${count}; ${showMemory(now)}`);
    silent = right + wrong > before ? 0 : silent + 1;
    before = right + wrong;
    if (silent >= PATIENCE_MINUTES) child.kill('SIGKILL');
  }, MINUTE_MS);
  child.stdout?.setEncoding('latin1').on('data', (text: string) => results.take(text));
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  clearInterval(timer);
  await results.checked();
  return { status, memory };
}

export async function main(root: string, args: string[]): Promise<number> {
  const plan = planOf(args);
  const domzero = join(root, 'bin', 'domzero');
  execFileSync(process.execPath, [domzero, 'fetch', 'debian']);
  const folder = mkdtempSync(join(tmpdir(), 'domzero-endure-'));
  try {
    console.log(`parts: ${plan.parts.join(', ')}`);
    makeWork(root, join(folder, 'work'));
    const results = new Results(hostRounds(folder, plan.parts), (text) => console.log(`WRONG: ${text}`));
    const { status, memory } = await runGuest(domzero, folder, plan, results);
    const { rounds, right, wrong, ended } = results;
    const done = ended && status === 0;
    console.log(`${rounds} rounds, ${right} results right, ${wrong} wrong`);
    if (!done) console.log(`THE GUEST did not end as it should: ${status}`);
    const growth = grown(memory);
    if (growth) console.log(growth.text);
    return wrong === 0 && right > 0 && done && !growth?.bad ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
