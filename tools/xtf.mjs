/**
 * `npm run xtf -- FOLDER [--filter REGEX] [--timeout SECONDS] [--write]`: runs the HVM tests of a built Xen Test
 * Framework as PVH guests, one after the other, and prints a table of their results. Ends with 1 when a test that
 * docs/XTF.md lists as SUCCESS does not succeed; `--write` writes that page anew instead.
 *
 * The framework's own configuration files name the runs: tests/NAME/test-ENVIRONMENT-NAME[~VARIATION].cfg.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import './build.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'docs', 'XTF.md');
const USAGE = 'usage: npm run xtf -- FOLDER [--filter REGEX] [--timeout SECONDS] [--write]';
const TIMED_OUT = 124;
/** The order in which the table has the environments of a test. */
const ENVIRONMENTS = ['hvm64', 'hvm32pae', 'hvm32pse', 'hvm32'];

function options() {
  const { values, positionals } = parseArgs({
    options: {
      filter: { type: 'string', default: '' },
      timeout: { type: 'string', default: '20' },
      write: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (positionals.length !== 1) throw new Error(USAGE);
  const timeout = Number(values.timeout);
  if (!(timeout > 0)) throw new Error(`--timeout ${values.timeout}: not a number of seconds`);
  return { folder: positionals[0], filter: new RegExp(values.filter), timeout, write: values.write };
}

/** Every run that was built: { name, environment, variation, config (a path) }, those for PV apart. */
function findRuns(folder) {
  const tests = join(folder, 'tests');
  if (!existsSync(tests))
    throw new Error(`${folder}: no folder "tests" in it; this wants a built Xen Test Framework`);
  const hvm = [];
  const pv = [];
  for (const name of readdirSync(tests).filter((n) => existsSync(join(tests, n, 'info.json'))))
    for (const file of readdirSync(join(tests, name))) {
      const match = /^test-(hvm|pv)([^-]*)-(.*)\.cfg$/.exec(file);
      if (match === null || !match[3].startsWith(name)) continue;
      const run = { name, environment: match[1] + match[2], variation: match[3].slice(name.length + 1) };
      (match[1] === 'hvm' ? hvm : pv).push({ ...run, config: join(tests, name, file) });
    }
  const rank = (run) => ENVIRONMENTS.indexOf(run.environment);
  const numeric = (a, b) => a.localeCompare(b, 'en', { numeric: true });
  hvm.sort((a, b) => numeric(a.name, b.name) || rank(a) - rank(b) || numeric(a.variation, b.variation));
  return { hvm, pv };
}

/** What is missing where a test's own words do not say. */
const MISSING = {
  'nested-vmx': 'no VMX in the CPU that guests see, which is one of AMD',
};

const label = (run) => (run.variation ? `${run.name}~${run.variation}` : run.name);
const key = (run) => `${label(run)} ${run.environment}`;

/**
 * The framework's configuration, options and all, with its image as the kernel of a PVH guest: it is the firmware of an
 * HVM one, which has an HPET too.
 */
function pvhConfig(run) {
  const image = run.config.replace(/(~[^~/]*)?\.cfg$/, '');
  const lines = readFileSync(run.config, 'utf8').split('\n');
  const kept = lines.filter((line) => !/^\s*(type|builder|kernel|firmware_override)\s*=/.test(line));
  return [...kept, 'type="pvh"', 'hpet=1', `kernel=${JSON.stringify(image)}`, ''].join('\n');
}

/** Runs one guest; its console, what domzero had to say, and the exit status. */
function runGuest(config, timeout) {
  return new Promise((resolve, reject) => {
    const options = ['--no-reboot', '--timeout', String(timeout), '--xen-args', 'hvm_fep'];
    const args = [join(root, 'bin', 'domzero'), 'run', config, ...options];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (s) => (out += s));
    child.stderr.setEncoding('utf8').on('data', (s) => (err += s));
    child.on('error', reject);
    child.on('close', (status) => resolve({ out, err, status }));
  });
}

/** What a run says: the framework's own verdict, or how else the guest ended; and the reason where it gives one. */
function judge({ out, err, status }) {
  const lines = out.split('\n').map((line) => line.trim());
  const verdict = lines
    .map((line) => /^Test result: (\w+)/.exec(line)?.[1])
    .filter(Boolean)
    .at(-1);
  const said =
    lines.find((line) => /^(fail|error|skip)\w*\b/i.test(line)) ??
    lines.find((line) => /\bunavailable\b|\bnot (detected|supported)\b/i.test(line));
  if (verdict !== undefined) return { result: verdict, reason: verdict === 'SUCCESS' ? '' : (said ?? '') };
  const panic = lines.findIndex((line) => line.startsWith('PANIC:'));
  if (panic >= 0) {
    const detail = lines.slice(panic, panic + 3).filter((line) => !line.startsWith('***'));
    return { result: 'CRASH', reason: detail.join(' ') };
  }
  const reason = err.trim().split('\n').at(-1) ?? '';
  if (status === TIMED_OUT) return { result: 'TIMEOUT', reason: lines.filter(Boolean).at(-1) ?? '' };
  return { result: 'CRASH', reason: reason || `domzero ended with ${status}` };
}

function progress(text) {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`);
}

async function runAll(runs, timeout) {
  const dir = mkdtempSync(join(tmpdir(), 'domzero-xtf-'));
  const config = join(dir, 'test.cfg');
  const rows = [];
  try {
    for (const run of runs) {
      progress(`${rows.length + 1}/${runs.length} ${key(run)}`);
      writeFileSync(config, pvhConfig(run));
      const judged = judge(await runGuest(config, timeout));
      const missing = judged.result === 'SUCCESS' ? undefined : MISSING[run.name];
      rows.push({ ...run, ...judged, reason: missing ?? judged.reason });
    }
  } finally {
    progress('');
    rmSync(dir, { recursive: true });
  }
  return rows;
}

const HEADINGS = ['test', 'environment', 'result', 'reason'];
const cells = (row) => [label(row), row.environment, row.result, row.reason];

function print(rows) {
  const table = [HEADINGS, ...rows.map(cells)];
  const widths = [0, 1, 2].map((i) => Math.max(...table.map((line) => line[i].length)));
  for (const line of table)
    console.log(
      line
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

function count(rows) {
  const totals = {};
  for (const { result } of rows) totals[result] = (totals[result] ?? 0) + 1;
  return Object.entries(totals)
    .map(([result, n]) => `${n} ${result}`)
    .join(', ');
}

/** Keys of the runs that the page says succeed. */
function promised() {
  if (!existsSync(page)) return new Set();
  const rows = readFileSync(page, 'utf8')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));
  return new Set(rows.filter((cell) => cell[3] === 'SUCCESS').map((cell) => `${cell[1]} ${cell[2]}`));
}

function write(rows, pv) {
  const table = [HEADINGS, ...rows.map(cells)].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = HEADINGS.map((_, i) => Math.max(...table.map((row) => row[i].length)));
  const line = (row) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const [headings, ...body] = table;
  const text = `# The Xen Test Framework

The results of the [Xen Test Framework](https://xenbits.xen.org/docs/xtf/)'s HVM tests, each run as a PVH guest
(\`type="pvh"\`, with the test's image as \`kernel\`). To reproduce them, build the framework from its public sources with
\`make\`, which needs a C compiler for x86 and Python, and give its folder to

\`\`\`
npm run xtf -- FOLDER
\`\`\`

\`--filter REGEX\` chooses tests (\`debug-regs hvm64\`), \`--timeout SECONDS\` is the limit for each, and \`--write\` writes
this page. The command fails when a test listed as SUCCESS here does not succeed.

The hypervisor is started with \`hvm_fep\`, which lets tests force the emulation of an instruction, and each guest has
what its own configuration asks for, and the HPET that an HVM guest has by default.

SKIP is the test's own word: the machine lacks what it is about, and says so. The ${pv} runs for PV guests are not
supported yet.

${count(rows)}.

${line(headings)}
${line(widths.map((width) => '-'.repeat(width)))}
${body.map(line).join('\n')}
`;
  writeFileSync(page, text);
}

async function main() {
  const { folder, filter, timeout, write: anew } = options();
  const { hvm, pv } = findRuns(folder);
  const rows = await runAll(
    hvm.filter((run) => filter.test(key(run))),
    timeout,
  );
  print(rows);
  console.log(`${count(rows) || 'no test was chosen'}; ${pv.length} runs for PV guests: not supported yet`);
  if (anew) {
    write(rows, pv.length);
    return 0;
  }
  const expected = promised();
  const broken = rows.filter((row) => row.result !== 'SUCCESS' && expected.has(key(row)));
  for (const row of broken) console.log(`${key(row)}: docs/XTF.md says SUCCESS`);
  return broken.length === 0 && rows.length > 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`xtf: ${error.message}`);
  process.exitCode = 2;
}
