/** Prints decoded instructions in Intel syntax, for logs and debugging; nothing parses this. */
import { BASE_RIP, type Insn, NO_REG, OPK, type Operand } from './insn.ts';
import { OP, OP_NAMES } from './ops.ts';

const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const BYTES = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH_BYTES = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const CONDITIONS = 'o no b ae e ne be a s ns p np l ge le g'.split(' ');
const POINTERS: Record<number, string> = {
  1: 'byte',
  2: 'word',
  4: 'dword',
  6: 'fword',
  8: 'qword',
  10: 'tbyte',
  16: 'xmmword',
};
const STRING_OPS: ReadonlySet<number> = new Set([
  OP.movs,
  OP.cmps,
  OP.stos,
  OP.lods,
  OP.scas,
  OP.ins,
  OP.outs,
]);
const SUFFIX: Record<number, string> = { 1: 'b', 2: 'w', 4: 'd', 8: 'q' };

/** Name of a general register operand of `size` bytes. */
export function gprName(reg: number, size: number): string {
  if (size === 1) return HIGH_BYTES[reg - 16] ?? BYTES[reg] ?? `r${reg}b`;
  if (reg >= 8) return `r${reg}${size === 8 ? '' : size === 4 ? 'd' : 'w'}`;
  return (size === 8 ? 'r' : size === 4 ? 'e' : '') + LEGACY[reg];
}

/** A 64-bit value from its halves, in hexadecimal. */
function hex(low: number, high: number): string {
  const negative = high < 0;
  const value = (BigInt(high) << 32n) | BigInt(low >>> 0);
  return `${negative ? '-' : ''}0x${(negative ? -value : value).toString(16)}`;
}

function memory(insn: Insn, size: number): string {
  const parts: string[] = [];
  if (insn.base === BASE_RIP) parts.push('rip');
  else if (insn.base !== NO_REG) parts.push(gprName(insn.base, insn.addrSize));
  if (insn.index !== NO_REG) parts.push(`${gprName(insn.index, insn.addrSize)}*${1 << insn.scale}`);
  if (insn.disp !== 0 || parts.length === 0) parts.push(hex(insn.disp, insn.dispHi));
  const segment = insn.segOverride ? `${SEGMENTS[insn.seg]}:` : '';
  const pointer = POINTERS[size];
  return `${pointer ? `${pointer} ptr ` : ''}${segment}[${parts.join('+').replaceAll('+-', '-')}]`;
}

function operand(insn: Insn, o: Operand, second: boolean, rip: bigint): string {
  switch (o.kind) {
    case OPK.gpr:
      return gprName(o.reg, o.size);
    case OPK.mem:
      return memory(insn, o.size);
    case OPK.imm:
      return second ? `0x${insn.imm2.toString(16)}` : hex(insn.imm, insn.immHi);
    case OPK.rel:
      return `0x${BigInt.asUintN(64, rip + BigInt(insn.length + insn.imm)).toString(16)}`;
    case OPK.far:
      return `0x${insn.immHi.toString(16)}:0x${(insn.imm >>> 0).toString(16)}`;
    case OPK.sreg:
      return SEGMENTS[o.reg]!;
    default:
      return `${['cr', 'dr', 'xmm', 'mm', 'st'][o.kind - OPK.cr]}${o.reg}`;
  }
}

function mnemonic(insn: Insn): string {
  const name = OP_NAMES[insn.op]!;
  if (name.startsWith('mov_')) return 'mov';
  if (insn.op === OP.jcc || insn.op === OP.setcc || insn.op === OP.cmovcc) {
    return name.slice(0, -2) + CONDITIONS[insn.cc];
  }
  return STRING_OPS.has(insn.op) ? name + SUFFIX[insn.opSize] : name;
}

const MAPS = ['', '0f ', '0f 38 ', '0f 3a '];

/** An encoding without a name: its map and opcode. */
export function encodingName(insn: Insn): string {
  const opcode = insn.opcode.toString(16).padStart(2, '0');
  return `${insn.lock ? 'lock ' : ''}${insn.vex ? 'vex ' : ''}${MAPS[insn.map] ?? ''}${opcode}`;
}

/** One line of text; `rip` is the instruction's address, for branch targets. */
export function disassemble(insn: Insn, rip = 0n): string {
  let immediates = 0;
  const operands = insn.operands
    .slice(0, insn.count)
    .map((o) => operand(insn, o, o.kind === OPK.imm && immediates++ > 0, rip));
  const repeat = insn.rep === 0 ? '' : insn.rep === 0xf3 ? 'rep ' : 'repne ';
  return `${insn.lock ? 'lock ' : ''}${repeat}${mnemonic(insn)} ${operands.join(', ')}`.trim();
}
