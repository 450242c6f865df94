/** The x87 opcodes D8 to DF, in the notation of opcode-table.ts. @spec SDM vol. 2 A.5.2 */

const ARITH = ['add', 'mul', 'com', 'comp', 'sub', 'subr', 'div', 'divr'];

/** The eight arithmetic operations of one opcode: `mod` selects memory (m) or register (r) forms. */
function arith(mod: 'm' | 'r', prefix: string, operands: string): string {
  return ARITH.map((name, n) => `${mod} /${n} ${prefix}${name} ${operands}`).join(' | ');
}

/** A row of operand-less operations selected by rm; a dash leaves a hole. */
function row(reg: number, names: string): string {
  return names
    .split(' ')
    .map((name, n) => `r /${reg} :${n} ${name === '-' ? 'invalid' : name}`)
    .join(' | ');
}

/** DC and DE write STi, and swap SUB with SUBR and DIV with DIVR against D8. */
function reversed(suffix: string): string {
  return ['/0 fadd', '/1 fmul', '/4 fsubr', '/5 fsub', '/6 fdivr', '/7 fdiv']
    .map((name) => `r ${name}${suffix} STi,ST0`)
    .join(' | ');
}

export const X87: readonly string[] = [
  `${arith('m', 'f', 'Md')} | ${arith('r', 'f', 'ST0,STi')}`,
  [
    'm /0 fld Md | m /2 fst Md | m /3 fstp Md | m /4 fldenv Me | m /5 fldcw Mw | m /6 fnstenv Me | m /7 fnstcw Mw',
    'r /0 fld STi | r /1 fxch ST0,STi | r /2 :0 fnop | r /3 fstpnce STi',
    row(4, 'fchs fabs - - ftst fxam'),
    row(5, 'fld1 fldl2t fldl2e fldpi fldlg2 fldln2 fldz'),
    row(6, 'f2xm1 fyl2x fptan fpatan fxtract fprem1 fdecstp fincstp'),
    row(7, 'fprem fyl2xp1 fsqrt fsincos frndint fscale fsin fcos'),
  ].join(' | '),
  [
    arith('m', 'fi', 'Md'),
    'r /0 fcmovb ST0,STi | r /1 fcmove ST0,STi | r /2 fcmovbe ST0,STi | r /3 fcmovu ST0,STi | r /5 :1 fucompp',
  ].join(' | '),
  [
    'm /0 fild Md | m /1 fisttp Md | m /2 fist Md | m /3 fistp Md | m /5 fld Mt | m /7 fstp Mt',
    'r /0 fcmovnb ST0,STi | r /1 fcmovne ST0,STi | r /2 fcmovnbe ST0,STi | r /3 fcmovnu ST0,STi',
    // FNENI, FNDISI and FNSETPM of the 8087 and 80287 do nothing since the 80387.
    row(4, 'fnop fnop fnclex fninit fnop'),
    'r /5 fucomi ST0,STi | r /6 fcomi ST0,STi',
  ].join(' | '),
  `${arith('m', 'f', 'Mq')} | ${reversed('')} | r /2 fcom ST0,STi | r /3 fcomp ST0,STi`,
  [
    'm /0 fld Mq | m /1 fisttp Mq | m /2 fst Mq | m /3 fstp Mq | m /4 frstor Mf | m /6 fnsave Mf | m /7 fnstsw Mw',
    'r /0 ffree STi | r /1 fxch ST0,STi | r /2 fst STi | r /3 fstp STi | r /4 fucom ST0,STi | r /5 fucomp ST0,STi',
  ].join(' | '),
  `${arith('m', 'fi', 'Mw')} | ${reversed('p')} | r /2 fcomp ST0,STi | r /3 :1 fcompp`,
  [
    'm /0 fild Mw | m /1 fisttp Mw | m /2 fist Mw | m /3 fistp Mw',
    'm /4 fbld Mt | m /5 fild Mq | m /6 fbstp Mt | m /7 fistp Mq',
    'r /0 ffreep STi | r /1 fxch ST0,STi | r /23 fstp STi | r /4 :0 fnstsw AX',
    'r /5 fucomip ST0,STi | r /6 fcomip ST0,STi',
  ].join(' | '),
];
