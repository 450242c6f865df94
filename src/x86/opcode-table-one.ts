/** One-byte opcodes (map 0), one string per opcode in the notation of opcode-table.ts. @spec SDM vol. 2 A.3 */

const ALU = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp'];
const SHIFT = ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'shl', 'sar'];

/** A /0 to /7 group whose members take the same operands. */
function group(names: readonly string[], operands: string): string {
  return names.map((name, n) => `/${n} ${name} ${operands}`).join(' | ');
}

/** Group 1: the ALU operations, of which CMP writes nothing and takes no LOCK. */
function aluGroup(operands: string): string {
  return ALU.map((name, n) => `/${n} ${name} ${operands}${name === 'cmp' ? '' : ' lock'}`).join(' | ');
}

function unaryGroup(e: string, imm: string): string {
  return (
    `/01 test ${e},${imm} | /2 not ${e} lock | /3 neg ${e} lock | ` +
    `/4 mul ${e} | /5 imul ${e} | /6 div ${e} | /7 idiv ${e}`
  );
}

function eight(spec: string): string[] {
  return Array<string>(8).fill(spec);
}

const table: Record<number, string | string[]> = {
  6: 'i64 push ES',
  7: 'i64 pop ES',
  14: 'i64 push CS',
  22: 'i64 push SS',
  23: 'i64 pop SS',
  30: 'i64 push DS',
  31: 'i64 pop DS',
  39: 'i64 daa',
  47: 'i64 das',
  55: 'i64 aaa',
  63: 'i64 aas',
  64: eight('i64 inc Zv'),
  72: eight('i64 dec Zv'),
  80: eight('push Zv d64'),
  88: eight('pop Zv d64'),
  96: ['i64 pusha', 'i64 popa', 'i64 bound Gv,Ma', 'i64 arpl Ew,Gw | movsx Gv,Ez'],
  104: ['push Iz d64', 'imul Gv,Ev,Iz', 'push Is d64', 'imul Gv,Ev,Is'],
  108: ['ins byte', 'ins z', 'outs byte', 'outs z'],
  112: [...eight('jcc Jb f64'), ...eight('jcc Jb f64')],
  128: [aluGroup('Eb,Is'), aluGroup('Ev,Iz'), aluGroup('Eb,Is').replaceAll('/', 'i64 /'), aluGroup('Ev,Is')],
  132: ['test Eb,Gb', 'test Ev,Gv', 'xchg Eb,Gb lock', 'xchg Ev,Gv lock'],
  136: ['mov Eb,Gb', 'mov Ev,Gv', 'mov Gb,Eb', 'mov Gv,Ev'],
  140: ['/012345 mov_sreg Rv/Mw,Sw', 'lea Gv,M', '/02345 mov_sreg Sw,Ew', '/0 pop Ev d64'],
  144: ['f3 pause | b0 nop | xchg Zv,rAX', ...eight('xchg Zv,rAX').slice(1)],
  152: ['cbw', 'cwd', 'i64 callf A', 'fwait', 'pushf d64', 'popf d64', 'sahf', 'lahf'],
  160: ['mov AL,Ob', 'mov rAX,Ov', 'mov Ob,AL', 'mov Ov,rAX'],
  164: ['movs byte', 'movs', 'cmps byte', 'cmps', 'test AL,Is', 'test rAX,Iz'],
  170: ['stos byte', 'stos', 'lods byte', 'lods', 'scas byte', 'scas'],
  176: eight('mov Zb,Is'),
  184: eight('mov Zv,Iv'),
  192: [group(SHIFT, 'Eb,Ib'), group(SHIFT, 'Ev,Ib'), 'ret Iw f64', 'ret f64'],
  196: ['i64 les Gv,Mp', 'i64 lds Gv,Mp', '/0 mov Eb,Is', '/0 mov Ev,Iz'],
  200: ['enter Iw,I2 d64', 'leave d64', 'retf Iw', 'retf', 'int3', 'int Ib', 'i64 into', 'iret'],
  208: [group(SHIFT, 'Eb,1'), group(SHIFT, 'Ev,1'), group(SHIFT, 'Eb,CL'), group(SHIFT, 'Ev,CL')],
  212: ['i64 aam Ib', 'i64 aad Ib', 'i64 salc', 'xlat byte'],
  224: ['loopne Jb f64', 'loope Jb f64', 'loop Jb f64', 'jrcxz Jb f64'],
  228: ['in AL,Ib', 'in rAX,Ib z', 'out Ib,AL byte', 'out Ib,rAX z'],
  232: ['call Jz f64', 'jmp Jz f64', 'i64 jmpf A', 'jmp Jb f64'],
  236: ['in AL,DX', 'in rAX,DX z', 'out DX,AL byte', 'out DX,rAX z'],
  241: 'int1',
  244: ['hlt', 'cmc', unaryGroup('Eb', 'Is'), unaryGroup('Ev', 'Iz')],
  248: ['clc', 'stc', 'cli', 'sti', 'cld', 'std', '/0 inc Eb lock | /1 dec Eb lock'],
  255:
    '/0 inc Ev lock | /1 dec Ev lock | /2 call Ev f64 | /3 callf Mp | ' +
    '/4 jmp Ev f64 | /5 jmpf Mp | /6 push Ev d64',
};

ALU.forEach((name, n) => {
  const lock = name === 'cmp' ? '' : ' lock';
  table[n * 8] = [
    `${name} Eb,Gb${lock}`,
    `${name} Ev,Gv${lock}`,
    `${name} Gb,Eb`,
    `${name} Gv,Ev`,
    `${name} AL,Is`,
    `${name} rAX,Iz`,
  ];
});

export const ONE_BYTE: Readonly<Record<number, string | readonly string[]>> = table;
