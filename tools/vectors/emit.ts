/** Writes a case's instruction: prefixes, opcode, ModRM with its address, immediates. @spec SDM vol. 2 2.1 */
import { IMM, K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import { type Address, chooseAddress, chooseOffset, segmentOf, solveRip } from './address.ts';
import type { Builder } from './builder.ts';
import type { Operand } from './forms.ts';
import { AT } from './record.ts';

const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const NO_ADDRESS: Address = {
  base: -1,
  index: -1,
  scale: 0,
  dispBytes: 0,
  disp: 0,
  rip: false,
  size: 0,
  seg: -1,
};

/** AMD's VERW has nothing against LOCK, and with it MOV names CR8. */
const LOCK_MATTERS: ReadonlySet<OpName> = new Set<OpName>(['verw', 'mov_cr']);

class Code {
  readonly bytes: number[] = [];
  u8(v: number): void {
    this.bytes.push(v & 0xff);
  }
  /** `n` bytes, little-endian. */
  le(v: number, n: number): void {
    for (let i = 0; i < n; i++) this.u8(i < 4 ? v >> (8 * i) : v >> 31);
  }
}

function legacyPrefixes(b: Builder, a: Address, code: Code): void {
  const { form, path, r } = b;
  const natural = b.mode === 64 ? 8 : b.mode / 8;
  const out: number[] = [];
  if (a.seg >= 0) out.push(SEGMENT_PREFIX[a.seg]!);
  if (a.size !== 0 && a.size !== natural) out.push(0x67);
  if (form.p66) out.push(0x66);
  if (form.lock) out.push(0xf0);
  if (form.rep) out.push(form.rep);
  if (path.prefix > 1) out.push(path.prefix === 2 ? 0xf3 : 0xf2);
  if (!form.vex) noise(b, out);
  // their order is free, but the last of F2 and F3 counts
  if (out.length > 1 && r.chance(30)) out.reverse();
  for (const p of out) code.u8(p);
}

/** Prefixes that mean nothing here: a segment without memory, a repeat; and LOCK, which is then #UD. */
function noise(b: Builder, out: number[]): void {
  const { r, form } = b;
  if (form.rm === 'r' && !form.op.startsWith('maskmov') && r.chance(3)) out.push(r.pick(SEGMENT_PREFIX));
  if (r.chance(0.7) && !form.lock && !LOCK_MATTERS.has(form.op)) out.push(0xf0);
  // AMD's LOOPE and LOOPNE do mind them
  if (r.chance(1.5) && b.path.prefix < 0 && !form.rep && !form.op.startsWith('loop'))
    out.push(r.pick([0xf2, 0xf3]));
}

function needsRex(b: Builder, rexBits: number): boolean {
  return b.mode === 64 && (rexBits !== 0 || b.rex40);
}

/** The bits W R X B. */
function rexBits(b: Builder, a: Address): number {
  if (b.mode !== 64) return 0;
  const { form } = b;
  const base = form.rm === 'm' ? (a.base > 7 ? 1 : 0) : form.rm === 'r' ? b.rm >> 3 : b.reg >> 3;
  const x = a.index > 7 ? 2 : 0;
  const r = form.rm === 'none' ? 0 : (b.reg >> 3) << 2;
  return (form.w << 3) | r | x | base;
}

function opcode(b: Builder, a: Address, code: Code): void {
  const { form } = b;
  const rex = rexBits(b, a);
  if (form.vex) {
    const pp = Math.max(0, b.path.prefix);
    code.u8(0xc4);
    code.u8((((~rex & 4) << 5) | ((~rex & 2) << 5) | ((~rex & 1) << 5) | form.map) & 0xff);
    code.u8(((rex & 8) << 4) | ((~b.vvvv & 15) << 3) | pp);
  } else {
    if (needsRex(b, rex)) code.u8(0x40 | rex);
    if (form.map > 0) code.u8(0x0f);
    if (form.map > 1) code.u8(form.map === 2 ? 0x38 : 0x3a);
  }
  code.u8(form.opcode);
}

/** ModRM, SIB and displacement; answers where a RIP-relative displacement lies, or -1. */
function modrm(b: Builder, a: Address, code: Code): number {
  const reg = (b.reg & 7) << 3;
  if (b.form.rm === 'r') {
    code.u8(0xc0 | reg | (b.rm & 7));
    return -1;
  }
  if (a.size === 2) {
    modrm16(a, reg, code);
    return -1;
  }
  const mod = a.base < 0 ? 0 : [0, 0x40, 0, 0, 0x80][a.dispBytes]!;
  if (a.rip) {
    code.u8(reg | 5);
    code.le(0, 4);
    return code.bytes.length - 4;
  }
  const sib =
    a.index >= 0 || a.base < 0 ? b.mode === 64 || a.index >= 0 || b.r.chance(50) : (a.base & 7) === 4;
  code.u8(mod | reg | (sib ? 4 : a.base < 0 ? 5 : a.base & 7));
  if (sib) code.u8((a.scale << 6) | ((a.index < 0 ? 4 : a.index & 7) << 3) | (a.base < 0 ? 5 : a.base & 7));
  code.le(a.disp, a.dispBytes);
  return -1;
}

function modrm16(a: Address, reg: number, code: Code): void {
  const rm = [
    [3, 6],
    [3, 7],
    [5, 6],
    [5, 7],
    [6, -1],
    [7, -1],
    [5, -1],
    [3, -1],
  ].findIndex(([base, index]) => base === a.base && index === a.index);
  const mod = a.base < 0 ? 0 : a.dispBytes << 6;
  code.u8(mod | reg | (a.base < 0 ? 6 : rm));
  code.le(a.disp, a.dispBytes);
}

/** Bytes that an immediate operand takes. */
function immediateBytes(b: Builder, o: Operand): number {
  if (o.kind === K.rel) return o.registerSize === 1 ? 1 : b.form.size === 2 ? 2 : 4;
  if (o.kind === K.far) return b.form.size === 2 ? 4 : 6;
  switch (o.register) {
    case IMM.u16:
      return 2;
    case IMM.z:
      return Math.min(b.form.size, 4);
    case IMM.v:
      return b.form.size;
    default:
      return 1;
  }
}

/** An immediate that no preparation chose: often an edge. */
function fillImmediate(b: Builder, n: number): void {
  while (b.imm.length < n) {
    const v = b.edge(n >= 8 ? 64 : 8 * n);
    for (let i = 0; i < n && b.imm.length < n; i++) b.imm.push(Number((v >> BigInt(8 * i)) & 0xffn));
  }
}

/** Encodes the case and chooses what is left to choose: the address, immediates. */
export function emit(b: Builder): void {
  const { form, rec } = b;
  const offset = form.operands.some((o) => o.kind === K.moffs);
  const a = form.rm === 'm' ? chooseAddress(b) : offset ? chooseOffset(b) : { ...NO_ADDRESS, ...b.implicit };
  const code = new Code();
  legacyPrefixes(b, a, code);
  opcode(b, a, code);
  const ripAt = form.rm === 'none' ? -1 : modrm(b, a, code);
  if (offset) {
    const at = BigInt.asUintN(8 * a.size, b.target - b.segBase(segmentOf(a)));
    for (let i = 0; i < a.size; i++) code.u8(Number((at >> BigInt(8 * i)) & 0xffn));
  }
  const immediates = form.operands.filter((o) => o.kind === K.imm || o.kind === K.rel || o.kind === K.far);
  const size = immediates.reduce((sum, o) => sum + immediateBytes(b, o), 0);
  const end = b.start + code.bytes.length + size;
  if (b.branch >= 0) code.le(b.branch - end, size);
  else {
    fillImmediate(b, size);
    for (const v of b.imm.slice(0, size)) code.u8(v);
  }
  if (ripAt >= 0) {
    solveRip(b, a, end);
    for (let i = 0; i < 4; i++) code.bytes[ripAt + i] = (a.disp >> (8 * i)) & 0xff;
  }
  rec.bytes.set(code.bytes, AT.code);
  rec.setU32(AT.codeLength, code.bytes.length);
}
