/** MMX: registers are the low 64 bits of the physical x87 registers. @spec SDM 1 9 */
import { type Insn, OPK, type Operand } from '../../../x86/insn.ts';
import { type OpName, OP as X } from '../../../x86/ops.ts';
import { cpuState } from '../../cpu-state.ts';
import { CR0_EM, CR0_TS } from '../../mmu.ts';
import type { Core } from '../core.ts';
import { checkSse } from '../fpu.ts';
import { checkAligned, checkLimit } from '../limits.ts';
import { EXC } from '../registers.ts';
import { fromFloat, fromInteger, toFloat, toInteger } from './convert.ts';
import { Context, type F80, zero } from './float80.ts';
import { align, BINARY_MMX, shuffleWords, signBits } from './lanes.ts';
import { checkPending } from './unit.ts';

type Run = (c: Core, i: Insn) => void;

function checkMmx(c: Core): void {
  const cr0 = c.get32(cpuState.cr0);
  if (cr0 & CR0_EM) c.ud();
  if (cr0 & CR0_TS) c.fault(EXC.NM);
  checkPending(c);
}
/** MMX instructions leave TOP 0 and all registers in use (none after EMMS). */
function transition(c: Core): void {
  c.m.setU16(c.cpu + cpuState.fsw.offset, c.m.u16(c.cpu + cpuState.fsw.offset) & ~0x3800);
  c.m.setU8(c.cpu + cpuState.ftw.offset, 0xff);
}

const xmmAt = (c: Core, reg: number): number => cpuState.xmm.addr(c.cpu) + 16 * reg;

/** An operand's value: memory, the low bits of a general register, an MMX register or the low half of an XMM one. */
function source(c: Core, i: Insn, o: Operand): bigint {
  if (o.kind === OPK.mm) return c.m.u64(cpuState.fpr.addr(c.cpu) + 16 * o.reg);
  if (o.kind === OPK.xmm) return c.m.u64(xmmAt(c, o.reg));
  return c.operand(i, o);
}
function setMm(c: Core, o: Operand, v: bigint): void {
  const at = cpuState.fpr.addr(c.cpu) + 16 * o.reg;
  c.m.setU64(at, v);
  c.m.setU16(at + 8, 0xffff);
}

function move(c: Core, i: Insn): void {
  const [d, s] = i.operands;
  const v = source(c, i, s);
  if (d.kind === OPK.mm) setMm(c, d, v);
  else if (d.kind === OPK.xmm) {
    c.m.setU64(xmmAt(c, d.reg), v);
    c.m.setU64(xmmAt(c, d.reg) + 8, 0n);
  } else c.setOperand(i, d, d.size, v);
}

/** Bytes of the first register whose byte in the second has its sign set, to DS:rDI. */
function maskedMove(c: Core, i: Insn): void {
  const [d, s] = i.operands;
  const v = source(c, i, d);
  const mask = signBits(source(c, i, s));
  const base = BigInt(c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(i.seg) }));
  const offset = BigInt.asUintN(8 * i.addrSize, c.gpr(7));
  const at = c.linearOf(offset + base, i.seg);
  // AMD's CPUs have to be able to write all of it, whatever the mask says
  checkLimit(c, i.seg, Number(offset), 8, true);
  c.probeWrite(at, 8);
  for (let k = 0; k < 8; k++) if ((mask >> k) & 1) c.write(at + k, 1, (v >> BigInt(8 * k)) & 255n);
}

function insertWord(c: Core, i: Insn): void {
  const [d, s] = i.operands;
  const at = BigInt((i.imm & 3) * 16);
  const word = BigInt.asUintN(16, s.kind === OPK.mem ? c.operand(i, s, 2) : c.gpr(s.reg));
  setMm(c, d, (source(c, i, d) & ~(0xffffn << at)) | (word << at));
}

const MOVES: Partial<Record<OpName, Run>> = {
  movd: move,
  movq: move,
  movntq: move,
  movq2dq: move,
  movdq2q: move,
  maskmovq: maskedMove,
  pmovmskb: (c, i) => c.setGpr32(i.operands[0].reg, signBits(source(c, i, i.operands[1]))),
  pextrw: (c, i) => {
    const [d, s] = i.operands;
    c.setGpr32(d.reg, Number((source(c, i, s) >> BigInt((i.imm & 3) * 16)) & 0xffffn));
  },
  pinsrw: insertWord,
  pshufw: (c, i) => setMm(c, i.operands[0], shuffleWords(source(c, i, i.operands[1]), i.imm)),
  palignr: (c, i) => {
    const [d, s] = i.operands;
    setMm(c, d, align(source(c, i, d), source(c, i, s), i.imm & 255));
  },
};

/** Runs a conversion with MXCSR's rounding and masks (its flags lie as the status word's do); #XM if it must. */
function convert(c: Core, f: (x: Context) => bigint): bigint {
  const mxcsr = c.get32(cpuState.mxcsr);
  const x = new Context();
  x.begin((mxcsr >> 13) & 3, 64, (mxcsr >> 7) & 0x3f);
  const v = f(x);
  // exceptions of the operands come before those of results, whichever half they are in
  c.set32(cpuState.mxcsr, mxcsr | (x.unmasked(7) ? x.flags & 7 : x.flags));
  if (x.unmasked(0x3f)) c.fault(c.get32(cpuState.cr4) & 0x400 ? EXC.XM : EXC.UD);
  return v;
}
/** Two numbers of `bytes` bytes at the source. */
function floats(c: Core, i: Insn, o: Operand, bytes: number): [bigint, bigint] {
  if (o.kind === OPK.xmm) {
    for (let k = 0; k < 16; k++) c.buf.setUint8(k, c.m.u8(xmmAt(c, o.reg) + k));
  } else {
    if (bytes === 8) checkAligned(c, i, 16);
    c.load(c.ea(i), 2 * bytes);
  }
  return [c.take(bytes), c.take(bytes, bytes)];
}
function toIntegers(c: Core, i: Insn, bytes: 4 | 8, truncate: boolean): void {
  const [d, s] = i.operands;
  const [low, high] = floats(c, i, s, bytes);
  const v = convert(c, (x) => {
    const one = (bits: bigint): bigint => toInteger(x, asRead(c, bits, bytes), 4, truncate);
    return one(low) | (one(high) << 32n);
  });
  setMm(c, d, v);
}
/** Denormals are zeros under MXCSR.DAZ. */
function asRead(c: Core, bits: bigint, bytes: 4 | 8): F80 {
  const { value, denormal } = fromFloat(bits, bytes);
  return denormal && c.get32(cpuState.mxcsr) & 0x40 ? zero(value.sign) : value;
}
function fromIntegers(c: Core, i: Insn, bytes: 4 | 8): void {
  const [d, s] = i.operands;
  const v = source(c, i, s);
  const at = xmmAt(c, d.reg);
  const bits = 8n * BigInt(bytes);
  const both = convert(c, (x) => {
    const one = (n: bigint): bigint => toFloat(x, fromInteger(BigInt.asIntN(32, n)), bytes) ?? 0n;
    return one(v) | (one(v >> 32n) << bits);
  });
  c.m.setU64(at, both & 0xffff_ffff_ffff_ffffn);
  if (bytes === 8) c.m.setU64(at + 8, both >> 64n);
}
const CONVERSIONS: Partial<Record<OpName, Run>> = {
  cvtpi2ps: (c, i) => fromIntegers(c, i, 4),
  cvtpi2pd: (c, i) => fromIntegers(c, i, 8),
  cvtps2pi: (c, i) => toIntegers(c, i, 4, false),
  cvttps2pi: (c, i) => toIntegers(c, i, 4, true),
  cvtpd2pi: (c, i) => toIntegers(c, i, 8, false),
  cvttpd2pi: (c, i) => toIntegers(c, i, 8, true),
};

/** MMX forms by operation: those with an MMX operand. */
const table = new Map<number, Run>();
for (const [name, f] of Object.entries(BINARY_MMX)) {
  table.set(X[name as OpName], (c, i) => {
    const [d, s] = i.operands;
    setMm(c, d, f(source(c, i, d), source(c, i, s)));
  });
}
for (const [name, run] of Object.entries(MOVES)) table.set(X[name as OpName], run);
/** Conversions check for SSE even where they have no XMM operand. */
const conversions = new Map(Object.entries(CONVERSIONS).map(([name, run]) => [X[name as OpName], run]));

/** Runs an instruction on MMX registers; false: it is none. */
export function runMmx(c: Core, i: Insn): boolean {
  const mm = i.operands[0].kind === OPK.mm || i.operands[1].kind === OPK.mm;
  const conversion = conversions.get(i.op);
  const run = conversion ?? (mm ? table.get(i.op) : undefined);
  if (!run) return false;
  if (conversion) checkSse(c);
  if (mm) checkMmx(c);
  run(c, i);
  if (mm) transition(c);
  return true;
}

export function emms(c: Core): void {
  checkMmx(c);
  transition(c);
  c.m.setU8(c.cpu + cpuState.ftw.offset, 0);
}
