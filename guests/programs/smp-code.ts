/**
 * Code that another CPU changes while it runs: by a store of whole aligned words, which has to be seen some time and never in
 * part, and by INT3 first and interrupts between the steps, as kernels do it. @spec SDM 3A 9.1.3
 */
import type { Asm } from '../asm.ts';
import { Events, IDT } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { REG, writeXapic } from './apic-kit.ts';
import { copyTrampoline, emitSecond, emitTrampoline, SECOND_VARIABLES, TASK } from './smp-second.ts';

const START = 0x8;
const OTHERS = { init: 0xc4500, startup: 0xc4600, fixed: 0xc4000 } as const;
const WAKE = 0x51;
const SYNC = 0x52;
const TRAP = 3;
/** To the CPU whose APIC id is in ICR2. */
const TO_ONE = 0x4000;
const ROUNDS = 20;
/** Longest wait, in turns of a loop. */
const PATIENCE = 30_000_000;
/** Calls of the changing code between two looks at the other CPU. */
const CALLS = 2000;
const NOP5 = [0x0f, 0x1f, 0x44, 0, 0];
const JMP = 0xe9;
const INT3 = 0xcc;
/** The word that begins with the NOP, but for that: it is followed by MOV EAX, 1. */
const TAIL = 0x1_b800_0000_0000n;

/** Answers 1 in EAX by way of a NOP; 2 once that is a jump. */
function emitVictim(a: Asm): void {
  a.align(64);
  a.label('sc.victim');
  a.db(...NOP5);
  a.mov(R.eax, 1);
  a.op('ret');
  a.align(64);
  a.label('sc.two');
  a.mov(R.eax, 2);
  a.op('ret');
}

/** Until a word is this, or patience ends. */
function until(a: Asm, at: string, isZero: () => void): void {
  const [loop, out] = [a.fresh('until'), a.fresh('is')] as [string, string];
  a.mov(R.r8d, PATIENCE);
  a.label(loop);
  a.mov(R.eax, mem(32, at));
  isZero();
  a.j('z', out);
  a.op('pause');
  a.dec(R.r8d);
  a.j('nz', loop);
  a.label(out);
}
const seen = (a: Asm, value: number): void => until(a, 'sc.seen', () => a.alu('cmp', R.eax, value));

/** On the second CPU: rounds in which `write` makes the victim one instruction, then the other, and waits till it was seen. */
function emitRounds(a: Asm, name: string, write: (word: string) => void): void {
  const round = a.fresh('round');
  a.label(name);
  a.mov(R.r9d, ROUNDS);
  a.label(round);
  for (const [word, value] of [
    ['sc.jump', 2],
    ['sc.nop', 1],
  ] as const) {
    write(word);
    seen(a, value);
  }
  a.dec(R.r9d);
  a.j('nz', round);
  a.op('ret');
}

/** Stores the whole word, there and back. */
function emitStores(a: Asm): void {
  emitRounds(a, 'sc.store', (word) => {
    a.mov(R.rax, mem(64, word));
    a.mov(mem(64, 'sc.victim'), R.rax);
  });
}

/** The other CPU has taken an interrupt, so that it runs what is in memory. */
function sync(a: Asm): void {
  a.mov(R.r10d, mem(32, 'sc.syncs'));
  writeXapic(a, REG.icr2, 0);
  writeXapic(a, REG.icr, TO_ONE | SYNC);
  until(a, 'sc.syncs', () => {
    a.alu('sub', R.eax, R.r10d);
    a.alu('cmp', R.eax, 1);
  });
}
/** INT3, then the tail, then the first byte. */
function emitPokes(a: Asm): void {
  emitRounds(a, 'sc.poke', (word) => {
    a.mov(mem(8, 'sc.victim'), INT3);
    sync(a);
    a.mov(R.eax, mem(32, word, 1));
    a.mov(mem(32, 'sc.victim', 1), R.eax);
    sync(a);
    a.mov(R.eax, mem(32, word));
    a.mov(mem(8, 'sc.victim'), R.al);
    sync(a);
  });
}

/** The trap goes where the jump will go. */
function emitGates(a: Asm): void {
  a.label('sc.trap');
  a.inc(mem(32, 'sc.traps'));
  a.mov(mem(64, R.rsp), 'sc.two');
  a.op('iretq');
  a.label('sc.sync');
  a.push(R.rcx);
  a.inc(mem(32, 'sc.syncs'));
  writeXapic(a, REG.eoi, 0);
  a.pop(R.rcx);
  a.op('iretq');
}
function setGate(a: Asm, vector: number, to: string): void {
  a.mov(R.eax, to);
  a.mov(mem(16, IDT + 16 * vector), R.ax);
  a.shift('shr', R.eax, 16);
  a.mov(mem(16, IDT + 16 * vector + 6), R.ax);
}

/** Calls what is being changed until the other CPU is through with it. */
function watch(e: Events, name: string, routine: string, done: number): void {
  const { a } = e.g;
  const [loop, call, good, out] = ['watch', 'call', 'good', 'out'].map((s) => a.fresh(s)) as [
    string,
    string,
    string,
    string,
  ];
  a.mov(mem(64, 'smp.routine'), routine);
  a.mov(mem(32, 'smp.task'), TASK.call);
  writeXapic(a, REG.icr, OTHERS.fixed | WAKE);
  a.op('sti');
  a.mov(R.r12d, PATIENCE / 100);
  a.label(loop);
  a.mov(R.r13d, CALLS);
  a.label(call);
  a.call('sc.victim');
  a.mov(mem(32, 'sc.seen'), R.eax);
  a.dec(R.eax);
  a.alu('cmp', R.eax, 1);
  a.j('be', good);
  a.inc(mem(32, 'sc.bad'));
  a.label(good);
  a.dec(R.r13d);
  a.j('nz', call);
  a.op('pause');
  a.alu('cmp', mem(32, 'smp.done'), done);
  a.j('z', out);
  a.dec(R.r12d);
  a.j('nz', loop);
  a.label(out);
  a.op('cli');
  a.mov(R.eax, mem(32, 'smp.done'));
  e.value(`${name}: every change is seen`, done);
  a.mov(R.eax, mem(32, 'sc.bad'));
  e.value(`${name}: and none in part`, 0);
}

function words(a: Asm): void {
  a.mov(R.rax, mem(64, 'sc.victim'));
  a.mov(mem(64, 'sc.nop'), R.rax);
  a.mov(R.eax, 'sc.two');
  a.mov(R.ecx, 'sc.victim');
  a.alu('sub', R.eax, R.ecx);
  a.alu('sub', R.eax, NOP5.length);
  a.shift('shl', R.rax, 8);
  a.mov(R.ecx, JMP);
  a.alu('or', R.rax, R.rcx);
  a.mov(R.rcx, TAIL);
  a.alu('or', R.rax, R.rcx);
  a.mov(mem(64, 'sc.jump'), R.rax);
}

export function smpCode(g: Guest): void {
  const e = new Events(g);
  const { a } = g;
  for (const v of SECOND_VARIABLES) g.variable(`smp.${v}`, 8);
  for (const v of ['seen', 'bad', 'syncs', 'traps', 'nop', 'jump']) g.variable(`sc.${v}`, 8);
  g.data('smp.line', () => a.zero(64), 64);
  emitTrampoline(g);
  const start = a.fresh('code');
  a.jmp(start);
  emitSecond(e);
  emitVictim(a);
  emitStores(a);
  emitPokes(a);
  emitGates(a);
  a.label(start);
  words(a);
  setGate(a, TRAP, 'sc.trap');
  setGate(a, SYNC, 'sc.sync');
  writeXapic(a, REG.svr, 0x1ff);
  copyTrampoline(e, START);
  writeXapic(a, REG.icr, OTHERS.init);
  writeXapic(a, REG.icr, OTHERS.startup | START);
  until(a, 'smp.starts', () => a.alu('cmp', R.eax, 1));
  watch(e, 'a word', 'sc.store', 1);
  watch(e, 'INT3 first', 'sc.poke', 2);
  e.done('ways to change code that runs');
}
