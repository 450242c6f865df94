/** Guests that do one thing and mostly do not come back from it. */
import { SHUTDOWN_reboot } from '../../src/abi/sched.ts';
import type { Guest } from '../guest.ts';
import { mem } from '../registers.ts';

/** An exception that cannot be delivered, nor the double fault after it. */
export function tripleFault(g: Guest): void {
  g.print('About to triple-fault\n');
  g.data('noIdt', (a) => a.zero(10));
  g.a.lidt(mem(32, 'noIdt'));
  g.a.op('ud2');
}

/** Spins for ever without a word. */
export function silent(g: Guest): void {
  g.a.label('spin');
  g.a.jmp('spin');
}

/** Writes to the console for ever. */
export function flood(g: Guest): void {
  g.a.label('again');
  g.print('The quick brown fox jumps over the lazy dog. 0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ\n');
  g.a.jmp('again');
}

export function crash(g: Guest): void {
  g.panic('this guest was made to crash');
}

export function reboot(g: Guest): void {
  g.print('About to reboot\n');
  g.shutdown(SHUTDOWN_reboot);
}
