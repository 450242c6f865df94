/** A form of an instruction as the manual writes it, and its encoding with chosen operands. */

export type SizeLetter = 'b' | 'w' | 'd' | 'q';
export const SIZE_BYTES: Readonly<Record<SizeLetter, number>> = { b: 1, w: 2, d: 4, q: 8 };

/**
 * The manual's notation: mandatory prefix, opcode bytes, then /r or /digit, +r, and ib iw iz iv for an
 * immediate (iz: 4 bytes, 2 with a 66 prefix; iv: as long as the operand). Example: "f3 0f b8 /r". Behind "vex" prefix and
 * map go into a VEX prefix, the operand of vvvv too; "vex0" has none.
 */
export interface Encoding {
  prefix: number;
  opcode: number[];
  modrm: 'none' | 'reg' | number;
  plusReg: boolean;
  imm: '' | 'ib' | 'iw' | 'iz' | 'iv' | 'iwib';
  vex: '' | 'vex' | 'vex0';
}

export function parseEncoding(text: string): Encoding {
  const e: Encoding = { prefix: 0, opcode: [], modrm: 'none', plusReg: false, imm: '', vex: '' };
  for (const token of text.split(' ')) {
    if (token === '/r') e.modrm = 'reg';
    else if (token.startsWith('/')) e.modrm = Number(token.slice(1));
    else if (token === '+r') e.plusReg = true;
    else if (token === 'vex' || token === 'vex0') e.vex = token;
    else if (/^i[bwzv]/.test(token)) e.imm = token as Encoding['imm'];
    else if (e.opcode.length === 0 && e.prefix === 0 && /^(66|f2|f3)$/.test(token))
      e.prefix = Number.parseInt(token, 16);
    else e.opcode.push(Number.parseInt(token, 16));
  }
  return e;
}

/** A memory operand; registers are numbers, -1 for none. */
export interface MemOperand {
  base: number;
  index: number;
  scale: number;
  disp: number;
  rip: boolean;
  addr32: boolean;
}

export interface Operands {
  size: SizeLetter;
  /** 66 and REX.W come from the size unless the form has a fixed one. */
  sizePrefixes: boolean;
  reg: number;
  rm: number | MemOperand;
  vvvv: number;
  /** REX although nothing needs it (spl instead of ah). */
  rex: boolean;
  legacy: number[];
  imm: bigint;
}

function immBytes(kind: Encoding['imm'], size: SizeLetter, imm: bigint): number[] {
  const wide = { b: 1, w: 2, d: 4, q: 8 }[size];
  const length = { '': 0, ib: 1, iw: 2, iz: Math.min(wide, 4), iv: wide, iwib: 3 }[kind];
  return Array.from({ length }, (_, i) => Number((imm >> BigInt(i * 8)) & 0xffn));
}

const bytes32 = (v: number): number[] => [v & 255, (v >> 8) & 255, (v >> 16) & 255, (v >> 24) & 255];

function modrmMem(reg: number, m: MemOperand): number[] {
  const head = (mod: number, rm: number): number => (mod << 6) | ((reg & 7) << 3) | rm;
  if (m.rip) return [head(0, 5), ...bytes32(m.disp)];
  const sib = (base: number): number => (m.scale << 6) | ((m.index < 0 ? 4 : m.index & 7) << 3) | base;
  if (m.base < 0) return [head(0, 4), sib(5), ...bytes32(m.disp)];
  const mod = m.disp === 0 && (m.base & 7) !== 5 ? 0 : m.disp === (m.disp << 24) >> 24 ? 1 : 2;
  const disp = mod === 0 ? [] : mod === 1 ? [m.disp & 255] : bytes32(m.disp);
  if (m.index < 0 && (m.base & 7) !== 4) return [head(mod, m.base & 7), ...disp];
  return [head(mod, 4), sib(m.base & 7), ...disp];
}

function rexByte(e: Encoding, o: Operands): number {
  const w = o.sizePrefixes && o.size === 'q' ? 8 : 0;
  const r = e.modrm === 'reg' && o.reg >= 8 ? 4 : 0;
  if (typeof o.rm === 'number') return w | r | (o.rm >= 8 ? 1 : 0);
  return w | r | (o.rm.index >= 8 ? 2 : 0) | (o.rm.base >= 8 ? 1 : 0);
}

/** The three-byte form: map 2 or 3 from an opcode of 0f 38 or 0f 3a. */
function vexPrefix(e: Encoding, o: Operands, rex: number): number[] {
  const map = e.opcode[1] === 0x38 ? 2 : 3;
  const prefix = { 0: 0, 102: 1, 243: 2, 242: 3 }[e.prefix]!;
  const vvvv = e.vex === 'vex' ? o.vvvv : 0;
  return [0xc4, ((~rex & 7) << 5) | map, ((rex & 8) << 4) | ((~vvvv & 15) << 3) | prefix];
}

/** The instruction's bytes. A RIP-relative displacement is taken as it stands (see `encodedLength`). */
export function encode(e: Encoding, o: Operands): Uint8Array {
  const out = [...o.legacy];
  if (typeof o.rm !== 'number' && o.rm.addr32) out.push(0x67);
  if (o.sizePrefixes && o.size === 'w') out.push(0x66);
  const rex = rexByte(e, o);
  if (e.vex !== '') out.push(...vexPrefix(e, o, rex));
  else {
    if (e.prefix) out.push(e.prefix);
    if (rex !== 0 || o.rex) out.push(0x40 | rex);
  }
  const opcode = e.opcode.slice(e.vex === '' ? 0 : 2);
  if (e.plusReg) opcode[opcode.length - 1]! |= (o.rm as number) & 7;
  out.push(...opcode);
  if (e.modrm !== 'none') {
    const reg = e.modrm === 'reg' ? o.reg : e.modrm;
    if (typeof o.rm === 'number') out.push(0xc0 | ((reg & 7) << 3) | (o.rm & 7));
    else out.push(...modrmMem(reg, o.rm));
  }
  out.push(...immBytes(e.imm, o.size, o.imm));
  return Uint8Array.from(out);
}
