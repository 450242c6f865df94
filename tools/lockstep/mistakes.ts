/** What QEMU is known to do wrong: there ours takes over what is QEMU's, so that the comparison can go on. */
import { RF, STATUS } from '../../src/x86/flags.ts';
import type { Insn } from '../../src/x86/insn.ts';
import { OP } from '../../src/x86/ops.ts';
import type { Qemu } from './qemu.ts';
import type { State } from './registers.ts';
import type { Rig } from './rig.ts';

const PF_P = 1;
const PF_RSVD = 8;
/** Bytes that an exception pushes. */
const FRAME = { least: 12n, most: 48 } as const;
/** Bit 40 of a descriptor. */
const ACCESSED = 1n << 40n;
const DESCRIPTOR = 8;

/** In a word that ours pushed as `a` and QEMU as `b`, `at` bytes from the stack pointer. */
const PUSHED: readonly ((a: number, b: number, at: number, i: Insn) => boolean)[] = [
  // the flags of a fault without RF. @spec SDM 3A 6.8.3
  (a, b) => (a ^ b) === RF,
  // the error code of an INT that faults, with twice the vector (up to QEMU 9)
  (a, b, at, i) => at === 0 && i.op === OP.int && b === (a & ~7) * 2 + (a & 7),
  // a reserved bit in a page table that is not present. @spec SDM 3A 4.7
  (a, b, at) => at === 0 && (b & PF_RSVD) !== 0 && a === b + PF_P,
];

/** Flags that it gets wrong: SYSCALL loses them. @spec SDM vol. 2B "SYSCALL" */
export const wrongFlags = (i: Insn): number => (i.op === OP.syscall ? STATUS : 0);

/** After an instruction that may have raised an exception. */
export function mendFrame(rig: Rig, qemu: Qemu, insn: Insn, before: State, after: State): void {
  const rsp = after.get('rsp')!;
  const pushed = before.get('rsp')! - rsp;
  if (pushed > -FRAME.least && pushed < FRAME.least) return;
  const gpa = rig.gpa(rsp);
  if (Number.isNaN(gpa)) return;
  const theirs = Buffer.alloc(Math.min(FRAME.most, rig.ram.length - gpa));
  qemu.read(theirs, gpa);
  for (let at = 0; at + 4 <= theirs.length; at += 4) {
    const [a, b] = [rig.ram.readUInt32LE(gpa + at), theirs.readUInt32LE(at)];
    if (PUSHED.some((mistake) => mistake(a, b, at, insn))) rig.write(gpa + at, theirs.subarray(at, at + 4));
  }
}

/** A code segment's accessed bit is set in the register alone. @spec SDM 3A 3.4.5.1 */
export function mendGdt(rig: Rig, qemu: Qemu, state: State): void {
  const theirs = Buffer.alloc(DESCRIPTOR);
  for (let at = 0n; at < state.get('gdtLimit')!; at += BigInt(DESCRIPTOR)) {
    const gpa = rig.gpa(state.get('gdtBase')! + at);
    if (Number.isNaN(gpa)) return;
    qemu.read(theirs, gpa);
    if ((theirs.readBigUInt64LE() ^ rig.ram.readBigUInt64LE(gpa)) === ACCESSED) rig.write(gpa, theirs);
  }
}
