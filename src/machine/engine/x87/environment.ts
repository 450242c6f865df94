/** Control of the unit, and its environment and whole state in memory. @spec SDM 1 8.1.10, figures 8-9 to 8-12 */
import { type Insn, OPK } from '../../../x86/insn.ts';
import type { OP as X } from '../../../x86/ops.ts';
import { cpuState } from '../../cpu-state.ts';
import { areaAt } from '../areas.ts';
import type { Core } from '../core.ts';
import { checkX87, finit } from '../fpu.ts';
import { KIND, kindOf } from './float80.ts';
import { checkPending, summarised } from './unit.ts';

const FCW = cpuState.fcw.offset;
const FSW = cpuState.fsw.offset;
const FTW = cpuState.ftw.offset;
const FOP = cpuState.fop.offset;

function setStatus(c: Core, fsw: number): void {
  c.m.setU16(c.cpu + FSW, summarised(fsw, c.m.u16(c.cpu + FCW)));
}
function setControl(c: Core, fcw: number): void {
  c.m.setU16(c.cpu + FCW, (fcw & 0x1f3f) | 0x40);
  setStatus(c, c.m.u16(c.cpu + FSW));
}

const TAG = { valid: 0, zero: 1, special: 2, empty: 3 } as const;
const TAG_OF_KIND: Readonly<Record<number, number>> = { [KIND.zero]: TAG.zero, [KIND.normal]: TAG.valid };

/** Two bits for each physical register, from what is in it. */
function fullTags(c: Core): number {
  let tags = 0;
  for (let r = 0; r < 8; r++) {
    const at = cpuState.fpr.addr(c.cpu) + 16 * r;
    const used = (c.m.u8(c.cpu + FTW) >> r) & 1;
    const value = { sign: 0, exp: c.m.u16(at + 8) & 0x7fff, sig: c.m.u64(at) };
    tags |= (used ? (TAG_OF_KIND[kindOf(value)] ?? TAG.special) : TAG.empty) << (2 * r);
  }
  return tags;
}
function abridged(tags: number): number {
  let used = 0;
  for (let r = 0; r < 8; r++) if (((tags >> (2 * r)) & 3) !== TAG.empty) used |= 1 << r;
  return used;
}

/** Real-mode images hold linear addresses and the opcode, protected ones offsets. */
const realFormat = (c: Core): boolean => !c.protectedMode || c.vm86;

/** Puts the environment in `buf`; answers its size. Selectors are saved as 0, as CPUID announces. */
function putEnvironment(c: Core, wide: boolean): number {
  const { buf, m, cpu } = c;
  const fip = Number(c.get(cpuState.fip) & 0xffff_ffffn);
  const fdp = Number(c.get(cpuState.fdp) & 0xffff_ffffn);
  const fop = m.u16(cpu + FOP);
  const words = [m.u16(cpu + FCW), m.u16(cpu + FSW), fullTags(c)];
  const real = realFormat(c);
  if (!wide) {
    words.push(
      fip & 0xffff,
      real ? ((fip >>> 4) & 0xf000) | fop : 0,
      fdp & 0xffff,
      real ? (fdp >>> 4) & 0xf000 : 0,
    );
    words.forEach((w, k) => {
      buf.setUint16(2 * k, w, true);
    });
    return 14;
  }
  const high = real ? ((fip >>> 16) << 12) | fop : fop << 16;
  const longs = words.map((w) => 0xffff_0000 + w);
  longs.push(
    real ? fip & 0xffff : fip,
    high,
    real ? fdp & 0xffff : fdp,
    real ? (fdp >>> 16) << 12 : 0xffff_0000,
  );
  longs.forEach((w, k) => {
    buf.setUint32(4 * k, w >>> 0, true);
  });
  return 28;
}

/** Takes the environment out of `buf`. */
function takeEnvironment(c: Core, wide: boolean): void {
  const { buf, m, cpu } = c;
  const word = (k: number): number => (wide ? buf.getUint32(4 * k, true) : buf.getUint16(2 * k, true));
  const real = realFormat(c);
  const high = (k: number): number => {
    if (!real) return 0;
    return wide ? ((word(k) >>> 12) & 0xffff) * 0x1_0000 : ((word(k) >>> 12) & 15) * 0x1_0000;
  };
  const low = (k: number): number => (real ? word(k) & 0xffff : word(k));
  c.setLin(cpuState.fip, low(3) + high(4));
  c.setLin(cpuState.fdp, low(5) + high(6));
  const fop = real ? word(4) : wide ? word(4) >>> 16 : 0;
  m.setU16(cpu + FOP, fop & 0x7ff);
  m.setU8(cpu + FTW, abridged(word(2)));
  m.setU16(cpu + FSW, word(1) & 0xffff);
  setControl(c, word(0) & 0xffff);
}

const top = (c: Core): number => (c.m.u16(c.cpu + FSW) >> 11) & 7;

/** Its first word is looked at, its last byte, and then what is between them. */
function stateAt(c: Core, i: Insn, size: number, write: boolean): number {
  const word = i.opSize === 2 ? 2 : 4;
  return areaAt(c, i, {
    size,
    write,
    word,
    first: [
      [0, word],
      [size - 1, 1],
    ],
  });
}

function fnstenv(c: Core, i: Insn): void {
  const size = putEnvironment(c, i.opSize !== 2);
  c.store(stateAt(c, i, size, true), size);
  setControl(c, c.m.u16(c.cpu + FCW) | 0x3f);
}
function fldenv(c: Core, i: Insn): void {
  const size = i.opSize !== 2 ? 28 : 14;
  c.load(stateAt(c, i, size, false), size);
  takeEnvironment(c, i.opSize !== 2);
}
function fnsave(c: Core, i: Insn): void {
  const size = putEnvironment(c, i.opSize !== 2);
  for (let st = 0; st < 8; st++) {
    const at = cpuState.fpr.addr(c.cpu) + 16 * ((top(c) + st) & 7);
    c.put(8, c.m.u64(at), size + 10 * st);
    c.put(2, BigInt(c.m.u16(at + 8)), size + 10 * st + 8);
  }
  c.store(stateAt(c, i, size + 80, true), size + 80);
  finit(c);
}
function frstor(c: Core, i: Insn): void {
  const size = i.opSize !== 2 ? 28 : 14;
  c.load(stateAt(c, i, size + 80, false), size + 80);
  takeEnvironment(c, i.opSize !== 2);
  for (let st = 0; st < 8; st++) {
    const at = cpuState.fpr.addr(c.cpu) + 16 * ((top(c) + st) & 7);
    c.m.setU64(at, c.take(8, size + 10 * st));
    c.m.setU16(at + 8, Number(c.take(2, size + 10 * st + 8)));
  }
}

function fnstsw(c: Core, i: Insn): void {
  const fsw = BigInt(c.m.u16(c.cpu + FSW));
  if (i.operands[0].kind === OPK.mem) c.write(c.ea(i), 2, fsw);
  else c.setGpr(0, 2, fsw);
}

/** Control instructions: they leave FIP, FDP and FOP alone. `waits` ones raise #MF first. */
export const CONTROL: readonly { op: keyof typeof X; waits: boolean; run: (c: Core, i: Insn) => void }[] = [
  { op: 'fninit', waits: false, run: (c) => finit(c) },
  { op: 'fnclex', waits: false, run: (c) => c.m.setU16(c.cpu + FSW, c.m.u16(c.cpu + FSW) & 0x7f00) },
  { op: 'fnstcw', waits: false, run: (c, i) => c.write(c.ea(i), 2, BigInt(c.m.u16(c.cpu + FCW))) },
  { op: 'fldcw', waits: true, run: (c, i) => setControl(c, Number(c.read(c.ea(i), 2))) },
  { op: 'fnstsw', waits: false, run: fnstsw },
  { op: 'fnstenv', waits: false, run: fnstenv },
  { op: 'fldenv', waits: true, run: fldenv },
  { op: 'fnsave', waits: false, run: fnsave },
  { op: 'frstor', waits: true, run: frstor },
];

export function control(c: Core, i: Insn, waits: boolean, run: (c: Core, i: Insn) => void): void {
  checkX87(c);
  if (waits) checkPending(c);
  run(c, i);
}
export function fwait(c: Core): void {
  checkX87(c, true);
  checkPending(c);
}
