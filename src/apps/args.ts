/** The command line of `domzero`, as data. Throws AppError with EXIT.usage for what it does not understand. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { AppError, EXIT } from './exit-status.ts';

/** What runs guests' code: the interpreter alone, or with a compiler for what is hot. */
export const ENGINES = ['compiler', 'interpreter'] as const;
export type EngineName = (typeof ENGINES)[number];

export interface RunCommand {
  readonly files: readonly string[];
  /** key=value arguments, in order: lines appended to every file. */
  readonly overrides: readonly string[];
  readonly timeoutMs: number | undefined;
  /** A regular expression's source, already checked. */
  readonly expect: string | undefined;
  readonly reboot: boolean;
  readonly memoryMiB: number | undefined;
  readonly console: string | undefined;
  /** The hypervisor's own command line. */
  readonly xenArgs: string;
  readonly engine: EngineName;
  /** Limit of decoded code, and of compiled code. */
  readonly codeCacheBytes: number;
  /** The guests are profiled; the result goes to the file, or is shown. */
  readonly profile: { readonly file: string | undefined; readonly symbols: string | undefined } | undefined;
  readonly xenstoreSocket: string | undefined;
  readonly verbose: boolean;
}

export type Command =
  | { readonly name: 'help' | 'version' | 'cache list' | 'cache clear' }
  | ({ readonly name: 'run' | 'start' } & RunCommand)
  | { readonly name: 'fetch'; readonly mirror: string | undefined; readonly force: boolean };

export const USAGE = `usage: domzero COMMAND

  start [key=value...] [OPTION...]      boot Debian's kernel to a shell, fetching it first if need be
  run FILE... [key=value...] [OPTION...]
                                        run the guests that these xl.cfg files describe, all in one machine
  fetch debian [--mirror URL] [--force] get Debian's kernel and build a small initial ramdisk, into the cache
  cache list | cache clear              show or empty the cache
  help, --help                          this text
  --version                             the version

options of run and start:
  --timeout SECONDS         end the run after this time, with status 124
  --expect REGEX            end the run with status 0 once a guest's console shows this
  --no-reboot               a guest that reboots ends, with status 11
  --memory MIB              memory of the machine that the guests share
  --console NAME            show this guest's console alone, with the keyboard
  --xenstore-socket PATH    where XenStore listens for tools
  --xen-args 'OPTION...'    the hypervisor's own command line: hvm_fep
  --engine NAME             compiler (the default): hot code is compiled; interpreter: none is
  --code-cache SIZE         room for decoded code, and the same for compiled code: 2M to 1G, 256M by default
  --profile[=FILE]          say at a guest's end where its time went, or write that to a file, as JSON
  --symbols FILE            the guest kernel's System.map, for --profile to name its functions
  --verbose                 say what goes on

Ctrl-] ends the run. docs/EXIT-STATUS.md lists the exit statuses.
`;

const usage = (message: string): AppError =>
  new AppError(EXIT.usage, `${message}\nTry "domzero help" for the commands.`);

const HELP = { help: { type: 'boolean', short: 'h' } } as const;

const RUN_OPTIONS = {
  ...HELP,
  timeout: { type: 'string' },
  expect: { type: 'string' },
  'no-reboot': { type: 'boolean' },
  memory: { type: 'string' },
  console: { type: 'string' },
  'xenstore-socket': { type: 'string' },
  'xen-args': { type: 'string' },
  engine: { type: 'string' },
  'code-cache': { type: 'string' },
  profile: { type: 'string' },
  symbols: { type: 'string' },
  verbose: { type: 'boolean', short: 'v' },
} as const;

const FETCH_OPTIONS = { ...HELP, mirror: { type: 'string' }, force: { type: 'boolean' } } as const;

function parse<T extends NonNullable<ParseArgsConfig['options']>>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    // Node's messages go on, after the first sentence, about how to quote a leading dash.
    throw usage((error as Error).message.replace(/\. (To specify|Did you) .*$/s, ''));
  }
}

/** A number of an option: decimal, above zero; `whole` without a fraction. */
function positive(option: string, text: string | undefined, whole: boolean): number | undefined {
  if (text === undefined) return undefined;
  const value = (whole ? /^\d+$/ : /^\d+(\.\d+)?$/).test(text) ? Number(text) : 0;
  if (value > 0 && Number.isSafeInteger(Math.ceil(value))) return value;
  throw usage(`--${option} ${text}: expected a ${whole ? 'whole ' : ''}number above 0`);
}

function checkedPattern(source: string | undefined): string | undefined {
  if (source === undefined) return undefined;
  try {
    new RegExp(source, 'm');
    return source;
  } catch (error) {
    throw usage(`--expect ${source}: ${(error as Error).message}`);
  }
}

function engineName(name: string): EngineName {
  const found = ENGINES.find((e) => e === name);
  if (!found) throw usage(`--engine ${name}: expected ${ENGINES.join(' or ')}`);
  return found;
}

const MIB = 1 << 20;
const UNITS = { K: 1 << 10, M: MIB, G: 1 << 30 } as const;
export const DEFAULT_CODE_CACHE = 256 * MIB;
const MIN_CODE_CACHE = 2 * MIB;
const MAX_CODE_CACHE = 1024 * MIB;

function codeCacheSize(text: string | undefined): number {
  if (text === undefined) return DEFAULT_CODE_CACHE;
  const [, digits, unit] = /^(\d{1,10})([KMG])$/i.exec(text) ?? [];
  if (digits === undefined) throw usage(`--code-cache ${text}: expected a size like 64M`);
  const bytes = Number(digits) * UNITS[unit!.toUpperCase() as keyof typeof UNITS];
  if (bytes >= MIN_CODE_CACHE && bytes <= MAX_CODE_CACHE) return bytes;
  throw usage(`--code-cache ${text}: expected a size from 2M to 1G`);
}

function profileOptions(file: string | undefined, symbols: string | undefined): RunCommand['profile'] {
  if (file !== undefined) return { file: file || undefined, symbols };
  if (symbols !== undefined) throw usage('--symbols goes with --profile');
  return undefined;
}

export const OVERRIDE = /^[A-Za-z_][A-Za-z0-9_]*\s*\+?=/;

function runCommand(name: 'run' | 'start', args: string[]): Command {
  // the option's value may be left out, which Node's parser does not know
  const whole = args.map((arg) => (arg === '--profile' ? '--profile=' : arg));
  const { values, positionals } = parse(whole, RUN_OPTIONS);
  if (values.help) return { name: 'help' };
  const files = positionals.filter((arg) => !OVERRIDE.test(arg));
  if (name === 'run' && files.length === 0) throw usage('run: no configuration file given');
  if (name === 'start' && files.length > 0) throw usage(`start takes no file: ${files[0]}`);
  const seconds = positive('timeout', values.timeout, false);
  return {
    name,
    files,
    overrides: positionals.filter((arg) => OVERRIDE.test(arg)),
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
    expect: checkedPattern(values.expect),
    reboot: !values['no-reboot'],
    memoryMiB: positive('memory', values.memory, true),
    console: values.console,
    xenstoreSocket: values['xenstore-socket'],
    xenArgs: values['xen-args'] ?? '',
    engine: engineName(values.engine ?? 'compiler'),
    codeCacheBytes: codeCacheSize(values['code-cache']),
    profile: profileOptions(values.profile, values.symbols),
    verbose: values.verbose ?? false,
  };
}

function fetchCommand(args: string[]): Command {
  const { values, positionals } = parse(args, FETCH_OPTIONS);
  if (values.help) return { name: 'help' };
  if (positionals.join(' ') !== 'debian') throw usage('fetch: the only thing to fetch is "debian"');
  return { name: 'fetch', mirror: values.mirror, force: values.force ?? false };
}

function cacheCommand(args: string[]): Command {
  const { values, positionals } = parse(args, HELP);
  if (values.help) return { name: 'help' };
  const [verb, ...rest] = positionals;
  if (rest.length === 0 && verb === 'list') return { name: 'cache list' };
  if (rest.length === 0 && verb === 'clear') return { name: 'cache clear' };
  throw usage('cache: expected "list" or "clear"');
}

export function parseCommand(argv: readonly string[]): Command {
  const [name, ...args] = argv;
  switch (name) {
    case 'run':
    case 'start':
      return runCommand(name, args);
    case 'fetch':
      return fetchCommand(args);
    case 'cache':
      return cacheCommand(args);
    case 'help':
    case '--help':
    case '-h':
      return { name: 'help' };
    case '--version':
      return { name: 'version' };
    case undefined:
      throw new AppError(EXIT.usage, USAGE);
    default:
      throw usage(`"${name}" is not a command`);
  }
}
