/** A guest as the user described it: its configuration, read and checked, and then its images. */
import { readFileSync } from 'node:fs';
import { LoaderError } from '../toolstack/loader/errors.ts';
import { loadKernel } from '../toolstack/loader/kernel.ts';
import type { Images } from '../toolstack/ops/create.ts';
import { type DomainConfig, readDomainConfig } from '../toolstack/xlcfg/domain-config.ts';
import { ConfigError, formatConfigError } from '../toolstack/xlcfg/errors.ts';
import { parseConfig } from '../toolstack/xlcfg/parser.ts';
import { AppError, EXIT } from './exit-status.ts';
import type { ConfigSource, RunIo, RunOptions } from './guest-run.ts';
import { DEFAULT_MACHINE_MIB, MAX_MACHINE_MIB, MIN_MACHINE_MIB } from './machine-host.ts';

/** Domain 0 and tables beside the guests' memory and decoded code. */
const OVERHEAD_MIB = 128;
/** A machine's size is a multiple of this. */
const STEP_MIB = 4;

export interface ConfiguredGuest {
  readonly config: DomainConfig;
  readonly source: ConfigSource;
}
export interface LoadedGuest extends ConfiguredGuest {
  readonly images: Images;
}

export function readConfigs(sources: readonly ConfigSource[], io: RunIo): ConfiguredGuest[] {
  const guests = sources.map((source) => ({ source, config: readConfig(source, io) }));
  guests.forEach((g, i) => {
    const other = guests.findIndex((o) => o.config.name === g.config.name);
    if (other === i) return;
    const where = `${sources[i]!.path} and ${sources[other]!.path}`;
    throw new AppError(EXIT.config, `${where}: two guests have the name "${g.config.name}"`);
  });
  return guests;
}

function readConfig(source: ConfigSource, io: RunIo): DomainConfig {
  try {
    const parsed = parseConfig(source.text, source.path, [...source.overrides]);
    const config = readDomainConfig(parsed, { entropy: io.host.entropy, warn: (line) => io.message(line) });
    if (config.type !== 'pvh') {
      const message = `${source.path}: guests of type "${config.type}" are not supported yet; use type = "pvh"`;
      throw new AppError(EXIT.config, message);
    }
    if (config.kernel === undefined) throw new AppError(EXIT.config, `${source.path}: no kernel given`);
    return config;
  } catch (e) {
    if (e instanceof ConfigError) throw new AppError(EXIT.config, formatConfigError(e), { cause: e });
    throw e;
  }
}

export function loadImages({ config, source }: ConfiguredGuest, io: RunIo): Images {
  const name = config.kernel!;
  io.progress(`loading ${name}`);
  const file = readImage(name, source, io);
  try {
    return {
      kernel: loadKernel(file, name, 'pvh'),
      ramdisk: config.ramdisk === undefined ? undefined : readImage(config.ramdisk, source, io),
    };
  } catch (e) {
    if (!(e instanceof LoaderError)) throw e;
    throw new AppError(EXIT.image, `${source.path}: ${e.message}`, { cause: e });
  }
}

function readImage(name: string, source: ConfigSource, io: RunIo): Uint8Array {
  const path = io.imagePath(name, source.path);
  try {
    return readFileSync(path);
  } catch (e) {
    throw new AppError(EXIT.image, `${source.path}: cannot read ${path}: ${(e as Error).message}`, {
      cause: e,
    });
  }
}

/** MiB of the machine: what was asked for, or the default, or what the guests need. */
export function machineSize(guests: readonly ConfiguredGuest[], options: RunOptions): number {
  const beside = OVERHEAD_MIB + Math.ceil(options.codeCacheBytes / 2 ** 20);
  const wanted = guests.reduce((sum, g) => sum + Math.ceil(g.config.targetMemkb / 1024), beside);
  const mib = Math.ceil((options.memoryMiB ?? Math.max(DEFAULT_MACHINE_MIB, wanted)) / STEP_MIB) * STEP_MIB;
  if (mib < MIN_MACHINE_MIB) {
    const message = `you ask for a machine of ${mib} MiB; the smallest there can be has ${MIN_MACHINE_MIB} MiB`;
    throw new AppError(EXIT.memory, message);
  }
  if (mib <= MAX_MACHINE_MIB) return mib;
  const what = options.memoryMiB === undefined ? 'the guests need' : 'you ask for';
  const message = `${what} a machine of ${mib} MiB; the largest there can be has ${MAX_MACHINE_MIB} MiB`;
  throw new AppError(EXIT.memory, message);
}
