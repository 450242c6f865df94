/** Prints what CPUID says, and which bits CR4, EFER and XCR0 take: what is hidden in the one is refused by the others. */
import type { Guest } from '../guest.ts';
import { cr, R } from '../registers.ts';

const LEAVES: readonly [number, number][] = [
  [0, 0],
  [1, 0],
  [5, 0],
  [7, 0],
  [0xd, 0],
  [0xd, 1],
  [0x40000000, 0],
  [0x80000000, 0],
  [0x80000001, 0],
  [0x80000007, 0],
  [0x80000008, 0],
];
const MSR_EFER = 0xc000_0080;

function printLeaf(g: Guest, leaf: number, subleaf: number): void {
  const { a } = g;
  a.mov(R.eax, leaf);
  a.mov(R.ecx, subleaf);
  a.op('cpuid');
  const regs = [R.rax, R.rbx, R.rcx, R.rdx];
  regs.forEach((r, i) => {
    a.mov(g.word('cpuid.words', i * 8), r);
  });
  const words = ['a', 'b', 'c', 'd'].flatMap((name, i) => [
    ` e${name}x `,
    { hex: g.word('cpuid.words', i * 8) },
  ]);
  g.print(`cpuid ${leaf.toString(16)}.${subleaf}:`, ...words, '\n');
}

/** Tries every bit below 32; `set` writes rax and may fault. */
function taken(g: Guest, name: string, read: () => void, set: () => void): void {
  const { a } = g;
  const [loop, next] = [a.fresh('bit'), a.fresh('next')] as [string, string];
  a.mov(g.word('cpuid.mask'), 0);
  a.mov(R.ebp, 1);
  a.label(loop);
  a.mov(g.word('rt.resume'), next);
  read();
  a.mov(g.word('cpuid.was'), R.rax);
  a.alu('or', R.rax, R.rbp);
  set();
  a.mov(R.rax, g.word('cpuid.was'));
  set();
  a.alu('or', g.word('cpuid.mask'), R.rbp);
  a.label(next);
  a.shift('shl', R.ebp, 1);
  a.j('nz', loop);
  a.mov(g.word('rt.resume'), 0);
  g.print(`${name} takes `, { hex: g.word('cpuid.mask') }, '\n');
}

export function cpuid(g: Guest): void {
  const { a } = g;
  g.variable('cpuid.words', 32);
  for (const v of ['mask', 'was']) g.variable(`cpuid.${v}`, 8);
  for (const [leaf, subleaf] of LEAVES) printLeaf(g, leaf, subleaf);
  taken(
    g,
    'CR4',
    () => a.mov(R.rax, cr(4)),
    () => a.mov(cr(4), R.rax),
  );
  taken(
    g,
    'EFER',
    () => {
      a.mov(R.ecx, MSR_EFER);
      a.op('rdmsr');
    },
    () => {
      a.mov(R.ecx, MSR_EFER);
      a.alu('xor', R.edx, R.edx);
      a.op('wrmsr');
    },
  );
  const absent = a.fresh('absent');
  a.mov(R.rax, cr(4));
  a.alu('or', R.eax, 1 << 18);
  a.mov(g.word('rt.resume'), absent);
  a.mov(cr(4), R.rax);
  a.mov(g.word('rt.resume'), 0);
  taken(
    g,
    'XCR0',
    () => {
      a.alu('xor', R.ecx, R.ecx);
      a.db(0x0f, 0x01, 0xd0);
    },
    () => {
      a.alu('xor', R.ecx, R.ecx);
      a.alu('xor', R.edx, R.edx);
      a.db(0x0f, 0x01, 0xd1);
    },
  );
  a.label(absent);
}
