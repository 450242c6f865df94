/**
 * The ways between modes: protected to long mode by activating paging, 64-bit code and compatibility mode, back again and
 * on to real mode; and what refuses to be switched. @spec SDM 3A 9.8.5, 9.9; APM 2 14.6
 */
import type { Asm } from '../asm.ts';
import { type Guest, LAYOUT } from '../guest.ts';
import { SEL } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { cr, mem, R } from '../registers.ts';

const [UD, GP] = [6, 13];
const MSR_EFER = 0xc0000080;
const LME = 0x100;
const LMA = 0x400;
const PG = 0x80000000;
const PAE = 0x20;

function efer(a: Asm, clear: number, set: number): void {
  a.mov(R.ecx, MSR_EFER);
  a.op('rdmsr');
  a.alu('and', R.eax, ~clear);
  if (set) a.alu('or', R.eax, set);
  a.op('wrmsr');
}
function control(a: Asm, n: number, clear: number, set: number): void {
  const r = a.mode === 64 ? R.rax : R.eax;
  a.mov(r, cr(n));
  a.alu('and', R.eax, ~clear | 0);
  if (set) a.alu('or', R.eax, set);
  a.mov(cr(n), r);
}
/** EBX collects what was seen: LMA, shifted. */
function seeLma(a: Asm, bit: number): void {
  a.mov(R.ecx, MSR_EFER);
  a.op('rdmsr');
  a.alu('and', R.eax, LMA);
  a.shift('shr', R.eax, 10);
  if (bit) a.shift('shl', R.eax, bit);
  a.alu('or', R.ebx, R.eax);
}

/** One to one, in pages of 2 MB, for the first GB. */
function tables(a: Asm): void {
  a.mov(mem(32, LAYOUT.pml4), LAYOUT.pdpt | 3);
  a.mov(mem(32, LAYOUT.pdpt), LAYOUT.pd | 3);
  a.mov(R.edi, LAYOUT.pd);
  a.mov(R.eax, 0x83);
  a.mov(R.ecx, 512);
  const next = a.fresh('fill');
  a.label(next);
  a.mov(mem(32, R.edi), R.eax);
  a.mov(mem(32, R.edi, 4), 0);
  a.alu('add', R.eax, 0x200000);
  a.alu('add', R.edi, 8);
  a.dec(R.ecx);
  a.j('nz', next);
}
/** Up to the moment before PG is set. */
function prepareLong(a: Asm): void {
  tables(a);
  control(a, 4, 0, PAE);
  a.mov(R.eax, LAYOUT.pml4);
  a.mov(cr(3), R.eax);
  efer(a, 0, LME);
  a.mov(R.ebx, 0);
}
function undo(a: Asm): void {
  control(a, 0, PG, 0);
  efer(a, LME, 0);
  control(a, 4, PAE, 0);
}

function throughLongMode(a: Asm): void {
  const [long, back] = [a.fresh('long'), a.fresh('back')] as [string, string];
  seeLma(a, 0);
  control(a, 0, 0, PG);
  seeLma(a, 1);
  // compatibility mode: 4e is DEC ESI, in 64-bit code a prefix
  a.mov(R.esi, 0x10);
  a.db(0x4e);
  a.farJmp(SEL.code64, long);
  a.mode = 64;
  a.label(long);
  a.mov(R.rdi, 0x1234_5678_9abc_def0n);
  a.shift('shr', R.rdi, 32);
  seeLma(a, 2);
  a.push(SEL.code);
  a.push(back);
  a.db(0x48, 0xcb); // retfq
  a.mode = 32;
  a.label(back);
  a.db(0x4e);
  undo(a);
  seeLma(a, 3);
}

export function modes(g: Guest): void {
  const p = new Probes(g);
  const probes: Record<string, Probe> = {
    'into long mode, through 64-bit code and out': {
      setup: prepareLong,
      code: throughLongMode,
      is: { bx: 0b0110, si: 0x0e, di: 0x12345678 },
    },
    twice: {
      setup: prepareLong,
      code: (a) => {
        throughLongMode(a);
        prepareLong(a);
        throughLongMode(a);
      },
      is: { bx: 0b0110, si: 0x0e, di: 0x12345678 },
    },
    'paging in legacy mode with PAE tables': {
      setup: (a) => {
        tables(a);
        control(a, 4, 0, PAE);
        a.mov(mem(32, LAYOUT.pdpt), LAYOUT.pd | 1);
        a.mov(R.eax, LAYOUT.pdpt);
        a.mov(cr(3), R.eax);
        a.mov(R.ebx, 0);
      },
      code: (a) => {
        control(a, 0, 0, PG);
        seeLma(a, 0);
      },
      look: undo,
      is: { bx: 0 },
    },
    'long mode without PAE': {
      setup: (a) => {
        prepareLong(a);
        control(a, 4, PAE, 0);
        a.mov(R.eax, cr(0));
        a.alu('or', R.eax, PG);
      },
      code: (a) => a.mov(cr(0), R.eax),
      vector: GP,
      look: undo,
    },
    'NW without CD': {
      setup: (a) => {
        a.mov(R.eax, cr(0));
        a.alu('and', R.eax, ~0x60000000);
        a.alu('or', R.eax, 0x20000000);
      },
      code: (a) => a.mov(cr(0), R.eax),
      vector: GP,
    },
    'a reserved bit of CR4': {
      setup: (a) => {
        a.mov(R.eax, cr(4));
        a.alu('or', R.eax, 0x8000000);
      },
      code: (a) => a.mov(cr(4), R.eax),
      vector: GP,
    },
    'a reserved bit of EFER': {
      setup: (a) => {
        a.mov(R.ecx, MSR_EFER);
        a.op('rdmsr');
        a.alu('or', R.eax, 2);
      },
      code: (a) => a.op('wrmsr'),
      vector: GP,
    },
    'MOV to CR5': { code: (a) => a.db(0x0f, 0x22, 0xe8), vector: UD },
    'LMSW sets PE but does not clear it': {
      setup: (a) => a.mov(R.eax, 0),
      code: (a) => a.db(0x0f, 0x01, 0xf0, 0x0f, 0x01, 0xe0),
      look: (a) => {
        a.mov(R.eax, mem(32, 'pr.record', 8));
        a.alu('and', R.eax, 1);
      },
      value: 1,
    },
  };
  p.all(probes);
}
