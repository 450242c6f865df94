/**
 * `npm run bench [-- --rounds N] [--json FILE]`: the yardstick. Debian's kernel boots in Domzero and in QEMU (TCG, where
 * it is installed), by turns; then busybox does some work in each. A row's ratio is guest work per second, ours over
 * QEMU's, from the medians of the rounds; above 1 we are faster. Takes under four minutes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import '../tools/build.mjs';
import { domzero, MEMORY_MIB, qemu, qemuVersion, run } from './machines.mjs';
import { initScript, ROWS, ROWS_WANTED } from './rows.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** In a mean no row counts for more than this. */
const MOST = 2;

const { values: options } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, json: { type: 'string' } },
});

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** The project's own cache and cpio writer; Node 20 cannot import TypeScript as it stands. */
async function sources() {
  const contents = `export { Cache } from './src/apps/fetch/cache.ts';
export { writeCpio } from './src/toolstack/initramfs/cpio.ts';`;
  const settings = { bundle: true, platform: 'node', format: 'esm', write: false };
  const { outputFiles } = await build({ stdin: { contents, resolveDir: root }, ...settings });
  const code = Buffer.from(outputFiles[0].contents).toString('base64');
  return import(`data:text/javascript;base64,${code}`);
}

/** Debian's kernel, and its ramdisk with our /init laid over it. */
async function prepareGuest(folder) {
  const fetched = spawnSync(process.execPath, [join(root, 'bin', 'domzero'), 'fetch', 'debian'], {
    encoding: 'utf8',
  });
  if (fetched.status !== 0) throw new Error(fetched.stderr.trim());
  const { Cache, writeCpio } = await sources();
  const cache = new Cache();
  const base = readFileSync(cache.path('debian', 'initrd'));
  const init = { type: 'file', path: 'init', mode: 0o755, data: Buffer.from(initScript()) };
  const initrd = join(folder, 'initrd');
  writeFileSync(initrd, Buffer.concat([base, Buffer.alloc((4 - (base.length % 4)) % 4), writeCpio([init])]));
  return { title: cache.manifest('debian').title, kernel: cache.path('debian', 'vmlinuz'), initrd, folder };
}

const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** What domzero says of a guest when it is gone: instructions in millions, seconds of CPU. */
function work(err) {
  const match = /d\d+: ([\d.]+) million guest instructions, ([\d.]+) s of CPU/.exec(err);
  if (!match) throw new Error('domzero did not say how many instructions the guest ran');
  return { millions: Number(match[1]), seconds: Number(match[2]) };
}

/** Seconds to the init line, in every round, and the interpreter's speed meanwhile. */
async function boots(machines, guest, rounds) {
  const times = machines.map(() => []);
  const works = [];
  for (let round = 1; round <= rounds; round++)
    for (const [k, machine] of machines.entries()) {
      progress(`boot ${round}/${rounds}: ${machine.name}`);
      const { lines, err } = await run(machine, { ...guest, append: '' }, 'up');
      times[k].push(lines.find((line) => line.text === 'up').at / 1000);
      if (machine === domzero) works.push(work(err));
    }
  return { times, works };
}

/** One guest's rows: name to { seconds, result }. */
function rowTimes(lines) {
  const rows = new Map();
  for (const [i, line] of lines.entries()) {
    const match = /^end (\S+) (.*)$/.exec(line.text);
    if (!match) continue;
    const [, name, result] = match;
    const begin = lines.slice(0, i).findLast((other) => other.text === `begin ${name}`);
    rows.set(name, { seconds: (line.at - begin.at) / 1000, result });
  }
  return rows;
}

/** Seconds of every row, by machine and round; the same result everywhere, or an error. */
async function workloads(machines, guest, rounds) {
  const times = machines.map(() => new Map(ROWS.map(({ name }) => [name, []])));
  const results = new Map();
  for (let round = 1; round <= rounds; round++)
    for (const [k, machine] of machines.entries()) {
      progress(`rows ${round}/${rounds}: ${machine.name}`);
      const { lines } = await run(machine, { ...guest, append: ROWS_WANTED }, 'done');
      for (const [name, { seconds, result }] of rowTimes(lines)) {
        times[k].get(name).push(seconds);
        const wanted = results.get(name) ?? ROWS.find((r) => r.name === name).result;
        if (wanted instanceof RegExp ? !wanted.test(result) : wanted !== result)
          throw new Error(`${name}: ${machine.name} computed "${result}", not ${wanted}`);
        results.set(name, result);
      }
    }
  return times;
}

/** A row as it is reported: median rates in the row's unit a second, or seconds for the boot. */
function row(what, unit, rate, seconds) {
  const medians = seconds.map(median);
  const ratio = medians.length === 2 ? medians[1] / medians[0] : undefined;
  return { what, unit, domzero: rate(medians[0]), qemu: medians[1] && rate(medians[1]), ratio, seconds };
}

function geometricMean(ratios) {
  const logs = ratios.map((ratio) => Math.log(Math.min(ratio, MOST)));
  return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
}

async function measure(rounds) {
  const folder = mkdtempSync(join(tmpdir(), 'domzero-bench-'));
  const load = loadavg()[0];
  const version = qemuVersion();
  const machines = version === undefined ? [domzero] : [domzero, qemu];
  try {
    const guest = await prepareGuest(folder);
    const boot = await boots(machines, guest, rounds);
    const times = await workloads(machines, guest, rounds);
    const rows = ROWS.map(({ name, what, amount, unit }) => {
      const seconds = times.map((machine) => machine.get(name));
      return row(what, `${unit}/s`, (s) => amount / s, seconds);
    });
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0].model.trim()}, ${cpus().length} CPUs, Node.js ${process.version}`,
      guest: `${guest.title}; 1 vCPU, ${MEMORY_MIB} MiB`,
      qemu: version,
      rounds,
      load,
      boot: row('boot to the init line', 's', (s) => s, boot.times),
      millionsPerSecond: median(boot.works.map((w) => w.millions / w.seconds)),
      instructions: median(boot.works.map((w) => w.millions)) * 1e6,
      rows,
      mean: version && geometricMean(rows.map((r) => r.ratio)),
    };
  } finally {
    progress('');
    rmSync(folder, { recursive: true });
  }
}

const number = (x) => (x === undefined ? '' : x >= 100 ? x.toFixed(0) : x.toPrecision(3));

function report(found) {
  const cells = (r) => [r.what, r.unit, number(r.domzero), number(r.qemu), r.ratio?.toFixed(2) ?? ''];
  const heading = ['', 'unit', 'Domzero', found.qemu ? 'QEMU TCG' : '', found.qemu ? 'ratio' : ''];
  const table = [heading, cells(found.boot), ...found.rows.map(cells)];
  if (found.mean)
    table.push(['geometric mean of the rows below the boot', '', '', '', found.mean.toFixed(2)]);
  const widths = heading.map((_, i) => Math.max(...table.map((line) => line[i].length)));
  const pad = (cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  const other = found.qemu ? `QEMU ${found.qemu} -accel tcg -cpu max` : 'QEMU is not installed: ours alone';
  return [
    `${found.date}, ${found.machine}`,
    `${found.guest}; ${other}`,
    `medians of ${found.rounds}; the load average was ${found.load.toFixed(1)} before`,
    '',
    ...table.map((line) => line.map(pad).join('  ').trimEnd()),
    '',
    `The boot ran ${number(found.instructions / 1e6)} million guest instructions on Domzero, ` +
      `${number(found.millionsPerSecond)} million a second of CPU.`,
  ].join('\n');
}

try {
  const rounds = Number(options.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${options.rounds}: not a number of rounds`);
  const found = await measure(rounds);
  console.log(report(found));
  if (options.json) writeFileSync(options.json, `${JSON.stringify(found, null, 2)}\n`);
} catch (error) {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}
