/** Single-stepping: behind which instructions TF traps. @spec SDM 3B 18.3.1.4, 3A 6.8; APM 2 13.1 */
import type { Asm } from '../asm.ts';
import { DR6, Events, FLAG, SEL } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R, S } from '../registers.ts';

const SCRATCH = 0x20c000;
const MSR = {
  debugctl: 0x1d9,
  star: 0xc0000081,
  lstar: 0xc0000082,
  sfmask: 0xc0000084,
  efer: 0xc0000080,
} as const;
const DEBUGCTL_BTF = 2;
const EFER_SCE = 1;

const nop = (a: Asm): void => a.op('nop');
const db = (ip: string, more: number = 0) => ({ vector: 1, ip, dr6: DR6.BS | more });

function writeMsr(a: Asm, msr: number, low: number | string, high = 0): void {
  a.mov(R.ecx, msr);
  a.mov(R.eax, low);
  a.mov(R.edx, high);
  a.op('wrmsr');
}

function plain(e: Events): void {
  e.steps('plain instructions', [
    nop,
    (a) => a.mov(R.ebx, 5),
    (a) => a.alu('add', R.ebx, 2),
    (a) => a.mov(mem(32, SCRATCH), R.ebx),
    (a) => a.push(R.rbx),
    (a) => a.pop(R.rbx),
    (a) => a.op('pushf'),
    (a) => a.pop(R.rbx),
    (a) => a.op('cpuid'),
  ]);
  e.steps('STI does not hold the trap off', [nop, (a) => a.op('sti'), nop, (a) => a.op('cli')]);
  const ss = (a: Asm): void => a.mov(S.ss, R.eax);
  e.g.a.mov(R.eax, SEL.data);
  e.steps('MOV SS holds it off for one instruction', [ss, nop, nop], [2, 3]);
  e.g.a.mov(R.eax, SEL.data);
  e.steps('so does POP SS', [(a) => a.push(R.rax), (a) => a.db(0x36, 0x90), nop], [1, 2, 3]);
}

/** Jumps, calls and returns trap at where they lead. */
function branches(e: Events): void {
  const { a } = e.g;
  const [to, sub, back, end] = ['to', 'sub', 'back', 'end'].map((l) => a.fresh(l)) as [
    string,
    string,
    string,
    string,
  ];
  e.check('branches', [db(to), db(sub), db(back), db(end)], () => {
    a.mov(e.g.word('ev.untrace'), end);
    e.trapFlag();
    a.jmp(to);
    a.op('nop');
    a.label(to);
    a.call(sub);
    a.label(back);
    a.jmp(end);
    a.label(sub);
    a.op('ret');
    a.label(end);
    a.op('nop');
  });
}

/** Each element is a step; RF is set in all images but the last. */
function strings(e: Events): void {
  const { a } = e.g;
  const forms: readonly [string, (a: Asm) => void][] = [
    ['REP MOVSB', (x) => x.op('repMovsb')],
    ['REP STOSD', (x) => x.op('repStosd')],
    ['REPE CMPSB', (x) => x.db(0xf3, 0xa6)],
    ['REP LODSB', (x) => x.db(0xf3, 0xac)],
  ];
  for (const [name, form] of forms) {
    const [at, end] = [a.fresh('at'), a.fresh('end')] as [string, string];
    const between = { ...db(at), set: FLAG.RF | FLAG.TF };
    e.check(name, [between, between, { ...db(end), clear: FLAG.RF }], () => {
      a.mov(e.g.word('ev.untrace'), end);
      a.mov(R.esi, SCRATCH);
      a.mov(R.edi, SCRATCH + 0x100);
      a.mov(mem(32, SCRATCH), 0);
      a.mov(mem(32, SCRATCH + 0x100), 0);
      a.mov(R.ecx, 3);
      e.trapFlag();
      a.label(at);
      form(a);
      a.label(end);
      a.op('nop');
    });
  }
  e.steps('REP with a count of 0', [(x) => x.alu('xor', R.ecx, R.ecx), (x) => x.op('repMovsb'), nop]);
}

function flags(e: Events): void {
  const { a } = e.g;
  const end = a.fresh('end');
  e.check('POPF that clears TF traps once more', [db(end)], () => {
    a.op('pushf', 'pushf');
    a.alu('or', mem(32, R.rsp), FLAG.TF);
    a.op('popf', 'popf');
    a.label(end);
    a.op('nop', 'nop');
  });
  const [first, second] = [a.fresh('first'), a.fresh('second')] as [string, string];
  const frame = (tf: number, to: string): void => {
    a.mov(R.rbx, R.rsp);
    a.push(SEL.data);
    a.push(R.rbx);
    a.push(2 | tf);
    a.push(SEL.code64);
    a.push(to);
    a.op('iretq');
  };
  e.check('IRET that sets TF is not stepped', [db(second)], () => {
    a.mov(e.g.word('ev.untrace'), second);
    frame(FLAG.TF, first);
    a.label(first);
    a.op('nop');
    a.label(second);
    a.op('nop');
  });
  const target = a.fresh('target');
  const pushes = ['a', 'b', 'c', 'd', 'e', 'f'].map((n) => a.fresh(`push${n}`));
  e.check('IRET that clears TF is', [...pushes.map((ip) => db(ip)), db(target)], () => {
    e.trapFlag();
    a.mov(R.rbx, R.rsp);
    for (const [i, v] of [SEL.data, R.rbx, 2, SEL.code64, target].entries()) {
      a.label(pushes[i]!);
      a.push(v);
    }
    a.label(pushes[5]!);
    a.op('iretq');
    a.label(target);
    a.op('nop', 'nop');
  });
}

function interrupts(e: Events): void {
  const { a } = e.g;
  const [l1, l2, l3] = ['l', 'm', 'n'].map((l) => a.fresh(l)) as [string, string, string];
  e.check('INT n is not stepped', [db(l1), { vector: 0x40, ip: l2, set: FLAG.TF }, db(l3)], () => {
    a.mov(e.g.word('ev.untrace'), l3);
    e.trapFlag();
    a.op('nop');
    a.label(l1);
    a.int(0x40);
    a.label(l2);
    a.op('nop');
    a.label(l3);
    a.op('nop');
  });
  const [i1, i2] = [a.fresh('i'), a.fresh('j')] as [string, string];
  e.check('INT3 is not either', [{ vector: 3, ip: i1, set: FLAG.TF }, db(i2)], () => {
    a.mov(e.g.word('ev.untrace'), i2);
    e.trapFlag();
    a.op('int3');
    a.label(i1);
    a.op('nop');
    a.label(i2);
    a.op('nop');
  });
  const u = a.fresh('u');
  e.check('a fault comes before the trap', [db(u), { vector: 6, ip: u, set: FLAG.TF | FLAG.RF }], () => {
    e.trapFlag();
    a.op('nop');
    a.label(u);
    a.op('ud2');
  });
}

function syscalls(e: Events): void {
  const { a } = e.g;
  a.mov(R.ecx, MSR.efer);
  a.op('rdmsr');
  a.alu('or', R.eax, EFER_SCE);
  a.op('wrmsr');
  writeMsr(a, MSR.star, 0, SEL.code64);
  const run = (name: string, sfmask: number, traps: (entry: string, next: string) => string[]): void => {
    const [entry, next] = [a.fresh('entry'), a.fresh('next')] as [string, string];
    const [before] = [a.fresh('before')];
    writeMsr(a, MSR.lstar, entry);
    writeMsr(a, MSR.sfmask, sfmask);
    e.check(name, [db(before!), ...traps(entry, next).map((ip) => db(ip))], () => {
      a.mov(e.g.word('ev.untrace'), next);
      e.trapFlag();
      a.op('nop');
      a.label(before!);
      a.op('syscall', 'nop');
      a.label(entry);
      a.op('nop');
      a.label(next);
      a.op('nop');
    });
  };
  run('SYSCALL that keeps TF is stepped', 0, (entry, next) => [entry, next]);
  run('SYSCALL that masks TF is not', FLAG.TF, () => []);
}

/** DEBUGCTL.BTF: steps are branches, and #DB clears it. */
function branchSteps(e: Events): void {
  const { a } = e.g;
  const [to, end] = [a.fresh('to'), a.fresh('end')] as [string, string];
  e.check('BTF steps over what is no branch', [db(to), db(end)], () => {
    a.mov(e.g.word('ev.untrace'), end);
    writeMsr(a, MSR.debugctl, DEBUGCTL_BTF);
    e.trapFlag();
    a.op('nop', 'nop');
    a.jmp(to);
    a.op('nop');
    a.label(to);
    a.op('nop');
    a.label(end);
    a.op('nop');
  });
  a.mov(R.ecx, MSR.debugctl);
  a.op('rdmsr');
  e.value('DEBUGCTL behind it', 0);
}

export function debugStep(g: Guest): void {
  const e = new Events(g);
  plain(e);
  branches(e);
  strings(e);
  flags(e);
  interrupts(e);
  syscalls(e);
  branchSteps(e);
  e.done('kinds of steps');
}
