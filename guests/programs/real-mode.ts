/**
 * Real mode, reached from protected mode and left again for each probe: interrupts through the table at 0, what is undefined
 * there, and the 64 KiB of a segment. @spec SDM 3A 20.1
 */
import type { Guest } from '../guest.ts';
import { PLACE } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { R } from '../registers.ts';

const [UD, NM, SS, GP] = [6, 7, 12, 13];
const SEGMENT = PLACE.low >> 4;

const real = (code: number[], rest: Partial<Probe> = {}): Probe => ({
  level: 'real',
  code: (a) => a.db(...code),
  // no error codes here
  ...(rest.vector === undefined ? {} : { is: { error: -1, s1: SEGMENT } }),
  ...rest,
});
const faults = (vector: number, ...code: number[]): Probe => real(code, { vector });

const events: Record<string, Probe> = {
  'INT pushes three words': real([0xcd, 0x42], {
    vector: 0x42,
    ip: 'after',
    is: { s1: SEGMENT, s2: 2, sp: 0x7ffa, ss: SEGMENT, ds: SEGMENT },
  }),
  'INT clears IF and TF in the handler, not in the frame': real([0xcd, 0x42], {
    prelude: (a) => a.db(0x68, 2, 2, 0x9d), // push 0x202; popf
    vector: 0x42,
    is: { s2: 0x202 },
  }),
  INT3: real([0xcc], { vector: 3, ip: 'after', is: {} }),
  INTO: real([0xce], { prelude: (a) => a.db(0xb0, 0x7f, 0x04, 1), vector: 4, ip: 'after', is: {} }),
  UD2: faults(UD, 0x0f, 0x0b),
  'DIV by zero': faults(0, 0xf6, 0xf1),
  BOUND: {
    ...faults(5, 0x62, 0x06, 0, 5),
    prelude: (a) => a.mov(R.ax, 7),
  },
  'INT beyond the table': faults(GP, 0xcd, 0xff),
  'IRET with three words': real([0x68, 2, 2, 0x0e, 0x68, 8, 0, 0xcf], { is: { s2: 0x202, sp: 0x7ffa } }),
  'IRETD sets the upper flags': {
    level: 'real',
    // push dword 0x240002; push dword cs; push dword next; iretd; pushfd; pop eax
    code: (a) =>
      a.db(0x66, 0x68, 2, 0, 0x24, 0, 0x66, 0x0e, 0x66, 0x6a, 0x0e, 0x66, 0xcf, 0x90, 0x66, 0x9c, 0x66, 0x58),
    is: { ax: 0x240002 },
  },
  'POPF sets IOPL and NT': real([0x68, 2, 0x70, 0x9d, 0x9c, 0x58], { is: { ax: 0x7002 } }),
};

const instructions: Record<string, Probe> = {
  ...Object.fromEntries(
    Object.entries({
      SLDT: [0x0f, 0x00, 0xc0],
      LLDT: [0x0f, 0x00, 0xd0],
      LTR: [0x0f, 0x00, 0xd8],
      VERW: [0x0f, 0x00, 0xe8],
      LAR: [0x0f, 0x02, 0xc0],
      LSL: [0x0f, 0x03, 0xc0],
      ARPL: [0x63, 0xc0],
      SYSRET: [0x0f, 0x07],
    }).map(([name, bytes]) => [name, faults(UD, ...bytes)]),
  ),
  SYSENTER: faults(GP, 0x0f, 0x34),
  'SMSW, CLI, STI, CLTS': real([0x0f, 0x01, 0xe0, 0xfa, 0xfb, 0xfa, 0x0f, 0x06]),
  'MOV from CR0': real([0x0f, 0x20, 0xc0, 0x83, 0xe0, 0x01], { is: { ax: 0 } }),
  'x87 with TS set': {
    ...faults(NM, 0xd9, 0xe8),
    // mov eax, cr0; or al, 8; mov cr0, eax
    prelude: (a) => a.db(0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22, 0xc0),
  },
  LOCK: faults(UD, 0xf0, 0x90),
};

/** QEMU's TCG does not come past this. */
const last: Record<string, Probe> = {
  'PG without PE': {
    ...faults(GP, 0x0f, 0x22, 0xc0),
    prelude: (a) => a.mov(R.eax, 0x80000010),
  },
};

/** DS begins inside a page. */
const UNEVEN = [0xb8, 0x01, SEGMENT >> 8, 0x8e, 0xd8];
const EBX = [0x66, 0xbb];
/** A probe behind some code. */
const after = (before: number[], p: Probe): Probe => ({ ...p, prelude: (a) => a.db(...before) });

/** The end of 64 KiB where no page ends, and addresses beyond it. */
const inside: Record<string, Probe> = {
  'a word across 64 KiB inside a page': after(UNEVEN, faults(GP, 0xa1, 0xff, 0xff)),
  'a dword across them': after(UNEVEN, faults(GP, 0x66, 0xa3, 0xfd, 0xff)),
  'a word that is added to, across them': after(UNEVEN, faults(GP, 0x83, 0x06, 0xff, 0xff, 1)),
  'a double across them': after(UNEVEN, faults(GP, 0xdd, 0x06, 0xfc, 0xff)),
  'a string across them': after([...UNEVEN, 0xbe, 0xff, 0xff], faults(GP, 0xad)),
  'a byte at the end of them': after(UNEVEN, real([0xa0, 0xff, 0xff])),
  'a 32-bit address beyond 64 KiB': after([...EBX, 0, 0, 1, 0], faults(GP, 0x67, 0x8a, 0x03)),
  'a 32-bit address at their end': after([...EBX, 0xff, 0xff, 0, 0], faults(GP, 0x67, 0x8b, 0x03)),
  'a byte there': after([...EBX, 0xff, 0xff, 0, 0], real([0x67, 0x8a, 0x03])),
  'a 32-bit address of the stack beyond 64 KiB': after(
    [0x66, 0xbd, 0, 0, 1, 0],
    real([0x67, 0x8a, 0x45, 0], { vector: SS, is: {} }),
  ),
};

const addressing: Record<string, Probe> = {
  'a selector is a paragraph': real(
    [0xb8, 0x01, SEGMENT >> 8, 0x8e, 0xd8, 0xc6, 0x06, 0, 5, 0x77, 0x2e, 0xa0, 0x10, 5],
    { is: { ax: (SEGMENT & 0xff00) | 0x77, ds: SEGMENT + 1 } },
  ),
  'CS can be written': real([0x2e, 0xc6, 0x06, 0, 5, 0x55, 0xa0, 0, 5], { is: { ax: 0x55 } }),
  'addresses of 16 bits wrap': {
    level: 'real',
    prelude: (a) => a.db(0xc6, 0x06, 0x10, 0x05, 0x66, 0xbb, 0x20, 0x05), // mov byte [0x510], 0x66; mov bx, 0x520
    code: (a) => a.db(0x8a, 0x47, 0xf0, 0xbb, 0x20, 0xff, 0x8a, 0xa7, 0xf0, 0x05), // mov al, [bx - 16]; bx = ff20; mov ah, [bx + 5f0]
    is: { ax: 0x6666 },
  },
  'a word across 64 KiB': faults(GP, 0xa1, 0xff, 0xff),
  'a dword across 64 KiB': faults(GP, 0x66, 0xa3, 0xfd, 0xff),
  'a byte at the end of 64 KiB': real([0xa0, 0xff, 0xff]),
  'a word of the stack across 64 KiB': real([0x36, 0xa1, 0xff, 0xff], { vector: SS, is: {} }),
  ...inside,
  'a 32-bit JMP beyond 64 KiB': faults(GP, 0x66, 0xe9, 0, 0, 1, 0),
  'JMP far': real([0xea, 5, 0, SEGMENT & 255, SEGMENT >> 8], { is: { s1: SEGMENT } }),
  'a 32-bit JMP far beyond 64 KiB': faults(GP, 0x66, 0xea, 0, 0, 1, 0, SEGMENT & 255, SEGMENT >> 8),
  'CALL far': real([0x9a, 5, 0, SEGMENT & 255, SEGMENT >> 8, 0x59, 0x5a], { is: { cx: 5, dx: SEGMENT } }),
  'a 32-bit CALL far': real([0x66, 0x9a, 8, 0, 0, 0, SEGMENT & 255, SEGMENT >> 8, 0x66, 0x59, 0x66, 0x5a], {
    is: { cx: 8, dx: SEGMENT },
  }),
  LES: real([0xc4, 0x0e, 0, 5, 0x8c, 0xc0], {
    prelude: (a) => a.db(0xc7, 0x06, 0, 5, 0x34, 0x12, 0xc7, 0x06, 2, 5, 0x78, 0x56),
    is: { cx: 0x1234, ax: 0x5678 },
  }),
  'PUSHA and POPA': real([0x60, 0xb8, 1, 0, 0x61], {
    prelude: (a) => a.mov(R.ax, 0x4321),
    is: { ax: 0x4321, sp: 0x7ffa },
  }),
  'ENTER and LEAVE': real([0xc8, 4, 0, 0, 0x89, 0xe0, 0xc9], { is: { ax: 0x7ffa, sp: 0x7ffa } }),
};

export function realMode(g: Guest): void {
  const p = new Probes(g);
  p.all({ ...events, ...instructions, ...addressing, ...last });
}
