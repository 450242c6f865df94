/** String instructions element by element: whatever the interpreter's bulk forms leave. @spec SDM 2 REP */

import { DF, ZF } from '../../x86/flags.ts';
import type { Insn } from '../../x86/insn.ts';
import { OP as X } from '../../x86/ops.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { ACCESS } from '../mmu.ts';
import { type Core, crosses } from './core.ts';
import { flagsOfSub } from './flags.ts';
import { inGuest } from './svm/state.ts';
import { checkPort, readPort } from './system.ts';

const RCX = 1;
const RSI = 6;
const RDI = 7;
/** Elements before a long REP lets others in; the instruction then runs again from where it stopped. */
const CHUNK = 4096;

/** True when the instruction is through; false: it wants to be run again at the same rip. */
export function stringOp(c: Core, i: Insn): boolean {
  const rep = i.rep !== 0;
  const countSize = i.addrSize;
  // whether the port may be used is asked even when nothing is to be moved
  if (i.op === X.ins || i.op === X.outs) checkPort(c, c.gpr32(2) & 0xffff, i.opSize);
  let most = c.stepping ? 1 : CHUNK;
  for (let n = 0; ; n++) {
    const count = rep ? BigInt.asUintN(8 * countSize, c.gpr(RCX)) : 1n;
    if (count === 0n) return true;
    if (n === most) return false;
    if (rep && n === 0 && oddAlone(c, i, count)) most = 1;
    element(c, i);
    if (!rep) return true;
    c.setGpr(RCX, countSize, c.gpr(RCX) - 1n);
    if (i.op === X.cmps || i.op === X.scas) {
      const equal = (c.flags & ZF) !== 0;
      if (equal !== (i.rep === 0xf3)) return true;
    }
  }
}

/**
 * Only the element at hand of a REP is odd, in two pages or on one with code: the bulk form goes on behind it. Code that
 * will be written over goes now: it may be far behind this element.
 */
function oddAlone(c: Core, i: Insn, count: bigint): boolean {
  if (i.op !== X.movs && i.op !== X.stos) return false;
  const z = i.opSize;
  const to = address(c, i, RDI, SEG.es);
  if (crosses(to, z) || (i.op === X.movs && crosses(address(c, i, RSI, i.seg), z))) return true;
  // the source's fault comes before a nested one of the destination
  if (inGuest(c) || c.get32(cpuState.flagsRest) & DF) return false;
  const a = c.mmu.translate(c.cpu, to, ACCESS.read, c.cpl === 3);
  const bytes = count > 4096n ? 4096 : Number(count) * z;
  if (a < 0 || !c.mmu.holdsCode(Math.floor(a / 4096), a & 4095, bytes)) return false;
  c.codeWritten(Math.floor(a / 4096));
  return true;
}

function address(c: Core, i: Insn, r: number, s: number): number {
  const base = BigInt(c.lin({ offset: cpuState.segBase.offset + 8 * c.effectiveSeg(s) }));
  return c.linearOf(BigInt.asUintN(8 * i.addrSize, c.gpr(r)) + base, s);
}
function step(c: Core, i: Insn, r: number): void {
  const by = c.get32(cpuState.flagsRest) & DF ? -i.opSize : i.opSize;
  c.setGpr(r, i.addrSize, c.gpr(r) + BigInt(by));
}

function element(c: Core, i: Insn): void {
  const z = i.opSize;
  switch (i.op) {
    case X.movs: {
      const from = address(c, i, RSI, i.seg);
      const to = address(c, i, RDI, SEG.es);
      checkMove(c, from, to, z);
      c.write(to, z, c.read(from, z));
      step(c, i, RSI);
      return step(c, i, RDI);
    }
    case X.stos:
      c.write(address(c, i, RDI, SEG.es), z, c.gpr(0));
      return step(c, i, RDI);
    case X.lods:
      c.setGpr(0, z, c.read(address(c, i, RSI, i.seg), z));
      return step(c, i, RSI);
    case X.scas:
      flagsOfSub(c, z, c.gpr(0), c.read(address(c, i, RDI, SEG.es), z));
      return step(c, i, RDI);
    case X.cmps: {
      const a = c.read(address(c, i, RSI, i.seg), z);
      flagsOfSub(c, z, a, c.read(address(c, i, RDI, SEG.es), z));
      step(c, i, RSI);
      return step(c, i, RDI);
    }
    case X.ins:
      return input(c, i);
    default:
      return output(c, i);
  }
}

/** Nothing is read if it cannot be written: a device would be read twice. The source's fault comes first. */
function checkMove(c: Core, from: number, to: number, z: number): void {
  try {
    c.probe(to, z, true);
  } catch (e) {
    c.probe(from, z, false);
    throw e;
  }
}

function input(c: Core, i: Insn): void {
  const port = c.gpr32(2) & 0xffff;
  const to = address(c, i, RDI, SEG.es);
  c.probeWrite(to, i.opSize);
  c.write(to, i.opSize, readPort(c, port, i.opSize));
  step(c, i, RDI);
}
function output(c: Core, i: Insn): void {
  const port = c.gpr32(2) & 0xffff;
  c.platform.ioWrite(c.cpu, port, i.opSize, Number(c.read(address(c, i, RSI, i.seg), i.opSize)));
  step(c, i, RSI);
}
