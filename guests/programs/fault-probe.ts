/**
 * Raises exceptions in ring 0 of 64-bit code and checks vector, error code, RIP and CR2.
 * @spec SDM vol. 3A chapter 6
 */
import { type Guest, LAYOUT } from '../guest.ts';
import { cr, mem, R, S } from '../registers.ts';

interface Expected {
  vector: number;
  error?: number;
  cr2?: bigint;
  /** RIP as the exception should give it: the faulting instruction unless said otherwise. */
  ip?: 'after' | bigint;
  /** Runs first and is not expected to fault. */
  before?: (g: Guest) => void;
  instruction: (g: Guest) => void;
}

/** Pages of 2 MB the probe changes in the identity map. */
const HOLE = 0x80000000;
const READ_ONLY = 0x80200000;
const NO_EXECUTE = 0x80400000;
const RESERVED_BIT = 0x80600000;
const NON_CANONICAL = 0x8000_0000_0000_0000n;

const pde = (address: number): number => LAYOUT.pd + (address / 0x200000) * 8;

const PROBES: Readonly<Record<string, Expected>> = {
  'undefined instruction': { vector: 6, instruction: (g) => g.a.op('ud2') },
  'LOCK on a register': { vector: 6, instruction: (g) => g.a.db(0xf0, 0x01, 0xc0) },
  'divide by zero': {
    vector: 0,
    before: (g) => g.a.alu('xor', R.ecx, R.ecx),
    instruction: (g) => g.a.unary('div', R.ecx),
  },
  'divide overflow': {
    vector: 0,
    before: (g) => {
      g.a.mov(R.edx, 0xffffffff);
      g.a.mov(R.eax, 0x80000000);
      g.a.mov(R.ecx, 0xffffffff);
    },
    instruction: (g) => g.a.unary('idiv', R.ecx),
  },
  breakpoint: { vector: 3, ip: 'after', instruction: (g) => g.a.op('int3') },
  'int $3': { vector: 3, ip: 'after', instruction: (g) => g.a.int(3) },
  'interrupt beyond the IDT': { vector: 13, error: 0x80 * 8 + 2, instruction: (g) => g.a.int(0x80) },
  'single step': {
    vector: 1,
    ip: 'after',
    before: (g) => {
      g.a.op('pushf');
      g.a.alu('or', mem(32, R.rsp), 0x100);
      g.a.op('popf');
    },
    instruction: (g) => g.a.op('nop'),
  },
  'read of an absent page': {
    vector: 14,
    error: 0,
    cr2: BigInt(HOLE + 0x1234),
    before: (g) => g.a.mov(R.ebx, HOLE + 0x1234),
    instruction: (g) => g.a.mov(R.eax, mem(32, R.rbx)),
  },
  'write to an absent page': {
    vector: 14,
    error: 2,
    cr2: BigInt(HOLE + 0x1ffff8),
    before: (g) => g.a.mov(R.ebx, HOLE + 0x1ffff8),
    instruction: (g) => g.a.mov(mem(64, R.rbx), R.rax),
  },
  'access across the end of a page': {
    vector: 14,
    error: 0,
    cr2: BigInt(HOLE),
    before: (g) => g.a.mov(R.ebx, HOLE - 3),
    instruction: (g) => g.a.mov(R.rax, mem(64, R.rbx)),
  },
  'write to a read-only page': {
    vector: 14,
    error: 3,
    cr2: BigInt(READ_ONLY + 8),
    before: (g) => g.a.mov(R.ebx, READ_ONLY),
    instruction: (g) => g.a.inc(mem(32, R.rbx, 8)),
  },
  'fetch from a no-execute page': {
    vector: 14,
    error: 0x11,
    cr2: BigInt(NO_EXECUTE),
    ip: BigInt(NO_EXECUTE),
    before: (g) => g.a.mov(R.ebx, NO_EXECUTE),
    instruction: (g) => g.a.jmp(R.rbx),
  },
  'fetch from an absent page': {
    vector: 14,
    error: 0x10,
    cr2: BigInt(HOLE + 0x40),
    ip: BigInt(HOLE + 0x40),
    before: (g) => g.a.mov(R.ebx, HOLE + 0x40),
    instruction: (g) => g.a.jmp(R.rbx),
  },
  'reserved bit in a page table': {
    vector: 14,
    error: 9,
    cr2: BigInt(RESERVED_BIT),
    before: (g) => g.a.mov(R.ebx, RESERVED_BIT),
    instruction: (g) => g.a.mov(R.eax, mem(32, R.rbx)),
  },
  'non-canonical address': {
    vector: 13,
    error: 0,
    before: (g) => g.a.mov(R.rbx, NON_CANONICAL),
    instruction: (g) => g.a.mov(R.eax, mem(32, R.rbx)),
  },
  'non-canonical stack address': {
    vector: 12,
    error: 0,
    before: (g) => g.a.mov(R.rbp, NON_CANONICAL),
    instruction: (g) => g.a.mov(R.eax, mem(32, R.rbp, 8)),
  },
  'selector beyond the GDT': {
    vector: 13,
    error: 0x1000,
    before: (g) => g.a.mov(R.eax, 0x1000),
    instruction: (g) => g.a.mov(S.ds, R.eax),
  },
  'PG without PE': {
    vector: 13,
    error: 0,
    before: (g) => g.a.mov(R.eax, 0x80000000),
    instruction: (g) => g.a.mov(cr(0), R.rax),
  },
  'reserved bit in CR4': {
    vector: 13,
    error: 0,
    before: (g) => {
      g.a.mov(R.rax, cr(4));
      g.a.alu('or', R.eax, 0x8000000);
    },
    instruction: (g) => g.a.mov(cr(4), R.rax),
  },
  'SSE with TS set': {
    vector: 7,
    before: (g) => {
      g.a.mov(R.rax, cr(0));
      g.a.alu('or', R.eax, 8);
      g.a.mov(cr(0), R.rax);
    },
    instruction: (g) => g.a.db(0x0f, 0x57, 0xc0),
  },
  'misaligned MOVAPS': {
    vector: 13,
    error: 0,
    before: (g) => {
      g.a.op('clts');
      g.a.mov(R.ebx, LAYOUT.line + 0x1008);
    },
    instruction: (g) => g.a.db(0x0f, 0x28, 0x03),
  },
};

function changePage(g: Guest, address: number, low: number, high: number): void {
  g.a.mov(mem(32, pde(address)), low);
  g.a.mov(mem(32, pde(address), 4), high);
  g.a.invlpg(mem(32, R.rax));
}

function changePages(g: Guest): void {
  const { a } = g;
  for (const address of [HOLE, READ_ONLY, NO_EXECUTE, RESERVED_BIT]) {
    a.mov(R.eax, address);
    if (address === HOLE) changePage(g, address, 0, 0);
    else if (address === READ_ONLY) changePage(g, address, 0x81, 0);
    else if (address === NO_EXECUTE) changePage(g, address, 0x83, 0x80000000);
    else changePage(g, address, 0x83 | (1 << 13), 0);
  }
}

function check(g: Guest, what: string, field: string, value: bigint | string): void {
  const { a } = g;
  a.mov(R.rax, value);
  a.mov(g.word('expected'), R.rax);
  a.alu('cmp', R.rax, g.word(`rt.fault${field}`));
  g.when('nz', () =>
    g.fail(`${what}: ${field} is `, { hex: g.word(`rt.fault${field}`) }, ', expected ', {
      hex: g.word('expected'),
    }),
  );
}

function probe(g: Guest, what: string, e: Expected): void {
  const { a } = g;
  const [at, after, caught, next] = ['at', 'after', 'caught', 'next'].map((stem) => a.fresh(stem)) as [
    string,
    string,
    string,
    string,
  ];
  a.mov(g.word('savedSp'), R.rsp);
  a.mov(g.word('rt.resume'), caught);
  e.before?.(g);
  a.label(at);
  e.instruction(g);
  a.label(after);
  a.op('nop');
  a.mov(g.word('rt.resume'), 0);
  g.fail(`${what}: no exception`);
  a.jmp(next);
  a.label(caught);
  a.mov(R.rsp, g.word('savedSp'));
  check(g, what, 'Vector', BigInt(e.vector));
  if (e.error !== undefined) check(g, what, 'Error', BigInt(e.error));
  if (e.cr2 !== undefined) check(g, what, 'Cr2', e.cr2);
  check(g, what, 'Ip', e.ip === undefined ? at : e.ip === 'after' ? after : e.ip);
  a.label(next);
}

export function faultProbe(g: Guest): void {
  g.variable('savedSp', 8);
  g.variable('expected', 8);
  changePages(g);
  for (const [what, expected] of Object.entries(PROBES)) probe(g, what, expected);
  g.print(`${Object.keys(PROBES).length} exceptions probed\n`);
}
