/**
 * An instruction that faults has done nothing, and of several faults the first in order is the one that is seen.
 * @spec SDM 3A 6.5, 6.9 (table 6-2); SDM 2, the instructions' exceptions
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, PLACE, SEL } from '../probe-tables.ts';
import { type Probe, Probes, word32 } from '../probes.ts';
import { mem, R, S } from '../registers.ts';

const [DB, UD, NM, SS, GP] = [1, 6, 7, 12, 13];
const D = PLACE.data;
/** Bytes of the short segments. */
const SIZE = 0x100;

const bytes =
  (...list: number[]) =>
  (a: Asm): void =>
    a.db(...list);

/** Runs on a short stack in ring 3, with ESP in it. */
function onStack(sel: number, esp: number, code: (a: Asm) => void, rest: Partial<Probe> = {}): Probe {
  return {
    level: 'ring3',
    prelude: (a) => {
      a.mov(R.eax, sel | 3);
      a.mov(S.ss, R.eax);
      a.mov(R.esp, esp);
      a.mov(R.eax, 0x11111111);
      a.mov(R.ebp, 0x20);
    },
    code,
    vector: SS,
    is: { s3: esp, ax: 0x11111111, bp: 0x20 },
    ...rest,
  };
}

function nothingDone(short: number, ro: number): Record<string, Probe> {
  const far = [0x9a, 0, 0, 0, 0, SEL.code3 & 255, 0];
  return {
    PUSH: onStack(short, 2, bytes(0x50)),
    'PUSH at the bottom': onStack(short, 4, bytes(0x50), { vector: 0x40, is: { s3: 0 } }),
    PUSHA: onStack(short, 0x1c, bytes(0x60)),
    'PUSHA at the bottom': onStack(short, 0x20, bytes(0x60), { vector: 0x40, is: { s3: 0 } }),
    // what it has popped before, it has popped: zeros
    POPA: onStack(short, SIZE - 0x1c, bytes(0x61), { is: { s3: SIZE - 0x1c, ax: 0x11111111, bp: 0 } }),
    POP: onStack(short, SIZE - 2, bytes(0x58)),
    POPF: onStack(short, SIZE - 2, bytes(0x9d)),
    PUSHF: onStack(short, 2, bytes(0x9c)),
    'CALL near': onStack(short, 2, bytes(0xe8, 0, 0, 0, 0)),
    'RET near': onStack(short, SIZE - 2, bytes(0xc3)),
    'CALL far': onStack(short, 6, bytes(...far)),
    'RETF without CS': onStack(short, SIZE - 4, bytes(0xcb)),
    'IRET without flags': onStack(short, SIZE - 8, bytes(0xcf)),
    ENTER: onStack(short, 2, bytes(0xc8, 0, 0, 0)),
    'ENTER of level 2': onStack(short, 8, bytes(0xc8, 0, 0, 2)),
    'ENTER of level 2 that fits': onStack(short, 12, bytes(0xc8, 0, 0, 2), {
      vector: 0x40,
      is: { bp: 8, s3: 0 },
    }),
    'LEAVE beyond the stack': onStack(short, 0x40, bytes(0xc9), {
      prelude: (a) => {
        onStack(short, 0x40, bytes()).prelude!(a);
        a.mov(R.ebp, SIZE - 2);
      },
      is: { s3: 0x40, bp: SIZE - 2 },
    }),
    'MOV through EBP': onStack(short, 0x40, bytes(0x8b, 0x85, 0xdd, 0, 0, 0)),
    'POP to memory that cannot be written': {
      setup: loadEs(ro),
      prelude: (a) => a.push(0x55),
      code: bytes(0x26, 0x8f, 0x05, 0, 0, 0, 0),
      vector: GP,
      look: stackMoved(4 + 12),
      value: 0,
    },
    'XCHG with memory that cannot be written': {
      setup: loadEs(ro),
      prelude: (a) => a.mov(R.ecx, 0x77),
      code: bytes(0x26, 0x87, 0x0d, 0, 0, 0, 0),
      vector: GP,
      is: { cx: 0x77 },
    },
    'XADD to memory that cannot be written': {
      setup: loadEs(ro),
      prelude: (a) => a.mov(R.ecx, 0x77),
      code: bytes(0x26, 0x0f, 0xc1, 0x0d, 0, 0, 0, 0),
      vector: GP,
      is: { cx: 0x77 },
    },
    'CMPXCHG8B that does not match writes, too': {
      setup: loadEs(ro),
      prelude: (a) => a.mov(R.eax, 0x99),
      code: bytes(0x26, 0x0f, 0xc7, 0x0d, 0, 0, 0, 0),
      vector: GP,
      is: { ax: 0x99 },
    },
    'LSS of a selector that may not be': {
      setup: (a) => {
        a.mov(mem(32, D), 0x1234);
        a.mov(mem(32, D + 4), SEL.code);
      },
      code: bytes(0x0f, 0xb2, 0x0d, D & 255, (D >> 8) & 255, D >> 16, 0),
      vector: GP,
      error: SEL.code,
      is: { cx: 0, ss: SEL.data },
    },
    'REP STOS goes on where it stopped': {
      setup: (a) => {
        loadEs(short)(a);
        a.mov(R.edi, SIZE - 8);
        a.mov(R.ecx, 5);
        a.mov(R.eax, 0x1234);
      },
      code: bytes(0xf3, 0xab),
      vector: GP,
      is: { cx: 3, di: SIZE },
      look: word32(D + SIZE - 4),
      value: 0x1234,
    },
  };
}
const loadEs = (sel: number) => (a: Asm) => {
  a.mov(R.eax, sel);
  a.mov(S.es, R.eax);
  a.mov(R.eax, 0);
};
/** Bytes between the handler's frame and the probe's stack, beyond those that are expected. */
const stackMoved = (by: number) => (a: Asm) => {
  a.mov(R.eax, mem(32, 'pr.sp'));
  a.alu('sub', R.eax, by);
  a.alu('sub', R.eax, mem(32, 'pr.record', 4 * 6));
};

const TF = 0x102;
function order(ro: number): Record<string, Probe> {
  const ts = bytes(0x0f, 0x20, 0xc0, 0x0c, 0x08, 0x0f, 0x22, 0xc0);
  const em = bytes(0x0f, 0x20, 0xc0, 0x0c, 0x0c, 0x0f, 0x22, 0xc0);
  const undoEm = (a: Asm): void => a.db(0x0f, 0x20, 0xc0, 0x24, 0xf3, 0x0f, 0x22, 0xc0);
  const ring3 = (code: number[], vector: number): Probe => ({ level: 'ring3', code: bytes(...code), vector });
  return {
    'an instruction of 16 bytes': { code: bytes(...Array<number>(15).fill(0x66), 0x90), vector: GP },
    'an instruction of 15 bytes': { code: bytes(...Array<number>(14).fill(0x66), 0x90) },
    'LOCK before privilege': ring3([0xf0, 0x0f, 0x22, 0xc0], UD),
    'MOV to CR1 before privilege': ring3([0x0f, 0x22, 0xc8], UD),
    'MOV to CR0 with a register that is all there is': ring3([0x0f, 0x22, 0xc0], GP),
    'privilege before the operand of LGDT': { ...ring3([0x26, 0x0f, 0x01, 0x15, 0, 0, 0, 0], GP) },
    'MOV to CS': { code: bytes(0x8e, 0xc8), vector: UD },
    'LEA of a register': { code: bytes(0x8d, 0xc0), vector: UD },
    'LES of a register': { code: bytes(0x0f, 0xb2, 0xc0), vector: UD },
    'a segment register that is none': { code: bytes(0x8e, 0xf0), vector: UD },
    '#NM before the operand': {
      setup: loadEs(0),
      prelude: ts,
      code: bytes(0x26, 0xd9, 0x05, 0, 0, 0, 0),
      vector: NM,
    },
    '#UD of LOCK before #NM': { prelude: ts, code: bytes(0xf0, 0xd9, 0xe8), vector: UD },
    'EM is #NM for the x87': { prelude: em, code: bytes(0xd9, 0xe8), vector: NM, look: undoEm },
    'EM is #UD for MMX, before TS': { prelude: em, code: bytes(0x0f, 0x6f, 0xc0), vector: UD, look: undoEm },
    'WAIT with TS alone': {
      prelude: bytes(0x0f, 0x20, 0xc0, 0x24, 0xfd, 0x0c, 0x08, 0x0f, 0x22, 0xc0),
      code: bytes(0x9b),
    },
    'WAIT with TS and MP': {
      prelude: bytes(0x0f, 0x20, 0xc0, 0x0c, 0x0a, 0x0f, 0x22, 0xc0),
      code: bytes(0x9b),
      vector: NM,
    },
    'DIV reads before it divides': {
      setup: loadEs(0),
      code: bytes(0x26, 0xf7, 0x35, 0, 0, 0, 0),
      vector: GP,
    },
    'BOUND above': {
      setup: (a) => {
        a.mov(mem(32, D), 0);
        a.mov(mem(32, D + 4), 5);
        a.mov(R.eax, 6);
      },
      code: bytes(0x62, 0x05, D & 255, (D >> 8) & 255, D >> 16, 0),
      vector: 5,
    },
    'BOUND at the edge': {
      setup: (a) => {
        a.mov(mem(32, D), 0);
        a.mov(mem(32, D + 4), 5);
        a.mov(R.eax, 5);
      },
      code: bytes(0x62, 0x05, D & 255, (D >> 8) & 255, D >> 16, 0),
    },
    'BOUND below': {
      setup: (a) => {
        a.mov(mem(32, D), 0);
        a.mov(mem(32, D + 4), 5);
        a.mov(R.eax, -1);
      },
      code: bytes(0x62, 0x05, D & 255, (D >> 8) & 255, D >> 16, 0),
      vector: 5,
    },
    'INT1 is a trap': { code: bytes(0xf1), vector: DB, ip: 'after' },
    'INTO without OF': { code: (a) => a.op('into') },
    'a single step after MOV SS waits for one more': {
      prelude: (a) => {
        a.mov(R.eax, SEL.data);
        a.push(TF);
        a.op('popf');
        a.mov(S.ss, R.eax);
      },
      code: (a) => a.op('nop'),
      vector: DB,
      ip: 'after',
    },
    'a single step of an instruction that faults': {
      setup: loadEs(ro),
      prelude: (a) => {
        a.push(TF);
        a.op('popf');
      },
      code: bytes(0x26, 0xa3, 0, 0, 0, 0),
      vector: GP,
      is: { s2: 0x10000 | TF, flags: 2 },
    },
    'INT clears TF before it can trap': {
      prelude: (a) => {
        a.push(TF);
        a.op('popf');
      },
      code: (a) => a.int(0x41),
      vector: 0x41,
      ip: 'after',
      is: { s2: TF, flags: 2 },
    },
  };
}

export function priorities(g: Guest): void {
  const p = new Probes(g);
  const short = p.add(descriptor(D, SIZE - 1, 0x4f2));
  const ro = p.add(descriptor(D, SIZE - 1, 0x4f0));
  p.all({ ...nothingDone(short, ro), ...order(ro) });
}
