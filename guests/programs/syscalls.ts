/**
 * SYSCALL, SYSRET, SYSENTER and SYSEXIT as AMD has them: the first two in every mode, the others in legacy mode alone.
 * @spec APM 3 SYSCALL, SYSRET, SYSENTER, SYSEXIT
 */
import type { Asm } from '../asm.ts';
import type { Guest } from '../guest.ts';
import { descriptor, PLACE } from '../probe-tables.ts';
import { type Probe, Probes } from '../probes.ts';
import { cr, R } from '../registers.ts';

const [UD, GP] = [6, 13];
const MSR = {
  EFER: 0xc0000080,
  STAR: 0xc0000081,
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  SFMASK: 0xc0000084,
  CS: 0x174,
  ESP: 0x175,
  EIP: 0x176,
} as const;
const [, TOP1, , TOP3] = PLACE.stacks;

function wrmsr(a: Asm, index: number, lo: number, hi = 0): void {
  a.mov(R.ecx, index);
  a.mov(R.eax, lo);
  a.mov(R.edx, hi);
  a.op('wrmsr');
}
/** EFER.SCE. */
function setSce(a: Asm, on: boolean): void {
  a.mov(R.ecx, MSR.EFER);
  a.op('rdmsr');
  a.alu('and', R.eax, ~1);
  if (on) a.alu('or', R.eax, 1);
  a.op('wrmsr');
}
/** Descriptors in the order that the instructions count on: ring 0 code, data; ring 3 code, data, 64-bit code. */
function selectors(p: Probes) {
  const flat = (attr: number): bigint => descriptor(0, 0xfffff, attr);
  const code0 = p.add(
    flat(p.g.bits === 64 ? 0xa9b : 0xc9b),
    flat(0xc93),
    flat(0xcfb),
    flat(0xcf3),
    flat(0xafb),
  );
  return {
    code0,
    data0: code0 + 8,
    code3: (code0 + 16) | 3,
    data3: (code0 + 24) | 3,
    code64: (code0 + 32) | 3,
    land: p.g.a.addressOf('pr.land'),
  };
}
type Selectors = ReturnType<typeof selectors>;

/** Status flags and OF, which ring 3 can set through POPF. */
const FLAGS = 0x8d7;
const setFlags = (a: Asm): void => {
  a.push(FLAGS);
  a.op('popf');
};

function long(s: Selectors): Record<string, Probe> {
  const setup = (a: Asm): void => {
    setSce(a, true);
    wrmsr(a, MSR.STAR, 0, (s.code3 << 16) | s.code0);
    wrmsr(a, MSR.LSTAR, s.land);
    wrmsr(a, MSR.CSTAR, s.land);
    wrmsr(a, MSR.SFMASK, 0x2 | 0x40);
    a.mov(R.ecx, 0);
    a.mov(R.r11, 0);
  };
  const r11 = (a: Asm): void => a.mov(R.rax, R.r11);
  const back = (code: (a: Asm) => void, is: Probe['is'], to: number | bigint = s.land): Probe => ({
    setup: (a) => {
      setup(a);
      a.mov(R.rcx, to);
      a.mov(R.r11, 0x3e7ad7);
    },
    code,
    is: is!,
  });
  const undef = (code: (a: Asm) => void, level: Probe['level'], vector = UD): Probe => ({
    level: level!,
    setup,
    code,
    vector,
  });
  return {
    'SYSCALL from 64-bit code': {
      level: 'ring3',
      setup,
      prelude: setFlags,
      code: (a) => a.op('syscall'),
      is: { s1: s.code0, s2: FLAGS & ~0x40, s3: TOP3!, s4: s.data0 },
      look: r11,
      value: FLAGS,
    },
    'SYSCALL from compatibility mode': {
      level: 'compat3',
      setup,
      prelude: setFlags,
      code: (a) => a.op('syscall'),
      is: { s1: s.code0, s2: FLAGS & ~0x40, s4: s.data0 },
      look: r11,
      value: FLAGS,
    },
    'SYSCALL without SCE': {
      level: 'ring3',
      setup: (a) => setSce(a, false),
      code: (a) => a.op('syscall'),
      vector: UD,
    },
    // reserved bits, VM and RF stay out
    'SYSRET to 64-bit code': back((a) => a.op('sysretq'), { s1: s.code64, s2: 0x3c7ad7, s4: s.data3 }),
    'SYSRET to compatibility mode': back((a) => a.op('sysretl'), { s1: s.code3, s2: 0x3c7ad7, s4: s.data3 }),
    'SYSRET in ring 3': undef((a) => a.op('sysretq'), 'ring3', GP),
    'SYSRET to nowhere faults there': {
      ...back((a) => a.op('sysretq'), { s1: s.code64, s4: s.data3 }, 0x8000_0000_0000n),
      vector: GP,
      ip: 0x8000_0000_0000n,
    },
    'SYSENTER in long mode': undef((a) => a.op('sysenter'), 'ring3'),
    'SYSENTER in compatibility mode': undef((a) => a.op('sysenter'), 'compat3'),
    'SYSEXIT in long mode': undef((a) => a.op('sysexit'), 'ring0'),
    'SWAPGS in ring 3': undef((a) => a.op('swapgs'), 'ring3', GP),
    'SWAPGS in compatibility mode': undef((a) => a.op('swapgs'), 'compat3'),
    'MOV of CR8 beyond 15': {
      prelude: (a) => a.mov(R.eax, 16),
      code: (a) => a.db(0x44, 0x0f, 0x22, 0xc0),
      vector: GP,
    },
    'PG cleared in 64-bit mode': {
      prelude: (a) => {
        a.mov(R.rax, cr(0));
        a.alu('and', R.eax, 0x7fffffff);
      },
      code: (a) => a.mov(cr(0), R.rax),
      vector: GP,
    },
    'PAE cleared in long mode': {
      prelude: (a) => {
        a.mov(R.rax, cr(4));
        a.alu('and', R.eax, ~0x20);
      },
      code: (a) => a.mov(cr(4), R.rax),
      vector: GP,
    },
    'LME changed under paging': {
      prelude: (a) => {
        a.mov(R.ecx, MSR.EFER);
        a.op('rdmsr');
        a.alu('and', R.eax, ~0x100);
      },
      code: (a) => a.op('wrmsr'),
      vector: GP,
    },
    'an MSR that is not there': {
      prelude: (a) => a.mov(R.ecx, 0x12345678),
      code: (a) => a.op('rdmsr'),
      vector: GP,
    },
  };
}

function legacy(s: Selectors): Record<string, Probe> {
  const setup = (a: Asm): void => {
    setSce(a, true);
    wrmsr(a, MSR.STAR, s.land, (s.code3 << 16) | s.code0);
    wrmsr(a, MSR.CS, s.code0);
    wrmsr(a, MSR.ESP, TOP1!);
    wrmsr(a, MSR.EIP, s.land);
    a.mov(R.ecx, TOP3!);
    a.mov(R.edx, s.land);
  };
  const noCs = (a: Asm): void => wrmsr(a, MSR.CS, 3);
  return {
    SYSENTER: {
      level: 'ring3',
      setup,
      prelude: setFlags,
      code: (a) => a.op('sysenter'),
      is: { s1: s.code0, s2: FLAGS, sp: TOP1! - 12, ss: s.data0 },
    },
    'SYSENTER from virtual-8086 mode': {
      level: 'vm86',
      setup,
      code: (a) => a.op('sysenter'),
      is: { s1: s.code0, s2: 0x3002, sp: TOP1! - 12, ss: s.data0 },
    },
    'SYSENTER without a selector': { level: 'ring3', setup: noCs, code: (a) => a.op('sysenter'), vector: GP },
    SYSEXIT: { setup, code: (a) => a.op('sysexit'), is: { s1: s.code3, s3: TOP3!, s4: s.data3 } },
    'SYSEXIT in ring 3': { level: 'ring3', setup, code: (a) => a.op('sysexit'), vector: GP },
    'SYSEXIT without a selector': { setup: noCs, code: (a) => a.op('sysexit'), vector: GP },
    SYSCALL: {
      level: 'ring3',
      setup,
      prelude: setFlags,
      code: (a) => a.op('syscall'),
      is: { s1: s.code0, s2: FLAGS, ss: s.data0 },
    },
    SYSRET: {
      setup: (a) => {
        setup(a);
        a.mov(R.ecx, s.land);
      },
      code: (a) => a.op('sysretl'),
      is: { s1: s.code3, s2: 0x202, s4: s.data3 },
    },
    'SYSRET in ring 3': { level: 'ring3', setup, code: (a) => a.op('sysretl'), vector: GP },
    'SYSCALL without SCE': {
      level: 'ring3',
      setup: (a) => setSce(a, false),
      code: (a) => a.op('syscall'),
      vector: UD,
    },
  };
}

export function syscalls(g: Guest): void {
  const p = new Probes(g);
  const s = selectors(p);
  p.all(g.bits === 64 ? long(s) : legacy(s));
}
