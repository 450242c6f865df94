/**
 * `node bench/v86.mjs --v86 FOLDER --debian FOLDER [--rounds N] [--rows REGEX] [--append TEXT] [--bios FOLDER] [--json
 * FILE]`: Domzero against v86, the same 32-bit kernel and programs in each, by turns; docs/V86.md says how to get what is
 * in the folders. A row's ratio is guest work per second, ours over v86's; above 1 we are faster. Ends with 1 if a row
 * failed.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import '../tools/build.mjs';
import { domzero, MEMORY_MIB } from './machines.mjs';
import { chosen, measure, roundsOf } from './measure.mjs';
import { report } from './report.mjs';
import { prepareGuests32, rowFor32 } from './v86-guest.mjs';

const MACHINE = fileURLToPath(new URL('v86-machine.mjs', import.meta.url));
const OPTIONS = {
  v86: { type: 'string' },
  debian: { type: 'string' },
  bios: { type: 'string', default: '/usr/share/seabios' },
  append: { type: 'string', default: 'mitigations=off' },
  rounds: { type: 'string', default: '3' },
  rows: { type: 'string', default: '' },
  json: { type: 'string' },
};

/** An option's folder, in which the file must be that it is given for. */
function folderOf(option, value, file = '') {
  if (value === undefined) throw new Error(`--${option} FOLDER is missing; docs/V86.md says what is in it`);
  const folder = resolve(value);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new Error(`--${option} ${value}: no such folder`);
  if (!existsSync(join(folder, file))) throw new Error(`--${option} ${value}: no ${file} there`);
  return folder;
}

/** Domzero with more on the kernel's command line. */
const ours = (append) => ({
  name: domzero.name,
  command: (guest) => [...domzero.command(guest), `extra=${JSON.stringify(`console=hvc0 ${append}`)}`],
});

const theirs = (v86, bios, append) => ({
  name: 'v86',
  command({ kernel, initrd }) {
    const settings = { v86, bios, kernel, initrd, cmdline: `console=ttyS0 ${append}`, memory: MEMORY_MIB };
    return [process.execPath, MACHINE, JSON.stringify(settings)];
  },
});

try {
  const { values: options } = parseArgs({ options: OPTIONS });
  const v86 = join(folderOf('v86', options.v86, 'node_modules/v86/build/libv86.mjs'), 'node_modules', 'v86');
  const bios = folderOf('bios', options.bios, 'bios.bin');
  const debian = folderOf('debian', options.debian);
  const found = await measure({
    machines: [ours(options.append), theirs(v86, bios, options.append)],
    rounds: roundsOf(options.rounds),
    all: chosen(options.rows).map(rowFor32),
    prepare: (rows, folder) => prepareGuests32(debian, rows, folder),
  });
  const { version } = JSON.parse(readFileSync(join(v86, 'package.json'), 'utf8'));
  const other = { column: 'v86', what: `v86 ${version}; kernel with "${options.append}"` };
  console.log(report(found, other));
  if (options.json) writeFileSync(options.json, `${JSON.stringify({ ...found, other }, null, 2)}\n`);
  if (found.failed.length > 0) process.exitCode = 1;
} catch (error) {
  console.error(`v86: ${error.message}`);
  process.exitCode = 1;
}
