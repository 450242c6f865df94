/** Integer instructions in their exact form, for what the interpreter leaves: divisions, BCD, and rare stack forms. */

import { AF, CF, OF, PF, SF, STATUS, ZF } from '../../x86/flags.ts';
import { type Insn, OPK } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { SEG } from '../cpu-state.ts';
import type { Core } from './core.ts';
import { checkLimit, checkStack } from './limits.ts';
import { EXC } from './registers.ts';
import { loadSegment } from './segments.ts';
import { loadFrame, pushAt } from './stacks.ts';

export function divide(c: Core, i: Insn, signed: boolean): void {
  const z = i.opSize;
  const bits = BigInt(8 * z);
  const d0 = c.operand(i, i.operands[0], z);
  const lo =
    z === 1
      ? c.gpr(0) & 0xffffn
      : (BigInt.asUintN(8 * z, c.gpr(2)) << bits) | BigInt.asUintN(8 * z, c.gpr(0));
  const wide = z === 1 ? 16 : 16 * z;
  const n = signed ? BigInt.asIntN(wide, lo) : lo;
  const d = signed ? BigInt.asIntN(8 * z, d0) : d0;
  if (d === 0n) c.fault(EXC.DE);
  const q = n / d;
  if ((signed ? BigInt.asIntN(8 * z, q) : BigInt.asUintN(8 * z, q)) !== q) c.fault(EXC.DE);
  const r = n % d;
  if (z === 1) c.setGpr(0, 2, (BigInt.asUintN(8, r) << 8n) | BigInt.asUintN(8, q));
  else {
    c.setGpr(0, z, q);
    c.setGpr(2, z, r);
  }
}

function szp(v: number): number {
  let p = v & 255;
  p ^= p >> 4;
  p ^= p >> 2;
  p ^= p >> 1;
  return ((v & 255) === 0 ? ZF : 0) | (v & 0x80 ? SF : 0) | (p & 1 ? 0 : PF);
}

export function decimal(c: Core, i: Insn): void {
  let al = c.gpr32(0) & 255;
  let ah = (c.gpr32(0) >>> 8) & 255;
  const old = c.flags;
  let f = old & ~STATUS;
  const low = (al & 15) > 9 || old & AF;
  if (i.op === X.daa || i.op === X.das) {
    const sign = i.op === X.daa ? 1 : -1;
    const high = al > 0x99 || old & CF;
    const before = al;
    let cf = 0;
    if (low) {
      cf = old & CF || (sign > 0 ? before + 6 > 255 : before < 6) ? CF : 0;
      al = (al + 6 * sign) & 255;
      f |= AF;
    }
    if (high) {
      al = (al + 0x60 * sign) & 255;
      cf = CF;
    }
    f |= cf | szp(al);
  } else if (i.op === X.aaa || i.op === X.aas) {
    const sign = i.op === X.aaa ? 1 : -1;
    if (low) {
      const ax = (c.gpr32(0) + sign * 0x106) & 0xffff;
      al = ax & 255;
      ah = (ax >>> 8) & 255;
      f |= AF | CF;
    }
    f |= szp(al);
    al &= 15;
  } else if (i.op === X.aam) {
    const base = i.imm & 255;
    if (base === 0) c.fault(EXC.DE);
    ah = Math.floor(al / base);
    al %= base;
    f |= szp(al);
  } else {
    al = (al + ah * (i.imm & 255)) & 255;
    ah = 0;
    f |= szp(al);
  }
  c.setGpr(0, 2, BigInt((ah << 8) | al));
  c.setStatus(f & (STATUS | OF));
}

export function pushOperand(c: Core, i: Insn): void {
  const o = i.operands[0];
  const v = o.kind === OPK.sreg ? BigInt(c.segSel(o.reg)) : c.operand(i, o, i.opSize);
  c.push(i.opSize, v);
}

export function popOperand(c: Core, i: Insn): void {
  const o = i.operands[0];
  const z = i.opSize;
  const v = c.read(c.stackAt(0), z);
  if (o.kind === OPK.sreg) {
    loadSegment(c, o.reg, Number(v & 0xffffn));
    return c.addSp(z);
  }
  // the address of a memory destination is taken after the stack pointer has moved
  const sp = c.gpr(4);
  c.addSp(z);
  try {
    c.setOperand(i, o, z, v);
  } catch (e) {
    c.m.setU64(c.cpu + 32, sp);
    throw e;
  }
}

/** Each word is seen to by itself: those before one that faults are there. */
export function pushAll(c: Core, i: Insn): void {
  const z = i.opSize;
  for (let r = 0; r < 8; r++) pushAt(c, -z * (r + 1), z, c.gpr(r));
  c.addSp(-8 * z);
}
export function popAll(c: Core, i: Insn): void {
  const z = i.opSize;
  // one that faults has popped those before: it begins anew, as the stack pointer has stayed
  for (let r = 7; r >= 0; r--) {
    const [word] = loadFrame(c, (7 - r) * z, 1, z) as [bigint];
    if (r !== 4) c.setGpr(r, z, word);
  }
  c.addSp(8 * z);
}

export function enter(c: Core, i: Insn): void {
  const z = i.opSize;
  const size = i.imm & 0xffff;
  const level = i.imm2 & 31;
  const [sp, keep] = [c.gpr(4), c.code64 ? 0n : BigInt(~c.stackMask >>> 0)];
  const frame = (sp & keep) | ((sp - BigInt(z)) & ~keep);
  let bytes = 0;
  // the frames that are copied may lie where those before have just been put
  const put = (word: bigint): void => {
    bytes += z;
    pushAt(c, -bytes, z, word);
  };
  put(c.gpr(5));
  for (let k = 1; k < level; k++) put(outerFrame(c, k * z, z));
  if (level > 0) put(frame);
  // the frame must be writable down to where the stack pointer will be
  checkStack(c, -bytes - size, z, true);
  c.probeWrite(c.stackAt(-bytes - size), z);
  c.setGpr(5, z === 8 ? 8 : z, frame);
  c.addSp(-bytes - size);
}
/** A word of the caller's frame, below the frame pointer. */
function outerFrame(c: Core, below: number, z: number): bigint {
  if (c.code64) return c.read(c.linearOf(c.gpr(5) - BigInt(below), SEG.ss), z);
  const offset = ((c.gpr32(5) - below) & c.stackMask) >>> 0;
  checkLimit(c, SEG.ss, offset, z, false);
  return c.read((c.segBase(SEG.ss) + offset) >>> 0, z);
}

export function bound(c: Core, i: Insn): void {
  const z = i.opSize;
  c.load(c.ea(i), 2 * z);
  const lo = BigInt.asIntN(8 * z, c.take(z, 0));
  const hi = BigInt.asIntN(8 * z, c.take(z, z));
  const v = BigInt.asIntN(8 * z, c.gpr(i.operands[0].reg));
  if (v < lo || v > hi) c.fault(EXC.BR);
}

export function xlat(c: Core, i: Insn): void {
  const offset = BigInt.asUintN(8 * i.addrSize, c.gpr(3) + (c.gpr(0) & 255n));
  const base = BigInt(c.lin({ offset: 256 + 8 * c.effectiveSeg(i.seg) }));
  c.setGpr(0, 1, c.read(c.linearOf(offset + base, i.seg), 1));
}

/** LOOP, LOOPE, LOOPNE, JRCXZ: true when taken. */
export function loopTaken(c: Core, i: Insn): boolean {
  const n = BigInt.asUintN(8 * i.addrSize, c.gpr(1));
  if (i.op === X.jrcxz) return n === 0n;
  c.setGpr(1, i.addrSize, n - 1n);
  if (n === 1n) return false;
  if (i.op === X.loop) return true;
  return ((c.flags & ZF) !== 0) === (i.op === X.loope);
}
