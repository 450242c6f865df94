/**
 * Busybox's programs give in a guest the bytes they give on the host's processor, from the same binary and the same
 * file. Needs `domzero fetch debian` to work here, and a host that runs the binary.
 */
import { execFile } from 'node:child_process';
import { appendFileSync, chmodSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeCpio } from '../src/toolstack/initramfs/cpio.ts';
import { busybox } from '../tools/busybox.ts';
import { debian, debianMissing, file, folder, ramdisk, run } from './harness.ts';

const native = process.platform === 'linux' && process.arch === 'x64';
const missing = native ? await debianMissing() : 'the host does not run x86-64 Linux programs';

/** Each is a line of shell that works on the file `data`. */
const COMMANDS = [
  'md5sum data',
  'sha1sum data',
  'sha256sum data',
  'sha512sum data',
  'sha3sum data',
  'crc32 data',
  'head -c 800000 data | gzip -c | md5sum',
  'tail -c 200000 data | gzip -9 | gzip -dc | md5sum',
  'head -c 100000 data | bzip2 -c | md5sum',
  'head -c 50000 data | bzip2 -c | bzip2 -dc | md5sum',
  'head -c 400000 data | sort | md5sum',
  'head -c 100000 data | sort -n | uniq -c | md5sum',
  'wc data',
  'head -c 50000 data | od -A x -t x2 | md5sum',
  'head -c 20000 data | od -t d4 -t fD | md5sum',
  'head -c 10000 data | od -t fF | md5sum',
  'head -c 50000 data | hexdump -C | md5sum',
  'head -c 50000 data | xxd | md5sum',
  'head -c 500000 data | base64 | md5sum',
  'head -c 30000 data | uuencode x | md5sum',
  'tr a-z N-ZA-M < data | md5sum',
  'head -c 100000 data | rev | md5sum',
  'head -c 400000 data | strings | md5sum',
  'head -c 500000 data | grep -c 7',
  'head -c 30000 data | grep -a -E -c "(12|34)+.*9$"',
  'head -c 30000 data | grep -a -o -i "[a-f]*3[0-9]e" | md5sum',
  'head -c 20000 data | sed -n "s/\\([0-9]*\\) \\([a-z]*\\)/\\2-\\1/gp" | md5sum',
  'head -c 50000 data | fold -w 37 | md5sum',
  'head -c 100000 data | cut -c 3-9 | md5sum',
  'tail -c 50000 data | tac | md5sum',
  'head -c 100000 data | expand | md5sum',
  'tail -c 200000 data > half; cmp -l data half | tail -n 2',
  'for n in 720720 1000003 4294967297 9007199254740993 600851475143; do factor $n; done',
  'expr 9223372036854775807 / 97 % 1000; expr -7 / 2; expr -7 % 2; expr 123456789 "*" 987654321',
  'echo $((-9223372036854775807 / 3)) $((1 << 62)) $((-1 >> 1)) $((0x7fffffff * 3)) $((7 ** 20))',
  'for x in 0.1 1e300 -2.5e-310 5e-324 inf -nan 123456.789; do printf "%e %f %g %.17g\\n" $x $x $x $x; done',
  'printf "%.0f %.3e %G %x %o %d\\n" 2.5 123456.789 1e-10 255 511 -42 3.5 1e22 1e15 0xdeadbeef 0777 0x10',
  // This busybox's awk has no functions of mathematics: a root by Newton's steps, a sine by its series.
  `awk 'BEGIN { for (i = 1; i <= 300; i++) { x = i; for (k = 0; k < 20; k++) x = (x + i / x) / 2; s = t = i / 29
    for (k = 3; k < 30; k += 2) { t = -t * i * i / 841 / (k * k - k); s += t }; printf "%.17g %.17g\\n", x, s } }'`,
  `awk 'BEGIN { for (i = 1; i <= 300; i++) { x = (i - 150) / 0.7
    printf "%.17g %d %d %e %g %x\\n", x % 3.7, x, int(x / 3), x * 1e300, 1 / x * 1e-310, i * 7919 } }'`,
  `awk 'BEGIN { srand(7); for (i = 0; i < 3000; i++) s += rand() / (i + 1); printf "%.17g\\n", s }'`,
  `head -c 100000 data | awk '{ n[length($0) % 97] += NF; t += $1 / 3 }
    END { for (i = 0; i < 97; i++) print i, n[i]; printf "%.17g\\n", t }'`,
  `awk 'BEGIN { print and(65535, 4080), or(1, 6), xor(5, 3), lshift(1, 20), rshift(4096, 3), compl(0) % 7 }'`,
  'echo "scale = 40; 4 * a(1); e(1); l(2); s(1); sqrt(2); 2 ^ 300; 1 / 7; j(1, 2)" | bc -l',
  'echo "50k 2v p 3 7/p 2 200^p 123456789 987654321*p 12 5%p 16o 48879p" | dc',
  'seq 0.1 0.1 3',
  'seq -w 995 1005',
  'cal 2 2024',
  'date -u -d @1234567890',
];
const MARK = '== ';
/** The host's C library then takes the functions it takes in the guest: with FMA results differ in the last bit. */
const PLAIN_CPU = 'glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4';

/** Two megabytes of lines of words and numbers, and of bytes of every kind, by turns; the same each time. */
function data(): Uint8Array {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
  const pieces: Uint8Array[] = [];
  for (let block = 0; block < 64; block++) {
    const text = Array.from({ length: 1200 }, () => `${next() % 100000} ${next().toString(36)}\n`).join('');
    const bytes = Uint8Array.from({ length: 32768 }, next);
    pieces.push(block % 4 === 3 ? bytes : Buffer.from(text.repeat(2).slice(0, 32768)));
  }
  return Buffer.concat(pieces);
}

/** Without a PATH there are the shell's own programs alone, on the host too. */
const script = (): string =>
  `PATH=\nexec 2>&1\n${COMMANDS.map((line, i) => `echo "${MARK}${i}"\n${line}\n`).join('')}echo "${MARK}end"\n`;

/** What each command has printed. */
function results(output: string): string[] {
  const parts = output.replaceAll('\r', '').split(/^== (?:\d+|end)\n/m);
  return parts.slice(1, -1);
}

describe.skipIf(missing)(`busybox in a guest${missing ? ` (${missing})` : ''}`, () => {
  let wanted: string[] = [];
  let got: string[] = [];

  beforeAll(async () => {
    const bytes = data();
    file('data', bytes);
    const program = file('busybox', busybox());
    chmodSync(program, 0o755);
    const initrd = ramdisk(
      'programs.initrd',
      'busybox mount -t proc proc /proc\ncd /tmp\nbusybox sh script\nexec busybox poweroff -f',
    );
    appendFileSync(
      initrd,
      writeCpio([
        { type: 'file', path: 'tmp/data', mode: 0o644, data: bytes },
        { type: 'file', path: 'tmp/script', mode: 0o644, data: Buffer.from(script()) },
      ]),
    );
    const host = new Promise<string>((resolve, reject) => {
      const env = { GLIBC_TUNABLES: PLAIN_CPU };
      const args = ['sh', file('script', script())];
      execFile(program, args, { cwd: folder, env, maxBuffer: 16 << 20 }, (error, out) =>
        error ? reject(error) : resolve(out),
      );
    });
    const guest = run([
      'run',
      debian('programs', ['memory = 256', `ramdisk = "${initrd}"`]),
      '--timeout',
      '280',
    ]);
    wanted = results(await host);
    got = results((await guest).stdout);
  });

  it.each(COMMANDS.map((line, i) => [line.replace(/\s+/g, ' '), i] as const))('%s', (_, i) => {
    expect(wanted).toHaveLength(COMMANDS.length);
    expect(wanted[i]).not.toBe('');
    expect(got[i]).toBe(wanted[i]);
  });
});
