/**
 * How much memory the host could still give: what the kernel calls available, lowered to what the control groups
 * around this process leave. Page cache that a group could drop counts as free.
 */
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';

/** Reads a small text file; undefined when it is not there. */
export type ReadText = (path: string) => string | undefined;

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
};

/** Limit and usage files of the two versions of control groups, and what `memory.stat` calls droppable cache. */
const V1 = {
  root: '/sys/fs/cgroup/memory',
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  cache: /^total_inactive_file (\d+)$/m,
};
const V2 = {
  root: '/sys/fs/cgroup',
  limit: 'memory.max',
  usage: 'memory.current',
  cache: /^inactive_file (\d+)$/m,
};

function groupRoom(read: ReadText, dir: string, v: typeof V1): number {
  const limit = Number.parseInt(read(`${dir}/${v.limit}`) ?? '', 10);
  const usage = Number.parseInt(read(`${dir}/${v.usage}`) ?? '', 10);
  if (Number.isNaN(limit) || Number.isNaN(usage)) return Number.POSITIVE_INFINITY;
  const cache = Number(v.cache.exec(read(`${dir}/memory.stat`) ?? '')?.[1] ?? 0);
  return Math.max(0, limit - usage + cache);
}

/** Room in a group and all groups around it. In a container the path may lie outside what is mounted. */
function hierarchyRoom(read: ReadText, path: string, v: typeof V1): number {
  const parts = path.split('/').filter((p) => p !== '' && p !== '..');
  let room = Number.POSITIVE_INFINITY;
  for (let n = parts.length; n >= 0; n--) {
    room = Math.min(room, groupRoom(read, [v.root, ...parts.slice(0, n)].join('/'), v));
  }
  return room;
}

function cgroupRoom(read: ReadText): number {
  let room = Number.POSITIVE_INFINITY;
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const [id, controllers, path] = line.split(':');
    if (path === undefined) continue;
    if (id === '0' && controllers === '') room = Math.min(room, hierarchyRoom(read, path, V2));
    if (controllers!.split(',').includes('memory')) room = Math.min(room, hierarchyRoom(read, path, V1));
  }
  return room;
}

export function availableMemory(read: ReadText = readText): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(read('/proc/meminfo') ?? '')?.[1];
  const free = kib === undefined ? freemem() : Number(kib) * 1024;
  return Math.min(free, cgroupRoom(read));
}
