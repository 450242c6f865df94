/**
 * The end of a code segment: instructions across it, and branches beyond it, which have done nothing then. And code, stacks
 * and frames of 16 bits in protected mode. @spec SDM 3A 5.3; SDM 2 CALL, JMP, Jcc, LOOP, RET
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { DONE, descriptor, PLACE, SEL } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { mem, R, S } from '../registers.ts';

const [DF, GP] = [8, 13];
const D = PLACE.data;
const [TOP0, , , TOP3] = PLACE.stacks;
/** The limit, and where code is put before it. */
const LIMIT = 0x3f;
const AT = 0x20;

/** Ring 0 code at AT of a segment at D that ends at LIMIT; the probe itself is a far jump there. */
function inShort(sel: number, code: number[], rest: Partial<Probe> = {}, at = AT): Probe {
  const setup = (a: Asm): void => {
    const padded = [...code, 0xcd, DONE, 0xcd, DONE];
    padded.slice(0, LIMIT + 9 - at).forEach((b, k) => {
      a.mov(mem(8, D + at + k), b);
    });
    rest.setup?.(a);
  };
  return { code: (a) => a.db(0xea, at, 0, 0, 0, sel & 255, sel >> 8), vector: GP, ip: at, ...rest, setup };
}
const fine = (is: Probe['is'] = {}): Partial<Probe> => ({ vector: DONE, ip: 'any', is: is! });

function limits(short: number): Record<string, Probe> {
  return {
    'code within': inShort(short, [0x90], fine({ s1: short })),
    'an instruction that ends with the segment': inShort(
      short,
      [0xcd, DONE],
      fine({ s0: LIMIT + 1 }),
      LIMIT - 1,
    ),
    'an instruction across the end': inShort(short, [0xb8, 0, 0, 0, 0], {}, LIMIT - 3),
    'falling off the end': inShort(short, [0x90], { ip: LIMIT + 1 }, LIMIT),
    'JMP rel8': inShort(short, [0xeb, 0x40]),
    'JMP rel32': inShort(short, [0xe9, 0, 0x10, 0, 0]),
    'JMP back beyond 0': inShort(short, [0xeb, 0x80]),
    'Jcc that is taken': inShort(short, [0x7b, 0x40]),
    'Jcc that is not': inShort(short, [0x7a, 0x40], fine()),
    'JMP by register': inShort(short, [0xff, 0xe0], { setup: (a) => a.mov(R.eax, 0x100) }),
    'JMP to the last byte': inShort(short, [0xff, 0xe0], {
      setup: (a) => {
        a.mov(mem(8, D + LIMIT), 0xb8);
        a.mov(R.eax, LIMIT);
      },
      ip: LIMIT,
    }),
    'CALL pushes nothing': inShort(short, [0xe8, 0, 1, 0, 0], { look: moved(12), value: 0 }),
    'RET pops nothing': inShort(short, [0xc3], {
      setup: (a) => a.push(0x1000),
      look: moved(12 + 4),
      value: 0,
    }),
    'LOOP counts nothing': inShort(short, [0xe2, 0x40], { setup: (a) => a.mov(R.ecx, 5), is: { cx: 5 } }),
    'LOOP that ends': inShort(short, [0xe2, 0x40], { setup: (a) => a.mov(R.ecx, 1), ...fine({ cx: 0 }) }),
    JECXZ: inShort(short, [0xe3, 0x40]),
    'a JMP of 16 bits': inShort(short, [0x66, 0xeb, 0x40], { ip: 'any' }),
  };
}
/** How far the stack pointer of the handler is from where the probe began, less what is expected. */
const moved = (by: number) => (a: Asm) => {
  a.mov(R.eax, mem(32, 'pr.sp'));
  a.alu('sub', R.eax, by);
  a.alu('sub', R.eax, mem(32, 'pr.record', 4 * 6));
};

function sixteen(stack16: number, stack16r3: number): Record<string, Probe> {
  const onStack = (a: Asm): void => {
    a.mov(R.eax, stack16r3);
    a.mov(S.ss, R.eax);
    a.mov(R.esp, 0x12340100);
  };
  const useStack: Partial<Probe> = { level: 'ring3', prelude: onStack };
  return {
    '16-bit code': {
      level: 'code16',
      code: (a) => a.db(0xb8, 0x34, 0x12),
      is: { ax: 0x1234, s1: SEL.code16 },
    },
    '32-bit operands in 16-bit code': {
      level: 'code16',
      code: (a) => a.db(0x66, 0xb8, 1, 2, 3, 4),
      is: { ax: 0x04030201 },
    },
    'an exception in 16-bit code': {
      level: 'code16',
      code: (a) => a.op('ud2'),
      vector: 6,
      is: { s1: SEL.code16 },
    },
    'CALL in 16-bit code pushes two bytes': {
      level: 'code16r3',
      code: (a) => a.db(0xe8, 0, 0),
      is: { s3: TOP3! - 2, sp: TOP0! - 20 },
    },
    'PUSH in 16-bit code pushes two bytes': {
      level: 'code16r3',
      code: (a) => a.db(0x50),
      is: { s3: TOP3! - 2 },
    },
    'PUSHD in 16-bit code': { level: 'code16r3', code: (a) => a.db(0x66, 0x50), is: { s3: TOP3! - 4 } },
    'a 16-bit stack leaves the upper half of ESP': {
      ...useStack,
      code: (a) => a.db(0x50),
      is: { s3: 0x123400fc, s4: stack16r3 },
    },
    'a 16-bit stack wraps': {
      level: 'ring3',
      prelude: (a) => {
        onStack(a);
        a.mov(R.esp, 0x12340000);
      },
      code: (a) => a.db(0x50),
      is: { s3: 0x1234fffc },
    },
    'CALL and RET on a 16-bit stack': {
      ...useStack,
      code: (a) => a.db(0xe8, 2, 0, 0, 0, 0xeb, 1, 0xc3),
      is: { s3: 0x12340100 },
    },
    'ENTER and LEAVE on a 16-bit stack': {
      ...useStack,
      code: (a) => a.db(0xc8, 8, 0, 0, 0xc9),
      is: { s3: 0x12340100 },
    },
    'an interrupt on a 16-bit stack of ring 0': {
      prelude: (a) => {
        a.mov(R.eax, stack16);
        a.mov(S.ss, R.eax);
        a.mov(R.esp, 0x100);
      },
      code: (a) => a.op('nop'),
      is: { sp: 0xf4, ss: stack16 },
    },
  };
}

/** A double fault whose handler is a task: the only one that a broken stack leaves. */
function brokenStack(p: Probes, short: number): Record<string, Probe> {
  const state = D + 0x200;
  const watcher = p.add(descriptor(state, 0x67, 0x89));
  return {
    'a push on a stack without room, in ring 0': {
      setup: (a) => {
        const put = (at: number, v: number): void => a.mov(mem(32, state + at), v);
        put(32, a.addressOf(`pr.stub${DF}`));
        put(36, 2);
        put(56, D + 0xf00);
        for (const [at, sel] of [
          [72, SEL.data],
          [76, SEL.code],
          [80, SEL.data],
          [84, SEL.data],
        ] as const)
          put(at, sel);
        a.mov(mem(32, PLACE.idt + DF * 8), watcher << 16);
        a.mov(mem(32, PLACE.idt + DF * 8 + 4), 0x8500);
      },
      prelude: (a) => {
        a.mov(R.eax, short);
        a.mov(S.ss, R.eax);
        a.mov(R.esp, 2);
      },
      code: (a) => a.db(0x50),
      vector: DF,
      error: 0,
      ip: 'any',
      is: { tr: watcher },
      look: (a) => a.mov(R.eax, mem(32, PLACE.tss + 56)),
      value: 2,
    },
  };
}

export function codeLimits(g: Guest): void {
  const p = new Probes(g);
  const short = p.add(descriptor(D, LIMIT, 0x49b));
  const shortData = p.add(descriptor(D, LIMIT, 0x493));
  const stack16 = p.add(descriptor(D, 0xffff, 0x093));
  const stack16r3 = p.add(descriptor(D, 0xffff, 0x0f3)) | 3;
  p.all({ ...limits(short), ...sixteen(stack16, stack16r3), ...brokenStack(p, shortData) });
}
