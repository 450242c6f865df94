/** Runs the rows on the machines by turns, and gathers what the report is made of. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { MEMORY_MIB, run } from './machines.mjs';
import { means, median, reportRow } from './report.mjs';
import { ROWS } from './rows.mjs';

const BOOT = { family: 'boot', name: 'boot', what: 'to the first line of /init' };

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** What domzero says of a guest when it is gone: instructions in millions, seconds of CPU. */
function work(err) {
  const match = /d\d+: ([\d.]+) million guest instructions, ([\d.]+) s of CPU/.exec(err);
  if (!match) throw new Error('domzero did not say how many instructions the guest ran');
  return { millions: Number(match[1]), seconds: Number(match[2]) };
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

/** A row's times on each machine, and what went wrong with it. */
class Measured {
  error = undefined;

  constructor(row, machines) {
    this.row = row;
    this.wanted = row.result;
    this.seconds = machines.map(() => []);
  }

  add(k, machine, { seconds, result } = {}) {
    this.seconds[k].push(seconds);
    if (seconds === undefined) this.error ??= `no result in ${machine.name}`;
    else if (this.wanted instanceof RegExp ? !this.wanted.test(result) : this.wanted !== result)
      this.error ??= `${machine.name} computed "${result}", not ${this.wanted}`;
    // Where a pattern is all that is known, the first result decides for the others.
    else this.wanted = result;
  }
}

/** Boots and does the rows, on each machine by turns. */
async function measureRounds(machines, rounds, guests, boot, rows) {
  const works = [];
  for (let round = 1; round <= rounds; round++)
    for (const [k, machine] of machines.entries()) {
      const turn = `${round}/${rounds}: ${machine.name}`;
      if (boot) {
        progress(`boot ${turn}`);
        const { lines, err } = await run(machine, guests.boot, 'up');
        boot.seconds[k].push(lines.find((line) => line.text === 'up').at / 1000);
        if (k === 0) works.push(work(err));
      }
      if (rows.length === 0) continue;
      progress(`rows ${turn}`);
      const times = rowTimes((await run(machine, guests.work, 'done')).lines);
      for (const measured of rows) measured.add(k, machine, times.get(measured.row.name));
    }
  return works;
}

/** The rows whose family or name matches. */
export function chosen(pattern) {
  const wanted = new RegExp(pattern);
  const rows = [BOOT, ...ROWS].filter(({ family, name }) => wanted.test(family) || wanted.test(name));
  if (rows.length === 0) throw new Error(`--rows ${pattern}: no such row`);
  return rows;
}

/** The number of rounds that an option says. */
export function roundsOf(text) {
  const rounds = Number(text);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${text}: not a number of rounds`);
  return rounds;
}

/**
 * What `report` shows. The first of `machines` is Domzero; `prepare` makes the guests of these rows in a folder, and in a
 * mean no row counts for more than `most`.
 */
export async function measure({ machines, rounds, all, prepare, most }) {
  const folder = mkdtempSync(join(tmpdir(), 'domzero-bench-'));
  const load = loadavg()[0];
  try {
    const guests = await prepare(
      all.filter((row) => row !== BOOT),
      folder,
    );
    const boot = all.includes(BOOT) ? new Measured(BOOT, machines) : undefined;
    const measured = guests.possible.map((row) => new Measured(row, machines));
    const works = await measureRounds(machines, rounds, guests, boot, measured);
    const rows = all.map((row) => {
      const found = [boot, ...measured].find((m) => m?.row === row);
      return reportRow(row, found?.seconds, found ? found.error : guests.missing[row.needs]);
    });
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0].model.trim()}, ${cpus().length} CPUs, Node.js ${process.version}`,
      guest: `${guests.title}; 1 vCPU, ${MEMORY_MIB} MiB`,
      rounds,
      load,
      rows,
      mean: means(rows, most),
      boot: boot && {
        instructions: median(works.map((w) => w.millions)) * 1e6,
        millionsPerSecond: median(works.map((w) => w.millions / w.seconds)),
      },
      failed: measured.filter(({ error }) => error).map(({ row }) => row.name),
    };
  } finally {
    progress('');
    rmSync(folder, { recursive: true });
  }
}
