/** The handler that events.ts has all vectors lead to, with the tables around it: segments, a TSS, an IDT. */
import { type Guest, LAYOUT } from './guest.ts';
import { cr, dr, type Mem, mem, R } from './registers.ts';

export const DR6_RESERVED = 0xffff0ff0;
export const DR6 = { B0: 1, B1: 2, B2: 4, B3: 8, BD: 0x2000, BS: 0x4000 } as const;
export const FLAG = { CF: 1, TF: 0x100, IF: 0x200, RF: 0x1_0000 } as const;
export const IDT = 0x209000;
export const LOG = 0x20a000;
const LOG_END = LOG + 0x1000;
export const WITH_ERROR = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
/** In a log entry, and in what is expected of it. */
export const FIELDS = ['vector', 'error', 'ip', 'dr6', 'flags', 'clear'] as const;
export const ENTRY = FIELDS.length * 8;
const EOI_MSR = 0x80b;

/** Numbers of the events' handler in memory. */
const VARIABLES = [
  ...[
    'next',
    'resume',
    'untrace',
    'x2apic',
    'name',
    'nameLength',
    'count',
    'total',
    'at',
    'found',
    'expected',
    'sp',
  ],
  ...['hook', 'hookVector'],
];
/** Selectors. SYSCALL and SYSRET find their pairs in them. */
export const SEL = {
  data: 0x10,
  code64: 0x18,
  user: 0x28,
  userData: 0x33,
  userCode: 0x3b,
  tss: 0x40,
} as const;
const GDT = [
  0n,
  0x00cf9a000000ffffn,
  0x00cf92000000ffffn,
  0x00af9a000000ffffn,
  0x00cf92000000ffffn,
  0x00cffa000000ffffn,
  0x00cff2000000ffffn,
  0x00affa000000ffffn,
];
const TSS_BYTES = 104;
export const USER_STACK = 0x20d000;
const KERNEL_STACK = 0x20e000;
/** Leaves a piece of user code. */
export const DONE = 0x80;

/** Defines the handler's variables and code, and runs on with its tables loaded. */
export function emitEvents(g: Guest): void {
  const { a } = g;
  const start = a.fresh('events');
  for (const v of VARIABLES) g.variable(`ev.${v}`, 8);
  a.jmp(start);
  emitHandler(g);
  a.label(start);
  emitGdt(g);
  emitIdt(g);
}

/** Segments of user code, a TSS, and pages that it may touch. */
function emitGdt(g: Guest): void {
  const { a } = g;
  const tss = g.variable('ev.tss', TSS_BYTES);
  g.data('ev.gdt', () => {
    for (const d of GDT) a.dq(d);
    a.zero(16);
  });
  g.data('ev.gdtr', () => {
    a.dw(GDT.length * 8 + 15);
    a.dq('ev.gdt');
  });
  a.mov(g.word(tss, 4), KERNEL_STACK);
  a.mov(R.eax, tss);
  const descriptor = mem(32, 'ev.gdt', SEL.tss);
  a.mov(descriptor, R.eax);
  a.shift('shl', descriptor, 16);
  a.alu('or', descriptor, TSS_BYTES - 1);
  a.shift('shr', R.eax, 16);
  a.alu('or', R.eax, 0x8900);
  a.mov(mem(32, 'ev.gdt', SEL.tss + 4), R.eax);
  a.lgdt(mem(32, 'ev.gdtr'));
  a.mov(R.eax, SEL.tss);
  a.db(0x0f, 0x00, 0xd8); // ltr ax
  for (const entry of [LAYOUT.pml4, LAYOUT.pdpt, LAYOUT.pd, LAYOUT.pd + 8]) a.alu('or', mem(32, entry), 4);
  a.mov(R.rax, cr(3));
  a.mov(cr(3), R.rax);
}

function emitIdt(g: Guest): void {
  const { a } = g;
  a.mov(R.edi, IDT);
  a.mov(R.eax, 'ev.stub0');
  a.mov(R.ecx, 256);
  a.label('ev.fillIdt');
  a.mov(mem(16, R.rdi), R.ax);
  a.mov(mem(16, R.rdi, 2), SEL.code64);
  a.mov(mem(16, R.rdi, 4), 0x8e00);
  a.mov(R.edx, R.eax);
  a.shift('shr', R.edx, 16);
  a.mov(mem(16, R.rdi, 6), R.dx);
  a.alu('add', R.eax, 16);
  a.alu('add', R.edi, 16);
  a.dec(R.ecx);
  a.j('nz', 'ev.fillIdt');
  a.mov(mem(16, IDT, DONE * 16 + 4), 0xee00);
  a.mov(mem(16, IDT, 3 * 16 + 4), 0xee00);
  a.lidt(mem(32, 'ev.idtr'));
  g.data('ev.idtr', () => {
    a.dw(0xfff);
    a.dq(IDT);
  });
}

/** 256 stubs of 16 bytes, then what they have in common. */
function emitHandler(g: Guest): void {
  const { a } = g;
  a.align(16);
  for (let v = 0; v < 256; v++) {
    a.align(16);
    a.label(`ev.stub${v}`);
    if (!WITH_ERROR.includes(v)) a.push(0);
    a.push(v);
    a.jmp('ev.common');
  }
  const frame = (n: number) => mem(64, R.rsp, 40 + n * 8); // 0 vector, error, rip, cs, rflags
  a.label('ev.common');
  for (const r of [R.rax, R.rbx, R.rcx, R.rdx, R.rsi]) a.push(r);
  a.mov(R.rbx, g.word('ev.next'));
  for (const [field, slot] of [0, 1, 2].entries()) {
    a.mov(R.rax, frame(slot));
    a.mov(mem(64, R.rbx, field * 8), R.rax);
  }
  a.mov(R.rax, dr(6));
  a.mov(mem(64, R.rbx, 24), R.rax);
  a.mov(R.rax, frame(4));
  a.mov(mem(64, R.rbx, 32), R.rax);
  a.alu('cmp', R.rbx, LOG_END - 2 * ENTRY);
  a.j('ae', 'ev.full');
  a.alu('add', g.word('ev.next'), ENTRY);
  a.label('ev.full');
  a.mov(R.rax, frame(0));
  a.alu('cmp', R.rax, g.word('ev.hookVector'));
  a.j('nz', 'ev.unhooked');
  a.call(g.word('ev.hook'));
  a.label('ev.unhooked');
  emitActions(g, frame);
  a.label('ev.return');
  for (const r of [R.rsi, R.rdx, R.rcx, R.rbx, R.rax]) a.pop(r);
  a.alu('add', R.rsp, 16);
  a.op('iretq');
}

function emitActions(g: Guest, frame: (n: number) => Mem): void {
  const { a } = g;
  a.mov(R.rax, frame(0));
  a.alu('cmp', R.eax, 1);
  a.j('z', 'ev.debug');
  a.alu('cmp', R.eax, DONE);
  a.j('z', 'ev.leave');
  a.alu('cmp', R.eax, 32);
  a.j('ae', 'ev.interrupt');
  for (const v of [2, 3, 4]) {
    a.alu('cmp', R.eax, v);
    a.j('z', 'ev.return');
  }
  a.label('ev.leave');
  a.mov(R.rax, g.word('ev.resume'));
  a.test(R.rax, R.rax);
  a.j('z', 'ev.unexpected');
  a.mov(frame(2), R.rax);
  a.mov(frame(3), SEL.code64);
  a.mov(frame(6), SEL.data);
  a.alu('and', frame(4), ~(FLAG.TF | FLAG.IF));
  a.jmp('ev.return');
  a.label('ev.debug');
  a.mov(R.rdx, dr(6));
  a.mov(R.eax, DR6_RESERVED);
  a.mov(dr(6), R.rax);
  // an instruction breakpoint would come again
  a.test(R.edx, 15);
  a.j('z', 'ev.noHit');
  a.alu('or', frame(4), FLAG.RF);
  a.label('ev.noHit');
  a.mov(R.rax, frame(2));
  a.alu('cmp', R.rax, g.word('ev.untrace'));
  a.j('nz', 'ev.return');
  a.alu('and', frame(4), ~FLAG.TF);
  a.jmp('ev.return');
  a.label('ev.interrupt');
  a.alu('xor', R.eax, R.eax);
  a.alu('xor', R.edx, R.edx);
  a.mov(R.ecx, EOI_MSR);
  a.alu('cmp', mem(32, 'ev.x2apic'), 0);
  a.j('z', 'ev.xapic');
  a.op('wrmsr');
  a.jmp('ev.return');
  a.label('ev.xapic');
  a.mov(R.ecx, 0xfee000b0);
  a.mov(mem(32, R.rcx), R.eax);
  a.jmp('ev.return');
  a.label('ev.unexpected');
  a.mov(R.rax, frame(0));
  a.mov(g.word('ev.found'), R.rax);
  a.mov(R.rax, frame(2));
  a.mov(g.word('ev.expected'), R.rax);
  g.panic('vector ', { hex: g.word('ev.found') }, ' at ', { hex: g.word('ev.expected') });
}
