/** Branches, the stack, far transfers: where they go and what stack they find. */
import { K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { FLAG_MASK, SEG, SELECTOR } from './record.ts';

type Table = Partial<Record<OpName, (b: Builder) => void>>;

const RCX = 1;
const RSP = 4;
const RBP = 5;
/** IP of the INT3s around the snippet's 64 bytes, in its page. */
const PAGE = 4096;

/** Somewhere in the code's page that is INT3. */
function landing(b: Builder): number {
  const page = b.start & ~(PAGE - 1);
  const { r } = b;
  return r.chance(50) ? page + r.below(0x7f0) : page + 0x880 + r.below(0x700);
}

/** A destination as a register or memory holds it: INT3s mostly; also nothing, and what is no address. */
function destination(b: Builder): bigint {
  const { r, mode } = b;
  if (mode === 64 && r.chance(4)) return (1n << 47n) + r.u64() / 4n;
  if (mode !== 16 && r.chance(4)) return BigInt(0x3000_0000 + r.below(0x1000));
  return BigInt(landing(b));
}

/** A relative branch goes to INT3s near enough, or to the next instruction. */
function relative(b: Builder): void {
  const { r } = b;
  const rel = b.operand(K.rel);
  if (rel === undefined) return indirect(b);
  if (r.chance(5)) {
    // the end, which is known once the length is
    b.imm = [0, 0, 0, 0];
    return;
  }
  b.branch = rel.registerSize === 1 ? b.start - 1 - r.below(100) : landing(b);
  if (rel.registerSize !== 1 && b.mode !== 16 && r.chance(4)) b.branch = 0x3000_0000 + r.below(0x1000);
}

function indirect(b: Builder): void {
  const size = b.mode === 64 ? 8 : b.form.size;
  if (b.form.op === 'jmp' || b.form.op === 'call') b.setRm(size, destination(b));
}

/** Puts the stack pointer in the window, mostly aligned, with room on both sides; now and then where it faults. */
export function stack(b: Builder, below = 0, bad = true): void {
  const { r, rec } = b;
  const unit = b.mode === 64 ? 8 : b.form.size;
  let at = BigInt(rec.window + 64 + below + unit * r.below((b.windowLength - 160 - below) / 8));
  if (r.chance(8)) at += BigInt(r.below(8));
  if (bad && r.chance(5)) at = b.chooseTarget(unit);
  setPointer(b, RSP, at);
}
/** A pointer relative to SS's base; the upper part of a 16-bit one leads nowhere if taken seriously. */
function setPointer(b: Builder, reg: number, linear: bigint): void {
  const offset = linear - b.segBase(SEG.ss);
  const garbage = b.mode === 16 ? BigInt((b.r.chance(50) ? 0xf000 : 0) + b.r.below(0xff0)) << 16n : 0n;
  b.setGpr(reg, b.mode === 16 ? garbage | (offset & 0xffffn) : offset);
}
/** Linear address that the stack pointer leads to. */
function top(b: Builder): bigint {
  const offset = b.mode === 16 ? b.gpr(RSP) & 0xffffn : b.gpr(RSP);
  return offset + b.segBase(SEG.ss);
}
function pokeStack(b: Builder, size: number, values: readonly bigint[]): void {
  values.forEach((v, i) => {
    b.poke(top(b) + BigInt(i * size), size, v);
  });
}

const SELECTORS = [0, 1, 3, 0x10, 0x18, 0x20, 0x23, 0x28, 0x2b, 0x2a, 0x30, 0x33, 0x38, 0x3b, 0x1000, 0xfffb];
const LDT_SELECTORS = [0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x0d];
/** Any selector: the tables' descriptors, and beyond. */
export function selector(b: Builder): number {
  return b.r.chance(30) ? b.r.pick(LDT_SELECTORS) : b.r.pick(SELECTORS);
}

/** CS and IP of a far transfer. */
function farPointer(b: Builder): { ip: bigint; cs: number } {
  const { r } = b;
  const cs = r.chance(22) ? selector(b) : r.pick([SELECTOR.code64, SELECTOR.code32, SELECTOR.code16]);
  const ip = landing(b) & (PAGE - 1);
  // now and then beyond the segment's end
  const near = (cs === SELECTOR.code16) !== r.chance(3);
  return { ip: BigInt(near ? ip : 0x2000_0000 + ip), cs };
}

function farMemory(b: Builder): void {
  const { ip, cs } = farPointer(b);
  const { size } = b.form;
  b.poke(b.target, size, ip);
  b.poke(b.target + BigInt(size), 2, BigInt(cs));
  if (b.form.op === 'callf') stack(b);
}
function farImmediate(b: Builder): void {
  if (b.operand(K.far) === undefined) return farMemory(b);
  const { ip, cs } = farPointer(b);
  const bytes = b.form.size === 2 ? 2 : 4;
  b.imm = [
    ...Array.from({ length: bytes }, (_, i) => Number((ip >> BigInt(8 * i)) & 0xffn)),
    cs & 255,
    cs >> 8,
  ];
  if (b.form.op === 'callf') stack(b);
}

function farReturn(b: Builder): void {
  stack(b);
  const { ip, cs } = farPointer(b);
  pokeStack(b, b.form.size, [ip, BigInt(cs)]);
  if (b.operand(K.imm)) b.imm = [b.r.below(48), 0];
}

const TF = 0x100;
/** Flags as POPF or IRET may find them: anything but single-stepping and virtual-8086 mode. */
function flagsImage(b: Builder): bigint {
  const any = b.r.u32() & ~TF & ~0x2_0000;
  return BigInt((b.r.chance(30) ? any : any & FLAG_MASK) >>> 0) & ~0x4_0000n;
}

function interruptReturn(b: Builder): void {
  stack(b);
  const { ip, cs } = farPointer(b);
  const flags = flagsImage(b) & ~0x1_0000n;
  const ss = b.r.chance(85) ? SELECTOR.data : selector(b);
  pokeStack(b, b.form.size, [ip, BigInt(cs), flags, BigInt(b.rec.window + 128), BigInt(ss)]);
  if (b.r.chance(90)) b.flags &= ~0x4000;
}

/** Loops and JRCXZ look at the count. */
function counted(b: Builder): void {
  relative(b);
  const count = b.r.chance(40) ? BigInt(b.r.below(3)) : b.edge(b.mode);
  b.setGpr(RCX, b.r.chance(10) ? count | (b.gpr(RCX) & ~0xffffn) : count);
  if (b.r.chance(10)) b.implicit = { size: b.mode === 64 ? 4 : b.mode === 32 ? 2 : 4 };
}

function enter(b: Builder): void {
  stack(b, 48);
  const { r } = b;
  const level = r.chance(60) ? 0 : r.below(r.chance(80) ? 6 : 256);
  setPointer(b, RBP, BigInt(b.rec.window + 64 + 8 * r.below(8)));
  b.imm = [r.below(64), r.chance(90) ? 0 : r.below(256), level];
}

function pushSegment(b: Builder): void {
  stack(b);
  if (b.form.op === 'pop' && b.operand(K.fixedSreg)) pokeStack(b, 2, [BigInt(selector(b))]);
}

/** POP to memory through the stack pointer computes the address after the increment. */
function pushPop(b: Builder): void {
  pushSegment(b);
  if (b.form.rm === 'm' && b.r.chance(15)) b.avoid &= ~(1 << RSP);
}

export const FLOW: Table = {
  jcc: relative,
  jmp: relative,
  call: (b) => {
    stack(b);
    relative(b);
  },
  ret: (b) => {
    stack(b);
    pokeStack(b, b.form.size, [destination(b)]);
    if (b.operand(K.imm)) b.imm = [b.r.below(48), 0];
  },
  retf: farReturn,
  iret: interruptReturn,
  callf: farImmediate,
  jmpf: farImmediate,
  loop: counted,
  loope: counted,
  loopne: counted,
  jrcxz: counted,
  push: pushPop,
  pop: pushPop,
  pushf: (b) => stack(b),
  popf: (b) => {
    stack(b);
    pokeStack(b, b.form.size, [flagsImage(b)]);
  },
  pusha: (b) => stack(b, 32),
  popa: (b) => stack(b),
  enter,
  leave: (b) => {
    const at = b.r.chance(90) ? BigInt(b.rec.window + 32 + 8 * b.r.below(20)) : b.chooseTarget(8);
    setPointer(b, RBP, at);
  },
};
