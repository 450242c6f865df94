/**
 * What the benchmark's guest does: its /init prints `bench: up`, then runs the rows, each between the lines
 * `bench: begin ROW` and `bench: end ROW RESULT`. The host takes the times, so the guest's clock does not matter, and
 * compares the results, so that a machine cannot be fast by being wrong.
 */

/**
 * `amount` of `unit` is the work; `run` does it in busybox's shell and prints one word that depends on all of it. The
 * file is busybox itself four times over, 7.6 MB.
 */
export const ROWS = [
  {
    name: 'sha256',
    what: 'sha256sum of 32 MB',
    amount: 32,
    unit: 'MB',
    run: 'dd if=/dev/zero bs=64k count=512 2>/dev/null | sha256sum | cut -c1-16',
  },
  { name: 'gzip', what: 'gzip of 7.6 MB', amount: 7.6, unit: 'MB', run: 'gzip -c /tmp/file | wc -c' },
  {
    name: 'sort',
    what: 'sort of 20,000 lines',
    amount: 20,
    unit: 'klines',
    run: "seq 20000 | awk '{print ($1 * 7919) % 20011}' | sort -n | md5sum | cut -c1-16",
  },
  {
    name: 'shell',
    what: 'shell loop',
    amount: 150,
    unit: 'kloops',
    run: 'i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done; echo $i',
  },
  {
    name: 'float',
    what: 'awk, floating point',
    amount: 200,
    unit: 'kloops',
    run: 'awk \'BEGIN { for (i = 0; i < 200000; i++) s += i * 0.5 / 3; printf "%.3f\\n", s }\'',
  },
  {
    name: 'syscall',
    what: 'read and write of 1 byte',
    amount: 200,
    unit: 'kcalls',
    run: 'dd if=/dev/zero bs=1 count=100000 2>/dev/null | wc -c',
  },
  {
    name: 'fork',
    what: 'fork, exec and wait',
    amount: 0.2,
    unit: 'kprocs',
    run: 'i=0; while [ $i -lt 200 ]; do /bin/busybox true; i=$((i+1)); done; echo $i',
  },
  {
    name: 'copy',
    what: '1 MB blocks, read and thrown away',
    amount: 1024,
    unit: 'MB',
    run: 'dd if=/dev/zero of=/dev/null bs=1M count=1024 2>&1 | grep -c "1024+0 records out"',
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
busybox --install -s /bin
mount -t proc proc /proc
grep -q ${ROWS_WANTED} /proc/cmdline || poweroff -f
mount -t devtmpfs dev /dev
echo 1 > /proc/sys/kernel/printk
cat /bin/busybox /bin/busybox /bin/busybox /bin/busybox > /tmp/file
${rows.join('\n')}
echo "bench: done"
poweroff -f
`;
}
