/**
 * `npm run bench [-- --rounds N] [--rows REGEX] [--json FILE]`: the yardstick. Debian's kernel boots in Domzero and in
 * QEMU (TCG, where it is installed), by turns; then programs do some work in each. A row's ratio is guest work per
 * second, ours over QEMU's, from the medians of the rounds; above 1 we are faster. `--rows` takes those rows alone whose
 * family or name matches. Ends with 1 if a row failed.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import '../tools/build.mjs';
import { prepareGuests } from './guest.mjs';
import { domzero, qemu, qemuVersion } from './machines.mjs';
import { chosen, measure, roundsOf } from './measure.mjs';
import { report } from './report.mjs';

/** In a mean no row counts for more than this. */
const MOST = 2;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    rows: { type: 'string', default: '' },
    json: { type: 'string' },
  },
});

try {
  const version = qemuVersion();
  const machines = version === undefined ? [domzero] : [domzero, qemu];
  const [rounds, all] = [roundsOf(options.rounds), chosen(options.rows)];
  const found = await measure({ machines, rounds, all, prepare: prepareGuests, most: MOST });
  const other = version && { column: 'QEMU TCG', what: `QEMU ${version} -accel tcg -cpu max` };
  console.log(report(found, other ?? { what: 'QEMU is not installed: ours alone' }));
  if (options.json) writeFileSync(options.json, `${JSON.stringify({ ...found, other }, null, 2)}\n`);
  if (found.failed.length > 0) process.exitCode = 1;
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
