/**
 * The x86-64 instruction decoder: bytes to an Insn, without allocating.
 *
 * Where manufacturers differ it decodes as Intel does: near branches ignore 66 in 64-bit mode. EVEX, XOP,
 * 3DNow and all VEX instructions but those of BMI1 and BMI2 are invalid.
 */
import { code, insn, mode, pos, setVvvv, startAt, u8, vvvv } from './decode-cursor.ts';
import { fillOperand } from './decode-operands.ts';
import { type CodeSize, type Insn, NO_REG, OPK } from './insn.ts';
import { FORM } from './opcode-form.ts';
import {
  ASK,
  FORM_COUNT,
  FORM_FLAGS,
  FORM_OP,
  FORM_OPERANDS,
  MODE64,
  NODES,
  ROOTS,
  VEX_MAPS,
} from './opcode-table.ts';

export const DECODE_OK = 0;
/** More bytes than `limit` allows are needed. */
export const DECODE_TRUNCATED = 1;
/** Over 15 bytes: #GP. */
export const DECODE_TOO_LONG = 2;

const MAX_LENGTH = 15;
const SEG_DS = 3;

// What the prefixes say beyond what Insn keeps.
let prefix66 = false;
/** Index of the mandatory prefix: none, 66, F3, F2. */
let mandatory = 0;
let vexL = 0;
let hasModrm = false;

const PREFIX = { none: 0, segment: 1, operandSize: 2, addressSize: 3, lock: 4, rep: 5, rex: 6 } as const;
const PREFIX_CLASS = prefixClasses();

function prefixClasses(): Uint8Array {
  const out = new Uint8Array(256);
  for (const b of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) out[b] = PREFIX.segment;
  out[0x66] = PREFIX.operandSize;
  out[0x67] = PREFIX.addressSize;
  out[0xf0] = PREFIX.lock;
  out[0xf2] = out[0xf3] = PREFIX.rep;
  out.fill(PREFIX.rex, 0x40, 0x50);
  return out;
}

/** ES, CS, SS and DS overrides do nothing in 64-bit mode, not even to an FS or GS before them. */
function segmentPrefix(b: number): void {
  if (mode === 64 && b < 0x64) return;
  insn.seg = b < 0x64 ? (b >> 3) & 3 : b - 0x60;
  insn.segOverride = true;
}

/** Reads prefixes and returns the first opcode byte; stops at `end`. */
function readPrefixes(end: number): number {
  for (;;) {
    const b = u8();
    const kind = PREFIX_CLASS[b]!;
    if (kind === PREFIX.none || pos > end) return b;
    if (kind === PREFIX.rex) {
      if (mode !== 64) return b;
      insn.rex = b;
      continue;
    }
    // A REX followed by another prefix is void.
    insn.rex = 0;
    if (kind === PREFIX.segment) segmentPrefix(b);
    else if (kind === PREFIX.operandSize) prefix66 = true;
    else if (kind === PREFIX.addressSize) insn.addrSize = mode === 32 ? 2 : 4;
    else if (kind === PREFIX.lock) insn.lock = true;
    else insn.rep = b;
  }
}

function reset(): void {
  insn.op = 0;
  insn.rep = 0;
  insn.lock = false;
  insn.rex = 0;
  insn.seg = SEG_DS;
  insn.segOverride = false;
  insn.addrSize = mode >> 3;
  insn.count = 0;
  const { operands } = insn;
  operands[0].kind = operands[1].kind = operands[2].kind = operands[3].kind = OPK.none;
  insn.base = insn.index = NO_REG;
  insn.scale = insn.disp = insn.dispHi = 0;
  insn.imm = insn.immHi = insn.imm2 = 0;
  insn.modrm = insn.opcode = insn.map = 0;
  insn.vex = prefix66 = hasModrm = false;
  vexL = 0;
}

/** C4 and C5 are VEX in 64-bit mode, and elsewhere where LES and LDS would name a register. */
function startsVex(opcode: number): boolean {
  return (opcode & 0xfe) === 0xc4 && (mode === 64 || code[pos]! >= 0xc0);
}

/** Reads a VEX prefix after its first byte; returns the index of its table, or -1 where there is none. */
function readVex(first: number): number {
  if (prefix66 || insn.rep !== 0 || insn.lock || insn.rex !== 0) return -1;
  insn.vex = true;
  let map = 1;
  let last = u8();
  let rexBits = (~last >> 5) & 4;
  if (first === 0xc4) {
    map = last & 31;
    rexBits = (~last >> 5) & 7;
    last = u8();
    rexBits |= (last >> 4) & 8;
  }
  insn.rex = mode === 64 ? 0x40 | rexBits : 0;
  setVvvv((~last >> 3) & 15);
  vexL = (last >> 2) & 1;
  mandatory = last & 3;
  return map >= 1 && map <= 3 ? VEX_MAPS + map : -1;
}

/** Reads the opcode behind the prefixes; returns its index in ROOTS, or -1. */
function readOpcode(first: number): number {
  if (startsVex(first)) {
    const map = readVex(first);
    if (map < 0) return -1;
    insn.map = map - VEX_MAPS;
    return map * 256 + (insn.opcode = u8());
  }
  mandatory = insn.rep !== 0 ? insn.rep ^ 0xf1 : prefix66 ? 1 : 0;
  let map = 0;
  let opcode = first;
  if (first === 0x0f) {
    map = 1;
    opcode = u8();
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = u8();
    }
  }
  insn.map = map;
  insn.opcode = opcode;
  return map * 256 + opcode;
}

function readModrm(): void {
  if (hasModrm) return;
  hasModrm = true;
  insn.modrm = u8();
}

function answer(question: number): number {
  if (question === ASK.prefix) return mandatory;
  if (question === ASK.w) return (insn.rex >> 3) & 1;
  if (question === ASK.b) return insn.rex & 1;
  readModrm();
  const modrm = insn.modrm;
  if (question === ASK.rm) return modrm & 7;
  return ((modrm >> 3) & 7) | (modrm >= 0xc0 ? 8 : 0);
}

function selectForm(root: number): number {
  let n = ROOTS[root + (mode === 64 ? MODE64 : 0)]!;
  while (n < 0) n = NODES[1 - n + answer(NODES[-n]!)]!;
  return n;
}

function operandSize(flags: number): number {
  if ((flags & FORM.byte) !== 0) return 1;
  const wide = (insn.rex & 8) !== 0;
  if (mode === 64 && (flags & (FORM.f64 | FORM.d64)) !== 0) {
    return (flags & FORM.f64) !== 0 || wide || !prefix66 ? 8 : 2;
  }
  if (wide) return (flags & FORM.z) !== 0 ? 4 : 8;
  if ((flags & FORM.uses66) !== 0) return 4;
  return (mode === 16) === prefix66 ? 4 : 2;
}

/** VEX fields that an instruction does not use must hold their neutral value. */
function vexFits(flags: number): boolean {
  if (vexL !== 0 && (flags & FORM.l0) !== 0) return false;
  return (flags & FORM.vvvv) !== 0 || vvvv === 0;
}

/** LOCK needs an instruction that may have it, writing memory. */
function lockFits(flags: number): boolean {
  return (flags & FORM.lock) !== 0 && insn.operands[0].kind === OPK.mem;
}

/** Control registers 0, 2, 3, 4 and 8 and debug registers 0 to 7 exist. */
function specialExists(): boolean {
  const o = insn.operands[insn.operands[0].kind === OPK.gpr ? 1 : 0];
  return o.kind === OPK.dr ? o.reg < 8 : ((0x11d >> o.reg) & 1) === 1;
}

function decodeForm(form: number): void {
  const flags = FORM_FLAGS[form]!;
  if ((flags & FORM.modrm) !== 0) readModrm();
  if (insn.vex && !vexFits(flags)) return;
  insn.opSize = operandSize(flags);
  if ((flags & FORM.usesRep) !== 0) insn.rep = 0;
  const count = FORM_COUNT[form]!;
  insn.count = count;
  for (let i = 0; i < count; i++) fillOperand(insn.operands[i]!, FORM_OPERANDS[form * 4 + i]!);
  if (insn.lock && !lockFits(flags)) return;
  if ((flags & FORM.special) !== 0 && !specialExists()) return;
  insn.op = FORM_OP[form]!;
}

/**
 * Decodes the instruction at `offset`; bytes from `limit` on are not there. Returns DECODE_OK, DECODE_TRUNCATED
 * or DECODE_TOO_LONG. With DECODE_OK an encoding that means nothing is op `invalid` (#UD), its length what was
 * read to find out.
 */
export function decode(bytes: Uint8Array, offset: number, limit: number, size: CodeSize, out: Insn): number {
  startAt(bytes, offset, size, out);
  reset();
  const end = Math.min(limit, offset + MAX_LENGTH);
  const root = readOpcode(readPrefixes(end));
  insn.opSizePrefix = prefix66;
  insn.cc = insn.opcode & 15;
  const form = root < 0 ? 0 : selectForm(root);
  if (form > 0) decodeForm(form);
  else insn.count = 0;
  insn.length = pos - offset;
  if (pos <= end) return DECODE_OK;
  return limit - offset < MAX_LENGTH ? DECODE_TRUNCATED : DECODE_TOO_LONG;
}
