/** The local APIC's timer in its modes, and the clocks it is measured with. @spec SDM 3A 11.5.4; @abi public/arch-x86/cpuid.h */
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { REG, readMsr, readXapic, writeMsr, writeXapic } from './apic-kit.ts';

const VECTOR = 0x51;
const MASKED = 0x1_0000;
const MODE = { oneShot: 0, periodic: 0x2_0000, deadline: 0x4_0000 } as const;
const DEADLINE = 0x6e0;
/** Divide register's values, and what they divide by. */
const DIVIDE: readonly [number, number][] = [
  [0xb, 1],
  [0, 2],
  [1, 4],
  [2, 8],
  [3, 16],
  [8, 32],
  [9, 64],
  [0xa, 128],
];
/** Xen's timer ticks every 10 ns. */
const TICK_NS = 10;
/** A busy host is late; nobody is early. */
const SLACK_NS = 5_000_000_000;
const irq = { vector: VECTOR };

/** rax: the TSC. */
function now(e: Events): void {
  const { a } = e.g;
  a.op('lfence', 'rdtsc');
  a.shift('shl', R.rdx, 32);
  a.alu('or', R.rax, R.rdx);
}
/** Waits for one interrupt. */
function wait(e: Events): void {
  e.g.a.op('sti', 'hlt', 'cli');
}
/** Lets in what is pending. */
function open(e: Events): void {
  e.g.a.op('sti', 'nop', 'nop', 'cli');
}
/** So many turns of a loop. */
function spin(e: Events, turns: number): void {
  const { a } = e.g;
  const loop = a.fresh('spin');
  a.mov(R.ecx, turns);
  a.label(loop);
  a.dec(R.ecx);
  a.j('nz', loop);
}
/**
 * Arms a timer and changes its mind, which has to be through within so many ticks of the TSC, or else what was armed may have
 * come first: a host that is busy takes the CPU away for as long as it likes. It is done again until it was in time.
 */
function inTime(e: Events, ticks: number, code: () => void): void {
  const { a } = e.g;
  const [again, through] = [a.fresh('again'), a.fresh('through')] as [string, string];
  a.label(again);
  now(e);
  a.mov(e.g.word('timer.begin'), R.rax);
  code();
  now(e);
  a.alu('sub', R.rax, e.g.word('timer.begin'));
  a.alu('cmp', R.rax, ticks);
  a.j('b', through);
  writeXapic(a, REG.initial, 0);
  open(e);
  e.forget();
  a.jmp(again);
  a.label(through);
}
function arm(e: Events, mode: number, count: number, divide = 0xb): void {
  const { a } = e.g;
  writeXapic(a, REG.lvtTimer, mode | VECTOR);
  writeXapic(a, REG.divide, divide);
  writeXapic(a, REG.initial, count);
}

function oneShot(e: Events): void {
  const { a } = e.g;
  e.check('one shot', [irq], () => {
    arm(e, MODE.oneShot, 20000);
    wait(e);
    spin(e, 100000);
    open(e);
  });
  readXapic(a, REG.current);
  e.value('the count behind it', 0);
  readXapic(a, REG.initial);
  e.value('the initial count stays', 20000);
  e.check('masked it counts all the same', [], () => {
    arm(e, MODE.oneShot | MASKED, 0xffff_ffff);
    spin(e, 50000);
    open(e);
  });
  readXapic(a, REG.current);
  e.range('the count on its way', 1, 0xffff_fffe);
  e.check('an initial count of 0 stops it', [], () => {
    inTime(e, 500000, () => {
      arm(e, MODE.oneShot, 500000);
      writeXapic(a, REG.initial, 0);
    });
    spin(e, 50000);
    open(e);
  });
  readXapic(a, REG.current);
  e.value('the count of a stopped timer', 0);
}

function periodic(e: Events): void {
  const { a } = e.g;
  e.check('periodic', [irq, irq, irq], () => {
    arm(e, MODE.periodic, 100000);
    for (let i = 0; i < 3; i++) wait(e);
    writeXapic(a, REG.initial, 0);
  });
  e.check('periods that nobody takes are one', [irq], () => {
    arm(e, MODE.periodic, 1000);
    spin(e, 2000000);
    writeXapic(a, REG.initial, 0);
    open(e);
    open(e);
  });
  e.check('periodic becomes one shot', [irq], () => {
    inTime(e, 100000, () => {
      arm(e, MODE.periodic, 100000);
      writeXapic(a, REG.lvtTimer, MODE.oneShot | VECTOR);
    });
    wait(e);
    spin(e, 1000000);
    open(e);
  });
}

/** How many TSC ticks a count takes, by divide value; the first is the measure of the others. */
function divides(e: Events): void {
  const { a } = e.g;
  const count = 30000;
  for (const [value, by] of DIVIDE) {
    e.check(`divide by ${by}`, [irq], () => {
      now(e);
      a.mov(e.g.word('timer.start'), R.rax);
      arm(e, MODE.oneShot, count, value);
      wait(e);
      now(e);
      a.alu('sub', R.rax, e.g.word('timer.start'));
      a.mov(e.g.word('timer.taken'), R.rax);
    });
    if (by === 1) continue;
    // ticks, in the unit of the Xen leaf's kHz
    a.alu('cmp', mem(32, 'rt.xenBase'), 0);
    const skip = a.fresh('skip');
    a.j('z', skip);
    a.mov(R.rax, e.g.word('timer.taken'));
    a.mov(R.ecx, 1000000);
    a.unary('mul', R.rcx);
    a.mov(R.ecx, mem(32, 'timer.khz'));
    a.unary('div', R.rcx);
    e.range(`ns of ${count} counts by ${by}`, count * by * TICK_NS, count * by * TICK_NS + SLACK_NS);
    a.label(skip);
  }
}

function deadlines(e: Events): void {
  const { a } = e.g;
  const skip = a.fresh('skip');
  a.mov(R.eax, 1);
  a.op('cpuid');
  a.test(R.ecx, 1 << 24);
  a.j('z', skip);
  const armAt = (ahead: number): void => {
    now(e);
    a.alu('add', R.rax, ahead);
    a.mov(e.g.word('timer.start'), R.rax);
    a.mov(R.rdx, R.rax);
    a.shift('shr', R.rdx, 32);
    a.mov(R.ecx, DEADLINE);
    a.op('wrmsr');
  };
  writeXapic(a, REG.lvtTimer, MODE.oneShot | VECTOR);
  e.check('a deadline in another mode is nothing', [], () => {
    armAt(1000);
    spin(e, 100000);
    open(e);
  });
  readMsr(a, DEADLINE);
  e.value('and reads 0', 0);
  writeXapic(a, REG.lvtTimer, MODE.deadline | VECTOR);
  e.check('a deadline', [irq], () => {
    armAt(500000);
    wait(e);
    now(e);
    a.alu('sub', R.rax, e.g.word('timer.start'));
    a.mov(e.g.word('timer.taken'), R.rax);
  });
  a.mov(R.rax, e.g.word('timer.taken'));
  e.range('ticks from the deadline to its interrupt', 0, SLACK_NS);
  readMsr(a, DEADLINE);
  e.value('the deadline behind it', 0);
  e.check('a deadline of the past', [irq], () => {
    armAt(-1000);
    spin(e, 10000);
    open(e);
  });
  e.check('0 takes it back', [], () => {
    inTime(e, 300000, () => {
      armAt(300000);
      writeMsr(a, DEADLINE, 0);
    });
    spin(e, 200000);
    open(e);
  });
  e.check('the counts are out of use', [], () => {
    writeXapic(a, REG.initial, 100);
    spin(e, 10000);
    open(e);
  });
  readXapic(a, REG.current);
  e.value('the count', 0);
  e.check('another mode takes the deadline back', [], () => {
    inTime(e, 300000, () => {
      writeXapic(a, REG.lvtTimer, MODE.deadline | VECTOR);
      armAt(300000);
      writeXapic(a, REG.lvtTimer, MODE.oneShot | VECTOR);
    });
    spin(e, 200000);
    open(e);
  });
  a.label(skip);
}

/** What CPUID promises of the TSC. */
function clocks(e: Events): void {
  const { a } = e.g;
  const skip = a.fresh('skip');
  a.mov(R.eax, mem(32, 'rt.xenBase'));
  a.test(R.eax, R.eax);
  a.j('z', skip);
  a.alu('add', R.eax, 3);
  a.alu('xor', R.ecx, R.ecx);
  a.op('cpuid');
  a.mov(mem(32, 'timer.khz'), R.ecx);
  a.mov(R.eax, R.ecx);
  e.range('kHz of the TSC, by Xen', 1_000, 10_000_000);
  a.mov(R.eax, 0x8000_0007);
  a.op('cpuid');
  a.mov(R.eax, R.edx);
  a.alu('and', R.eax, 1 << 8);
  e.value('the TSC is invariant', 1 << 8);
  e.check('5 ms by the timer', [irq], () => {
    now(e);
    a.mov(e.g.word('timer.start'), R.rax);
    arm(e, MODE.oneShot, 500000);
    wait(e);
    now(e);
    a.alu('sub', R.rax, e.g.word('timer.start'));
    a.mov(e.g.word('timer.taken'), R.rax);
  });
  a.mov(R.rax, e.g.word('timer.taken'));
  a.mov(R.ecx, 1000000);
  a.unary('mul', R.rcx);
  a.mov(R.ecx, mem(32, 'timer.khz'));
  a.unary('div', R.rcx);
  e.range('are, by the TSC, in ns', 5_000_000, SLACK_NS);
  a.label(skip);
}

export function timer(g: Guest): void {
  const e = new Events(g);
  for (const v of ['begin', 'start', 'taken', 'khz']) g.variable(`timer.${v}`, 8);
  writeXapic(g.a, REG.svr, 0x1ff);
  clocks(e);
  oneShot(e);
  periodic(e);
  divides(e);
  deadlines(e);
  e.done('things timers do');
}
