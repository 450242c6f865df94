/**
 * The rows of the benchmark. A row's work is between the lines `bench: begin ROW` and `bench: end ROW RESULT` of the
 * guest; the host takes the times, so the guest's clock does not matter, and compares the results, so that no machine is
 * fast by being wrong.
 */

/** A family that is a C program of programs/: row, what it does, and its checksum, the same on any CPU. */
function programs(family, rows) {
  return rows.map(([name, what, result]) => {
    return { family, name, what, result, needs: 'compiler', script: `/bench/${family} ${name}` };
  });
}

/** A row that is a line of busybox's shell, which prints one word. */
function shell(name, what, result, command, { needs, prepare = ':' } = {}) {
  const script = `${prepare}\necho "bench: begin ${name}"\nresult=$(${command})\necho "bench: end ${name} $result"`;
  return { family: 'real', name, what, result, needs, script };
}

const DATA = { prepare: '[ -f /bench/data ] || for i in $(seq 32); do cat /bench/text; done > /bench/data' };
const PYTHON = `/bench/python3.11 -I -S -B -c '
total = 0
for i in range(400000):
    total = (total * 31 + i) % 1000003
print(total)'`;
const CC1 = '/bench/cc1 -quiet -fpreprocessed -O2 /bench/unit.c -o /bench/unit.s';

/** `result` is a string, or a pattern where versions of programs may differ; the machines must agree in any case. */
export const ROWS = [
  ...programs('integer', [
    ['sieve', 'primes below 4 million, 6 times', 'f0b6f7f3e646d0bc'],
    ['crc32', 'CRC-32 of 40 MiB by table', '000000004652c611'],
    ['sha256', 'SHA-256 of 8.75 MiB', 'caa65cd212b2dd81'],
    ['quicksort', '2 million numbers', '278352296839a03f'],
    ['bytecode', '40 million steps, an indirect jump each', 'b1006898c2ee1f2c'],
    ['hash', '600,000 keys in and looked up', '0b3294dac02f5f88'],
    ['calls', 'fib(36) by recursion', '0000000000e3d1b0'],
  ]),
  ...programs('float', [
    ['nbody', '240,000 moves of 5 bodies, SSE2', '5d44bc6d29f2f2c8'],
    ['mandelbrot', '640 x 640 points, SSE2', '1fd3ace52c6ce76d'],
    ['x87', 'long double series, 2 million terms', '837e8852920dddfc'],
  ]),
  ...programs('simd', [
    ['copy', '64 MiB by SSE2, 4 times', '81eab37a63cb17e2'],
    ['dot', '49 million products of floats, SSE', '7a80f58d4a70fbee'],
    ['shuffle', 'bits of 112 MiB counted, SSSE3', 'aec1e0aa72e052f4'],
  ]),
  ...programs('memory', [
    ['chase', '2 million pointers in 32 MiB', '73beb65cf0d47819'],
    ['scatter', '2 million random writes in 256 MiB', '18fbb51e2ca67c29'],
    ['movsb', '32 MiB by rep movsb', '0d32a0a97da26917'],
  ]),
  ...programs('system', [
    ['getpid', '500,000 times', '000000000007a120'],
    ['fork', 'fork, exit and wait, 500 times', '438d9916e37552c2'],
    ['exec', 'fork, exec and wait, 100 times', '0000000000000064'],
    ['pipe', 'ping-pong of 2 processes, 4,000 times', '391fbcf4c2db4df9'],
    ['mmap', '250 times 64 pages, touched', '0000000000003e80'],
    ['mprotect', '60,000 times, page touched', '0e9c3ef41e52e226'],
    ['switch', 'a ring of 8 processes, 1,000 turns', 'af64ebcffde4c59c'],
    ['signal', '10,000 signals caught', '0000000000002710'],
  ]),
  shell('gzip', 'busybox gzip of 32 MiB', /^\d{7,8}$/, 'gzip -c /bench/data | wc -c', DATA),
  shell(
    'sha256sum',
    'busybox sha256sum of 32 MiB',
    '8c80519d49dcca19',
    'sha256sum /bench/data | cut -c1-16',
    DATA,
  ),
  shell('python', 'Python, a loop of 400,000', '256185', PYTHON, { needs: 'debian' }),
  shell(
    'compile',
    "GCC's cc1 -O2, a C file",
    /^[0-9a-f]{32}$/,
    `${CC1} && md5sum < /bench/unit.s | cut -c1-32`,
    {
      needs: 'debian',
    },
  ),
];

/** /init of the guest that boots and ends. */
export const BOOT_INIT = '#!/bin/busybox sh\necho "bench: up"\n/bin/busybox poweroff -f\n';

/** /init of the guest that does the rows. */
export function rowsInit(rows) {
  return `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
echo 1 > /proc/sys/kernel/printk
${rows.map(({ script }) => script).join('\n')}
echo "bench: done"
poweroff -f
`;
}
