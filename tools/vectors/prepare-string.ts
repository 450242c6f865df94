/** String instructions: pointers and counts that stay in the window, and bytes that make comparisons go on for a while. */
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { AT, SEG } from './record.ts';

type Table = Partial<Record<OpName, (b: Builder) => void>>;

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const DF = 0x400;

const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

/** Sets the part of a register that the address size uses; above it, anything. */
function setAddress(b: Builder, reg: number, value: bigint, bits: number): void {
  const part = mask(bits);
  b.setGpr(reg, (b.r.u64() & ~part) | (value & part));
}

/** An element in the window with `room` bytes in the direction of travel; now and then the end of what is mapped. */
function place(b: Builder, bytes: number, room: number, writes: boolean): bigint {
  const { r, rec } = b;
  if (!writes && r.chance(3)) return b.chooseTarget(bytes);
  const free = rec.windowLength - room;
  const offset = r.below(Math.max(1, free));
  const down = (b.flags & DF) !== 0;
  return BigInt(rec.window + offset + (down ? room - bytes : 0));
}

/** Lets the case run into the unmapped page behind the window, upwards. */
function overrun(b: Builder, bytes: number): bigint {
  b.flags &= ~DF;
  return BigInt(b.rec.window + b.rec.windowLength - bytes * b.r.below(6) - b.r.below(bytes + 1));
}

/** Few different bytes, so that equal ones follow each other. */
function plain(b: Builder): void {
  const { r, rec } = b;
  const filler = r.pick([0, 0x20, 0xff, 0x41]);
  for (let i = 0; i < rec.windowLength; i++) if (!r.chance(4)) rec.bytes[AT.mem + i] = filler;
  if (r.chance(60)) b.rec.gpr[RAX] = (b.gpr(RAX) & ~0xffn) | BigInt(filler);
  if (r.chance(40))
    b.rec.gpr[RAX] = BigInt.asUintN(b.mode === 64 ? 64 : 32, BigInt(filler) * 0x0101_0101_0101_0101n);
}

function addressing(b: Builder): number {
  const natural = b.mode === 64 ? 8 : b.mode / 8;
  const other = b.mode === 64 ? 4 : b.mode === 32 ? 2 : 4;
  // 16 bits in 32-bit code do not reach the window
  const size = b.mode !== 32 && b.r.chance(10) ? other : natural;
  b.implicit = { size };
  return size * 8;
}

function string(b: Builder, reads: boolean, writes: boolean, usesDestination: boolean): void {
  const { r, form } = b;
  const bytes = form.size;
  const bits = addressing(b);
  b.flags = r.chance(35) ? b.flags | DF : b.flags & ~DF;
  if (form.op === 'cmps' || form.op === 'scas') {
    if (r.chance(70)) plain(b);
  }
  const most = Math.min(20, Math.floor(b.windowLength / bytes / 2));
  const count = form.rep === 0 || r.chance(10) ? r.below(2) : r.below(most);
  if (form.rep !== 0) setAddress(b, RCX, BigInt(count), bits);
  const room = Math.max(1, form.rep === 0 ? 1 : count) * bytes;
  if (reads && r.chance(8)) b.implicit.seg = b.r.pick(b.mode === 64 ? [SEG.fs, SEG.gs] : [SEG.ss, SEG.es]);
  const last = b.rec.window + b.rec.windowLength === 0x1000_2000 && r.chance(25);
  if (reads) {
    const at = place(b, bytes, room, false);
    // from a base in the lower half no canonical offset leads to the upper one
    if (at >> 47n !== 0n) b.implicit = { size: bits / 8 };
    setAddress(b, RSI, at - b.segBase(b.implicit.seg ?? SEG.ds), bits);
  }
  if (usesDestination) {
    const at = last ? overrun(b, bytes) : place(b, bytes, room, writes);
    setAddress(b, RDI, at - b.segBase(SEG.es), bits);
  }
  b.target = 0n;
}

/** Masked stores go to DI. */
function masked(b: Builder): void {
  const bits = addressing(b);
  b.target = b.chooseTarget(b.form.op === 'maskmovq' ? 8 : 16);
  setAddress(b, RDI, b.target - b.segBase(SEG.ds), bits);
}

export const STRING: Table = {
  movs: (b) => string(b, true, true, true),
  cmps: (b) => string(b, true, false, true),
  stos: (b) => string(b, false, true, true),
  lods: (b) => string(b, true, false, false),
  scas: (b) => string(b, false, false, true),
  ins: (b) => string(b, false, true, true),
  outs: (b) => string(b, true, false, false),
  maskmovdqu: masked,
  maskmovq: masked,
};
