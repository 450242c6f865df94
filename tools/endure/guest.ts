/** The guest of a long run, and the same work on the host. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianTree, writeRamdisk } from './files.ts';
import { BASE_MINUTE } from './memory.ts';
import { parseRound, type Round } from './results.ts';

const MEMORY_MIB = 512;
/** The host's C library then takes the functions it takes in the guest: with FMA results differ in the last bit. */
const PLAIN_CPU = 'glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F';

export interface Plan {
  readonly parts: readonly string[];
  readonly minutes: number;
  /** Rounds from this one on, so many at most. */
  readonly from: number;
  readonly rounds: number;
  readonly vcpus: number;
  /** Options of `domzero run`. */
  readonly options: readonly string[];
}

/** Fills its memory once, so that what is resident later is not more for having been used at last. */
const FILL = `
mkdir -p /fill
mount -t tmpfs -o size=100% none /fill
free=$(awk '/MemAvailable/ { print $2 - 49152 }' /proc/meminfo)
head -c \${free}k /dev/zero > /fill/zeros
umount /fill`;

/** Does as many rounds at a time as it has vCPUs. */
const init = ({ parts, minutes, from, rounds, vcpus }: Plan): string => `#!/bin/busybox sh
echo "endure begin"
busybox mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir -p /tmp${minutes > BASE_MINUTE ? FILL : ''}
export WORK=/endure BUSYBOX=/endure/busybox DEBIAN= LOADER= GLIBC_TUNABLES=${PLAIN_CPU}
uptime() { cut -d. -f1 /proc/uptime; }
end=$(($(uptime) + ${Math.round(minutes * 60)}))
work() {
  mkdir /tmp/$1
  cd /tmp/$1
  round=$((${from} + $1 - 1))
  while [ $round -lt ${from + rounds} ] && [ $(uptime) -lt $end ]; do
    $BUSYBOX sh $WORK/run.sh $round ${parts.join(' ')} || echo "round $round ended with $?"
    echo "endure $round done"
    round=$((round + ${vcpus}))
  done
}
for n in $(seq ${vcpus}); do work $n & done
wait
echo "endure end"
poweroff -f
`;

/** Starts the guest; `folder` has the programs in `work`. */
export function startGuest(domzero: string, folder: string, plan: Plan): ChildProcess {
  const ramdisk = join(folder, 'ramdisk');
  writeRamdisk(ramdisk, init(plan), join(folder, 'work'), plan.parts);
  const config = join(folder, 'endure.cfg');
  const settings = {
    name: 'endure',
    type: 'pvh',
    kernel: 'cache:debian/vmlinuz',
    ramdisk,
    extra: 'console=hvc0 quiet',
    memory: MEMORY_MIB,
    vcpus: plan.vcpus,
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  writeFileSync(config, lines.join(''));
  const args = [domzero, 'run', config, ...plan.options];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

/** What the parts of a round print on the host's processor. */
function onHost(folder: string, parts: readonly string[], round: number): Promise<Round> {
  const work = join(folder, 'work');
  const tree = debianTree() ?? '';
  const libraries = ['lib', 'usr/lib'].map((name) => join(tree, name, 'x86_64-linux-gnu')).join(':');
  const busybox = join(work, 'busybox');
  const env = {
    WORK: work,
    BUSYBOX: busybox,
    DEBIAN: tree,
    LOADER: `${join(tree, 'lib64/ld-linux-x86-64.so.2')} --library-path ${libraries}`,
    GLIBC_TUNABLES: PLAIN_CPU,
  };
  const cwd = join(folder, 'host');
  mkdirSync(cwd, { recursive: true });
  return new Promise((resolve, reject) => {
    execFile(busybox, ['sh', join(work, 'run.sh'), `${round}`, ...parts], { cwd, env }, (error, out, err) => {
      if (error || err !== '') reject(error ?? new Error(`round ${round} on the host: ${err}`));
      else resolve(parseRound(out));
    });
  });
}

/** One round at a time. */
export function hostRounds(folder: string, parts: readonly string[]): (round: number) => Promise<Round> {
  let last: Promise<unknown> = Promise.resolve();
  return (round) => {
    const next = last.then(() => onHost(folder, parts, round));
    last = next.catch(() => undefined);
    return next;
  };
}
