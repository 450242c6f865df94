/**
 * 64-bit mode and its compatibility mode: canonical addresses, segments that hardly count, gates of 16 bytes, stacks of the
 * interrupt stack table, and what became undefined. @spec APM 2 4.5, 4.8, 8.9; SDM 3A 5.8.3, 6.14
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, gate, LANDED, PLACE, SEL, stub } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem, R, S } from '../registers.ts';

const [UD, NP, SS, GP] = [6, 11, 12, 13];
const AWAY = 0x8000_0000_0000n;
const D = PLACE.data;
const [TOP0, , , TOP3] = PLACE.stacks;
const V = 0x42;

const bytes =
  (...list: number[]) =>
  (a: Asm): void =>
    a.db(...list);
const ring3 = (p: Probe): Probe => ({ ...p, level: 'ring3' });

function canonical(land: number): Record<string, Probe> {
  const away = (code: number[], vector: number, to: bigint = AWAY): Probe => ({
    prelude: (a) => a.mov(R.rax, to),
    code: bytes(...code),
    vector,
  });
  const stack = (code: number[], vector = SS): Probe =>
    ring3({ prelude: (a) => a.mov(R.rsp, AWAY + 64n), code: bytes(...code), vector, is: { s3: AWAY + 64n } });
  return {
    'a read': away([0x8b, 0x08], GP),
    'a write': away([0x89, 0x08], GP),
    'a read across the edge': away([0x48, 0x8b, 0x08], GP, AWAY - 4n),
    'the lowest address of the upper half': away([0x48, 0x8b, 0x48, 0xf8], GP, 0xffff_8000_0000_0000n),
    'through RBP': ring3({ prelude: (a) => a.mov(R.rbp, AWAY), code: bytes(0x8b, 0x4d, 0), vector: SS }),
    'through RBP as an index': {
      prelude: (a) => a.mov(R.rbp, AWAY),
      code: bytes(0x8b, 0x0c, 0x2d, 0, 0, 0, 0),
      vector: GP,
    },
    PUSH: stack([0x50]),
    POP: stack([0x58]),
    CALL: stack([0xe8, 0, 0, 0, 0]),
    RET: stack([0xc3]),
    ENTER: stack([0xc8, 0, 0, 0]),
    'JMP goes nowhere': away([0xff, 0xe0], GP),
    'CALL pushes nothing': away([0xff, 0xd0], GP),
    'RET pops nothing': {
      prelude: (a) => {
        a.mov(R.rax, AWAY);
        a.push(R.rax);
      },
      code: bytes(0xc3),
      vector: GP,
    },
    'a sum with the base of FS': {
      setup: (a) => {
        a.mov(R.ecx, 0xc0000100);
        a.mov(R.edx, 0x7fff);
        a.op('wrmsr');
      },
      prelude: (a) => a.mov(R.rax, 0x1_0000_0000n),
      code: bytes(0x64, 0x8b, 0x08),
      vector: GP,
    },
    'IRETQ goes nowhere': {
      prelude: (a) => {
        for (const w of [SEL.data, TOP3!, 2, SEL.code64]) a.push(w);
        a.mov(R.rax, AWAY);
        a.push(R.rax);
      },
      code: (a) => a.op('iretq'),
      vector: GP,
    },
    'WRMSR of LSTAR': {
      prelude: (a) => {
        a.mov(R.ecx, 0xc0000082);
        a.mov(R.edx, 0x8000);
      },
      code: (a) => a.op('wrmsr'),
      vector: GP,
    },
    'a byte at the last address': { prelude: (a) => a.mov(R.eax, land), code: bytes(0x8a, 0x08) },
  };
}

function segmentation(p: Probes): Record<string, Probe> {
  const short = p.add(descriptor(D, 0xf, 0x4f0));
  const execOnly = p.add(descriptor(0, 0xfffff, 0xc98));
  const absent = p.add(descriptor(0, 0xfffff, 0xc12));
  const both = p.add(descriptor(0, 0xfffff, 0xe9b));
  const load = (sel: number, to = S.ds, vector?: number): Probe => ({
    setup: (a) => a.mov(R.eax, sel),
    code: (a) => a.mov(to, R.eax),
    ...(vector === undefined ? {} : { vector, error: sel & ~3 }),
  });
  const use = (sel: number, code: number[], level: Probe['level'], vector?: number): Probe => ({
    ...(level ? { level } : {}),
    setup: (a) => {
      a.mov(R.eax, sel);
      a.mov(S.ds, R.eax);
    },
    code: bytes(...code),
    ...(vector === undefined ? {} : { vector }),
  });
  const abs32 = [D & 255, (D >> 8) & 255, D >> 16, 0];
  return {
    'null in SS in ring 0': { ...load(0, S.ss), is: { s4: 0 } },
    'null with RPL 1 in SS in ring 0': { ...load(1, S.ss, GP), error: 0 },
    'null in SS in ring 3': ring3({ ...load(3, S.ss, GP), error: 0 }),
    'execute-only code in DS': load(execOnly, S.ds, GP),
    'an absent segment in DS': load(absent, S.ds, NP),
    'an absent segment in SS': load(absent, S.ss, SS),
    'a write through null': use(0, [0x89, 0x04, 0x25, ...abs32], 'ring0'),
    'a write through a read-only segment, beyond its limit': use(
      short | 3,
      [0x89, 0x04, 0x25, ...abs32],
      'ring3',
    ),
    'a write through CS': use(0, [0x2e, 0x89, 0x04, 0x25, ...abs32], 'ring0'),
    'compatibility mode: null': use(0, [0xa1, 0, 0, 0, 0], 'compat3', GP),
    'compatibility mode: within the limit': use(short | 3, [0xa1, 0xc, 0, 0, 0], 'compat3'),
    'compatibility mode: across the limit': use(short | 3, [0xa1, 0xd, 0, 0, 0], 'compat3', GP),
    'compatibility mode: a write to a read-only segment': use(short | 3, [0xa3, 0, 0, 0, 0], 'compat3', GP),
    'compatibility mode of 16 bits': {
      level: 'code16r3',
      code: bytes(0xb8, 0x34, 0x12),
      is: { ax: 0x1234, s1: SEL.code16r3 },
    },
    'INT from compatibility mode': {
      level: 'compat3',
      code: (a) => a.op('int3'),
      vector: 3,
      ip: 'after',
      is: { s1: SEL.code3, s3: TOP3!, s4: SEL.data3, cs: SEL.code64 },
    },
    'a null selector clears the base of FS': {
      setup: (a) => {
        a.mov(R.ecx, 0xc0000100);
        a.mov(R.eax, 0x1000);
        a.op('wrmsr');
        a.mov(R.eax, 0);
      },
      code: (a) => a.mov(S.fs, R.eax),
      look: (a) => {
        a.mov(R.ecx, 0xc0000100);
        a.op('rdmsr');
      },
      value: 0,
    },
    'RETFQ to code that is both 64-bit and 32-bit': {
      prelude: (a) => {
        a.push(both);
        a.push(0);
      },
      code: bytes(0x48, 0xcb),
      vector: GP,
      error: both,
    },
    'LTR of a 16-bit TSS': load16(p),
  };
}
function load16(p: Probes): Probe {
  const tss16 = p.add(descriptor(D, 0x2b, 0x81), 0n);
  return { setup: (a) => a.mov(R.eax, tss16), code: bytes(0x0f, 0x00, 0xd8), vector: GP, error: tss16 };
}

function interrupts(p: Probes): Record<string, Probe> {
  const landed = p.g.a.addressOf(stub(LANDED));
  const conforming = p.add(descriptor(0, 0xfffff, 0xa9f));
  const set =
    (sel: number, type: number, ist: number, vector = V) =>
    (a: Asm): void => {
      const g = gate(sel, landed, type, ist);
      a.mov(mem(32, PLACE.idt + vector * 16), g & 0xffffffffn);
      a.mov(mem(32, PLACE.idt + vector * 16 + 4), g >> 32n);
    };
  const through = (setup: (a: Asm) => void, rest: Partial<Probe>): Probe => ({
    setup,
    code: (a) => a.int(V),
    ...rest,
  });
  const refused = (sel: number, type: number, vector: number, error: number): Probe =>
    through(set(sel, type, 1), { vector, error });
  const own = V * 8 + 2;
  return {
    'on the stack in use, aligned': through(set(SEL.code64, 0x8e, 0), {
      prelude: (a) => a.push(0),
      vector: LANDED,
      ip: 'after',
      is: { s1: SEL.code64, s2: 2, s4: SEL.data, ss: SEL.data },
      look: (a) => {
        a.mov(R.rax, mem(64, 'pr.record', 8 * 22));
        a.alu('sub', R.rax, mem(64, 'pr.record', 8 * 6));
      },
      value: 40 + 8,
    }),
    'on the stack of an inner level': ring3(
      through(set(SEL.code64, 0xee, 0), {
        vector: LANDED,
        is: { sp: TOP0! - 40, s3: TOP3!, s4: SEL.data3, ss: 0 },
      }),
    ),
    'on a stack of the table': ring3(
      through(set(SEL.code64, 0xee, 2), { vector: LANDED, is: { sp: PLACE.ist[1]! - 40, ss: 0 } }),
    ),
    'on a stack of the table without a change of level': through(set(SEL.code64, 0x8e, 2), {
      vector: LANDED,
      is: { sp: PLACE.ist[1]! - 40, ss: SEL.data },
    }),
    'a conforming handler in ring 3': ring3(
      through(
        (a) => {
          set(conforming, 0xee, 0)(a);
          const land = gate(conforming, p.g.a.addressOf('pr.land'), 0xee);
          a.mov(mem(32, PLACE.idt + V * 16), land & 0xffffffffn);
          a.mov(mem(32, PLACE.idt + V * 16 + 4), land >> 32n);
        },
        { is: { s1: conforming | 3, s3: TOP3! - 40 } },
      ),
    ),
    'a gate that ring 3 may not use': ring3(refused(SEL.code64, 0x8e, GP, own)),
    'an absent gate': refused(SEL.code64, 0x0e, NP, own),
    'a task gate': refused(SEL.code64, 0x85, GP, own),
    'a 16-bit gate': refused(SEL.code64, 0x86, GP, own),
    'a handler of 32-bit code': refused(SEL.code, 0x8e, GP, SEL.code),
    'a handler in data': refused(SEL.data, 0x8e, GP, SEL.data),
    'a handler at null': refused(0, 0x8e, GP, 0),
    'INT beyond the IDT': { code: (a) => a.int(0xff), vector: GP, error: 0xff * 8 + 2 },
    'an inner stack that is nowhere': ring3(
      through(
        (a) => {
          set(SEL.code64, 0xee, 0)(a);
          a.mov(mem(32, PLACE.tss + 8), 0x8000);
        },
        { vector: SS, error: 0 },
      ),
    ),
  };
}

const gone: Record<string, Probe> = Object.fromEntries(
  Object.entries({
    'PUSH ES': [0x06],
    'POP DS': [0x1f],
    PUSHA: [0x60],
    BOUND: [0x62, 0x06],
    DAA: [0x27],
    AAM: [0xd4, 0x0a],
    INTO: [0xce],
    SALC: [0xd6],
    'JMP far': [0xea],
    'CALL far': [0x9a],
    'opcode 82': [0x82, 0xc0, 0],
  }).map(([name, code]) => [`${name} is undefined`, { code: bytes(...code), vector: UD }]),
);

/** QEMU's TCG does not come past this. */
const last: Record<string, Probe> = {
  'LGDT of a base': {
    setup: (a) => a.mov(mem(32, D + 6), 0x8000),
    code: bytes(0x0f, 0x01, 0x14, 0x25, D & 255, (D >> 8) & 255, D >> 16, 0),
    vector: GP,
    look: (a) => a.mov(mem(32, D + 6), 0),
  },
};

export function longMode(g: Guest): void {
  const p = new Probes(g);
  p.all({ ...canonical(g.a.addressOf('pr.land')), ...segmentation(p), ...interrupts(p), ...gone, ...last });
}
