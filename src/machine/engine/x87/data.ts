/** Loads, stores, exchanges, constants and conditional moves. */
import { CF, PF, ZF } from '../../../x86/flags.ts';
import { OPK } from '../../../x86/insn.ts';
import { fromDecimal, fromFloat, fromInteger, toDecimal, toFloat, toInteger } from './convert.ts';
import { type Context, type F80, FX, INDEFINITE, nanResult, pack, zero } from './float80.ts';
import { SW, type Unit } from './unit.ts';

/** Pushes unless the stack is full. */
function pushChecked(u: Unit, v: F80): void {
  if (u.empty(-1)) u.push(v);
  else if (u.stackFault(true)) u.push(INDEFINITE);
}

export function fld(u: Unit): void {
  const { c, i } = u;
  const [o] = i.operands;
  if (o.kind === OPK.st) {
    loadRegister(u, o.reg);
    return;
  }
  c.load(c.ea(i), o.size);
  if (o.size === 10) {
    pushChecked(u, takeExtended(u));
    return;
  }
  const { value, denormal } = fromFloat(c.take(o.size), o.size as 4 | 8);
  if (!u.empty(-1)) {
    pushChecked(u, value);
    return;
  }
  const v = nanResult(u.x, value) ?? value;
  if (denormal) u.fsw |= FX.DE; // pushed even when unmasked
  if (u.accept()) u.push(v);
}
function loadRegister(u: Unit, st: number): void {
  if (!u.empty(st)) pushChecked(u, u.get(st));
  else if (u.stackFault(false)) u.push(INDEFINITE);
}
function takeExtended(u: Unit): F80 {
  const { buf } = u.c;
  const word = buf.getUint16(8, true);
  return { sign: word >> 15, exp: word & 0x7fff, sig: buf.getBigUint64(0, true) };
}

export function fild(u: Unit): void {
  const { c, i } = u;
  const { size } = i.operands[0];
  pushChecked(u, fromInteger(BigInt.asIntN(8 * size, c.read(c.ea(i), size))));
}
export function fbld(u: Unit): void {
  const { c, i } = u;
  c.load(c.ea(i), 10);
  pushChecked(u, fromDecimal((c.take(2, 8) << 64n) | c.take(8)));
}

/** Writes the bits of a converted ST0; undefined: an unmasked exception says no. */
function storeBits(u: Unit, size: number, bits: bigint | undefined, pop: boolean): void {
  const { c, i } = u;
  if (bits === undefined || u.x.unmasked(FX.IE | FX.DE | FX.ZE)) {
    // nothing is written, but that it could be is looked at first
    c.probeWrite(c.ea(i), size);
    u.accept();
    return;
  }
  c.put(Math.min(size, 8), bits);
  if (size === 10) c.put(2, bits >> 64n, 8);
  c.store(c.ea(i), size);
  u.accept();
  if (pop) u.pop();
}
/** ST0 converted; with ST0 empty the format's indefinite. `convert` raises IE on its own. */
function storeMemory(
  u: Unit,
  size: number,
  convert: (x: Context, v: F80) => bigint | undefined,
  pop: boolean,
): void {
  if (!u.empty(0)) {
    storeBits(u, size, convert(u.x, u.get(0)), pop);
    return;
  }
  u.x.raise(FX.IE);
  u.fsw |= SW.SF;
  storeBits(u, size, convert(u.x, INDEFINITE), pop);
}

const rawExtended = (_x: Context, v: F80): bigint => (BigInt((v.sign << 15) | v.exp) << 64n) | v.sig;

export function fst(u: Unit, pop: boolean): void {
  const [o] = u.i.operands;
  if (o.kind === OPK.mem) {
    const size = o.size as 4 | 8 | 10;
    storeMemory(u, size, size === 10 ? rawExtended : (x, v) => toFloat(x, v, size), pop);
    return;
  }
  if (u.empty(0)) {
    if (!u.stackFault(false)) return;
    u.set(o.reg, INDEFINITE);
  } else u.set(o.reg, u.get(0));
  if (pop) u.pop();
}

export function fist(u: Unit, pop: boolean, truncate: boolean): void {
  const { size } = u.i.operands[0];
  storeMemory(u, size, (x, v) => toInteger(x, v, size, truncate), pop);
}
export const fbstp = (u: Unit): void => storeMemory(u, 10, toDecimal, true);

export function fxch(u: Unit): void {
  const st = u.i.operands[1].reg;
  const lacking = u.empty(0) || u.empty(st);
  if (lacking && !u.stackFault(false)) return;
  const a = u.empty(0) ? INDEFINITE : u.get(0);
  u.set(0, u.empty(st) ? INDEFINITE : u.get(st));
  u.set(st, a);
}

/** FCMOVcc: the four conditions, and with `not` their opposites. */
export const CONDITIONS = { b: CF, e: ZF, be: CF | ZF, u: PF } as const;
export function fcmov(u: Unit, mask: number, not: boolean): void {
  const st = u.i.operands[1].reg;
  if (u.lacks(0, 0, st)) return;
  if (((u.c.flags & mask) !== 0) !== not) u.set(0, u.get(st));
}

/** Significands with 8 bits more than fit and a sticky rest, and the weight of their lowest bit. */
export const CONSTANTS = {
  fld1: [1n, 0],
  fldl2t: [0xd4_9a78_4bcd_1b8a_fe49n, -70],
  fldl2e: [0xb8_aa3b_295c_17f0_bbben, -71],
  fldpi: [0xc9_0fda_a221_68c2_34c4n, -70],
  fldlg2: [0x9a_209a_84fb_cff7_988fn, -73],
  fldln2: [0xb1_7217_f7d1_cf79_abc9n, -72],
} as const;

/** Constants follow the rounding control, and raise nothing. */
export function loadConstant(u: Unit, [sig, exp]: readonly [bigint, number]): void {
  const v = pack(u.x, 0, sig, exp, sig !== 1n, 64);
  u.x.up = false;
  pushChecked(u, v);
}
export const loadZero = (u: Unit): void => pushChecked(u, zero(0));
