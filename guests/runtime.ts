/**
 * The code around a guest's program: PVH entry, the way to 64 bits, finding Xen, exceptions, output, the end.
 *
 * Without Xen underneath it (QEMU's -kernel, say) a guest still runs: output goes to port 0x12 alone.
 *
 * @xen docs/misc/pvh.pandoc
 */
import { SHUTDOWN_poweroff } from '../src/abi/sched.ts';
import { DOMID_SELF } from '../src/abi/xen.ts';
import { emitConsole, emitFindConsole } from './console.ts';
import { type Guest, LAYOUT, OUTCOME } from './guest.ts';
import { cr, indexed, mem, R, S } from './registers.ts';

const SELECTOR = { code32: 0x08, data: 0x10, code64: 0x18 } as const;
const PTE = { P: 1, RW: 2, PS: 0x80 } as const;
const MSR_EFER = 0xc0000080;
const EFER = { LME: 1 << 8, NXE: 1 << 11 } as const;
/** PAE, OSFXSR, OSXMMEXCPT */
const CR4_64 = 0x620;
/** PG WP NE ET MP PE */
const CR0_64 = 0x80010033;
/** Exceptions that push an error code. */
const WITH_ERROR = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];

function emitEntry(g: Guest): void {
  const { a } = g;
  a.label('rt.entry');
  a.op('cli', 'cld');
  a.mov(R.esp, LAYOUT.stackTop);
  a.mov(mem(32, 'rt.startInfo'), R.ebx);
  a.lgdt(mem(32, 'rt.gdtr'));
  a.farJmp(SELECTOR.code32, 'rt.flat');
  a.label('rt.flat');
  a.mov(R.eax, SELECTOR.data);
  for (const segment of [S.ds, S.es, S.ss]) a.mov(segment, R.eax);
  if (g.bits === 64) emitLongMode(g);
}

/** Identity map of 4 GB in 2 MB pages, then EFER.LME, paging and a far jump. */
function emitLongMode(g: Guest): void {
  const { a } = g;
  a.mov(mem(32, LAYOUT.pml4), LAYOUT.pdpt | PTE.P | PTE.RW);
  for (let i = 0; i < 4; i++) a.mov(mem(32, LAYOUT.pdpt + i * 8), (LAYOUT.pd + i * 4096) | PTE.P | PTE.RW);
  a.mov(R.edi, LAYOUT.pd);
  a.mov(R.eax, PTE.P | PTE.RW | PTE.PS);
  a.mov(R.ecx, 2048);
  a.label('rt.fillPd');
  a.mov(mem(32, R.edi), R.eax);
  a.alu('add', R.eax, 0x200000);
  a.alu('add', R.edi, 8);
  a.dec(R.ecx);
  a.j('nz', 'rt.fillPd');
  a.mov(R.eax, CR4_64);
  a.mov(cr(4), R.eax);
  a.mov(R.eax, LAYOUT.pml4);
  a.mov(cr(3), R.eax);
  a.mov(R.ecx, MSR_EFER);
  a.op('rdmsr');
  a.alu('or', R.eax, EFER.LME | EFER.NXE);
  a.op('wrmsr');
  a.mov(R.eax, CR0_64);
  a.mov(cr(0), R.eax);
  a.farJmp(SELECTOR.code64, 'rt.long');
  a.mode = 64;
  a.label('rt.long');
  a.mov(R.rsp, LAYOUT.stackTop);
}

/** Fills the gates of the 32 exceptions from a table of stub addresses. */
function emitIdt(g: Guest): void {
  const { a } = g;
  const gate = g.bits === 64 ? 16 : 8;
  a.mov(R.edi, LAYOUT.idt);
  a.alu('xor', R.ecx, R.ecx);
  a.label('rt.fillIdt');
  a.mov(R.eax, indexed(32, 'rt.stubs', g.r('cx'), 4));
  a.mov(mem(16, g.r('di')), R.ax);
  a.mov(mem(16, g.r('di'), 2), g.bits === 64 ? SELECTOR.code64 : SELECTOR.code32);
  a.mov(mem(16, g.r('di'), 4), 0x8e00);
  a.shift('shr', R.eax, 16);
  a.mov(mem(16, g.r('di'), 6), R.ax);
  a.alu('add', R.edi, gate);
  a.inc(R.ecx);
  a.alu('cmp', R.ecx, 32);
  a.j('nz', 'rt.fillIdt');
  a.lidt(mem(32, 'rt.idtr'));
  g.data('rt.idtr', () => {
    a.dw(32 * gate - 1);
    g.emitWord(LAYOUT.idt);
  });
}

/** VMMCALL for AMD and Hygon, else VMCALL; Xen's CPUID leaves, at 0x40000000 or a multiple of 0x100 above. */
function emitFindXen(g: Guest): void {
  const { a } = g;
  a.alu('xor', R.eax, R.eax);
  a.op('cpuid');
  a.mov(R.eax, 'rt.vmmcall');
  a.alu('cmp', R.ebx, 0x68747541);
  a.j('z', 'rt.vendorKnown');
  a.alu('cmp', R.ebx, 0x6f677948);
  a.j('z', 'rt.vendorKnown');
  a.mov(R.eax, 'rt.vmcall');
  a.label('rt.vendorKnown');
  a.mov(mem(32, 'rt.hypercallEntry'), R.eax);
  a.mov(R.ebp, 0x40000000);
  a.label('rt.scan');
  a.mov(R.eax, R.ebp);
  a.op('cpuid');
  a.alu('xor', R.ebx, 0x566e6558);
  a.alu('xor', R.ecx, 0x65584d4d);
  a.alu('xor', R.edx, 0x4d4d566e);
  a.alu('or', R.ebx, R.ecx);
  a.alu('or', R.ebx, R.edx);
  a.j('z', 'rt.foundXen');
  a.alu('add', R.ebp, 0x100);
  a.alu('cmp', R.ebp, 0x40010000);
  a.j('b', 'rt.scan');
  a.jmp('rt.ready');
  a.label('rt.foundXen');
  a.mov(mem(32, 'rt.xenBase'), R.ebp);
  a.lea(R.eax, mem(32, g.r('bp'), 1));
  a.op('cpuid');
  a.mov(mem(32, 'rt.xenVersion'), R.eax);
}

function emitHypercall(g: Guest): void {
  const { a } = g;
  a.label('rt.hypercall');
  a.jmp(g.word('rt.hypercallEntry'));
  a.label('rt.vmmcall');
  a.op('vmmcall', 'ret');
  a.label('rt.vmcall');
  a.op('vmcall', 'ret');
}

/** Pushes a zero where the CPU pushes no error code, then the vector. */
function emitExceptionStubs(g: Guest): void {
  const { a } = g;
  const stub = (vector: number): string => `rt.stub${vector}`;
  for (let vector = 0; vector < 32; vector++) {
    a.label(stub(vector));
    if (!WITH_ERROR.includes(vector)) a.push(0);
    a.push(vector);
    a.jmp('rt.exception');
  }
  g.data('rt.stubs', () => {
    for (let vector = 0; vector < 32; vector++) a.dd(stub(vector));
  });
}

/**
 * Records the exception in rt.fault* and returns to the address in rt.resume; with none there, panics.
 * On the stack: vector, error code, (e/r)ip, cs, flags.
 */
function emitException(g: Guest): void {
  const { a } = g;
  const ax = g.r('ax');
  const slot = (n: number) => g.word(g.r('sp'), n * g.wordBytes);
  a.label('rt.exception');
  a.push(ax);
  for (const [n, name] of ['rt.faultVector', 'rt.faultError', 'rt.faultIp'].entries()) {
    a.mov(ax, slot(n + 1));
    a.mov(g.word(name), ax);
  }
  a.mov(ax, cr(2));
  a.mov(g.word('rt.faultCr2'), ax);
  a.mov(ax, slot(5));
  a.mov(g.word('rt.faultFlags'), ax);
  a.mov(ax, g.word('rt.resume'));
  a.test(ax, ax);
  a.j('z', 'rt.unexpected');
  a.mov(slot(3), ax);
  a.mov(g.word('rt.resume'), 0);
  a.alu('and', mem(32, g.r('sp'), 5 * g.wordBytes), ~0x100);
  a.pop(ax);
  a.alu('add', g.r('sp'), 2 * g.wordBytes);
  a.op(g.bits === 64 ? 'iretq' : 'iretd');
  a.label('rt.unexpected');
  a.inc(mem(32, 'rt.panics'));
  a.alu('cmp', mem(32, 'rt.panics'), 1);
  a.j('nz', 'rt.stop');
  const value = (name: string) => ({ hex: g.word(name) });
  g.panic(
    'exception ',
    { dec: g.word('rt.faultVector') },
    ' error ',
    value('rt.faultError'),
    ' at ',
    value('rt.faultIp'),
    ' cr2 ',
    value('rt.faultCr2'),
  );
}

function emitEnd(g: Guest): void {
  const { a } = g;
  a.label('rt.end');
  for (const [name, code] of Object.entries(OUTCOME)) {
    const next = a.fresh('rt.outcome');
    a.alu('cmp', mem(32, 'rt.outcome'), code);
    a.j('nz', next);
    g.print(`Test result: ${name}\n`);
    a.label(next);
  }
  g.shutdown(SHUTDOWN_poweroff);
  a.label('rt.stop');
  a.op('cli', 'hlt');
  a.jmp('rt.stop');
}

function emitData(g: Guest): void {
  const variables = [
    'startInfo',
    'xenBase',
    'xenVersion',
    'hypercallEntry',
    'ring',
    'consolePort',
    'lineLength',
  ];
  const faults = ['faultVector', 'faultError', 'faultIp', 'faultCr2', 'faultFlags', 'resume', 'panics'];
  for (const name of [...variables, ...faults, 'outcome', 'shutdownReason']) g.variable(`rt.${name}`, 8);
  g.data('rt.param', (a) => {
    a.dw(DOMID_SELF);
    a.zero(14);
  });
  g.data('rt.gdt', (a) => {
    a.dq(0);
    a.dq(0x00cf9a000000ffffn);
    a.dq(0x00cf92000000ffffn);
    a.dq(0x00af9a000000ffffn);
  });
  g.data('rt.gdtr', (a) => {
    a.dw(31);
    a.dd('rt.gdt');
  });
}

/** The whole guest: entry, the program, the routines. The program falls through to the end. */
export function emitGuest(g: Guest, program: (g: Guest) => void): void {
  emitEntry(g);
  emitIdt(g);
  emitFindXen(g);
  emitFindConsole(g);
  program(g);
  g.end();
  emitHypercall(g);
  emitConsole(g);
  emitExceptionStubs(g);
  emitException(g);
  emitEnd(g);
  emitData(g);
}
