/**
 * What a config's `kernel` and `ramdisk` name: `cache:ENTRY/FILE` is a file of the cache; any other name is a path,
 * taken from the working directory as xl does or, where there is none, from the config file's own directory.
 */
import { existsSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';
import { AppError, EXIT } from './exit-status.ts';
import { Cache } from './fetch/cache.ts';

const SCHEME = 'cache:';

export function imagePath(name: string, configPath: string, cache = new Cache()): string {
  if (name.startsWith(SCHEME)) return cachedPath(name, configPath, cache);
  const candidates = isAbsolute(name) ? [name] : [resolve(name), resolve(dirname(configPath), name)];
  const found = candidates.find((path) => existsSync(path));
  if (found === undefined) throw new AppError(EXIT.image, `${configPath}: ${name}: no such file`);
  return found;
}

function cachedPath(name: string, configPath: string, cache: Cache): string {
  const match = /^([a-z0-9-]+)\/([A-Za-z0-9._-]+)$/.exec(name.slice(SCHEME.length));
  if (!match) throw new AppError(EXIT.config, `${configPath}: ${name}: expected cache:ENTRY/FILE`);
  const [, entry, file] = match;
  const path = cache.path(entry!, file!);
  if (path === undefined) {
    throw new AppError(
      EXIT.image,
      `${configPath}: ${name} is not in the cache; run "domzero fetch ${entry}"`,
    );
  }
  return path;
}
