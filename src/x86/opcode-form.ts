/**
 * The notation of the opcode tables, and its parser.
 *
 * An opcode is a list of alternatives separated by `|`; the first whose conditions hold is taken, and where
 * none does the encoding is invalid. An alternative is: conditions, mnemonic, operands, attributes.
 *
 * Conditions: np 66 f3 f2 (mandatory prefix), m r (ModRM names memory, a register), /n (reg field; several
 * digits mean any of them), :n (rm field), i64 o64 (outside, inside 64-bit mode), w0 w1 b0 (REX.W, REX.B).
 * Operands: a kind letter as in the SDM (E G M R V W U P Q N S C D I J A O Z; B is VEX.vvvv, H a register in
 * rm whatever mod says, T the stack register in rm) and a size letter (SIZE below); `Rv/Mw` gives register
 * and memory different sizes. Fixed registers stand under their names.
 * Attributes: lock (LOCK allowed with a memory destination), d64 (64-bit operand by default in 64-bit mode),
 * f64 (forced), byte (1-byte operation), z (at most 4 bytes), l0 (VEX.L must be 0).
 */
import { OP, type OpName } from './ops.ts';

/** Operand kinds of the tables; each tells where the operand is encoded. */
export const K = {
  none: 0,
  rm: 1,
  reg: 2,
  opcodeReg: 3,
  fixedGpr: 4,
  imm: 5,
  rel: 6,
  xmmRm: 7,
  xmmReg: 8,
  mmRm: 9,
  mmReg: 10,
  sregReg: 11,
  fixedSreg: 12,
  crReg: 13,
  drReg: 14,
  gprRm: 15,
  far: 16,
  moffs: 17,
  st: 18,
  fixedSt: 19,
  vvvv: 20,
  one: 21,
} as const;

/** Operand sizes: up to 16 the number of bytes, then those that depend on the instruction. */
export const SIZE = {
  v: 17,
  y: 18,
  z: 19,
  n: 20,
  p: 21,
  a: 22,
  s: 23,
  e: 24,
  f: 25,
  k: 26,
  b: 1,
  w: 2,
  d: 4,
  q: 8,
  t: 10,
  o: 16,
} as const;

/** How an immediate is stored: its size in the code and its extension. */
export const IMM = { u8: 0, s8: 1, u16: 2, z: 3, v: 4, second: 5 } as const;

export const FORM = {
  modrm: 1,
  lock: 2,
  d64: 4,
  f64: 8,
  byte: 16,
  z: 32,
  l0: 64,
  /** The F2/F3 (rep) or 66 prefix chose the form and means nothing else. */
  usesRep: 128,
  uses66: 256,
  vvvv: 512,
  /** One operand is a control or debug register. */
  special: 1024,
} as const;

/** One operation with its operands. An operand packs kind (5 bits), register size, memory size (5 each), register. */
export interface Form {
  readonly op: number;
  readonly flags: number;
  readonly operands: readonly number[];
}

/** A form and when it applies: each mask has a bit for every admitted value. */
export interface Alternative {
  readonly form: Form;
  readonly modes: number;
  readonly prefix: number;
  readonly mod: number;
  readonly reg: number;
  readonly rm: number;
  readonly w: number;
  readonly b: number;
}

const PREFIXES = ['np', '66', 'f3', 'f2'];
const ATTRIBUTES: Record<string, number> = {
  lock: FORM.lock,
  d64: FORM.d64,
  f64: FORM.f64,
  byte: FORM.byte,
  z: FORM.z,
  l0: FORM.l0,
};

function pack(kind: number, registerSize = 0, memorySize = registerSize, register = 0): number {
  return kind | (registerSize << 5) | (memorySize << 10) | (register << 15);
}

const NAMED: Record<string, number> = {
  AL: pack(K.fixedGpr, 1),
  CL: pack(K.fixedGpr, 1, 1, 1),
  AX: pack(K.fixedGpr, 2),
  DX: pack(K.fixedGpr, 2, 2, 2),
  rAX: pack(K.fixedGpr, SIZE.v),
  ES: pack(K.fixedSreg, 2, 2, 0),
  CS: pack(K.fixedSreg, 2, 2, 1),
  SS: pack(K.fixedSreg, 2, 2, 2),
  DS: pack(K.fixedSreg, 2, 2, 3),
  FS: pack(K.fixedSreg, 2, 2, 4),
  GS: pack(K.fixedSreg, 2, 2, 5),
  ST0: pack(K.fixedSt, 10),
  STi: pack(K.st, 10),
  C: pack(K.crReg, SIZE.n),
  D: pack(K.drReg, SIZE.n),
  A: pack(K.far, SIZE.v),
  '1': pack(K.one, 1),
  Ib: pack(K.imm, 1, 1, IMM.u8),
  Is: pack(K.imm, 1, 1, IMM.s8),
  Iw: pack(K.imm, 2, 2, IMM.u16),
  Iz: pack(K.imm, SIZE.z, SIZE.z, IMM.z),
  Iv: pack(K.imm, SIZE.v, SIZE.v, IMM.v),
  I2: pack(K.imm, 1, 1, IMM.second),
  Jb: pack(K.rel, 1),
  Jz: pack(K.rel, SIZE.z),
};

const LETTERS: Record<string, number> = {
  E: K.rm,
  M: K.rm,
  R: K.rm,
  G: K.reg,
  Z: K.opcodeReg,
  H: K.gprRm,
  S: K.sregReg,
  V: K.xmmReg,
  W: K.xmmRm,
  U: K.xmmRm,
  P: K.mmReg,
  Q: K.mmRm,
  N: K.mmRm,
  B: K.vvvv,
  O: K.moffs,
};

/** Kinds whose operand is in ModRM. */
export const IN_MODRM: ReadonlySet<number> = new Set<number>([
  K.rm,
  K.reg,
  K.xmmRm,
  K.xmmReg,
  K.mmRm,
  K.mmReg,
  K.sregReg,
  K.crReg,
  K.drReg,
  K.gprRm,
  K.st,
]);
/** Operands that must be memory, or a register. */
const ONLY_MEMORY = /^M/;
const ONLY_REGISTER = /^[UN]|^R[a-z]$|^STi/;

function parseOperand(text: string): number {
  const named = NAMED[text];
  if (named !== undefined) return named;
  const [register, memory] = text.split('/') as [string, string | undefined];
  const kind = LETTERS[register[0]!];
  const sizeOf = (operand: string): number => SIZE[operand[1] as keyof typeof SIZE] ?? 0;
  if (kind === undefined) throw new Error(`opcode table: operand ${text}`);
  return pack(kind, sizeOf(register), sizeOf(memory ?? register));
}

function digits(text: string): number {
  return [...text].reduce((mask, digit) => mask | (1 << Number(digit)), 0);
}

/** Consumes the leading condition words. */
function parseConditions(words: string[]): Omit<Alternative, 'form'> {
  const out = { modes: 3, prefix: 0, mod: 3, reg: 255, rm: 255, w: 3, b: 3 };
  for (; ; words.shift()) {
    const word = words[0]!;
    if (PREFIXES.includes(word)) out.prefix |= 1 << PREFIXES.indexOf(word);
    else if (word === 'i64' || word === 'o64') out.modes = word === 'i64' ? 1 : 2;
    else if (word === 'm' || word === 'r') out.mod = word === 'm' ? 1 : 2;
    else if (word[0] === '/') out.reg = digits(word.slice(1));
    else if (word[0] === ':') out.rm = digits(word.slice(1));
    else if (word === 'w0' || word === 'w1') out.w = 1 << Number(word[1]);
    else if (word === 'b0') out.b = 1;
    else return out;
  }
}

/** A prefix that is the only one admitted is used up by the choice; among several it keeps its own meaning. */
function prefixFlags(prefix: number): number {
  if (prefix === 2) return FORM.uses66;
  return prefix === 4 || prefix === 8 ? FORM.usesRep : 0;
}

export function parseAlternative(text: string): Alternative {
  const words = text.trim().split(/\s+/);
  const when = parseConditions(words);
  const name = words.shift() as OpName;
  if (OP[name] === undefined) throw new Error(`opcode table: operation ${name} in "${text}"`);
  const operands = words[0] !== undefined && !(words[0] in ATTRIBUTES) ? words.shift()!.split(',') : [];
  let flags = prefixFlags(when.prefix);
  for (const word of words) {
    if (!(word in ATTRIBUTES)) throw new Error(`opcode table: attribute ${word} in "${text}"`);
    flags |= ATTRIBUTES[word]!;
  }
  const packed = operands.map(parseOperand);
  if (packed.some((o) => IN_MODRM.has(o & 31))) flags |= FORM.modrm;
  if (operands.some((o) => o[0] === 'B')) flags |= FORM.vvvv;
  if (operands.includes('C') || operands.includes('D')) flags |= FORM.special;
  if (/^[EGZO]b/.test(operands[0] ?? '') || operands[0] === 'AL') flags |= FORM.byte;
  let mod = when.mod;
  if (operands.some((o) => ONLY_MEMORY.test(o))) mod &= 1;
  if (operands.some((o) => ONLY_REGISTER.test(o))) mod &= 2;
  return {
    ...when,
    mod,
    prefix: when.prefix || 15,
    form: { op: OP[name], flags, operands: packed },
  };
}
