/** The second CPU's side of smp.ts: from real mode to 64 bits, and its loop. @spec SDM 3A 9.1, 9.4 */
import { type Events, SEL } from '../events.ts';
import { type Guest, LAYOUT } from '../guest.ts';
import { cr, mem, R, S } from '../registers.ts';
import { REG, writeXapic } from './apic-kit.ts';

/** What it leaves in the page it starts in. */
export const LEFT = { cs: 0x100, edx: 0x104, cr0: 0x108, flags: 0x10c } as const;
const GDTR = 0xf0;
const STACK = 0x20f000;
const MSR_LSTAR = 0xc0000082;
const CR4_64 = 0x620;
const CR0_64 = 0x80010033;
const EFER_LME_NXE = 0x900;

/** What the second CPU does when an interrupt has woken it. */
export const TASK = { none: 0, tsc: 1, monitor: 2, call: 3 } as const;
/** What the two CPUs tell each other, after `smp.`; `line` is a guest's own. */
export const SECOND_VARIABLES = [
  'starts',
  'task',
  'done',
  'stamp',
  'waiting',
  'wakes',
  'lstar',
  'routine',
] as const;

/** 16-bit code, copied to a page below 1 MB. */
export function emitTrampoline(g: Guest): void {
  const { a } = g;
  g.data('smp.trampoline', () => {
    const { mode } = a;
    a.mode = 16;
    a.op('cli');
    a.db(0x8c, 0xc8, 0x8e, 0xd8); // mov ax, cs; mov ds, ax
    a.db(0xa3, LEFT.cs & 255, LEFT.cs >> 8); // mov [cs], ax
    a.db(0x66, 0x89, 0x16, LEFT.edx & 255, LEFT.edx >> 8); // mov [edx], edx
    a.db(0x0f, 0x20, 0xc0, 0x66, 0xa3, LEFT.cr0 & 255, LEFT.cr0 >> 8); // mov eax, cr0; mov [cr0], eax
    a.db(0x66, 0x9c, 0x66, 0x58, 0x66, 0xa3, LEFT.flags & 255, LEFT.flags >> 8); // pushfd; pop eax; mov [flags], eax
    a.db(0x66, 0x0f, 0x01, 0x16, GDTR, 0); // lgdt [gdtr]
    a.db(0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0); // mov eax, cr0; or al, 1; mov cr0, eax
    a.farJmp(0x08, 'smp.flat');
    a.mode = mode;
  });
}

/** The second CPU's way to 64 bits, and its loop. */
export function emitSecond(e: Events): void {
  const { g } = e;
  const { a } = g;
  const { mode } = a;
  a.mode = 32;
  a.label('smp.flat');
  a.mov(R.eax, SEL.data);
  for (const s of [S.ds, S.es, S.ss]) a.mov(s, R.eax);
  a.mov(R.eax, CR4_64);
  a.mov(cr(4), R.eax);
  a.mov(R.eax, LAYOUT.pml4);
  a.mov(cr(3), R.eax);
  a.mov(R.ecx, 0xc0000080);
  a.op('rdmsr');
  a.alu('or', R.eax, EFER_LME_NXE);
  a.op('wrmsr');
  a.mov(R.eax, CR0_64);
  a.mov(cr(0), R.eax);
  a.farJmp(SEL.code64, 'smp.long');
  a.mode = 64;
  a.label('smp.long');
  a.mov(R.rsp, STACK);
  a.lidt(mem(32, 'ev.idtr'));
  writeXapic(a, REG.svr, 0x1ff);
  // the first time round it leaves something in an MSR
  a.mov(R.ecx, MSR_LSTAR);
  a.op('rdmsr');
  a.mov(mem(32, 'smp.lstar'), R.eax);
  a.mov(R.eax, 'smp.long');
  a.op('wrmsr');
  a.inc(mem(32, 'smp.starts'));
  a.label('smp.idle');
  a.op('sti', 'hlt', 'cli');
  a.mov(R.eax, mem(32, 'smp.task'));
  a.alu('cmp', R.eax, TASK.tsc);
  a.j('z', 'smp.tsc');
  a.alu('cmp', R.eax, TASK.monitor);
  a.j('z', 'smp.monitor');
  a.alu('cmp', R.eax, TASK.call);
  a.j('z', 'smp.call');
  a.jmp('smp.idle');
  a.label('smp.call');
  a.call(mem(64, 'smp.routine'));
  a.jmp('smp.finished');
  a.label('smp.tsc');
  a.op('rdtsc');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
  a.mov(mem(64, 'smp.stamp'), R.rax);
  a.label('smp.finished');
  a.mov(mem(32, 'smp.task'), TASK.none);
  a.inc(mem(32, 'smp.done'));
  a.jmp('smp.idle');
  // waits for `smp.line` to change, and counts how often it woke for nothing
  a.label('smp.monitor');
  a.mov(R.eax, 'smp.line');
  a.alu('xor', R.ecx, R.ecx);
  a.alu('xor', R.edx, R.edx);
  a.db(0x0f, 0x01, 0xc8); // monitor
  a.alu('cmp', mem(32, 'smp.line'), 0);
  a.j('nz', 'smp.finished');
  a.mov(mem(32, 'smp.waiting'), 1);
  a.alu('xor', R.eax, R.eax);
  a.db(0x0f, 0x01, 0xc9); // mwait
  a.inc(mem(32, 'smp.wakes'));
  a.jmp('smp.monitor');
  a.mode = mode;
}

/** Puts the start of it in a page below 1 MB. */
export function copyTrampoline(e: Events, page: number): void {
  const { a } = e.g;
  a.mov(R.esi, 'smp.trampoline');
  a.mov(R.edi, page * 4096);
  a.mov(R.ecx, 0x80);
  a.op('repMovsb');
  a.mov(mem(16, page * 4096 + GDTR), 0x4f);
  a.mov(mem(32, page * 4096 + GDTR + 2), 'ev.gdt');
}
