/** What holds interrupts off: IF, the shadows of STI and MOV SS, NMI blocking; and what ends HLT. @spec SDM 3A 6.7, 6.8 */
import type { Asm } from '../asm.ts';
import { DR6, Events, FLAG, SEL } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R, S } from '../registers.ts';
import { REG, readXapic, writeXapic } from './apic-kit.ts';

const ICR = 0xfee00000 + REG.icr;
/** To the APIC id in the upper half. */
const NMI = 0x4400;
const FIXED = 0x44000; // self, fixed
const VECTOR = 0x51;

const irq = (ip?: string, vector: number = VECTOR) => (ip === undefined ? { vector } : { vector, ip });

function shadows(e: Events): void {
  const { a } = e.g;
  const l = (s: string): string => a.fresh(s);
  const pend = (): void => writeXapic(a, REG.icr, FIXED | VECTOR);
  const behindSti = l('behind');
  e.check('an interrupt waits for IF and for the instruction behind STI', [irq(behindSti)], () => {
    pend();
    a.op('nop', 'sti', 'nop');
    a.label(behindSti);
    a.op('nop', 'cli');
  });
  e.check('STI and CLI let none in', [], () => {
    pend();
    a.op('sti', 'cli', 'nop');
  });
  const later = l('later');
  e.check('so it is still pending', [irq(later)], () => {
    a.op('sti', 'nop');
    a.label(later);
    a.op('nop', 'cli');
  });
  const popf = l('popf');
  e.check('POPF has none', [irq(popf)], () => {
    pend();
    a.push(2 | FLAG.IF);
    a.op('popf');
    a.label(popf);
    a.op('nop', 'cli');
  });
  const iret = l('iret');
  e.check('nor has IRET', [irq(iret)], () => {
    pend();
    a.mov(R.rbx, R.rsp);
    for (const v of [SEL.data, R.rbx, 2 | FLAG.IF, SEL.code64, iret]) a.push(v);
    a.op('iretq');
    a.label(iret);
    a.op('nop', 'cli');
  });
  const ss = l('ss');
  e.check('MOV SS behind STI prolongs the shadow', [irq(ss)], () => {
    pend();
    a.mov(R.ebx, SEL.data);
    a.op('sti');
    a.mov(S.ss, R.ebx);
    a.op('nop');
    a.label(ss);
    a.op('nop', 'cli');
  });
  const handled = l('handled');
  e.check('a fault in the shadow ends it', [{ vector: 6 }, irq()], () => {
    a.mov(e.g.word('ev.resume'), handled);
    pend();
    a.op('sti', 'ud2');
    a.label(handled);
    a.op('nop', 'sti', 'nop', 'nop', 'cli');
  });
}

function priorities(e: Events): void {
  const { a } = e.g;
  const [one, two] = [a.fresh('one'), a.fresh('two')] as [string, string];
  const trap = (ip: string) => ({ vector: 1, ip, dr6: DR6.BS });
  e.check('a trap comes before an interrupt', [trap(one), irq(one), trap(two)], () => {
    a.mov(e.g.word('ev.untrace'), two);
    writeXapic(a, REG.icr, FIXED | VECTOR);
    e.trapFlag();
    a.op('sti');
    a.label(one);
    a.op('nop');
    a.label(two);
    a.op('cli');
  });
  e.check(
    'higher vectors come first',
    [irq(undefined, 0x72), irq(undefined, 0x61), irq(undefined, 0x51)],
    () => {
      for (const v of [0x51, 0x72, 0x61]) writeXapic(a, REG.icr, FIXED | v);
      a.op('sti', 'nop', 'nop', 'nop', 'cli');
    },
  );
  e.check('an NMI comes before an interrupt', [{ vector: 2 }, irq()], () => {
    writeXapic(a, REG.icr, FIXED | VECTOR);
    // the NMI becomes pending in the shadow of STI
    a.mov(R.eax, NMI);
    a.mov(R.ecx, ICR);
    a.op('sti');
    a.mov(mem(32, R.rcx), R.eax);
    a.op('nop', 'cli');
  });
}

/** NMIs: taken with IF clear, blocked until IRET, one of them kept. */
function nmis(e: Events): void {
  const { a } = e.g;
  const [at, second] = [a.fresh('at'), a.fresh('second')] as [string, string];
  e.check('an NMI needs no IF', [{ vector: 2, ip: at }], () => {
    writeXapic(a, REG.icr, NMI);
    a.label(at);
    a.op('nop', 'nop');
  });
  const skip = a.fresh('skip');
  a.jmp(skip);
  a.label('nmi.twice');
  a.mov(e.g.word('ev.hookVector'), -1);
  writeXapic(a, REG.icr, NMI);
  writeXapic(a, REG.icr, NMI);
  a.op('nop', 'nop', 'ret');
  a.label('nmi.fault');
  a.mov(e.g.word('ev.hookVector'), -1);
  writeXapic(a, REG.icr, NMI);
  // a nested exception's IRET unblocks NMIs, in the middle of their handler
  a.op('int3');
  a.label('nmi.nested');
  a.op('nop', 'ret');
  a.label(skip);
  e.hook(2, 'nmi.twice');
  e.check(
    'two NMIs in the handler are one behind it',
    [
      { vector: 2, ip: second },
      { vector: 2, ip: second },
    ],
    () => {
      writeXapic(a, REG.icr, NMI);
      a.label(second);
      a.op('nop', 'nop', 'nop');
    },
  );
  e.hook(2, 'nmi.fault');
  e.check(
    "an exception's IRET unblocks them",
    [{ vector: 2 }, { vector: 3, ip: 'nmi.nested' }, { vector: 2, ip: 'nmi.nested' }],
    () => {
      writeXapic(a, REG.icr, NMI);
      a.op('nop', 'nop', 'nop');
    },
  );
  e.hook(2, undefined);
  const [ss] = [a.fresh('ss')];
  e.check('MOV SS holds an NMI off', [{ vector: 2, ip: ss! }], () => {
    a.mov(R.ebx, SEL.data);
    a.mov(R.eax, NMI);
    a.mov(R.ecx, ICR);
    a.mov(S.ss, R.ebx);
    a.mov(mem(32, R.rcx), R.eax);
    a.label(ss!);
    a.op('nop', 'nop');
  });
}

function halts(e: Events): void {
  const { a } = e.g;
  const woken = (
    name: string,
    expected: (ip: string) => { vector: number; ip: string },
    code: (a: Asm) => void,
  ): void => {
    const ip = a.fresh('woken');
    e.check(name, [expected(ip)], () => {
      code(a);
      a.label(ip);
      a.op('nop', 'cli');
    });
  };
  woken(
    'HLT ends with an interrupt',
    (ip) => ({ vector: VECTOR, ip }),
    (x) => {
      writeXapic(x, REG.icr, FIXED | VECTOR);
      x.op('sti', 'hlt');
    },
  );
  woken(
    "HLT ends with the timer's interrupt",
    (ip) => ({ vector: VECTOR, ip }),
    (x) => {
      writeXapic(x, REG.lvtTimer, VECTOR); // one-shot
      writeXapic(x, REG.divide, 0xb);
      writeXapic(x, REG.initial, 100000);
      x.op('sti', 'hlt');
    },
  );
}

export function apicNmi(g: Guest): void {
  const e = new Events(g);
  const { a } = g;
  writeXapic(a, REG.svr, 0x1ff);
  readXapic(a, REG.id);
  a.mov(R.ecx, ICR + 0x10);
  a.mov(mem(32, R.rcx), R.eax);
  shadows(e);
  priorities(e);
  nmis(e);
  halts(e);
  e.done('interrupts held off');
}
