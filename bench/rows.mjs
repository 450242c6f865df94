/**
 * What the benchmark's guest does: its /init prints `bench: up`, then runs the rows, each between the lines
 * `bench: begin ROW` and `bench: end ROW RESULT`. The host takes the times, so the guest's clock does not matter, and
 * compares the results, so that no machine is fast by being wrong.
 */

/**
 * `amount` of `unit` is the work; `run` does it in busybox's shell and prints one word, `result`.
 */
export const ROWS = [
  {
    name: 'sha256',
    what: 'sha256sum of 8 MiB',
    amount: 8,
    unit: 'MiB',
    run: 'dd if=/dev/zero bs=64k count=128 2>/dev/null | sha256sum | cut -c1-16',
    result: /^2daeb1f36095b44b$/,
  },
  {
    name: 'gzip',
    what: 'gzip of 2 MB (busybox itself)',
    amount: 1.98,
    unit: 'MB',
    run: 'gzip -c /bin/busybox | wc -c',
    result: /^1\d{6}$/,
  },
  {
    name: 'sort',
    what: 'sort of 5,000 lines',
    amount: 5,
    unit: 'klines',
    run: "seq 5000 | awk '{print ($1 * 7919) % 20011}' | sort -n | md5sum | cut -c1-16",
    result: /^ed7253ed1739c1c1$/,
  },
  {
    name: 'shell',
    what: 'shell loop',
    amount: 40,
    unit: 'kloops',
    run: 'i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; echo $i',
    result: /^40000$/,
  },
  {
    name: 'float',
    what: 'awk, floating point',
    amount: 100,
    unit: 'kloops',
    run: 'awk \'BEGIN { for (i = 0; i < 100000; i++) s += i * 0.5 / 3; printf "%.3f\\n", s }\'',
    result: /^833325000\.000$/,
  },
  {
    name: 'syscall',
    what: 'read and write of 1 byte',
    amount: 100,
    unit: 'kcalls',
    run: 'dd if=/dev/zero bs=1 count=50000 2>/dev/null | wc -c',
    result: /^50000$/,
  },
  {
    name: 'fork',
    what: 'fork, exec and wait',
    amount: 100,
    unit: 'procs',
    run: 'i=0; while [ $i -lt 100 ]; do /bin/busybox true; i=$((i+1)); done; echo $i',
    result: /^100$/,
  },
  {
    name: 'copy',
    what: '1 MiB blocks, read and thrown away',
    amount: 512,
    unit: 'MiB',
    run: 'dd if=/dev/zero of=/dev/null bs=1M count=512 2>&1 | grep -c "512+0 records out"',
    result: /^1$/,
  },
];

/** The kernel's command line tells /init how far to go. */
export const ROWS_WANTED = 'bench=rows';

export function initScript() {
  const rows = ROWS.map(
    ({ name, run }) => `echo "bench: begin ${name}"\nresult=$(${run})\necho "bench: end ${name} $result"`,
  );
  return `#!/bin/busybox sh
export PATH=/bin
echo "bench: up"
/bin/busybox --install -s /bin
mount -t proc proc /proc
grep -q ${ROWS_WANTED} /proc/cmdline || poweroff -f
mount -t devtmpfs dev /dev
echo 1 > /proc/sys/kernel/printk
${rows.join('\n')}
echo "bench: done"
poweroff -f
`;
}
