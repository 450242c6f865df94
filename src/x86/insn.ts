/** One decoded instruction: what the decoder hands to the engines, the disassembler and the tests. */

export const OPK = {
  none: 0,
  /** General register; `reg` 0-15, for 1-byte operands 16-19 mean AH, CH, DH, BH. */
  gpr: 1,
  /** The instruction's memory operand (there is at most one explicit one). */
  mem: 2,
  /** Immediate: imm (low 32 bits, signed) and immHi (high 32 bits). */
  imm: 3,
  /** Branch displacement relative to the next instruction, in imm. */
  rel: 4,
  sreg: 5,
  cr: 6,
  dr: 7,
  xmm: 8,
  mm: 9,
  st: 10,
  /** Far pointer: offset in imm, selector in immHi. */
  far: 11,
} as const;

/** `base` of a RIP-relative operand: disp counts from the next instruction. */
export const BASE_RIP = 16;
export const NO_REG = 255;

export class Operand {
  kind: number = OPK.none;
  reg = 0;
  /** Bytes: 1, 2, 4, 8, 10 (m80), 16; 0 for LEA and others whose operand has no size of its own. */
  size = 0;
}

export class Insn {
  /** Index into OP_NAMES; 0 is `invalid` (#UD, with `length` counting the bytes that were read). */
  op = 0;
  length = 0;
  /** Effective operand size in bytes: 1 for byte forms, else 2, 4 or 8. */
  opSize = 4;
  /** Effective address size in bytes: 2, 4 or 8. */
  addrSize = 4;
  /** Mandatory or repeat prefix as it stands: 0, 0xf2 or 0xf3; 0 where it was consumed to select the opcode. */
  rep = 0;
  lock = false;
  /** 66 prefix present (also where consumed). */
  opSizePrefix = false;
  rex = 0;
  /** Segment register index (machine SEG order es cs ss ds fs gs) of the memory operand, override or default applied. */
  seg = 3;
  /** True when a segment override prefix was present and effective. */
  segOverride = false;
  /** Condition code 0-15 for jcc, setcc and cmovcc. */
  cc = 0;
  count = 0;
  readonly operands = [new Operand(), new Operand(), new Operand(), new Operand()] as const;
  base = NO_REG;
  index = NO_REG;
  /** log2 of the scale, 0-3. */
  scale = 0;
  /** Displacement, sign-extended 32 bits; `dispHi` is its sign, or the high half of a moffs64. */
  disp = 0;
  dispHi = 0;
  imm = 0;
  immHi = 0;
  /** Second immediate (ENTER's level, EXTRQ/INSERTQ). */
  imm2 = 0;
  modrm = 0;
  /** It has a VEX prefix. */
  vex = false;
  /** The opcode byte and its map: 0 one-byte, 1 0F, 2 0F38, 3 0F3A. */
  opcode = 0;
  map = 0;
}

/** What the decoder must know of the CPU: code size in bits. */
export type CodeSize = 16 | 32 | 64;
