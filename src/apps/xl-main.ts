/** What `xl` does so far. A guest lives as long as the command that created it, so only -F is offered. */
import { parseArgs } from 'node:util';
import { DEFAULT_CODE_CACHE, OVERRIDE } from './args.ts';
import { AppError, EXIT, type ExitStatus } from './exit-status.ts';
import type { MainParts } from './main.ts';
import { runCommand } from './run.ts';

const HELP = `usage: xl create -F [-c] FILE [key=value...]
  Create a guest from a configuration file and stay in the foreground until it ends.
The other commands of xl are not supported yet; "domzero help" shows what is.
`;

const unsupported = (what: string): AppError =>
  new AppError(EXIT.failed, `${what} is not supported yet; "xl help" shows what is`);

function createOptions(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        foreground: { type: 'boolean', short: 'F' },
        console: { type: 'boolean', short: 'c' },
        defconfig: { type: 'string', short: 'f' },
        quiet: { type: 'boolean', short: 'q' },
      },
    });
  } catch (error) {
    throw unsupported(`create ${args.join(' ')}: ${(error as Error).message.split('. ')[0]}: this`);
  }
}

async function create(args: string[], parts: MainParts): Promise<ExitStatus> {
  const { values, positionals } = createOptions(args);
  const named = positionals.filter((arg) => !OVERRIDE.test(arg));
  const files = values.defconfig === undefined ? named : [values.defconfig, ...named];
  if (files.length !== 1) throw new AppError(EXIT.usage, 'create: expected one configuration file');
  if (!values.foreground) throw unsupported('"xl create" without -F (foreground)');
  return runCommand(
    {
      files,
      overrides: positionals.filter((arg) => OVERRIDE.test(arg)),
      timeoutMs: undefined,
      expect: undefined,
      reboot: true,
      memoryMiB: undefined,
      console: undefined,
      xenstoreSocket: undefined,
      xenArgs: '',
      engine: 'compiler',
      codeCacheBytes: DEFAULT_CODE_CACHE,
      profile: undefined,
      verbose: false,
    },
    parts,
  );
}

export async function xlMain(argv: readonly string[], parts: MainParts): Promise<ExitStatus> {
  const [command, ...args] = argv;
  if (command === 'create') return create(args, parts);
  if (command === undefined || command === 'help' || command === '--help') {
    parts.print(HELP);
    return command === undefined ? EXIT.failed : EXIT.ok;
  }
  throw unsupported(`"xl ${command}"`);
}
