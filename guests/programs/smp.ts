/**
 * A second CPU: INIT and start-up IPIs, what it starts with, interrupts between CPUs, MONITOR and MWAIT.
 * @spec SDM 3A 9.1, 9.4, 11.6; SDM 2B MWAIT
 */
import type { Asm } from '../asm.ts';
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { REG, writeXapic } from './apic-kit.ts';
import { copyTrampoline, emitSecond, emitTrampoline, LEFT, SECOND_VARIABLES, TASK } from './smp-second.ts';

/** Pages that the second CPU starts in. */
const START = 0x8;
const START_AGAIN = 0x9;
const VECTOR = 0x51;
/** To all others: INIT, its de-assertion, start-up, NMI, fixed. */
const OTHERS = { init: 0xc4500, deassert: 0xc8500, startup: 0xc4600, nmi: 0xc4400, fixed: 0xc4000 } as const;
/** Longest wait, in turns of a loop. */
const PATIENCE = 30_000_000;

/** Waits until the word is this. */
function until(e: Events, name: string, at: string, value: number): void {
  const { a } = e.g;
  const [loop, out] = [a.fresh('until'), a.fresh('is')] as [string, string];
  a.mov(R.edi, PATIENCE);
  a.label(loop);
  a.alu('cmp', mem(32, at), value);
  a.j('z', out);
  a.op('pause');
  a.dec(R.edi);
  a.j('nz', loop);
  a.label(out);
  a.mov(R.eax, mem(32, at));
  e.value(name, value);
}
/** Until an event has been written down; gives up in silence. */
function untilEvent(e: Events, before: string): void {
  const { a } = e.g;
  const [loop, out] = [a.fresh('until'), a.fresh('is')] as [string, string];
  a.mov(R.edi, PATIENCE);
  a.label(loop);
  a.mov(R.rax, e.g.word('ev.next'));
  a.alu('cmp', R.rax, e.g.word(before));
  a.j('nz', out);
  a.op('pause');
  a.dec(R.edi);
  a.j('nz', loop);
  a.label(out);
}
function dwell(a: Asm, turns: number): void {
  const loop = a.fresh('dwell');
  a.mov(R.ecx, turns);
  a.label(loop);
  a.op('pause');
  a.dec(R.ecx);
  a.j('nz', loop);
}

function starting(e: Events): void {
  const { a } = e.g;
  const left = (name: string, page: number, at: number, is: number, mask = 0xffffffff): void => {
    a.mov(R.eax, mem(32, page * 4096 + at));
    a.mov(R.ecx, mask);
    a.alu('and', R.eax, R.ecx);
    e.value(name, is);
  };
  copyTrampoline(e, START);
  copyTrampoline(e, START_AGAIN);
  writeXapic(a, REG.icr, OTHERS.init);
  dwell(a, 20000);
  a.mov(R.eax, mem(32, 'smp.starts'));
  e.value('INIT alone starts nothing', 0);
  writeXapic(a, REG.icr, OTHERS.startup | START);
  until(e, 'a start-up IPI does', 'smp.starts', 1);
  left('CS', START, LEFT.cs, START << 8, 0xffff);
  left('CR0', START, LEFT.cr0, 0x60000010);
  left('RFLAGS', START, LEFT.flags, 2);
  writeXapic(a, REG.icr, OTHERS.startup | START_AGAIN);
  dwell(a, 20000);
  a.mov(R.eax, mem(32, 'smp.starts'));
  e.value('a second one is nothing to it', 1);
  writeXapic(a, REG.icr, OTHERS.deassert);
  dwell(a, 20000);
}

function interrupting(e: Events): void {
  const { a } = e.g;
  const one = (name: string, expected: number, icr: number): void =>
    e.check(name, [{ vector: expected }], () => {
      a.mov(R.rax, e.g.word('ev.next'));
      a.mov(e.g.word('smp.before'), R.rax);
      writeXapic(a, REG.icr, icr);
      untilEvent(e, 'smp.before');
    });
  one('an interrupt for the other', VECTOR, OTHERS.fixed | VECTOR);
  one('an NMI for the other ends its HLT', 2, OTHERS.nmi);
  one('another interrupt', 0x61, OTHERS.fixed | 0x61);
  // its time stamp lies between two of ours
  a.op('rdtsc');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
  a.mov(e.g.word('smp.before'), R.rax);
  a.mov(mem(32, 'smp.task'), TASK.tsc);
  writeXapic(a, REG.icr, OTHERS.fixed | VECTOR);
  until(e, 'it tells its TSC', 'smp.done', 1);
  a.op('rdtsc');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
  a.alu('sub', R.rax, e.g.word('smp.before'));
  a.mov(e.g.word('smp.span'), R.rax);
  a.mov(R.rax, e.g.word('smp.stamp'));
  a.alu('sub', R.rax, e.g.word('smp.before'));
  a.alu('cmp', R.rax, e.g.word('smp.span'));
  a.set('be', R.al);
  a.movzx(R.eax, R.al);
  e.value('which lies between two of ours', 1);
}

function monitoring(e: Events): void {
  const { a } = e.g;
  const [absent, end] = [a.fresh('absent'), a.fresh('end')] as [string, string];
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.test(R.ecx, 8);
  a.j('z', absent);
  a.mov(R.eax, 5);
  a.op('cpuid');
  a.shift('shl', R.rbx, 32);
  a.alu('or', R.rax, R.rbx);
  e.range('the line of MONITOR', 0x10_0000_0010n, 0x1000_0000_1000n);
  a.mov(mem(32, 'smp.task'), TASK.monitor);
  writeXapic(a, REG.icr, OTHERS.fixed | VECTOR);
  until(e, 'the other waits in MWAIT', 'smp.waiting', 1);
  dwell(a, 100000);
  a.mov(mem(32, 'smp.line'), 1);
  until(e, 'a write to the line wakes it', 'smp.done', 2);
  const regs = (rcx: number) => (): void => {
    a.mov(R.eax, 'smp.line');
    a.mov(R.ecx, rcx);
    a.alu('xor', R.edx, R.edx);
  };
  e.check('MONITOR has no extensions', [{ vector: 13, error: 0 }], () => {
    regs(1)();
    a.db(0x0f, 0x01, 0xc8);
  });
  e.check('MWAIT has one', [{ vector: 13, error: 0 }], () => {
    regs(2)();
    a.db(0x0f, 0x01, 0xc9);
  });
  e.check('MONITOR checks its address', [{ vector: 13, error: 0 }], () => {
    regs(0)();
    a.mov(R.rax, 0x8000_0000_0000n);
    a.db(0x0f, 0x01, 0xc8);
  });
  e.check('a write before MWAIT ends it at once', [], () => {
    regs(0)();
    a.db(0x0f, 0x01, 0xc8);
    a.inc(mem(32, 'smp.line'));
    a.alu('xor', R.eax, R.eax);
    a.db(0x0f, 0x01, 0xc9);
  });
  e.checkUser('MONITOR in user code', [{ vector: 6 }], () => a.db(0x0f, 0x01, 0xc8));
  e.checkUser('MWAIT in user code', [{ vector: 6 }], () => a.db(0x0f, 0x01, 0xc9));
  a.jmp(end);
  a.label(absent);
  e.check('MONITOR without its feature', [{ vector: 6 }], () => a.db(0x0f, 0x01, 0xc8));
  e.check('MWAIT without it', [{ vector: 6 }], () => a.db(0x0f, 0x01, 0xc9));
  a.label(end);
}

/** INIT stops a CPU in whatever it does. */
function restarting(e: Events): void {
  const { a } = e.g;
  writeXapic(a, REG.icr, OTHERS.init);
  dwell(a, 20000);
  e.check('a CPU in INIT takes no interrupts', [], () => {
    writeXapic(a, REG.icr, OTHERS.fixed | VECTOR);
    dwell(a, 20000);
  });
  writeXapic(a, REG.icr, OTHERS.startup | START_AGAIN);
  until(e, 'it starts anew', 'smp.starts', 2);
  a.mov(R.eax, mem(32, START_AGAIN * 4096 + LEFT.cs));
  a.alu('and', R.eax, 0xffff);
  e.value('at the other page', START_AGAIN << 8);
  a.mov(R.eax, mem(32, 'smp.lstar'));
  e.value('INIT keeps MSRs', 'smp.long');
}

export function smp(g: Guest): void {
  const e = new Events(g);
  const { a } = g;
  for (const v of [...SECOND_VARIABLES, 'before', 'span']) g.variable(`smp.${v}`, 8);
  g.data('smp.line', () => a.zero(64), 64);
  emitTrampoline(g);
  const start = a.fresh('smp');
  a.jmp(start);
  emitSecond(e);
  a.label(start);
  writeXapic(a, REG.svr, 0x1ff);
  starting(e);
  interrupting(e);
  monitoring(e);
  restarting(e);
  e.done('things two CPUs do');
}
