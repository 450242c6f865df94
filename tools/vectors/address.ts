/** The address of a memory operand: a shape (base, index, displacement, segment), made to lead to the case's target. */
import type { Builder } from './builder.ts';
import { SEG } from './record.ts';

export interface Address {
  base: number;
  index: number;
  scale: number;
  /** Bytes of the displacement: 0, 1, 2, 4. */
  dispBytes: number;
  disp: number;
  rip: boolean;
  /** Bytes of the address. */
  size: number;
  /** Segment override, -1 for none. */
  seg: number;
}

const NONE = -1;
const OVERRIDES: Readonly<Record<number, readonly number[]>> = {
  64: [SEG.fs, SEG.gs, SEG.fs, SEG.gs, SEG.es, SEG.cs, SEG.ds, SEG.ss],
  32: [SEG.es, SEG.cs, SEG.ss, SEG.ds, SEG.fs, SEG.gs],
  16: [SEG.es, SEG.ss, SEG.ds, SEG.es, SEG.ss],
};

function free(b: Builder, reg: number): boolean {
  return ((b.avoid >> reg) & 1) === 0;
}

/** A register that may hold an address, or NONE. */
function pickRegister(b: Builder): number {
  for (let tries = 0; tries < 6; tries++) {
    const reg = b.r.below(b.mode === 64 ? 16 : 8);
    if (free(b, reg)) return reg;
  }
  return NONE;
}

const MASK: Readonly<Record<number, bigint>> = { 2: 0xffffn, 4: 0xffff_ffffn, 8: (1n << 64n) - 1n };

/** Sets the part of a register that an address of this size uses; the rest stays. */
function setPart(b: Builder, reg: number, size: number, value: bigint): void {
  const mask = MASK[size]!;
  b.rec.gpr[reg] = (b.gpr(reg) & ~mask) | (value & mask);
}

export function segmentOf(a: Address): number {
  if (a.seg !== NONE) return a.seg;
  return a.base === 4 || a.base === 5 ? SEG.ss : SEG.ds;
}

function sizeFor(b: Builder): number {
  if (b.mode === 64) return b.r.chance(7) ? 4 : 8;
  if (b.mode === 32) return b.r.chance(12) ? 2 : 4;
  return b.r.chance(30) ? 4 : 2;
}

const BASES_16 = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, NONE],
  [7, NONE],
  [5, NONE],
  [3, NONE],
] as const;

/** 16-bit addressing: one of eight pairs, or a bare displacement. */
function choose16(b: Builder, a: Address): void {
  const { r } = b;
  const [base, index] = r.pick(BASES_16);
  a.dispBytes = r.pick([0, 1, 2]);
  if (r.chance(10) || !free(b, base) || (index !== NONE && !free(b, index))) {
    a.dispBytes = 2;
    return;
  }
  a.base = base;
  a.index = index;
  if (base === 5 && index === NONE && a.dispBytes === 0) a.dispBytes = 1;
}

function chooseWide(b: Builder, a: Address): void {
  const { r } = b;
  const shape = r.below(20);
  if (shape === 0 && b.mode === 64) a.rip = true;
  else if (shape > 1) a.base = pickRegister(b);
  if (!a.rip && (shape >= 13 || shape === 1)) {
    a.index = pickRegister(b);
    a.scale = r.below(4);
    if (a.index === 4 || a.index === a.base) a.index = NONE;
  }
  a.dispBytes = a.base === NONE ? 4 : r.pick([0, 0, 1, 1, 4]);
  if ((a.base & 7) === 5 && a.dispBytes === 0) a.dispBytes = 1;
}

function chooseSegment(b: Builder, a: Address): void {
  // from a base in the lower half no canonical offset leads to the upper one
  if (b.target >> 47n !== 0n) return;
  if (b.r.chance(b.mode === 64 ? 8 : 16)) a.seg = b.r.pick(OVERRIDES[b.mode]!);
  // only FS is sure to lie where 64 KiB reach the target
  if (b.mode === 32 && a.size === 2) a.seg = SEG.fs;
}

/**
 * The offset that leads to the target. What the address's size or a displacement alone cannot reach is exchanged for
 * something in the window: elsewhere there may be something in the recorder's process.
 */
function reachable(b: Builder, a: Address): bigint {
  const mask = MASK[a.size]!;
  const base = b.segBase(segmentOf(a));
  const linear = (offset: bigint): bigint => BigInt.asUintN(b.mode === 64 ? 64 : 32, base + offset);
  const short = a.size === 8 && a.base === NONE;
  const reached = (): bigint => linear(short ? BigInt.asIntN(32, b.target - base) : (b.target - base) & mask);
  if (reached() !== b.target) b.target = b.chooseTarget(Math.max(1, b.bytes), b.align, false);
  const offset = (reached() - base) & mask;
  b.target = linear(offset);
  return offset;
}

/** Gives the address registers, or the displacement, values that lead to the target. */
function solve(b: Builder, a: Address): void {
  const { r } = b;
  const mask = MASK[a.size]!;
  const offset = reachable(b, a);
  if (a.dispBytes > 0)
    a.disp = a.dispBytes === 1 || r.chance(50) ? r.below(256) - 128 : (r.u32() | 0) >> r.below(20);
  if (a.dispBytes === 2) a.disp = (a.disp << 16) >> 16;
  let index = 0n;
  if (a.index !== NONE) {
    const value =
      a.base === NONE ? BigInt(r.below(4096)) : r.chance(50) ? BigInt(r.below(64)) : r.u64() >> 8n;
    setPart(b, a.index, a.size, value);
    if (a.base === NONE) b.rec.gpr[a.index] = value;
    index = (b.gpr(a.index) & mask) << BigInt(a.scale);
  }
  if (a.base !== NONE) return setPart(b, a.base, a.size, offset - index - BigInt(a.disp));
  const rest = (offset - index) & mask;
  a.disp = Number(BigInt.asIntN(a.size === 2 ? 16 : 32, rest));
}

/** A displacement counts from the end of the instruction, which the encoder knows. */
export function solveRip(b: Builder, a: Address, end: number): void {
  const base = b.segBase(segmentOf(a));
  const distance = (): bigint => BigInt.asIntN(64, b.target - base - BigInt(end));
  if (BigInt.asIntN(32, distance()) !== distance())
    b.target = b.chooseTarget(Math.max(1, b.bytes), b.align, false);
  a.disp = Number(BigInt.asIntN(32, distance()));
  const reached = BigInt(end + a.disp);
  const wrapped = a.size === 4 ? BigInt.asUintN(32, reached) : reached;
  b.target = BigInt.asUintN(64, wrapped + base);
}

export function chooseAddress(b: Builder): Address {
  const a: Address = {
    base: NONE,
    index: NONE,
    scale: 0,
    dispBytes: 4,
    disp: 0,
    rip: false,
    size: sizeFor(b),
    seg: NONE,
  };
  if (a.size === 2) choose16(b, a);
  else chooseWide(b, a);
  chooseSegment(b, a);
  if (!a.rip) solve(b, a);
  return a;
}

/** An address that is nothing but an offset in the code. */
export function chooseOffset(b: Builder): Address {
  const a: Address = {
    base: NONE,
    index: NONE,
    scale: 0,
    dispBytes: 0,
    disp: 0,
    rip: false,
    size: sizeFor(b),
    seg: NONE,
  };
  chooseSegment(b, a);
  return a;
}
