/**
 * CONTROL: what an administrator asks of the daemon itself. As with oxenstored, a command that is not known does
 * nothing and is answered with OK.
 */
import type { Core } from './core.ts';
import type { Quota } from './quota.ts';
import { noUsage } from './quota.ts';
import { walk } from './tree.ts';
import { parseU32, XsError } from './wire.ts';

type Command = (core: Core, args: readonly string[]) => string | undefined;

const commands: Readonly<Record<string, { usage: string; run: Command }>> = {
  check: { usage: '', run: check },
  help: { usage: '', run: help },
  log: { usage: '[on|off]', run: log },
  memreport: { usage: '', run: memreport },
  print: { usage: '<string>', run: (core, args) => void core.surroundings.log.info(args.join(' ')) },
  quota: { usage: '[set <name> <value>|<domid>]', run: quota },
  watches: { usage: '', run: watches },
};

// DIVERGES: files and a new binary, which this daemon has no way to, are refused rather than passed over.
const refused: readonly string[] = ['live-update', 'logfile'];

export function control(core: Core, [command = '', ...args]: readonly string[]): string | undefined {
  if (refused.includes(command)) throw new XsError('ENOSYS');
  return Object.hasOwn(commands, command) ? commands[command]!.run(core, args) : undefined;
}

function check(core: Core): undefined {
  if (core.tree.consistent()) return;
  core.surroundings.log.error('check: the accounts of nodes do not agree with the nodes');
  throw new XsError('EIO');
}

// DIVERGES: oxenstored answers OK; the C daemon lists its commands, and so does this.
function help(): string {
  const lines = Object.entries(commands).map(([name, { usage }]) => `${name.padEnd(15)} ${usage}`.trimEnd());
  return `${lines.join('\n')}\n\0`;
}

function log(core: Core, [how]: readonly string[]): undefined {
  if (how === 'on') core.trace = true;
  if (how === 'off') core.trace = false;
}

function memreport(core: Core): undefined {
  const { log: out } = core.surroundings;
  let nodes = 0;
  walk(core.tree.root, () => nodes++);
  out.info(`${nodes} nodes, ${core.watches.all().length} watches, ${core.connections.size} connections`);
  for (const [domid, u] of core.tree.accounts) out.info(`dom${domid}: ${u.nodes} nodes, ${u.bytes} bytes`);
}

function quota(core: Core, [what, name = '', value]: readonly string[]): string | undefined {
  if (what === undefined || what === '') {
    const lines = Object.entries(core.quota).map(([k, v]) => `${k.padEnd(20)} ${v}`);
    return `${lines.join('\n')}\n\0`;
  }
  if (what === 'set') {
    if (!Object.hasOwn(core.quota, name)) throw new XsError('EINVAL');
    core.quota[name as keyof Quota] = parseU32(value);
    return undefined;
  }
  const domid = parseU32(what);
  const { nodes } = core.tree.accounts.get(domid) ?? noUsage;
  return nodes === 0 ? `dom${domid} quota: not set\0` : `dom${domid} quota: ${nodes}/${core.quota.nodes}\0`;
}

/** As many lines as fit in a reply. */
function watches(core: Core): string {
  let out = '';
  for (const { watcher, path, token } of core.watches.all()) {
    const line = `watch ${watcher.name}: ${path} ${token}\n`;
    if (out.length + line.length >= 4096) break;
    out += line;
  }
  return `${out}\0`;
}
