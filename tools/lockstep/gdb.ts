/**
 * The gdb remote protocol over a pair of pipes, as QEMU's stub speaks it. Reads and writes wait: a step is two of each,
 * and an event loop would take longer than the steps. No acknowledgements: the next command is one.
 *
 * @spec gdb manual, "gdb Remote Serial Protocol"
 */
import { readSync, writeSync } from 'node:fs';
import type { State } from './registers.ts';

const BUFFER = 1 << 16;

/** The 'g' packet of x86-64: name and bytes of each register, in order; fiseg and its like have no names here. */
const GPRS = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split(' ');
const LAYOUT: readonly (readonly [string, number])[] = [
  ...GPRS.map((name) => [name, 8] as const),
  ['rflags', 4],
  ...'cs ss ds es fs gs'.split(' ').map((name) => [name, 4] as const),
  ...'fs.base gs.base kernelGsBase cr0 cr2 cr3 cr4 cr8 efer'.split(' ').map((name) => [name, 8] as const),
  ...Array.from({ length: 8 }, (_, i) => [`fpr${i}`, 10] as const),
  ...['fcw', 'fsw', '', '', '', '', '', ''].map((name) => [name, 4] as const),
  ...Array.from({ length: 16 }, (_, i) => [`xmm${i}`, 16] as const),
  ['mxcsr', 4],
];

function integer(from: Buffer, at: number, bytes: number): bigint {
  if (bytes === 4) return BigInt(from.readUInt32LE(at));
  const low = from.readBigUInt64LE(at);
  if (bytes === 8) return low;
  return ((bytes === 16 ? from.readBigUInt64LE(at + 8) : BigInt(from.readUInt16LE(at + 8))) << 64n) | low;
}

export class GdbStub {
  private readonly input: number;
  private readonly output: number;
  private readonly buffer = Buffer.alloc(BUFFER);
  private text = '';

  /** File descriptors: what the stub writes, and what it reads. */
  constructor(input: number, output: number) {
    this.input = input;
    this.output = output;
  }

  private send(command: string): void {
    let sum = 0;
    for (let i = 0; i < command.length; i++) sum += command.charCodeAt(i);
    writeSync(this.output, `$${command}#${(sum & 255).toString(16).padStart(2, '0')}`);
  }
  private receive(): string {
    for (;;) {
      const end = this.text.indexOf('#');
      if (end >= 0 && this.text.length >= end + 3) {
        const packet = this.text.slice(this.text.indexOf('$') + 1, end);
        this.text = this.text.slice(end + 3);
        if (packet.startsWith('W')) throw new Error('QEMU has ended');
        return packet;
      }
      const n = readSync(this.input, this.buffer, 0, BUFFER, null);
      this.text += this.buffer.toString('latin1', 0, n);
    }
  }
  command(command: string): string {
    this.send(command);
    return this.receive();
  }

  /** Runs one instruction; by QEMU's default neither interrupts nor timers come meanwhile. */
  step(): void {
    this.stopped(this.command('s'));
  }
  /** Runs to an instruction. */
  runTo(address: bigint): void {
    const where = `${address.toString(16)},1`;
    this.command(`Z0,${where}`);
    this.stopped(this.command('c'));
    this.command(`z0,${where}`);
  }
  private stopped(reply: string): void {
    if (!reply.startsWith('T05')) throw new Error(`QEMU stopped with ${reply}`);
  }

  registers(): State {
    const reply = Buffer.from(this.command('g'), 'hex');
    const state = new Map<string, bigint>();
    let at = 0;
    for (const [name, bytes] of LAYOUT) {
      if (name) state.set(name, integer(reply, at, bytes));
      at += bytes;
    }
    return state;
  }

  /** A command of QEMU's monitor. */
  monitor(command: string): string {
    this.send(`qRcmd,${Buffer.from(command).toString('hex')}`);
    let text = '';
    for (let packet = this.receive(); packet !== 'OK'; packet = this.receive())
      text += Buffer.from(packet.slice(1), 'hex').toString();
    return text;
  }
}
