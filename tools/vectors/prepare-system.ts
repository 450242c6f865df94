/** Segment registers, saved state, and the system's instructions that ring 3 may use or must not. */
import { K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { putExtended } from './edges-80.ts';
import { selector } from './prepare-flow.ts';
import { FX } from './record.ts';

type Table = Partial<Record<OpName, (b: Builder) => void>>;

const RAX = 0;
const RCX = 1;
const RDX = 2;

/** A selector in the r/m operand: anything now and then, but for LSL, since one of Linux's limits is the CPU's number. */
function selectorOperand(b: Builder): void {
  if (b.r.chance(95) || b.form.op === 'lsl')
    b.setRm(2, (b.form.rm === 'r' ? b.gpr(b.rm) & ~0xffffn : 0n) | BigInt(selector(b)));
}

function farLoad(b: Builder): void {
  b.poke(b.target + BigInt(b.form.size), 2, BigInt(selector(b)));
}

/** Mostly without reserved bits. */
function mxcsrOperand(b: Builder): void {
  b.poke(b.target, 4, BigInt(b.r.chance(90) ? b.r.u32() & 0xffff : b.r.u32()));
}

/** A legacy image at the target that is mostly valid. */
function image(b: Builder): number {
  const { r, rec } = b;
  const at = b.inWindow(b.target, 512);
  if (at < 0) return at;
  for (let n = 0; n < 8; n++) putExtended(r, rec.view, at + FX.st + 16 * n);
  const masks = r.chance(80) ? 0x3f : r.below(64);
  rec.view.setUint16(at + FX.fcw, 0x40 | masks | (r.below(16) << 8), true);
  if (r.chance(70)) rec.view.setUint16(at + FX.fsw, (r.u32() & 0x7f00) | (r.below(64) & masks), true);
  rec.view.setUint32(at + FX.mxcsr, r.chance(94) ? r.u32() & 0xffff : r.u32(), true);
  return at;
}

const HEADER = 512;
/** An XSAVE area: the header says which parts it has; now and then what it must not. */
function savedArea(b: Builder): void {
  const { r, rec } = b;
  requested(b);
  const at = b.inWindow(b.target, 576);
  if (image(b) < 0 || at < 0) return;
  rec.bytes.fill(0, at + HEADER, at + HEADER + 64);
  rec.bytes[at + HEADER] = r.below(4);
  // MPX, which no CPU has that these are compared with; XCOMP_BV; reserved bytes
  if (r.chance(5)) rec.bytes[at + HEADER] = 8;
  if (r.chance(4)) rec.bytes[at + HEADER + 8] = 1;
  if (r.chance(4)) rec.bytes[at + HEADER + 16] = 1;
}

/** x87 and SSE only: what else a CPU may have, this one does not. */
function requested(b: Builder): void {
  b.setGpr(RAX, BigInt(b.r.below(4)));
  b.setGpr(RDX, 0n);
  const bytes = 576;
  b.target = b.chooseTarget(bytes, 64);
}

function segmentBase(b: Builder): void {
  if (b.form.size === 8 && b.r.chance(80)) b.setGpr(b.rm, BigInt.asUintN(64, BigInt.asIntN(48, b.r.u64())));
}

/** Not Linux's own gate. */
function software(b: Builder): void {
  const n = b.r.chance(40) ? b.r.pick([3, 4, 0, 1, 14]) : b.r.below(256);
  b.imm = [n === 0x80 ? 0x81 : n];
}

export const SYSTEM: Table = {
  mov_sreg: (b) => {
    if (b.form.operands[0]!.kind === K.sregReg) selectorOperand(b);
  },
  lar: selectorOperand,
  lsl: selectorOperand,
  verr: selectorOperand,
  verw: selectorOperand,
  arpl: selectorOperand,
  les: farLoad,
  lds: farLoad,
  lss: farLoad,
  lfs: farLoad,
  lgs: farLoad,
  ldmxcsr: mxcsrOperand,
  fxrstor: (b) => void image(b),
  xrstor: savedArea,
  xrstors: savedArea,
  xsave: requested,
  xsavec: requested,
  xsaveopt: requested,
  xsaves: requested,
  wrfsbase: segmentBase,
  wrgsbase: segmentBase,
  int: software,
  // no such register, whoever asks
  xgetbv: (b) => b.setGpr(RCX, BigInt(2 + b.r.below(1000))),
  rdpkru: (b) => b.setGpr(RCX, b.r.chance(60) ? 0n : b.edge(32)),
  clzero: (b) => {
    b.target = b.chooseTarget(64);
    b.setGpr(RAX, b.target);
  },
};
