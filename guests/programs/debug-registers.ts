/** Debug registers: what they hold, general detect, RF, and steps that meet breakpoints. @spec SDM 3B 18.2, 18.3 */
import { DR6, Events, FLAG, SEL } from '../events.ts';
import type { Guest } from '../guest.ts';
import { dr, mem, R } from '../registers.ts';
import { CR4_DE, cr4, DATA, DR7_ONE, hit, off, setDr, under, watch } from './debug-kit.ts';

const GD = 0x2000;

function registers(e: Events): void {
  const { a } = e.g;
  for (const n of [0, 1, 2, 3]) setDr(a, n, DATA);
  const readBack = (name: string, n: number, wrote: number, is: number): void => {
    setDr(a, n, wrote);
    a.mov(R.rax, dr(n));
    if (n === 7) a.mov(R.rbx, R.rax);
    if (n === 7) off(a);
    if (n === 7) a.mov(R.rax, R.rbx);
    e.value(name, is);
  };
  readBack('DR6 after writing 0', 6, 0, 0xffff0ff0);
  readBack('DR6 after writing all ones', 6, 0xffffffff, 0xffffefff);
  readBack('DR6 reset', 6, 0xffff0ff0, 0xffff0ff0);
  readBack('DR7 after writing 0', 7, 0, 0x400);
  readBack('DR7 after writing its reserved bits', 7, 0xdc00, 0x400);
  readBack('DR7 after writing LE and GE', 7, 0x300, 0x700);
  for (const n of [6, 7]) {
    const at = a.fresh('at');
    e.check(`the upper half of DR${n}`, [{ vector: 13, error: 0, ip: at }], () => {
      a.mov(R.rax, 0x1_0000_0400n);
      a.label(at);
      a.mov(dr(n), R.rax);
    });
  }
  setDr(a, 6, 0xffff0ff0);
  a.mov(R.rax, dr(4));
  e.value('DR4 is DR6', 0xffff0ff0);
  a.mov(R.rax, dr(5));
  e.value('DR5 is DR7', 0x400);
  cr4(a, 'or', CR4_DE);
  for (const n of [4, 5]) {
    const at = a.fresh('at');
    e.check(`DR${n} with CR4.DE`, [{ vector: 6, ip: at }], () => {
      a.label(at);
      a.mov(R.rax, dr(n));
    });
  }
  cr4(a, 'and', ~CR4_DE);
  e.checkUser('debug registers in user code', [{ vector: 13, error: 0 }], () => a.mov(R.rax, dr(0)));
}

function generalDetect(e: Events): void {
  const { a } = e.g;
  for (const [name, access] of [
    ['read', () => a.mov(R.rbx, dr(7))],
    ['write', () => a.mov(dr(0), R.rax)],
  ] as const) {
    const at = a.fresh('at');
    e.check(`general detect, ${name}`, [{ vector: 1, ip: at, dr6: DR6.BD, set: FLAG.RF }], () => {
      setDr(a, 7, DR7_ONE | GD);
      a.label(at);
      access();
    });
    a.mov(R.rax, dr(7));
    e.value('DR7 behind it', DR7_ONE);
  }
}

function mixed(e: Events): void {
  const { a } = e.g;
  const [w, end] = [a.fresh('w'), a.fresh('end')] as [string, string];
  e.check(
    'a step that writes',
    [
      { vector: 1, ip: w, dr6: DR6.BS | 1 },
      { vector: 1, ip: end, dr6: DR6.BS },
    ],
    () => {
      a.mov(e.g.word('ev.untrace'), end);
      a.mov(R.ebx, DATA);
      setDr(a, 0, DATA);
      setDr(a, 7, watch('write', 4));
      e.trapFlag();
      a.mov(mem(32, R.rbx), R.eax);
      a.label(w);
      a.op('nop');
      a.label(end);
      off(a);
    },
  );
  off(a);
  under(e, 'IRET with RF passes over', watch('exec'), 'after', [], (x) => {
    const to = x.fresh('to');
    x.mov(R.rcx, R.rsp);
    for (const v of [SEL.data, R.rcx, 2 | FLAG.RF, SEL.code64, to]) x.push(v);
    x.op('iretq');
    x.op('ud2');
    x.label(to);
  });
  under(e, 'POPF has no RF', watch('exec'), 'after', [hit('after')], (x) => {
    x.push(2 | FLAG.RF);
    x.op('popf');
  });
  const [i] = [a.fresh('i')];
  e.check('INT1', [{ vector: 1, ip: i!, dr6: 0 }], () => {
    a.db(0xf1);
    a.label(i!);
  });
}

export function debugRegisters(g: Guest): void {
  const e = new Events(g);
  registers(e);
  generalDetect(e);
  mixed(e);
  e.done('things debug registers do');
}
