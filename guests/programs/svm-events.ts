/** Events of a guest of a guest: injected ones, virtual interrupts, and the monitor's own. @spec APM 2 15.13, 15.20, 15.21 */
import { EVENT, EVENT_TYPE, VIRTUAL, VMEXIT } from '../../src/machine/engine/svm/vmcb.ts';
import type { Asm } from '../asm.ts';
import { Events } from '../events.ts';
import type { Guest } from '../guest.ts';
import { mem, R } from '../registers.ts';
import { type Check, Monitor } from '../svm-kit.ts';
import { AT, controlAt, saveAt } from '../svm-layout.ts';
import { enableX2apic, REG, sendIpi, writeMsr, x2 } from './apic-kit.ts';

const IF = 0x200;
const stub = (vector: number): number => AT.stubs + vector * 8;
const event = (type: number, vector: number, more = 0): number =>
  (EVENT.valid | more | (type << EVENT.typeShift) | vector) >>> 0;

function inject(a: Asm, info: number, errorCode = 0): void {
  a.mov(mem(32, controlAt('eventInjection')), info);
  a.mov(mem(32, controlAt('eventInjection', 4)), errorCode);
}
/** A word of what was pushed in the guest, or of anything else in memory. */
const word = (at: number) => (a: Asm) => a.mov(R.rax, mem(64, at));

function injections(m: Monitor): void {
  /** The frame's RIP, where there is an error code or none. */
  const pushedRip = AT.stack - 40;
  const run = (a: Asm): void => a.op('ud2');
  m.all({
    'an exception with its error code': {
      setup: (a) => inject(a, event(EVENT_TYPE.exception, 13, EVENT.errorValid), 0x1234),
      code: run,
      rip: stub(13),
      is: { rsp: AT.stack - 48, inject: 0 },
      look: word(AT.stack - 48),
      value: 0x1234,
    },
    'an external interrupt, whatever IF says': {
      setup: (a) => inject(a, event(EVENT_TYPE.external, 0x41)),
      code: run,
      rip: stub(0x41),
    },
    'an NMI': { setup: (a) => inject(a, event(EVENT_TYPE.nmi, 0)), code: run, rip: stub(2) },
    'a software interrupt returns where next RIP says': {
      setup: (a) => {
        inject(a, event(EVENT_TYPE.software, 0x44));
        a.mov(R.rax, mem(64, saveAt('rip')));
        a.mov(mem(64, controlAt('nextRip')), R.rax);
        a.mov(mem(64, AT.data), R.rax);
      },
      code: run,
      rip: stub(0x44),
      look: (a) => {
        word(pushedRip)(a);
        a.alu('sub', R.rax, mem(64, AT.data));
      },
      value: 0,
    },
    'what is injected is not intercepted': {
      setup: (a) => {
        a.mov(mem(32, controlAt('exceptions')), -1);
        inject(a, event(EVENT_TYPE.exception, 6));
      },
      code: run,
      rip: stub(6),
    },
    'what cannot be delivered is told of again': {
      setup: (a) => {
        a.mov(mem(32, controlAt('exceptions')), 1 << 13);
        a.mov(mem(32, saveAt('idtr', 4)), 0x20);
        inject(a, event(EVENT_TYPE.external, 0x41));
      },
      code: run,
      exit: VMEXIT.exception + 13,
      is: { info1: 0x41 * 8 + 3, intInfo: event(EVENT_TYPE.external, 0x41) },
    },
    'a nested page fault on the way to the handler': {
      nested: true,
      setup: (a) => {
        a.mov(mem(32, AT.nestedPd + 3 * 8), 0);
        a.mov(mem(32, saveAt('rsp')), AT.away + 0x1000);
        inject(a, event(EVENT_TYPE.exception, 13, EVENT.errorValid), 8);
      },
      code: run,
      exit: VMEXIT.npf,
      is: {
        info2: AT.away + 0xff8,
        intInfo: (8n << 32n) | BigInt(event(3, 13, 0x800)),
        rsp: AT.away + 0x1000,
      },
    },
    'in real mode': {
      mode: 'real',
      setup: (a) => {
        a.mov(mem(32, 0x41 * 4), 0x0123_0004);
        a.mov(mem(32, 0x1234), 0x00d9_010f);
        a.mov(mem(32, saveAt('idtr', 8)), 0);
        inject(a, event(EVENT_TYPE.external, 0x41));
      },
      code: (a) => a.op('hlt'),
      rip: 4,
      is: { rsp: 0x7bfa },
    },
  });
}

const request =
  (vector: number, priority: number, more = 0) =>
  (a: Asm) => {
    a.mov(mem(32, controlAt('virtual')), VIRTUAL.irq | (priority << VIRTUAL.priorityShift) | more);
    a.mov(mem(8, controlAt('virtualVector')), vector);
  };
const withFlags =
  (flags: number, then: (a: Asm) => void) =>
  (a: Asm): void => {
    a.mov(mem(32, saveAt('rflags')), flags | 2);
    then(a);
  };

function virtualInterrupts(m: Monitor): void {
  const nothing: Pick<Check, 'code'> = { code: (a) => a.op('nop') };
  m.all({
    'a virtual interrupt comes at once': {
      ...nothing,
      setup: withFlags(IF, request(0x51, 5)),
      rip: stub(0x51),
      is: { virtual: (0x51n << 32n) | (5n << 16n) },
    },
    'or waits for IF': {
      setup: request(0x51, 5),
      prelude: (a) => a.op('nop'),
      code: (a) => a.op('sti', 'nop'),
      rip: stub(0x51),
      look: (a) => {
        word(AT.stack - 40)(a);
        a.movzx(R.eax, mem(8, R.rax));
      },
      // what STI's shadow has let by is behind it
      value: 0x0f,
    },
    'or does not come': { ...nothing, setup: request(0x51, 5), is: { virtual: (0x51n << 32n) | 0x5_0100n } },
    'not below the task priority': {
      ...nothing,
      setup: withFlags(IF, request(0x51, 5, 5)),
      is: { virtual: (0x51n << 32n) | 0x5_0105n },
    },
    'unless that is to be ignored': {
      ...nothing,
      setup: withFlags(IF, request(0x51, 5, 7 | VIRTUAL.ignoreTpr)),
      rip: stub(0x51),
    },
    'CR8 is the task priority': {
      setup: withFlags(IF, request(0x51, 5, 9 | VIRTUAL.masking)),
      prelude: (a) => {
        a.db(0x44, 0x0f, 0x20, 0xc3); // mov rbx, cr8
        a.mov(mem(64, AT.data), R.rbx);
        a.mov(R.eax, 4);
      },
      code: (a) => a.db(0x44, 0x0f, 0x22, 0xc0), // mov cr8, rax
      rip: stub(0x51),
      is: { virtual: (0x51n << 32n) | 0x105_0004n },
      look: word(AT.data),
      value: 9,
    },
    'its intercept': {
      ...nothing,
      setup: withFlags(IF, request(0x51, 5)),
      intercept: [VMEXIT.vintr],
      exit: VMEXIT.vintr,
      is: { virtual: (0x51n << 32n) | 0x5_0100n },
    },
    'its intercept behind STI, which POPF has not': {
      setup: request(0x51, 5),
      prelude: (a) => {
        a.push(0x202);
        a.op('popf');
      },
      code: (a) => a.op('nop'),
      intercept: [VMEXIT.vintr],
      exit: VMEXIT.vintr,
    },
    'the shadow that the monitor asks for': {
      setup: withFlags(IF, (a) => {
        request(0x51, 5)(a);
        a.mov(mem(8, controlAt('interruptShadow')), 1);
      }),
      prelude: (a) => a.op('nop'),
      code: (a) => a.op('nop'),
      intercept: [VMEXIT.vintr],
      exit: VMEXIT.vintr,
    },
    'the shadow of STI is told of': {
      prelude: (a) => a.op('sti'),
      code: (a) => a.op('hlt'),
      intercept: [VMEXIT.hlt],
      exit: VMEXIT.hlt,
      is: { shadow: 1 },
    },
  });
}

/** An interrupt of the monitor's own is pending, by an IPI to itself. */
function physicalInterrupts(e: Events, m: Monitor): void {
  const { a } = e.g;
  const VECTOR = 0x61;
  const send = (x: Asm): void => sendIpi(x, 0x4_0000 | VECTOR);
  const masking = (x: Asm): void => x.mov(mem(8, controlAt('virtual', 3)), 1);
  const taken = (what: string, exit: number, p: Partial<Check>): void =>
    e.check(`the interrupt: ${what}`, [{ vector: VECTOR }], () => {
      a.op('cli');
      m.check(what, {
        intercept: [VMEXIT.intr],
        code: (x) => x.op('nop'),
        ...p,
        setup: (x) => {
          p.setup?.(x);
          send(x);
        },
        exit,
      });
      // it has gone on waiting
      a.op('sti', 'nop', 'cli');
    });
  taken("the guest's IF counts", VMEXIT.intr, { setup: (x) => x.mov(mem(32, saveAt('rflags')), 0x202) });
  taken('clear, too', VMEXIT.vmmcall, {});
  taken("or the monitor's", VMEXIT.intr, {
    setup: (x) => {
      x.mov(mem(32, 'nv.hostIf'), 1);
      masking(x);
    },
  });
  taken('clear, too, with virtual interrupts on', VMEXIT.vmmcall, {
    setup: (x) => {
      x.mov(mem(32, saveAt('rflags')), 0x202);
      masking(x);
    },
  });
  taken('in the middle of the guest', VMEXIT.intr, {
    prelude: (x) => x.op('sti', 'nop'),
    code: (x) => x.op('nop'),
    rip: 'any',
  });
}

export function svmEvents(g: Guest): void {
  const e = new Events(g);
  const m = new Monitor(g);
  enableX2apic(e);
  writeMsr(g.a, x2(REG.tpr), 0);
  injections(m);
  virtualInterrupts(m);
  physicalInterrupts(e, m);
  m.end();
}
