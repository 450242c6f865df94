/**
 * Events: code that is run with every vector leading to a handler that writes down what came, in order; afterwards the
 * list is compared with the one expected. For what a single exception does not show: traps, interrupts, their order.
 *
 * The handler of a fault goes on at `ev.resume`; #DB clears DR6, and TF where RIP is `ev.untrace`; interrupts are
 * acknowledged. 64-bit ring 0.
 */
import type { Asm } from './asm.ts';
import {
  DONE,
  DR6,
  DR6_RESERVED,
  ENTRY,
  emitEvents,
  FIELDS,
  FLAG,
  LOG,
  SEL,
  USER_STACK,
  WITH_ERROR,
} from './event-handler.ts';
import type { Guest } from './guest.ts';
import { type Imm, mem, R } from './registers.ts';

export { DR6, FLAG, IDT, SEL } from './event-handler.ts';

export interface Expected {
  vector: number;
  /** What was pushed. */
  ip?: Imm;
  error?: Imm;
  /** For #DB; reserved bits are added. */
  dr6?: number;
  /** Bits of the pushed RFLAGS that are set, and that are clear. */
  set?: number;
  clear?: number;
}

/** Expected where anything will do. */
const ANY = 0x7fff_ffff_ffff_ff00n;

export class Events {
  readonly g: Guest;
  private checks = 0;

  constructor(g: Guest) {
    this.g = g;
    const { a } = g;
    emitEvents(g);
    const start = a.fresh('compare');
    a.jmp(start);
    this.emitCompare();
    a.label(start);
  }

  /** ev.at: the first expected entry, ev.total of them; ev.name. */
  private emitCompare(): void {
    const { g } = this;
    const { a } = g;
    const name = { text: g.word('ev.name'), length: g.word('ev.nameLength') };
    a.label('ev.compare');
    a.mov(R.rax, g.word('ev.next'));
    a.alu('sub', R.rax, LOG);
    a.alu('xor', R.edx, R.edx);
    a.mov(R.ecx, ENTRY);
    a.unary('div', R.rcx);
    a.mov(g.word('ev.found'), R.rax);
    a.alu('cmp', R.rax, g.word('ev.total'));
    const counted = a.fresh('counted');
    a.j('z', counted);
    g.fail(name, ': ', { dec: g.word('ev.found') }, ' events, expected ', { dec: g.word('ev.total') });
    a.label(counted);
    a.mov(g.word('ev.count'), 0);
    a.mov(R.rbp, LOG);
    const [next, done] = [a.fresh('entry'), a.fresh('compared')] as [string, string];
    a.label(next);
    a.alu('cmp', R.rbp, g.word('ev.next'));
    a.j('ae', done);
    a.mov(R.rcx, g.word('ev.count'));
    a.alu('cmp', R.rcx, g.word('ev.total'));
    a.j('ae', done);
    for (const [n, field] of FIELDS.entries()) this.compareField(n, field);
    a.inc(g.word('ev.count'));
    a.alu('add', R.rbp, ENTRY);
    a.alu('add', g.word('ev.at'), ENTRY);
    a.jmp(next);
    a.label(done);
    a.op('ret');
  }

  private compareField(n: number, field: (typeof FIELDS)[number]): void {
    const { g } = this;
    const { a } = g;
    const same = a.fresh('same');
    a.mov(R.rbx, g.word('ev.at'));
    a.mov(R.rax, mem(64, R.rbx, n * 8));
    a.mov(R.rcx, ANY);
    a.alu('cmp', R.rax, R.rcx);
    a.j('z', same);
    a.mov(R.rdx, mem(64, R.rbp, field === 'clear' ? 32 : n * 8));
    if (field === 'flags') a.alu('and', R.rdx, R.rax);
    if (field === 'clear') {
      a.alu('and', R.rdx, R.rax);
      a.alu('xor', R.eax, R.eax);
    }
    a.alu('cmp', R.rax, R.rdx);
    a.j('z', same);
    a.mov(g.word('ev.found'), R.rdx);
    a.mov(g.word('ev.expected'), R.rax);
    const name = { text: g.word('ev.name'), length: g.word('ev.nameLength') };
    g.fail(
      name,
      ': event ',
      { dec: g.word('ev.count') },
      `: ${field} is `,
      { hex: g.word('ev.found') },
      ', expected ',
      {
        hex: g.word('ev.expected'),
      },
    );
    a.label(same);
  }

  /** Has a routine called in the handler of a vector, or none any more. It keeps all registers but rax, rbx, rcx, rdx, rsi. */
  hook(vector: number, routine: string | undefined): void {
    const { g } = this;
    g.a.mov(g.word('ev.hookVector'), routine === undefined ? -1 : vector);
    g.a.mov(g.word('ev.hook'), routine ?? 0);
  }

  /** Runs the code, and compares the events it makes with the expected ones; a fault goes on behind it. */
  check(name: string, expected: readonly Expected[], code: (a: Asm) => void): void {
    const { g } = this;
    const { a } = g;
    const end = a.fresh('end');
    a.mov(g.word('ev.next'), LOG);
    a.mov(g.word('ev.resume'), end);
    a.mov(g.word('ev.sp'), R.rsp);
    code(a);
    a.label(end);
    a.mov(R.rsp, g.word('ev.sp'));
    a.mov(g.word('ev.untrace'), 0);
    this.compare(name, expected);
  }

  /** In the code of a check: as if nothing had come yet. */
  forget(): void {
    this.g.a.mov(this.g.word('ev.next'), LOG);
  }

  private compare(name: string, expected: readonly Expected[]): void {
    const { g } = this;
    const { a } = g;
    this.checks++;
    const table = g.data(a.fresh('expected'), () => {
      for (const e of expected) {
        a.dq(e.vector);
        a.dq(e.error ?? (WITH_ERROR.includes(e.vector) ? ANY : 0));
        a.dq(e.ip ?? ANY);
        a.dq(e.dr6 === undefined ? ANY : BigInt(((e.dr6 & 0xffff) | DR6_RESERVED) >>> 0));
        a.dq(e.set ?? 0);
        a.dq(e.clear ?? 0);
      }
    });
    a.mov(g.word('ev.at'), table);
    a.mov(g.word('ev.total'), expected.length);
    a.mov(g.word('ev.name'), g.string(name));
    a.mov(g.word('ev.nameLength'), name.length);
    a.call('ev.compare');
  }

  /** The same in user code. Its end makes an event too, which is not to be named in `expected`. */
  checkUser(name: string, expected: readonly Expected[], code: (a: Asm) => void): void {
    const faults = expected.some((e) => e.vector < 32 && ![1, 2, 3, 4].includes(e.vector));
    this.check(name, faults ? expected : [...expected, { vector: DONE }], (a) => {
      const user = a.fresh('user');
      a.push(SEL.userData);
      a.push(USER_STACK);
      a.push(2);
      a.push(SEL.userCode);
      a.push(user);
      a.op('iretq');
      a.label(user);
      code(a);
      a.int(DONE);
    });
  }

  /** Single-steps pieces of code. A trap is expected behind each of them, or behind those of `traps` (from 1). */
  steps(
    name: string,
    pieces: readonly ((a: Asm) => void)[],
    traps?: readonly number[],
    extra: Expected[] = [],
  ): void {
    const { g } = this;
    const labels = pieces.map(() => g.a.fresh('step'));
    const end = labels.at(-1)!;
    const wanted = traps ? traps.map((n) => labels[n - 1]!) : labels;
    const expected = wanted.map((ip): Expected => ({ vector: 1, ip, dr6: DR6.BS, set: FLAG.TF, clear: 0 }));
    this.check(name, [...expected, ...extra], (a) => {
      a.mov(g.word('ev.untrace'), end);
      this.trapFlag();
      pieces.forEach((piece, i) => {
        piece(a);
        a.label(labels[i]!);
      });
      a.op('nop');
    });
  }

  /** Sets TF: from the instruction behind the next one on. */
  trapFlag(): void {
    const { a } = this.g;
    a.op('pushf');
    a.alu('or', mem(32, R.rsp), FLAG.TF);
    a.op('popf');
  }

  /** Compares rax with a value. */
  value(name: string, expected: Imm): void {
    const { g } = this;
    const { a } = g;
    this.checks++;
    a.mov(g.word('ev.found'), R.rax);
    a.mov(R.rcx, expected);
    a.mov(g.word('ev.expected'), R.rcx);
    a.alu('cmp', R.rax, R.rcx);
    g.when('nz', () =>
      g.fail(`${name}: `, { hex: g.word('ev.found') }, ', expected ', { hex: g.word('ev.expected') }),
    );
  }

  /** Checks that rax is within bounds, unsigned. */
  range(name: string, from: Imm, to: Imm): void {
    const { g } = this;
    const { a } = g;
    const [bad, good] = [a.fresh('bad'), a.fresh('good')] as [string, string];
    this.checks++;
    a.mov(g.word('ev.found'), R.rax);
    a.mov(R.rcx, from);
    a.alu('cmp', R.rax, R.rcx);
    a.j('b', bad);
    a.mov(R.rcx, to);
    a.alu('cmp', R.rax, R.rcx);
    a.j('be', good);
    a.label(bad);
    g.fail(`${name}: `, { dec: g.word('ev.found') }, ` is not within ${from} and ${to}`);
    a.label(good);
  }

  done(what: string): void {
    this.g.print(`${this.checks} ${what}\n`);
  }
}
