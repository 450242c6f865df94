/** What instructions need that random operands would seldom give them. */
import { K } from '../../src/x86/opcode-form.ts';
import type { OpName } from '../../src/x86/ops.ts';
import type { Builder } from './builder.ts';
import { FLOW } from './prepare-flow.ts';
import { STRING } from './prepare-string.ts';
import { SYSTEM } from './prepare-system.ts';
import { UNIT_VALUES, unitMemory } from './prepare-unit.ts';
import { AT } from './record.ts';

export type Prepare = (b: Builder) => void;
type Table = Partial<Record<OpName, Prepare>>;

const RAX = 0;
const RCX = 1;
const RDX = 2;

/** A shift count in CL or the immediate: mostly below the operand's size or just above it. */
function shift(b: Builder): void {
  const { r } = b;
  const any = r.chance(75) ? r.below(b.bits + 4) : r.below(256);
  // a double shift by more than the operand's size leaves anything in it
  const count = b.bits === 16 && /^sh[lr]d$/.test(b.form.op) && (any & 31) > 16 ? any & 15 : any;
  if (b.form.operands.some((o) => o.kind === K.fixedGpr && o.register === RCX))
    b.setGpr(RCX, (b.gpr(RCX) & ~0xffn) | BigInt(count));
  else if (b.form.operands.some((o) => o.kind === K.imm)) b.imm = [count];
}

const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

/** A dividend whose quotient fits most of the time. */
function divide(b: Builder, signed: boolean): void {
  const { r, bits } = b;
  const divisor = r.chance(3) ? 0n : b.edge(bits) & mask(bits);
  b.setRm(bits / 8, divisor);
  let high = b.edge(bits) & mask(bits);
  let low = b.edge(bits) & mask(bits);
  if (r.chance(75)) {
    if (signed && r.chance(60)) high = (low >> BigInt(bits - 1)) & 1n ? mask(bits) : 0n;
    else if (divisor > 0n) high %= signed ? (divisor >> 1n) + 1n : divisor;
    // a negative dividend that fits
    if (signed && r.chance(30)) [high, low] = [~high & mask(bits), ~low & mask(bits)];
  }
  if (bits === 8) return b.setGpr(RAX, (b.gpr(RAX) & ~0xffffn) | (high << 8n) | low);
  const keep = ~mask(bits) & mask(64);
  b.setGpr(RAX, (b.gpr(RAX) & keep) | low);
  b.setGpr(RDX, (b.gpr(RDX) & keep) | high);
}

/** A bit offset in a register reaches beyond the operand in memory. */
function bitOffset(b: Builder): void {
  const { r } = b;
  if (b.operand(K.reg) === undefined) return;
  const choice = r.below(b.mode === 64 ? 10 : 9);
  const offset =
    choice < 6
      ? r.below(b.bits)
      : choice < 9
        ? r.below(600) - 300
        : Number(BigInt.asIntN(32, b.edge(b.bits)));
  const keep = ~mask(b.bits) & mask(64);
  b.setGpr(b.reg, (b.gpr(b.reg) & keep) | (BigInt(offset) & mask(b.bits)));
  if (b.form.rm === 'm' && r.chance(80)) b.target = BigInt(b.rec.window + 64 + r.below(b.windowLength - 128));
}

/** The accumulator equals the destination every other time. */
function compareExchange(b: Builder): void {
  const { r, bits } = b;
  if (r.chance(50)) return b.setGpr(RAX, b.gpr(RAX));
  const value = b.edge(bits);
  b.setRm(bits / 8, value);
  const keep = ~mask(bits) & mask(64);
  b.setGpr(RAX, (b.gpr(RAX) & keep) | (value & mask(bits)));
}

function compareExchangePair(b: Builder): void {
  const half = (b.bytes / 2) * 8;
  const at = b.inWindow(b.target, b.bytes);
  for (const n of [RAX, RDX, RCX, 3]) b.setGpr(n, b.gpr(n));
  if (at < 0 || b.r.chance(40)) return;
  const wide = half === 64;
  b.setGpr(RAX, wide ? b.rec.u64(at) : BigInt(b.rec.view.getUint32(at, true)));
  b.setGpr(RDX, wide ? b.rec.u64(at + 8) : BigInt(b.rec.view.getUint32(at + 4, true)));
}

/** Equal operands now and then. */
function compare(b: Builder): void {
  if (b.r.chance(6) && b.form.rm === 'r') b.rec.gpr[b.rm] = b.gpr(b.reg);
}

function scan(b: Builder): void {
  if (b.r.chance(12)) b.setRm(b.form.size, 0n);
}

function translate(b: Builder): void {
  const al = b.gpr(RAX) & 0xffn;
  const size = b.mode === 16 ? 16 : b.mode;
  b.target = b.chooseTarget(1);
  const base = (b.target - b.segBase(3) - al) & mask(size);
  b.setGpr(3, base);
}

function bounds(b: Builder): void {
  const { r, bits } = b;
  const low = BigInt.asIntN(bits, b.edge(bits));
  const high = low + BigInt(r.below(200));
  b.poke(b.target, bits / 8, low);
  b.poke(b.target + BigInt(bits / 8), bits / 8, high);
  if (r.chance(70)) b.setGpr(b.reg, BigInt.asUintN(bits, low + BigInt(r.below(220) - 10)));
}

/** Half a byte's worth of a count: BEXTR, BZHI and the shifts without flags take it from a register. */
function vectorCount(b: Builder): void {
  const { r } = b;
  if (r.chance(70)) b.rec.gpr[b.vvvv] = BigInt(r.below(72)) | (BigInt(r.below(72)) << 8n);
}

/** Counts of the packed shifts: around the lane's size. */
function packedCount(b: Builder): void {
  const { r } = b;
  if (b.operand(K.imm) !== undefined) b.imm = [r.chance(80) ? r.below(70) : r.below(256)];
  else if (r.chance(75) && b.operand(K.xmmRm) !== undefined) {
    const count = BigInt(r.below(70));
    if (b.form.rm === 'm') b.poke(b.target, 8, count);
    else b.rec.setU64(AT.fx + 160 + 16 * b.rm, count);
  }
}

/** The lengths of the explicit string comparisons, and text with few letters. */
function textCompare(b: Builder): void {
  const { r, rec } = b;
  if (/^pcmpe/.test(b.form.op))
    for (const n of [RAX, RDX]) if (r.chance(85)) b.setGpr(n, BigInt.asUintN(64, BigInt(r.below(40) - 20)));
  const at = b.form.rm === 'm' ? b.inWindow(b.target, 16) : AT.fx + 160 + 16 * b.rm;
  if (r.chance(25)) return;
  for (const from of [at, AT.fx + 160 + 16 * b.reg])
    for (let i = 0; from >= 0 && i < 16; i++) rec.bytes[from + i] = r.chance(6) ? 0 : 0x60 + r.below(6);
}

const INTEGER: Table = {
  div: (b) => divide(b, false),
  idiv: (b) => divide(b, true),
  cmpxchg: compareExchange,
  cmpxchg8b: compareExchangePair,
  cmpxchg16b: compareExchangePair,
  bsf: scan,
  bsr: scan,
  tzcnt: scan,
  lzcnt: scan,
  cmp: compare,
  sub: compare,
  xlat: translate,
  bound: bounds,
  // a divisor of AAM that is 0 or 10 more often than chance has it
  aam: (b) => {
    if (b.r.chance(40)) b.imm = [b.r.pick([0, 10, 10])];
  },
};
for (const op of ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar', 'shld', 'shrd', 'rorx'] as const)
  INTEGER[op] = shift;
for (const op of ['bt', 'bts', 'btr', 'btc'] as const) INTEGER[op] = bitOffset;
for (const op of ['bextr', 'bzhi', 'shlx', 'shrx', 'sarx'] as const) INTEGER[op] = vectorCount;
for (const op of [
  'psllw',
  'pslld',
  'psllq',
  'psrlw',
  'psrld',
  'psrlq',
  'psraw',
  'psrad',
  'pslldq',
  'psrldq',
] as const)
  INTEGER[op] = packedCount;
for (const op of ['pcmpestri', 'pcmpestrm', 'pcmpistri', 'pcmpistrm'] as const) INTEGER[op] = textCompare;

/** x87 operations with memory, and those that like certain values. */
function prepareUnit(b: Builder): void {
  unitMemory(b);
  UNIT_VALUES[b.form.op]?.(b);
}

const PREPARE: Table = { ...INTEGER, ...FLOW, ...STRING, ...SYSTEM };

/** The preparation of a form. */
export function prepare(b: Builder): void {
  const { map, opcode, op } = b.form;
  if (map === 0 && opcode >= 0xd8 && opcode <= 0xdf) prepareUnit(b);
  else PREPARE[op]?.(b);
}
