/** Builds one test case: chooses registers, an address and values for a form, and encodes it. */
import {
  type Encoding,
  encode,
  type MemOperand,
  type Operands,
  parseEncoding,
  SIZE_BYTES,
  type SizeLetter,
} from './encode.ts';
import type { Form } from './form.ts';
import { CODE_BASE, FLAG_MASK, MEM_BASE, MEM_SIZE, type State } from './format.ts';
import { prepare } from './prepare.ts';
import { edgeInt, edgeVector, type Random } from './random.ts';

export interface Build {
  r: Random;
  form: Form;
  enc: Encoding;
  /** Bytes of the operand size, and of the r/m operand. */
  bytes: number;
  rmBytes: number;
  ops: Operands;
  state: State;
  /** Where the memory operand lies, when there is one; a preparation may move it. */
  target: bigint;
  /** Bytes after the encoding: displacements, and instructions a jump may skip. */
  tail: number[];
  /** The code's length is known from here on (the second round of a preparation). */
  end: bigint;
}

export type OperandKind = 'reg' | 'mem' | 'lock' | 'none';

const mask = (bytes: number): bigint => (1n << BigInt(bytes * 8)) - 1n;

/** Writes a little-endian value into the memory window, as far as it lies inside. */
export function poke(s: State, address: bigint, bytes: number, value: bigint): void {
  for (let i = 0; i < bytes; i++) {
    const at = Number(address) + i - MEM_BASE;
    if (at >= 0 && at < MEM_SIZE) s.mem[at] = Number((value >> BigInt(i * 8)) & 0xffn);
  }
}

/** An address in the window for `bytes` bytes; now and then across the two pages, off the end, or nowhere. */
export function chooseAddress(r: Random, bytes: number, align: boolean): bigint {
  const base = BigInt(MEM_BASE);
  const inside = BigInt(64 + r.below(MEM_SIZE - 192));
  if (r.chance(1)) return 0x8000_0000_0000_0000n + r.u64() / 4n;
  if (r.chance(3)) return base + BigInt(MEM_SIZE - r.below(bytes + 1));
  if (r.chance(1)) return base - 1n - BigInt(r.below(bytes));
  if (align && r.chance(92)) return base + (inside & ~15n);
  if (r.chance(8)) return base + BigInt(MEM_SIZE / 2 - r.below(bytes + 1));
  return base + inside;
}

/** A value for a general register: the low part an edge of `bytes`, the rest anything. */
export function edgeRegister(r: Random, bytes: number): bigint {
  if (bytes === 8 || r.chance(20)) return edgeInt(r, 64);
  return (r.u64() & ~mask(bytes)) | edgeInt(r, bytes * 8);
}

/** Byte registers 4-7 without REX are the second bytes of 0-3. */
export function setRegister(b: Build, reg: number, bytes: number, value: bigint): void {
  const high = bytes === 1 && reg >= 4 && reg < 8 && !hasRex(b.ops);
  if (!high) b.state.gpr[reg] = value;
  else b.state.gpr[reg - 4] = (value & ~0xffffn) | ((value & 0xffn) << 8n) | (b.r.u64() & 0xffn);
}

function hasRex(o: Operands): boolean {
  const high = typeof o.rm === 'number' ? o.rm >= 8 : o.rm.base >= 8 || o.rm.index >= 8;
  return o.rex || o.reg >= 8 || high;
}

function chooseMem(r: Random, allow32: boolean): MemOperand {
  const m: MemOperand = { base: r.below(16), index: -1, scale: 0, disp: 0, rip: false, addr32: false };
  const shape = r.below(20);
  if (shape >= 8) m.disp = r.chance(70) ? r.below(256) - 128 : r.below(0x100000) - 0x80000;
  if (shape >= 12 || shape === 7) {
    m.index = r.pick([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    m.scale = r.below(4);
  }
  if (shape === 17) m.base = -1;
  if (shape === 18) {
    m.base = m.index = -1;
    m.scale = 0;
  }
  if (shape === 19) {
    m.base = m.index = -1;
    m.rip = true;
  }
  if (m.index === m.base) m.index = -1;
  m.addr32 = allow32 && shape >= 8 && shape < 17 && r.chance(12);
  return m;
}

/** Gives the address registers values (or the displacement one) such that the operand lies at `target`. */
function solveMem(b: Build, m: MemOperand): void {
  const { r, state } = b;
  const width = m.addr32 ? 0xffff_ffffn : mask(8);
  let index = 0n;
  if (m.index >= 0) {
    const value = m.base < 0 ? BigInt(r.below(4096)) : r.chance(50) ? BigInt(r.below(64)) : r.u64() >> 8n;
    state.gpr[m.index] = value;
    index = value << BigInt(m.scale);
  }
  if (m.base >= 0) {
    const base = (b.target - index - BigInt(m.disp)) & width;
    state.gpr[m.base] = m.addr32 ? base | (r.u64() & ~width) : base;
    return;
  }
  if (b.target >> 31n !== 0n) b.target = BigInt(MEM_BASE) + 0x100n;
  m.disp = Number(m.rip ? b.target - b.end : b.target - index);
}

function fillOperands(b: Build, kind: OperandKind): void {
  const { r, form, enc, ops, state } = b;
  const lane = form.lane ?? 'i32';
  const files = form.files ?? 'gg';
  if (enc.modrm === 'reg') {
    if (files[0] === 'x') state.xmm.set(edgeVector(r, lane), ops.reg * 16);
    else setRegister(b, ops.reg, b.bytes, edgeRegister(r, b.bytes));
  }
  if (kind === 'reg' && typeof ops.rm === 'number') {
    if (files[1] === 'x') {
      if (ops.rm !== ops.reg || r.chance(50)) state.xmm.set(edgeVector(r, lane), ops.rm * 16);
    } else setRegister(b, ops.rm, b.rmBytes, edgeRegister(r, b.rmBytes));
  }
  if (enc.vex === 'vex') setRegister(b, ops.vvvv, b.bytes, edgeRegister(r, b.bytes));
  for (const reg of form.named ?? []) state.gpr[reg] = edgeRegister(r, b.bytes);
  if (kind === 'mem' || kind === 'lock') {
    if (files[1] === 'x') {
      const at = Number(b.target) - MEM_BASE;
      if (at >= 0 && at <= MEM_SIZE - b.rmBytes)
        state.mem.set(edgeVector(r, lane).subarray(0, b.rmBytes), at);
    } else poke(state, b.target, b.rmBytes, edgeInt(r, b.rmBytes * 8));
  }
}

/** 1f80 with a rounding mode, sometimes DAZ, FTZ, sticky flags or an unmasked exception. */
function chooseMxcsr(r: Random): number {
  let v = 0x1f80;
  if (r.chance(50)) v |= r.below(4) << 13;
  if (r.chance(10)) v |= 0x8000;
  if (r.chance(10)) v |= 0x40;
  if (r.chance(10)) v |= r.below(64);
  if (r.chance(4)) v &= ~(0x80 << r.below(6));
  return v;
}

function newState(background: State): State {
  const { gpr, xmm, mem } = background;
  return { ...background, gpr: gpr.slice(), xmm: xmm.slice(), mem: mem.slice() };
}

function chooseImmediate(r: Random, form: Form, enc: Encoding, bytes: number): bigint {
  const range = form.immRange;
  if (range !== undefined) return BigInt(range[0] + r.below(range[1] - range[0]));
  if (enc.imm === 'ib') return form.files === undefined ? edgeInt(r, 8) : BigInt(r.below(256));
  return edgeInt(r, bytes === 2 ? 16 : enc.imm === 'iv' && bytes === 8 ? 64 : 32);
}

function start(r: Random, form: Form, size: SizeLetter, kind: OperandKind, background: State): Build {
  const enc = parseEncoding(form.enc);
  const state = newState(background);
  state.flags = r.u32() & FLAG_MASK & ~(r.chance(92) ? 0x400 : 0);
  if (form.rounds) state.mxcsr = chooseMxcsr(r);
  const bytes = SIZE_BYTES[size];
  const isMem = kind === 'mem' || kind === 'lock';
  const ops: Operands = {
    size,
    sizePrefixes: !form.fixed && !(form.def64 && size === 'q'),
    reg: r.below(16),
    rm: isMem ? chooseMem(r, true) : r.below(enc.modrm === 'none' && !enc.plusReg ? 1 : 16),
    vvvv: enc.vex === 'vex' ? r.below(16) : 0,
    rex: r.chance(enc.modrm === 'none' && !enc.plusReg ? 3 : 12),
    legacy: [...(form.legacy ?? [])],
    imm: chooseImmediate(r, form, enc, bytes),
  };
  if (enc.modrm !== 'reg') ops.reg = 0;
  if (kind === 'lock' || (kind === 'reg' && form.lock && r.chance(3))) ops.legacy.push(0xf0);
  const rmBytes = form.src ?? (form.files?.[1] === 'x' ? 16 : bytes);
  const target = chooseAddress(r, rmBytes, form.align ?? false);
  return { r, form, enc, bytes, rmBytes, ops, state, target, tail: [], end: 0n };
}

/** The count a shift form uses, masked as the CPU does. */
export function shiftCount(b: Build): number {
  const wide = b.bytes === 8 ? 63n : 31n;
  if (b.enc.imm === 'ib') return Number(b.ops.imm & wide);
  const byOne = b.enc.opcode.length === 1 && (b.enc.opcode[0]! & 0xfe) === 0xd0;
  return byOne ? 1 : Number(b.state.gpr[1]! & wide);
}

export interface Case {
  name: string;
  code: Uint8Array;
  state: State;
  undefinedFlags: number;
}

export function buildCase(
  r: Random,
  form: Form,
  size: SizeLetter,
  kind: OperandKind,
  background: State,
): Case {
  const b = start(r, form, size, kind, background);
  fillOperands(b, kind);
  prepare(b, kind);
  const mem = typeof b.ops.rm === 'number' ? undefined : b.ops.rm;
  if (mem?.rip) mem.disp = 0;
  const length = encode(b.enc, b.ops).length + b.tail.length;
  b.end = BigInt(CODE_BASE + length);
  if (mem !== undefined) solveMem(b, mem);
  finishTargets(b, kind);
  const code = Uint8Array.from([...encode(b.enc, b.ops), ...b.tail]);
  const undef = form.undef ?? 0;
  const undefinedFlags = typeof undef === 'number' ? undef : undef(shiftCount(b), b.bytes * 8);
  const bits = form.fixed ? '' : ` /${b.bytes * 8}`;
  return {
    name: `${form.name}${bits}${kind === 'none' ? '' : ` ${kind}`}`,
    code,
    state: b.state,
    undefinedFlags,
  };
}

/** Control transfers that go through a register or memory: their target is the end of the code. */
function finishTargets(b: Build, kind: OperandKind): void {
  if (b.form.prep === 'ret') poke(b.state, b.state.gpr[4]!, 8, b.end);
  if (b.form.prep !== 'callIndirect') return;
  if (kind === 'mem') poke(b.state, b.target, 8, b.end);
  else b.state.gpr[b.ops.rm as number] = b.end;
}
