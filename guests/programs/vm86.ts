/**
 * Virtual-8086 mode without its extensions: what depends on IOPL, what is undefined there, and the ways in and out.
 * @spec SDM 3A 20.2, 20.3
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, gate, LANDED, OPEN_PORT, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem, R } from '../registers.ts';

const [UD, GP, SS] = [6, 13, 12];
const SEGMENT = PLACE.low >> 4;
const VM = 0x20000;
const IOPL3 = 0x3000;
const [TOP0] = PLACE.stacks;

const at3 = (code: number[], rest: Partial<Probe> = {}): Probe => ({
  level: 'vm86',
  code: (a) => a.db(...code),
  ...rest,
});
const at0 = (code: number[], vector = GP, rest: Partial<Probe> = {}): Probe => ({
  level: 'vm86iopl0',
  code: (a) => a.db(...code),
  vector,
  ...rest,
});

/** The frame that leads out: selectors above the stack pointer. */
const frame = { s1: SEGMENT, s3: 0x8000, s4: SEGMENT, s5: SEGMENT, s6: SEGMENT, s7: SEGMENT, s8: SEGMENT };

/** The end of 64 KiB where no page ends, and addresses beyond it. */
function ends(): Record<string, Probe> {
  const uneven = (a: Asm): void => a.db(0xb8, 0x01, SEGMENT >> 8, 0x8e, 0xd8); // ds = SEGMENT + 1
  const beyond = (a: Asm): void => a.db(0x66, 0xbb, 0, 0, 1, 0, 0x66, 0xbd, 0, 0, 1, 0); // ebx, ebp = 64 KiB
  return {
    'a word across 64 KiB': at3([0xa1, 0xff, 0xff], { vector: GP }),
    'a word across them inside a page': at3([0xa1, 0xff, 0xff], { prelude: uneven, vector: GP }),
    'a dword across them inside a page': at3([0x66, 0xa3, 0xfd, 0xff], { prelude: uneven, vector: GP }),
    'a byte at their end': at3([0xa0, 0xff, 0xff], { prelude: uneven }),
    'a 32-bit address beyond them': at3([0x67, 0x8a, 0x03], { prelude: beyond, vector: GP }),
    'a 32-bit address of the stack beyond them': at3([0x67, 0x8a, 0x45, 0], { prelude: beyond, vector: SS }),
  };
}

function outward(p: Probes): Record<string, Probe> {
  const V = 0x42;
  const landed = p.g.a.addressOf(stub(LANDED));
  const conforming = p.add(descriptor(0, 0xfffff, 0xc9f));
  const through = (sel: number) => (a: Asm) => {
    const g = gate(sel, landed, 0xee);
    a.mov(mem(32, PLACE.idt + V * 8), g & 0xffffffffn);
    a.mov(mem(32, PLACE.idt + V * 8 + 4), g >> 32n);
  };
  return {
    'INT at IOPL 3 leaves for ring 0': at3([0xcd, V], {
      setup: through(SEL.code),
      vector: LANDED,
      ip: 'after',
      is: { ...frame, s2: VM | IOPL3 | 2, sp: TOP0! - 36, ds: 0, es: 0, fs: 0, gs: 0, flags: IOPL3 | 2 },
    }),
    'INT to a handler in ring 1': at3([0xcd, V], {
      setup: through(SEL.code1),
      vector: GP,
      error: SEL.code1 & ~3,
    }),
    'INT to a conforming handler': at3([0xcd, V], {
      setup: through(conforming),
      vector: GP,
      error: conforming,
    }),
    'an exception': at0([0x0f, 0x0b], UD, { is: { ...frame, s2: 0x10000 | VM | 2 } }),
    'INT3 at IOPL 0': at0([0xcc], 3, { ip: 'after' }),
    'INTO at IOPL 0': at0([0xce], 4, { prelude: (a) => a.db(0xb0, 0x7f, 0x04, 1), ip: 'after' }),
    'IRET to virtual-8086 mode beyond 64 KiB': {
      prelude: (a) => {
        for (const w of [0, 0, 0, 0, 0, 0x8000, VM | IOPL3 | 2, SEGMENT, 0x10000]) a.push(w);
      },
      code: (a) => a.op('iretd'),
      vector: GP,
    },
  };
}

const sensitive: Record<string, Probe> = {
  'CLI at IOPL 0': at0([0xfa]),
  'STI at IOPL 0': at0([0xfb]),
  'PUSHF at IOPL 0': at0([0x9c]),
  'POPF at IOPL 0': at0([0x9d]),
  'IRET at IOPL 0': at0([0xcf]),
  'INT at IOPL 0': at0([0xcd, 0x40]),
  'INT 3 in two bytes at IOPL 0': at0([0xcd, 3]),
  'CLI at IOPL 3': at3([0xfa], { is: { s2: VM | IOPL3 | 2 } }),
  'STI at IOPL 3': at3([0xfb], { is: { s2: VM | IOPL3 | 0x202 } }),
  // pushf; pop ax
  'PUSHF shows neither VM nor RF': at3([0x9c, 0x58], { is: { ax: IOPL3 | 2 } }),
  'PUSHFD shows neither VM nor RF': at3([0x66, 0x9c, 0x66, 0x58], { is: { ax: IOPL3 | 2 } }),
  // push 0x4ad7; popf
  'POPF leaves IOPL': at3([0x68, 0xd7, 0x4a, 0x9d], { is: { s2: VM | IOPL3 | 0x4ad7 } }),
  // push word 0x202; push cs; push 8; iret
  'IRET stays in virtual-8086 mode': at3([0x68, 2, 2, 0x0e, 0x68, 8, 0, 0xcf], {
    is: { s2: VM | IOPL3 | 0x202, s3: 0x8000 },
  }),
  HLT: at3([0xf4], { vector: GP }),
  CLTS: at3([0x0f, 0x06], { vector: GP }),
  LGDT: at3([0x0f, 0x01, 0x16, 0, 0], { vector: GP }),
  'MOV from CR0': at3([0x0f, 0x20, 0xc0], { vector: GP }),
  RDMSR: at3([0x0f, 0x32], { vector: GP }),
  'SMSW is no secret': at3([0x0f, 0x01, 0xe0]),
};
const undefinedThere: Record<string, Probe> = Object.fromEntries(
  Object.entries({
    SLDT: [0x0f, 0x00, 0xc0],
    STR: [0x0f, 0x00, 0xc8],
    LLDT: [0x0f, 0x00, 0xd0],
    LTR: [0x0f, 0x00, 0xd8],
    VERR: [0x0f, 0x00, 0xe0],
    LAR: [0x0f, 0x02, 0xc0],
    LSL: [0x0f, 0x03, 0xc0],
    ARPL: [0x63, 0xc0],
    SYSRET: [0x0f, 0x07],
  }).map(([name, bytes]) => [name, at3(bytes, { vector: UD })]),
);

function addressing(): Record<string, Probe> {
  const [IN] = [0xec];
  const port = (n: number) => (a: Asm) => a.mov(R.dx, n);
  return {
    // mov ax, 0x1234; mov ds, ax
    'a selector is a paragraph': at3([0xb8, 0x34, 0x12, 0x8e, 0xd8], { is: { s6: 0x1234 } }),
    // mov ax, SEGMENT + 1; mov ds, ax; mov [0x500], 0x77; the same byte through the old segment
    'a base of 16 times the selector': at3(
      [0xb8, 0x01, SEGMENT >> 8, 0x8e, 0xd8, 0xc6, 0x06, 0, 5, 0x77, 0x2e, 0xa0, 0x10, 5],
      { is: { ax: (SEGMENT & 0xff00) | 0x77 } },
    ),
    'JMP far': at3([0xea, 5, 0, SEGMENT & 255, SEGMENT >> 8], { is: { s1: SEGMENT } }),
    // call far; at 5: pop cx; pop dx
    'CALL far': at3([0x9a, 5, 0, SEGMENT & 255, SEGMENT >> 8, 0x59, 0x5a], { is: { cx: 5, dx: SEGMENT } }),
    // push cs; push 6; retf
    RETF: at3([0x0e, 0x68, 5, 0, 0xcb], { is: { s3: 0x8000 } }),
    'a 32-bit JMP far beyond 64 KiB': at3([0x66, 0xea, 0, 0, 1, 0, SEGMENT & 255, SEGMENT >> 8], {
      vector: GP,
    }),
    'a word across 64 KiB': at3([0xa1, 0xff, 0xff], { vector: GP }),
    'a byte at the end of 64 KiB': at3([0xa0, 0xff, 0xff]),
    'a push across 64 KiB': at3([0x50], { prelude: (a) => a.db(0xbc, 1, 0), vector: SS }),
    'an open port at IOPL 0': {
      level: 'vm86',
      prelude: port(OPEN_PORT),
      code: (a) => a.db(IN!),
    },
    'a closed port, IOPL or not': {
      level: 'vm86',
      prelude: port(OPEN_PORT + 1),
      code: (a) => a.db(IN!),
      vector: GP,
    },
  };
}

export function vm86(g: Guest): void {
  const p = new Probes(g);
  p.all({ ...ends(), ...outward(p), ...sensitive, ...undefinedThere, ...addressing() });
}
