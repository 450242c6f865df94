/** The integer instructions of ring 3 in 64-bit mode, a row per form. @spec SDM vol. 2, instruction pages */
import type { Form } from './form.ts';
import { FLAG, undefinedRotate, undefinedShift, undefinedShiftDouble } from './undefined-flags.ts';

const { CF, PF, AF, ZF, SF, OF } = FLAG;
const hex = (n: number): string => n.toString(16).padStart(2, '0');

function alu(name: string, base: number, undef: number): Form[] {
  const digit = base >> 3;
  const lock = name !== 'cmp';
  return [
    { name: `${name} rm,r`, enc: `${hex(base)} /r`, sizes: 'b', lock, undef },
    { name: `${name} rm,r`, enc: `${hex(base + 1)} /r`, sizes: 'wdq', lock, undef },
    { name: `${name} r,rm`, enc: `${hex(base + 2)} /r`, sizes: 'b', undef },
    { name: `${name} r,rm`, enc: `${hex(base + 3)} /r`, sizes: 'wdq', undef },
    { name: `${name} al,imm`, enc: `${hex(base + 4)} ib`, sizes: 'b', named: [0], undef },
    { name: `${name} ax,imm`, enc: `${hex(base + 5)} iz`, sizes: 'wdq', named: [0], undef },
    { name: `${name} rm,imm`, enc: `80 /${digit} ib`, sizes: 'b', lock, undef },
    { name: `${name} rm,imm`, enc: `81 /${digit} iz`, sizes: 'wdq', lock, undef },
    { name: `${name} rm,imm8`, enc: `83 /${digit} ib`, sizes: 'wdq', lock, undef },
  ];
}

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const aluForms = ALU.flatMap((name, i) => alu(name, i * 8, /^(or|and|xor)$/.test(name) ? AF : 0));

const SHIFTS = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sal', 'sar'];
const shiftForms = SHIFTS.flatMap((name, digit): Form[] => {
  const undef = digit < 4 ? undefinedRotate : undefinedShift(name !== 'sar');
  const row = (how: string, byte: string, wide: string): Form[] => [
    { name: `${name} rm,${how}`, enc: byte, sizes: 'b', prep: 'shift', undef },
    { name: `${name} rm,${how}`, enc: wide, sizes: 'wdq', prep: 'shift', undef },
  ];
  return [
    ...row('1', `d0 /${digit}`, `d1 /${digit}`),
    ...row('cl', `d2 /${digit}`, `d3 /${digit}`),
    ...row('imm', `c0 /${digit} ib`, `c1 /${digit} ib`),
  ];
});

const doubleShiftForms = ['shld', 'shrd'].flatMap((name, i): Form[] => [
  {
    name: `${name} rm,r,imm`,
    enc: `0f ${hex(0xa4 + i * 8)} /r ib`,
    sizes: 'wdq',
    prep: 'shift2',
    undef: undefinedShiftDouble,
  },
  {
    name: `${name} rm,r,cl`,
    enc: `0f ${hex(0xa5 + i * 8)} /r`,
    sizes: 'wdq',
    prep: 'shift2',
    undef: undefinedShiftDouble,
  },
]);

const multiplyForms: Form[] = ['mul', 'imul', 'div', 'idiv'].flatMap((name, i): Form[] => {
  const undef = i < 2 ? SF | ZF | AF | PF : CF | OF | SF | ZF | AF | PF;
  const prep = i < 2 ? undefined : ('div' as const);
  const more = prep === undefined ? {} : { prep, cases: 60 };
  return [
    { name: `${name} rm`, enc: `f6 /${i + 4}`, sizes: 'b', named: [0], undef, ...more },
    { name: `${name} rm`, enc: `f7 /${i + 4}`, sizes: 'wdq', named: [0, 2], undef, ...more },
  ];
});

const bitTestForms = ['bt', 'bts', 'btr', 'btc'].flatMap((name, i): Form[] => {
  const common = { sizes: 'wdq', lock: i > 0, undef: OF | SF | AF | PF };
  return [
    { name: `${name} rm,r`, enc: `0f ${hex(0xa3 + i * 8)} /r`, prep: 'bitOffset', ...common },
    { name: `${name} rm,imm`, enc: `0f ba /${i + 4} ib`, ...common },
  ];
});

const CC = ['o', 'no', 'b', 'nb', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const conditionForms = CC.flatMap((cc, i): Form[] => [
  { name: `set${cc} rm`, enc: `0f ${hex(0x90 + i)} /0`, sizes: 'b', cases: 12 },
  { name: `cmov${cc} r,rm`, enc: `0f ${hex(0x40 + i)} /r`, sizes: 'wdq', cases: 10 },
  { name: `j${cc} rel8`, enc: hex(0x70 + i), sizes: 'd', prep: 'jump8', fixed: true },
  { name: `j${cc} rel32`, enc: `0f ${hex(0x80 + i)}`, sizes: 'd', prep: 'jump32', fixed: true, cases: 12 },
]);

const moveForms: Form[] = [
  { name: 'mov rm,r', enc: '88 /r', sizes: 'b' },
  { name: 'mov rm,r', enc: '89 /r', sizes: 'wdq' },
  { name: 'mov r,rm', enc: '8a /r', sizes: 'b' },
  { name: 'mov r,rm', enc: '8b /r', sizes: 'wdq' },
  { name: 'mov rm,imm', enc: 'c6 /0 ib', sizes: 'b' },
  { name: 'mov rm,imm', enc: 'c7 /0 iz', sizes: 'wdq' },
  { name: 'mov r,imm', enc: 'b0 +r ib', sizes: 'b' },
  { name: 'mov r,imm', enc: 'b8 +r iv', sizes: 'wdq' },
  { name: 'mov al,moffs', enc: 'a0', sizes: 'b', prep: 'moffs' },
  { name: 'mov ax,moffs', enc: 'a1', sizes: 'wdq', prep: 'moffs' },
  { name: 'mov moffs,al', enc: 'a2', sizes: 'b', prep: 'moffs' },
  { name: 'mov moffs,ax', enc: 'a3', sizes: 'wdq', prep: 'moffs' },
  { name: 'movzx r,rm8', enc: '0f b6 /r', sizes: 'wdq', src: 1 },
  { name: 'movzx r,rm16', enc: '0f b7 /r', sizes: 'wdq', src: 2 },
  { name: 'movsx r,rm8', enc: '0f be /r', sizes: 'wdq', src: 1 },
  { name: 'movsx r,rm16', enc: '0f bf /r', sizes: 'wdq', src: 2 },
  { name: 'movsxd r,rm32', enc: '63 /r', sizes: 'dq', src: 4 },
  { name: 'lea r,m', enc: '8d /r', sizes: 'wdq', rm: 'm' },
  { name: 'xchg rm,r', enc: '86 /r', sizes: 'b', lock: true },
  { name: 'xchg rm,r', enc: '87 /r', sizes: 'wdq', lock: true },
  { name: 'xchg ax,r', enc: '90 +r', sizes: 'wdq', named: [0] },
  { name: 'xadd rm,r', enc: '0f c0 /r', sizes: 'b', lock: true },
  { name: 'xadd rm,r', enc: '0f c1 /r', sizes: 'wdq', lock: true },
  { name: 'cmpxchg rm,r', enc: '0f b0 /r', sizes: 'b', lock: true, prep: 'cmpxchg' },
  { name: 'cmpxchg rm,r', enc: '0f b1 /r', sizes: 'wdq', lock: true, prep: 'cmpxchg' },
  { name: 'cmpxchg8b m', enc: '0f c7 /1', sizes: 'd', rm: 'm', src: 8, lock: true, prep: 'cmpxchg8b' },
  { name: 'cmpxchg16b m', enc: '0f c7 /1', sizes: 'q', rm: 'm', src: 16, lock: true, prep: 'cmpxchg8b' },
  { name: 'movbe r,m', enc: '0f 38 f0 /r', sizes: 'wdq', rm: 'm' },
  { name: 'movbe m,r', enc: '0f 38 f1 /r', sizes: 'wdq', rm: 'm' },
  { name: 'movnti m,r', enc: '0f c3 /r', sizes: 'dq', rm: 'm' },
  { name: 'bswap r', enc: '0f c8 +r', sizes: 'dq' },
  { name: 'nop rm', enc: '0f 1f /0', sizes: 'wdq', cases: 8 },
  { name: 'prefetcht0 m', enc: '0f 18 /1', sizes: 'd', rm: 'm', fixed: true, cases: 8 },
];

const arithmeticForms: Form[] = [
  { name: 'test rm,r', enc: '84 /r', sizes: 'b', undef: AF },
  { name: 'test rm,r', enc: '85 /r', sizes: 'wdq', undef: AF },
  { name: 'test al,imm', enc: 'a8 ib', sizes: 'b', named: [0], undef: AF },
  { name: 'test ax,imm', enc: 'a9 iz', sizes: 'wdq', named: [0], undef: AF },
  { name: 'test rm,imm', enc: 'f6 /0 ib', sizes: 'b', undef: AF },
  { name: 'test rm,imm', enc: 'f7 /0 iz', sizes: 'wdq', undef: AF },
  { name: 'not rm', enc: 'f6 /2', sizes: 'b', lock: true },
  { name: 'not rm', enc: 'f7 /2', sizes: 'wdq', lock: true },
  { name: 'neg rm', enc: 'f6 /3', sizes: 'b', lock: true },
  { name: 'neg rm', enc: 'f7 /3', sizes: 'wdq', lock: true },
  { name: 'inc rm', enc: 'fe /0', sizes: 'b', lock: true },
  { name: 'inc rm', enc: 'ff /0', sizes: 'wdq', lock: true },
  { name: 'dec rm', enc: 'fe /1', sizes: 'b', lock: true },
  { name: 'dec rm', enc: 'ff /1', sizes: 'wdq', lock: true },
  ...multiplyForms,
  { name: 'imul r,rm', enc: '0f af /r', sizes: 'wdq', undef: SF | ZF | AF | PF },
  { name: 'imul r,rm,imm', enc: '69 /r iz', sizes: 'wdq', undef: SF | ZF | AF | PF },
  { name: 'imul r,rm,imm8', enc: '6b /r ib', sizes: 'wdq', undef: SF | ZF | AF | PF },
  { name: 'bsf r,rm', enc: '0f bc /r', sizes: 'wdq', prep: 'scan', undef: CF | OF | SF | AF | PF },
  { name: 'bsr r,rm', enc: '0f bd /r', sizes: 'wdq', prep: 'scan', undef: CF | OF | SF | AF | PF },
  { name: 'tzcnt r,rm', enc: 'f3 0f bc /r', sizes: 'wdq', undef: OF | SF | AF | PF },
  { name: 'lzcnt r,rm', enc: 'f3 0f bd /r', sizes: 'wdq', undef: OF | SF | AF | PF },
  { name: 'popcnt r,rm', enc: 'f3 0f b8 /r', sizes: 'wdq' },
  { name: 'crc32 r,rm8', enc: 'f2 0f 38 f0 /r', sizes: 'dq', src: 1 },
  { name: 'crc32 r,rm', enc: 'f2 0f 38 f1 /r', sizes: 'wdq' },
  { name: 'cbw', enc: '98', sizes: 'wdq', named: [0] },
  { name: 'cwd', enc: '99', sizes: 'wdq', named: [0] },
  { name: 'lahf', enc: '9f', sizes: 'd', fixed: true, named: [0] },
  { name: 'sahf', enc: '9e', sizes: 'd', fixed: true, named: [0] },
  ...['cmc:f5', 'clc:f8', 'stc:f9', 'cld:fc', 'std:fd'].map((row): Form => {
    const [name, enc] = row.split(':') as [string, string];
    return { name, enc, sizes: 'd', fixed: true, cases: 8 };
  }),
  { name: 'xlat', enc: 'd7', sizes: 'd', fixed: true, prep: 'xlat' },
];

const stackForms: Form[] = [
  { name: 'push r', enc: '50 +r', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'pop r', enc: '58 +r', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'push rm', enc: 'ff /6', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'pop rm', enc: '8f /0', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'push imm8', enc: '6a ib', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'push imm', enc: '68 iz', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'pushf', enc: '9c', sizes: 'wq', def64: true, prep: 'stack' },
  { name: 'popf', enc: '9d', sizes: 'wq', def64: true, prep: 'popf' },
  { name: 'enter', enc: 'c8 iwib', sizes: 'wq', def64: true, prep: 'enter' },
  { name: 'leave', enc: 'c9', sizes: 'wq', def64: true, prep: 'leave' },
  { name: 'call rel32', enc: 'e8', sizes: 'd', fixed: true, prep: 'call', cases: 12 },
  { name: 'call rm', enc: 'ff /2', sizes: 'd', fixed: true, src: 8, prep: 'callIndirect' },
  { name: 'jmp rm', enc: 'ff /4', sizes: 'd', fixed: true, src: 8, prep: 'callIndirect' },
  { name: 'jmp rel8', enc: 'eb', sizes: 'd', fixed: true, prep: 'jump8', cases: 8 },
  { name: 'jmp rel32', enc: 'e9', sizes: 'd', fixed: true, prep: 'jump32', cases: 8 },
  { name: 'ret', enc: 'c3', sizes: 'd', fixed: true, prep: 'ret', cases: 12 },
  { name: 'ret imm16', enc: 'c2 iw', sizes: 'd', fixed: true, prep: 'ret', cases: 12 },
  { name: 'loopne', enc: 'e0', sizes: 'd', fixed: true, prep: 'loop' },
  { name: 'loope', enc: 'e1', sizes: 'd', fixed: true, prep: 'loop' },
  { name: 'loop', enc: 'e2', sizes: 'd', fixed: true, prep: 'loop' },
  { name: 'jrcxz', enc: 'e3', sizes: 'd', fixed: true, prep: 'loop' },
];

const stringForms = ['movs:a4', 'cmps:a6', 'stos:aa', 'lods:ac', 'scas:ae'].flatMap((row): Form[] => {
  const [name, first] = row.split(':') as [string, string];
  const wide = hex(Number.parseInt(first, 16) + 1);
  return [0, 0xf3, 0xf2].flatMap((rep): Form[] => {
    const prefix = rep === 0 ? '' : rep === 0xf3 ? 'rep ' : 'repne ';
    const common = { legacy: rep === 0 ? [] : [rep], prep: 'string' as const };
    return [
      { name: prefix + name, enc: first, sizes: 'b', ...common },
      { name: prefix + name, enc: wide, sizes: 'wdq', ...common },
    ];
  });
});

const trapForms: Form[] = [
  { name: 'int3', enc: 'cc', sizes: 'd', fixed: true, cases: 4 },
  { name: 'ud2', enc: '0f 0b', sizes: 'd', fixed: true, cases: 4 },
  { name: 'hlt', enc: 'f4', sizes: 'd', fixed: true, cases: 4 },
  { name: 'nop', enc: '90', sizes: 'wdq', cases: 4 },
  { name: 'pause', enc: 'f3 90', sizes: 'd', fixed: true, cases: 4 },
  { name: 'lfence', enc: '0f ae e8', sizes: 'd', fixed: true, cases: 4 },
  { name: 'mfence', enc: '0f ae f0', sizes: 'd', fixed: true, cases: 4 },
  { name: 'sfence', enc: '0f ae f8', sizes: 'd', fixed: true, cases: 4 },
];

export const INTEGER_FORMS: readonly Form[] = [
  ...aluForms,
  ...shiftForms,
  ...doubleShiftForms,
  ...arithmeticForms,
  ...bitTestForms,
  ...moveForms,
  ...conditionForms,
  ...stackForms,
  ...stringForms,
  ...trapForms,
];
