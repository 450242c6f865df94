/** CMPXCHG16B: its operand is aligned, which is looked at before its page is, with LOCK and without. @spec SDM 2 CMPXCHG8B */
import { Events, type Expected } from '../events.ts';
import type { Guest } from '../guest.ts';
import { type Imm, mem, R } from '../registers.ts';

const GP = 13;
const PF = 14;
const SS = 12;
/** The end of what is mapped. */
const END = 0x1_0000_0000n;
const CMPXCHG16B = [0x48, 0x0f, 0xc7, 0x0b]; // [rbx]
const ON_STACK = [0x48, 0x0f, 0xc7, 0x4d, 0]; // [rbp]

function pair(e: Events, lock: readonly number[]): void {
  const { a } = e.g;
  const name = lock.length > 0 ? 'LOCK CMPXCHG16B' : 'CMPXCHG16B';
  const at = (what: string, address: Imm, expected: readonly Expected[]): void =>
    e.check(`${name} ${what}`, expected, () => {
      a.mov(R.rbx, address);
      a.db(...lock, ...CMPXCHG16B);
    });
  const fault = (vector: number, error = 0): Expected[] => [{ vector, error }];
  at('misaligned by 8', 0x300008, fault(GP));
  at('misaligned by 1', 0x300001, fault(GP));
  at('across a page', 0x300ff8, fault(GP));
  at('across the end of what is mapped', END - 8n, fault(GP));
  at('misaligned where nothing is', END + 8n, fault(GP));
  at('where nothing is', END, fault(PF, 2));
  at('at no address', 1n << 47n, fault(GP));
  e.check(`${name} at no address of the stack`, fault(SS), () => {
    a.mov(R.rbp, 1n << 47n);
    a.db(...lock, ...ON_STACK);
  });
  for (const [what, old, is] of [
    ['equal', 1, 3],
    ['not equal', 7, 1],
  ] as const) {
    a.mov(R.ebx, 0x300000);
    a.mov(mem(64, R.rbx), 1);
    a.mov(mem(64, R.rbx, 8), 2);
    a.mov(R.eax, old);
    a.mov(R.edx, 2);
    a.mov(R.ebx, 3);
    a.mov(R.ecx, 4);
    a.mov(R.esi, 0x300000);
    a.db(...lock, 0x48, 0x0f, 0xc7, 0x0e); // [rsi]
    a.mov(R.rax, mem(64, R.rsi));
    e.value(`${name}, ${what}`, is);
  }
}

export function atomicPair(g: Guest): void {
  const e = new Events(g);
  pair(e, []);
  pair(e, [0xf0]);
  e.done('things CMPXCHG16B does');
}
