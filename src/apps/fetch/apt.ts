/**
 * Debian packages through apt, which verifies them. Needs no root: packages land in a directory of ours. Where the
 * system's package lists lack the package (a fresh container has none), lists of our own are fetched from the
 * system's sources.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Ran, run as runProgram } from './commands.ts';

export interface DebPackage {
  readonly name: string;
  readonly version: string;
  /** Code name of the release it is from, such as "bookworm"; empty where apt does not say. */
  readonly suite: string;
  /** The downloaded file. */
  readonly file: string;
}

export type RunProgram = (program: string, args: readonly string[], cwd?: string) => Promise<Ran>;

/** A source of packages by name. */
export interface PackageSource {
  /** The first package that `name` depends on and that matches. Throws where the package is not known. */
  dependency(name: string, wanted: RegExp): Promise<string>;
  download(name: string, dir: string): Promise<DebPackage>;
}

const lastLines = (text: string): string => text.trim().split('\n').slice(-3).join('; ');

/** As root, apt would download as its own user, who may not write where we ask it to. */
const asRoot = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : [];

/** Lists of our own, below `workDir`, for the guests' architecture whatever the host's is. */
function ownLists(workDir: string): string[] {
  const dir = (name: string): string => {
    const path = join(workDir, name);
    mkdirSync(join(path, 'partial'), { recursive: true });
    return path;
  };
  const settings = [
    'APT::Architecture=amd64',
    'APT::Architectures::=amd64',
    'Dir::State::status=/dev/null',
    `Dir::State::Lists=${dir('lists')}`,
    `Dir::Cache=${workDir}`,
    `Dir::Cache::Archives=${dir('archives')}`,
  ];
  return settings.flatMap((setting) => ['-o', setting]);
}

/** The candidate's version and the code name of its release, from `apt-cache policy`. */
export function parsePolicy(policy: string): { version: string; suite: string } | undefined {
  const version = /^ {2}Candidate: (\S+)$/m.exec(policy)?.[1];
  if (version === undefined || version === '(none)') return undefined;
  const lines = policy.split('\n');
  const start = lines.findIndex((line) => line.replace(/^[ *]+/, '').startsWith(`${version} `));
  const suite = /^\s+-?\d+ \S+ ([a-z]+)\S*\/\S+ \S+ Packages$/.exec(lines[start + 1] ?? '')?.[1];
  return { version, suite: suite ?? '' };
}

export class Apt implements PackageSource {
  private readonly run: RunProgram;
  private readonly settings: readonly string[];

  private constructor(run: RunProgram, settings: readonly string[]) {
    this.run = run;
    this.settings = settings;
  }

  /** With the system's package lists. */
  static system(run: RunProgram = runProgram): Apt {
    return new Apt(run, []);
  }

  /** With lists fetched now, from the system's sources. */
  static async fresh(workDir: string, run: RunProgram = runProgram): Promise<Apt> {
    const settings = ownLists(workDir);
    const ran = await run('apt-get', [...settings, ...asRoot, '-q', 'update']);
    if (ran.status !== 0) throw new Error(`apt-get update failed: ${lastLines(ran.stderr || ran.stdout)}`);
    return new Apt(run, settings);
  }

  async dependency(name: string, wanted: RegExp): Promise<string> {
    const { stdout } = await this.run('apt-cache', [...this.settings, 'depends', name]);
    const names = [...stdout.matchAll(/^\s*\|?Depends: (\S+)/gm)].map((m) => m[1]!.replace(/:amd64$/, ''));
    const found = names.find((dependency) => wanted.test(dependency));
    if (found === undefined) throw new Error(`apt knows no package ${name}`);
    return found;
  }

  async download(name: string, dir: string): Promise<DebPackage> {
    const policy = await this.run('apt-cache', [...this.settings, 'policy', name]);
    const candidate = parsePolicy(policy.stdout);
    if (!candidate) throw new Error(`apt knows no package ${name}`);
    const args = [...this.settings, ...asRoot, '-q', 'download', `${name}=${candidate.version}`];
    const ran = await this.run('apt-get', args, dir);
    const file = readdirSync(dir).find((f) => f.startsWith(`${name}_`) && f.endsWith('.deb'));
    if (ran.status === 0 && file !== undefined) return { name, ...candidate, file: join(dir, file) };
    throw new Error(`apt-get download ${name} failed: ${lastLines(ran.stderr || ran.stdout)}`);
  }
}
