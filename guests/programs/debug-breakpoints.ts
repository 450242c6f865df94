/** Breakpoints: what the debug registers stop at, and where. @spec SDM 3B 18.2, 18.3; APM 2 13.1 */
import type { Asm } from '../asm.ts';
import { Events, type Expected, FLAG, SEL } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R, S } from '../registers.ts';
import { CR4_DE, cr4, DATA, DR7_ONE, hit, off, setDr, under, watch } from './debug-kit.ts';

const PORT = 0x84;

function execution(e: Events): void {
  for (const n of [0, 1, 2, 3])
    under(e, `execution, DR${n}`, watch('exec', 1, n), 'at', [hit('at', 1 << n)], (a) => a.op('nop'));
  under(e, 'globally enabled', DR7_ONE | 2, 'at', [hit('at')], (a) => a.op('nop'));
  under(e, 'disabled', DR7_ONE, 'at', [], (a) => a.op('nop'));
  under(e, 'fetching is not reading', watch('access', 1), 'at', [], (a) => a.op('nop'));
  under(e, 'reading is not execution', watch('exec'), DATA, [], (a) => a.mov(R.eax, mem(32, R.rbx)));
  under(
    e,
    'of a faulting instruction comes first',
    watch('exec'),
    'at',
    [hit('at'), { vector: 6, where: 'at' }],
    (a) => a.op('ud2'),
  );
  under(e, 'in the shadow of MOV SS is missed', watch('exec'), 'after', [], (a) => {
    a.mov(R.eax, SEL.data);
    a.mov(S.ss, R.eax);
  });
  under(e, 'in the shadow of STI is not', watch('exec'), 'after', [hit('after')], (a) => a.op('sti'));
  e.g.a.op('cli');
}

/** REP STOSB with its registers set before DR7 is. */
function stringBreak(e: Events): void {
  const { a } = e.g;
  const [at, after] = [a.fresh('at'), a.fresh('after')] as [string, string];
  const arm = (dr7: number, where: number | string): void => {
    setDr(a, 0, where);
    setDr(a, 7, dr7);
    a.mov(R.edi, DATA);
    a.mov(R.ecx, 4);
  };
  e.check('execution of REP STOSB: once', [{ vector: 1, ip: at, dr6: 1 }], () => {
    arm(watch('exec'), at);
    a.label(at);
    a.op('repStosb');
    off(a);
  });
  const trap: Expected = { vector: 1, ip: `${at}2`, dr6: 1, set: FLAG.RF };
  e.check('a write in the middle of REP STOSB', [trap], () => {
    arm(watch('write', 1), DATA + 1);
    a.label(`${at}2`);
    a.op('repStosb');
    off(a);
  });
  e.check('the last write of REP STOSB', [{ vector: 1, ip: after, dr6: 1, clear: FLAG.RF }], () => {
    arm(watch('write', 1), DATA + 3);
    a.op('repStosb');
    a.label(after);
    off(a);
  });
}

function data(e: Events): void {
  const write = (disp: number, bits: 8 | 16 | 32 | 64) => (a: Asm) =>
    a.mov(mem(bits, R.rbx, disp), bits === 8 ? R.al : bits === 16 ? R.ax : bits === 32 ? R.eax : R.rax);
  const read = (a: Asm): void => a.mov(R.ecx, mem(32, R.rbx));
  for (const length of [1, 2, 4, 8] as const) {
    const at = DATA + 8;
    under(e, `write to the first of ${length}`, watch('write', length), at, [hit('after')], write(8, 8));
    under(
      e,
      `write to the last of ${length}`,
      watch('write', length),
      at,
      [hit('after')],
      write(7 + length, 8),
    );
    under(e, `write below ${length}`, watch('write', length), at, [], write(7, 8));
    under(e, `write above ${length}`, watch('write', length), at, [], write(8 + length, 8));
    under(e, `write across the start of ${length}`, watch('write', length), at, [hit('after')], write(5, 32));
    under(e, `write around ${length}`, watch('write', length), at, [hit('after')], write(8, 64));
  }
  under(e, 'read under a write breakpoint', watch('write', 4), DATA, [], read);
  under(e, 'read', watch('access', 4), DATA, [hit('after')], read);
  under(e, 'read-modify-write', watch('write', 4), DATA, [hit('after')], (a) => a.inc(mem(32, R.rbx)));
  under(e, 'CMP reads only', watch('write', 4), DATA, [], (a) => a.alu('cmp', mem(32, R.rbx), 1));
  under(
    e,
    'two at once',
    watch('write', 4, 1) | watch('access', 4, 3),
    DATA,
    [hit('after', 10)],
    write(0, 8),
  );
  under(
    e,
    'an address is rounded down to its length',
    watch('write', 4),
    DATA + 3,
    [hit('after')],
    write(0, 8),
  );
  under(e, 'SSE', watch('write', 4), DATA + 12, [hit('after')], (a) => a.db(0x0f, 0x29, 0x03));
  under(e, 'XCHG', watch('write', 4), DATA, [hit('after')], (a) => a.xchg(mem(32, R.rbx), R.ecx));
  e.g.a.mov(mem(32, DATA), SEL.data);
  const inHandler: Expected[] = [{ vector: 1, ip: 'ev.stub3', dr6: 1 }, { vector: 3 }];
  under(e, 'or for the handler that it calls', watch('access', 8), DATA, inHandler, (a) => {
    a.mov(S.ss, mem(32, R.rbx));
    a.op('int3');
  });
  under(e, 'a read by MOV SS waits for an instruction', watch('access', 8), DATA, [hit('next')], (a) =>
    a.mov(S.ss, mem(32, R.rbx)),
  );
}

function ports(e: Events): void {
  const out = (a: Asm): void => {
    a.mov(R.edx, PORT);
    a.outDx(R.al);
  };
  const { a } = e.g;
  cr4(a, 'or', CR4_DE);
  under(e, 'OUT', watch('port', 1), PORT, [hit('after')], out);
  under(e, 'IN', watch('port', 1), PORT, [hit('after')], (x) => x.db(0xe4, PORT));
  under(e, 'a wide OUT across the port', watch('port', 1), PORT + 1, [hit('after')], (x) =>
    x.db(0x66, 0xe7, PORT),
  );
  under(e, 'another port', watch('port', 1), PORT + 1, [], out);
  cr4(a, 'and', ~CR4_DE);
}

export function debugBreakpoints(g: Guest): void {
  const e = new Events(g);
  execution(e);
  stringBreak(e);
  data(e);
  ports(e);
  e.done('kinds of breakpoints');
}
