/** Shapes the operands of those forms for which random ones would mostly be dull or fault. */
import { type Build, chooseAddress, edgeRegister, type OperandKind, poke, setRegister } from './build.ts';
import type { Prep } from './form.ts';
import { MEM_BASE, MEM_SIZE } from './format.ts';
import { edgeInt, edgeVector } from './random.ts';

/** lea 1(%rbx), %rbx: shows whether a jump was taken and leaves the flags alone. */
const SKIPPED = [0x48, 0x8d, 0x5b, 0x01];

function shiftOperands(b: Build, limit: number): void {
  const { r } = b;
  const bits = b.bytes * 8;
  const count = (): bigint => {
    if (r.chance(50)) return BigInt(r.pick([0, 1, 2, 7, 8, 9, bits - 1, bits, bits + 1, 31, 32, 33, 63, 64]));
    return BigInt(r.below(r.chance(80) ? bits + 2 : 256));
  };
  let value = count();
  while (limit > 0 && Number(value & (b.bytes === 8 ? 63n : 31n)) > limit) value = count();
  b.ops.imm = value;
  if (b.enc.imm !== '') return;
  /* The count's register must not be an address register or the destination, or the count would be lost. */
  b.state.gpr[1] = (r.u64() & ~0xffn) | value;
  if (typeof b.ops.rm !== 'number') {
    if (b.ops.rm.base === 1) b.ops.rm.base = 3;
    if (b.ops.rm.index === 1) b.ops.rm.index = -1;
  }
}

function divideOperands(b: Build, kind: OperandKind): void {
  const { r, state } = b;
  const n = BigInt(b.bytes * 8);
  const all = (1n << n) - 1n;
  const signed = b.enc.modrm === 7;
  if (r.chance(20)) return;
  let divisor = edgeInt(r, b.bytes * 8) || 3n;
  let quotient = edgeInt(r, b.bytes * 8);
  if (signed) {
    divisor = BigInt.asIntN(Number(n), divisor);
    quotient = BigInt.asIntN(Number(n), quotient);
  }
  const size = divisor < 0n ? -divisor : divisor;
  const remainder = r.u64() % size;
  const product = quotient * divisor;
  let dividend = product + (signed && product < 0n ? -remainder : remainder);
  /* The one quotient of whole numbers that twice the width cannot hold. */
  if (signed && r.chance(6)) {
    divisor = -1n;
    dividend = -(1n << (2n * n - 1n));
  }
  if (b.bytes === 1) state.gpr[0] = (r.u64() & ~0xffffn) | (dividend & 0xffffn);
  else {
    state.gpr[0] = (b.bytes === 8 ? 0n : r.u64() & ~all) | (dividend & all);
    state.gpr[2] = (b.bytes === 8 ? 0n : r.u64() & ~all) | ((dividend >> n) & all);
  }
  if (kind === 'mem') {
    poke(state, b.target, b.bytes, divisor & all);
    avoidBase(b, [0, 2]);
  } else {
    if (r.chance(90)) b.ops.rm = r.pick(b.bytes === 1 ? [1, 3, 8, 9, 15] : [1, 3, 5, 6, 7, 8, 12]);
    setRegister(b, b.ops.rm as number, b.bytes, (r.u64() & ~all & 0xffff_ffff_ffff_ffffn) | (divisor & all));
  }
}

/** Keeps implicit operands out of the address. */
function avoidBase(b: Build, regs: number[]): void {
  const m = b.ops.rm;
  if (typeof m === 'number') return;
  if (regs.includes(m.base)) m.base = 11;
  if (regs.includes(m.index) || m.index === m.base) m.index = -1;
}

function bitOffsetOperand(b: Build, kind: OperandKind): void {
  if (kind === 'reg') return;
  const { r, state, ops } = b;
  const upper = b.bytes === 8 ? 0n : r.u64() << BigInt(b.bytes * 8);
  const offset = BigInt(r.below(r.chance(90) ? 16384 : 100000) - (r.chance(50) ? 16384 : 0));
  state.gpr[ops.reg] = BigInt.asUintN(64, upper | BigInt.asUintN(b.bytes * 8, offset));
  if (typeof ops.rm !== 'number' && ops.rm.base !== ops.reg) avoidBase(b, [ops.reg]);
}

function compareExchangeOperands(b: Build, kind: OperandKind): void {
  if (b.r.chance(50)) return;
  const all = (1n << BigInt(b.bytes * 8)) - 1n;
  const value = edgeRegister(b.r, b.bytes);
  b.state.gpr[0] = value;
  if (kind === 'reg')
    setRegister(b, b.ops.rm as number, b.bytes, (edgeRegister(b.r, b.bytes) & ~all) | (value & all));
  else {
    poke(b.state, b.target, b.bytes, value & all);
    avoidBase(b, [0]);
  }
}

function compareExchangeWide(b: Build): void {
  const { r, state } = b;
  for (const reg of [0, 1, 2, 3]) state.gpr[reg] = edgeRegister(r, b.bytes);
  avoidBase(b, [0, 1, 2, 3]);
  if (b.bytes === 8 && r.chance(92)) b.target &= ~15n;
  const all = (1n << BigInt(b.bytes * 8)) - 1n;
  const expected = ((state.gpr[2]! & all) << BigInt(b.bytes * 8)) | (state.gpr[0]! & all);
  poke(
    state,
    b.target,
    b.bytes * 2,
    r.chance(50) ? expected : expected ^ (1n << BigInt(r.below(b.bytes * 16))),
  );
}

/** RSI, RDI and RCX; contents that compare equal for a while. Address-size prefixes come with 32-bit values. */
function stringOperands(b: Build): void {
  const { r, state } = b;
  const down = r.chance(35);
  state.flags = (state.flags & ~0x400) | (down ? 0x400 : 0);
  const room = (): bigint => {
    if (r.chance(6)) return chooseAddress(r, b.bytes * 4, false);
    return BigInt(MEM_BASE + 512 + r.below(MEM_SIZE - 1024));
  };
  state.gpr[6] = room();
  state.gpr[7] = r.chance(25) ? state.gpr[6]! + BigInt(r.below(17) - 8) : room();
  state.gpr[1] = BigInt(r.chance(15) ? 0 : r.chance(5) ? 3000 : r.below(40));
  state.gpr[0] = edgeRegister(r, b.bytes);
  const compares = b.form.name.includes('cmps') || b.form.name.includes('scas');
  if (compares && r.chance(85)) fillEqual(b, down);
  if (r.chance(8) && state.gpr[6]! < 1n << 32n && state.gpr[7]! < 1n << 32n) b.ops.legacy.push(0x67);
}

function fillEqual(b: Build, down: boolean): void {
  const { r, state } = b;
  const element = state.gpr[0]!;
  const step = BigInt(down ? -b.bytes : b.bytes);
  const differing = r.below(40);
  for (let i = 0; i < 40; i++) {
    const value = i === differing ? edgeInt(r, b.bytes * 8) : element;
    poke(
      state,
      state.gpr[7]! + BigInt(i) * step,
      b.bytes,
      b.form.name.startsWith('repne') && i !== differing ? ~element : value,
    );
    poke(
      state,
      state.gpr[6]! + BigInt(i) * step,
      b.bytes,
      i === differing ? edgeInt(r, b.bytes * 8) : element,
    );
  }
}

function loopOperands(b: Build): void {
  const { r, state } = b;
  state.gpr[1] = r.chance(60) ? BigInt(r.below(3)) : edgeRegister(r, 4);
  if (r.chance(25)) {
    b.ops.legacy.push(0x67);
    if (r.chance(50)) state.gpr[1] = (r.u64() & ~0xffff_ffffn) | BigInt(r.below(3));
  }
  b.tail = [SKIPPED.length, ...SKIPPED];
}

function accumulatorAddress(b: Build): void {
  const short = b.r.chance(20) && b.target < 1n << 32n;
  if (short) b.ops.legacy.push(0x67);
  poke(b.state, b.target, b.bytes, edgeInt(b.r, b.bytes * 8));
  b.state.gpr[0] = edgeRegister(b.r, b.bytes);
  b.tail = Array.from({ length: short ? 4 : 8 }, (_, i) => Number((b.target >> BigInt(i * 8)) & 0xffn));
}

function textOperands(b: Build): void {
  const { r, state, ops } = b;
  const text = (): Uint8Array => {
    const step = (Number(ops.imm) & 1) + 1;
    const out = new Uint8Array(16);
    for (let i = 0; i < 16; i += step) out[i] = r.pick([0, 0x61, 0x62, 0x63, 0x7a, 0x80, 0x61, 0x62]);
    return out;
  };
  ops.imm = BigInt(r.below(128));
  state.gpr[0] = BigInt.asUintN(64, BigInt(r.below(24) - 4));
  state.gpr[2] = BigInt.asUintN(64, BigInt(r.below(24) - 4));
  avoidBase(b, [0, 2]);
  if (r.chance(10)) return;
  state.xmm.set(text(), ops.reg * 16);
  const second = r.chance(50) ? state.xmm.slice(ops.reg * 16, ops.reg * 16 + 16) : text();
  if (typeof ops.rm === 'number') {
    if (ops.rm !== ops.reg) state.xmm.set(second, ops.rm * 16);
  } else {
    for (const [i, v] of second.entries()) poke(state, b.target + BigInt(i), 1, BigInt(v));
  }
}

type Preparation = (b: Build, kind: OperandKind) => void;

const PREPARATIONS: Readonly<Record<Prep, Preparation>> = {
  shift: (b) => shiftOperands(b, 0),
  shift2: (b) => shiftOperands(b, b.bytes * 8),
  div: divideOperands,
  bitOffset: bitOffsetOperand,
  jump8: (b) => {
    b.tail = [SKIPPED.length, ...SKIPPED];
  },
  jump32: (b) => {
    b.tail = [SKIPPED.length, 0, 0, 0, ...SKIPPED];
  },
  moffs: accumulatorAddress,
  cmpxchg: compareExchangeOperands,
  cmpxchg8b: compareExchangeWide,
  /* Without a set bit the destination is undefined; 16 and 64 bits leave it unchanged on AMD's word. */
  scan: (b, kind) => {
    if (b.bytes !== 4) return;
    const value = BigInt(1 << b.r.below(31)) | (b.r.u64() >> BigInt(32 + b.r.below(32)));
    if (kind === 'mem') poke(b.state, b.target, 4, value);
    else b.state.gpr[b.ops.rm as number] = value | (b.r.u64() & ~0xffff_ffffn);
  },
  xlat: (b) => {
    b.state.gpr[0] = b.r.u64();
    b.state.gpr[3] = b.target - (b.state.gpr[0] & 0xffn);
  },
  /* The background's RSP points into the window; as a register operand it may hold anything that does. */
  stack: (b) => {
    b.state.gpr[4] = BigInt(
      MEM_BASE + 0x1000 + (b.r.chance(90) ? b.r.below(512) * 8 - 2048 : b.r.below(16) - 8),
    );
    if (b.r.chance(3))
      b.state.gpr[4] = BigInt(b.r.chance(50) ? MEM_BASE + b.r.below(8) : MEM_BASE + MEM_SIZE - b.r.below(8));
    if (b.r.chance(1)) b.state.gpr[4] = 0x8000_0000_0000_0000n;
  },
  popf: (b) => {
    const value = BigInt(b.r.u32() & 0x3ed7) | 2n;
    poke(b.state, b.state.gpr[4]!, b.bytes, value & ~0x100n);
  },
  enter: (b) => {
    const level = b.r.chance(60) ? b.r.below(4) : b.r.below(40);
    const size = b.r.chance(90) ? b.r.below(512) : b.r.below(65536);
    b.ops.imm = BigInt(size | (level << 16));
    b.state.gpr[5] = BigInt(MEM_BASE + 0x1400 + b.r.below(128) * 8);
  },
  leave: (b) => {
    b.state.gpr[5] = chooseAddress(b.r, 8, false);
  },
  call: (b) => {
    b.tail = [0, 0, 0, 0];
  },
  callIndirect: (b, kind) => {
    if (kind === 'reg' && b.ops.rm === 4) b.ops.rm = 3;
  },
  ret: (b) => {
    b.ops.imm = BigInt(b.r.below(65536));
  },
  loop: loopOperands,
  string: stringOperands,
  maskmov: (b) => {
    b.state.xmm.set(edgeVector(b.r, 'i8'), (b.ops.rm as number) * 16);
    b.state.gpr[7] = b.target;
  },
  mask: (b) => {
    b.state.xmm.set(edgeVector(b.r, b.form.lane ?? 'i8'), 0);
  },
  packedCount: (b, kind) => {
    if (b.r.chance(15)) return;
    const count = BigInt(b.r.below(b.r.chance(85) ? 40 : 80));
    const at = Number(b.target) - MEM_BASE;
    if (kind === 'reg') new DataView(b.state.xmm.buffer).setBigUint64((b.ops.rm as number) * 16, count, true);
    else if (at >= 0) poke(b.state, b.target, 8, count);
  },
  bitRange: (b) => {
    if (b.r.chance(15)) return;
    const [start, length] = [b.r.below(72), b.r.below(72)];
    b.state.gpr[b.ops.vvvv] = (b.r.u64() & ~0xffffn) | BigInt(start | (length << 8));
  },
  stringCompare: textOperands,
  csr: (b) => {
    poke(b.state, b.target, 4, BigInt(b.r.u32() & (b.r.chance(90) ? 0xffff : 0x1ffff)));
  },
};

export function prepare(b: Build, kind: OperandKind): void {
  if (b.form.prep !== undefined) PREPARATIONS[b.form.prep](b, kind);
}
