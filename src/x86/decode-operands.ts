/** Decodes operands: what each operand kind of the tables takes from ModRM, prefixes and the bytes that follow. */
import { insn, mode, s8, s16, s32, u8, u16, vvvv } from './decode-cursor.ts';
import { BASE_RIP, NO_REG, OPK, type Operand } from './insn.ts';
import { IMM, K, SIZE } from './opcode-form.ts';

const SEG_SS = 2;

function sizeOf(size: number): number {
  if (size <= 16) return size;
  const opSize = insn.opSize;
  switch (size) {
    case SIZE.v:
      return opSize;
    case SIZE.y:
      return (insn.rex & 8) !== 0 ? 8 : 4;
    case SIZE.z:
      return Math.min(opSize, 4);
    case SIZE.n:
      return mode === 64 ? 8 : 4;
    case SIZE.p:
      return opSize + 2;
    case SIZE.a:
      return opSize * 2;
    case SIZE.s:
      return mode === 64 ? 10 : 6;
    case SIZE.e:
      return opSize === 2 ? 14 : 28;
    case SIZE.f:
      return opSize === 2 ? 94 : 108;
    default:
      return 512;
  }
}

const BX = 3;
const BP = 5;
const SI = 6;
const DI = 7;
const BASE16 = Uint8Array.of(BX, BX, BP, BP, SI, DI, BP, BX);
const INDEX16 = Uint8Array.of(SI, DI, SI, DI, NO_REG, NO_REG, NO_REG, NO_REG);

function memory16(mod: number, rm: number): void {
  if (mod === 0 && rm === 6) {
    insn.disp = s16();
  } else {
    insn.base = BASE16[rm]!;
    insn.index = INDEX16[rm]!;
    if (mod === 1) insn.disp = s8();
    else if (mod === 2) insn.disp = s16();
  }
}

/** Reads SIB; returns the base field, 5 meaning none where mod is 0. */
function readSib(): number {
  const sib = u8();
  const index = ((sib >> 3) & 7) | ((insn.rex & 2) << 2);
  if (index !== 4) {
    insn.index = index;
    insn.scale = sib >> 6;
  }
  return sib & 7;
}

/** Fills base, index, scale, disp and seg from ModRM. Called once, before any immediate is read. */
function readMemory(): void {
  const modrm = insn.modrm;
  const mod = modrm >> 6;
  const rm = modrm & 7;
  if (insn.addrSize === 2) {
    memory16(mod, rm);
  } else {
    const sib = rm === 4;
    const base = sib ? readSib() : rm;
    if (mod === 0 && base === 5) {
      if (!sib && mode === 64) insn.base = BASE_RIP;
      insn.disp = s32();
    } else {
      insn.base = base | ((insn.rex & 1) << 3);
      if (mod === 1) insn.disp = s8();
      else if (mod === 2) insn.disp = s32();
    }
  }
  insn.dispHi = insn.disp >> 31;
  // Base SP or BP; with 16-bit addressing SP cannot occur.
  if (!insn.segOverride && (insn.base === 4 || insn.base === BP)) insn.seg = SEG_SS;
}

/** MOV with a bare address: as wide as addresses are, and not sign-extended. */
function readMoffs(): void {
  if (insn.addrSize === 2) {
    insn.disp = u16();
  } else {
    insn.disp = s32();
    if (insn.addrSize === 8) insn.dispHi = s32();
  }
}

function readImmediate(how: number): void {
  switch (how) {
    case IMM.u8:
      insn.imm = u8();
      return;
    case IMM.u16:
      insn.imm = u16();
      return;
    case IMM.second:
      insn.imm2 = u8();
      return;
    case IMM.s8:
      insn.imm = s8();
      break;
    default:
      insn.imm = insn.opSize === 2 ? s16() : s32();
      if (how === IMM.v && insn.opSize === 8) {
        insn.immHi = s32();
        return;
      }
  }
  insn.immHi = insn.imm >> 31;
}

/** Branch displacements: in 64-bit mode never 16 bits. */
function readRelative(size: number): void {
  insn.imm = size === 1 ? s8() : insn.opSize === 2 ? s16() : s32();
  insn.immHi = insn.imm >> 31;
}

function readFar(): void {
  insn.imm = insn.opSize === 2 ? u16() : s32();
  insn.immHi = u16();
}

/** Byte registers 4 to 7 are AH to BH where there is no REX. */
function gpr(o: Operand, reg: number, size: number): void {
  o.kind = OPK.gpr;
  o.size = size;
  o.reg = size === 1 && reg >= 4 && reg < 8 && insn.rex === 0 ? reg + 12 : reg;
}

function register(o: Operand, kind: number, reg: number, size: number): void {
  o.kind = kind;
  o.reg = reg;
  o.size = size;
}

/** Register or memory operand in ModRM.rm; `kind` is what the register would be. */
function rmOperand(o: Operand, kind: number, spec: number): void {
  const modrm = insn.modrm;
  if (modrm < 0xc0) {
    readMemory();
    register(o, OPK.mem, 0, sizeOf((spec >> 10) & 31));
    return;
  }
  const reg = (modrm & 7) | ((insn.rex & 1) << 3);
  const size = sizeOf((spec >> 5) & 31);
  if (kind === OPK.gpr) gpr(o, reg, size);
  else register(o, kind, kind === OPK.mm ? reg & 7 : reg, size);
}

export function fillOperand(o: Operand, spec: number): void {
  const rexReg = ((insn.modrm >> 3) & 7) | ((insn.rex & 4) << 1);
  const fixed = spec >> 15;
  switch (spec & 31) {
    case K.rm:
      rmOperand(o, OPK.gpr, spec);
      break;
    case K.reg:
      gpr(o, rexReg, sizeOf((spec >> 5) & 31));
      break;
    case K.opcodeReg:
      gpr(o, (insn.opcode & 7) | ((insn.rex & 1) << 3), sizeOf((spec >> 5) & 31));
      break;
    case K.fixedGpr:
      register(o, OPK.gpr, fixed, sizeOf((spec >> 5) & 31));
      break;
    case K.imm:
      readImmediate(fixed);
      register(o, OPK.imm, 0, sizeOf((spec >> 5) & 31));
      break;
    case K.rel:
      register(o, OPK.rel, 0, sizeOf((spec >> 5) & 31));
      readRelative(o.size);
      break;
    case K.xmmRm:
      rmOperand(o, OPK.xmm, spec);
      break;
    case K.xmmReg:
      register(o, OPK.xmm, rexReg, 16);
      break;
    case K.mmRm:
      rmOperand(o, OPK.mm, spec);
      break;
    case K.mmReg:
      register(o, OPK.mm, rexReg & 7, 8);
      break;
    default:
      fillRareOperand(o, spec, rexReg);
  }
}

function fillRareOperand(o: Operand, spec: number, rexReg: number): void {
  const fixed = spec >> 15;
  switch (spec & 31) {
    case K.one:
      insn.imm = 1;
      register(o, OPK.imm, 0, 1);
      break;
    case K.moffs:
      readMoffs();
      register(o, OPK.mem, 0, sizeOf((spec >> 10) & 31));
      break;
    case K.st:
      register(o, OPK.st, insn.modrm & 7, 10);
      break;
    case K.fixedSt:
      register(o, OPK.st, 0, 10);
      break;
    case K.sregReg:
      register(o, OPK.sreg, rexReg & 7, 2);
      break;
    case K.fixedSreg:
      register(o, OPK.sreg, fixed, 2);
      break;
    case K.gprRm:
      gpr(o, (insn.modrm & 7) | ((insn.rex & 1) << 3), sizeOf((spec >> 5) & 31));
      break;
    case K.crReg:
      register(o, OPK.cr, rexReg, mode === 64 ? 8 : 4);
      break;
    case K.drReg:
      register(o, OPK.dr, rexReg, mode === 64 ? 8 : 4);
      break;
    case K.vvvv:
      gpr(o, mode === 64 ? vvvv : vvvv & 7, sizeOf((spec >> 5) & 31));
      break;
    default:
      readFar();
      register(o, OPK.far, 0, sizeOf((spec >> 5) & 31));
  }
}
