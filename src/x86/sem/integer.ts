/** Integer instructions, by mnemonic. @spec SDM 2; undefined flags are left as the simplest form gives them.
 *
 * Each entry says how operand 0 is accessed, so that the engine makes (and faults) the access first.
 */
import {
  carry,
  condition,
  flagsAdd,
  flagsBorrow,
  flagsKeepCarry,
  flagsLogic,
  flagsSub,
  packStatus,
  setCarry,
  unpackStatus,
} from '../flags.ts';
import { bitOp, bitScan, lockedBitOp, lzcnt, popcnt, swapBytes, tzcnt } from './bits.ts';
import { BMI } from './bmi.ts';
import { type Fn, RAX, RBP, RDX, RSP, type Semantics, sem } from './common.ts';
import {
  cmpxchg,
  cmpxchgPair,
  lockedBinary,
  lockedCmpxchg,
  lockedCmpxchg8b,
  lockedLoop,
  lockedStep,
  xadd,
} from './exchange.ts';
import { divide, imul, mulAcc } from './multiply.ts';
import type { Sem, Size, V64, Var } from './sem.ts';
import { doubleShift, rotate, rotateCarry, sar, shl, shr } from './shift.ts';

/** Of four bytes no more are looked at, not for flags either; a comparison of less wants them extended. */
const operand = (e: Sem, i: number, z: Size): V64 => (z === 4 ? e.low(i, z) : e.read(i, z));

const binary =
  (
    compute: (e: Sem, a: Var, b: Var) => V64,
    flags: (e: Sem, z: Size, a: Var, b: Var, r: Var) => void,
    keep: boolean,
  ): Fn =>
  (e, z) => {
    const a = e.let(operand(e, 0, z));
    const b = e.let(operand(e, 1, z));
    const r = e.let(e.sx(compute(e, a, b), z));
    if (keep) e.write(z, r);
    flags(e, z, a, b, r);
  };
const logic = (e: Sem, z: Size, _a: Var, _b: Var, r: Var): void => flagsLogic(e, z, r);

const step =
  (op: 'add' | 'sub'): Fn =>
  (e, z) => {
    const one = e.let(e.c(1));
    const a = e.let(operand(e, 0, z));
    const r = e.let(e.sx(e[op](a, one), z));
    e.write(z, r);
    flagsKeepCarry(e, z, a, one, r, op === 'sub');
  };

/** Where a near branch goes; out of the canonical addresses it faults before it has an effect. */
function nearTarget(e: Sem, z: Size, to: V64): Var {
  const target = e.let(to);
  if (z === 8) e.slowIf(e.ne(e.shrs(e.shl(e.get(target), e.c(16)), e.c(16)), target));
  return target;
}

const IF_BIT = 0x200;
const TF_BIT = 0x100;
/** What POPF at CPL 0 may change besides the status flags: TF IF DF IOPL NT AC ID. */
const POPF_MASK = 0x247700;

/** Keyed by mnemonic; `lock.` prefixes the atomic memory form. */
export const INTEGER: Readonly<Record<string, Semantics>> = {
  ...BMI,
  add: sem(
    'rw',
    binary((e, a, b) => e.add(a, b), flagsAdd, true),
  ),
  adc: sem(
    'rw',
    binary((e, a, b) => e.add(e.add(a, b), e.let(carry(e))), flagsAdd, true),
  ),
  sub: sem(
    'rw',
    binary((e, a, b) => e.sub(a, b), flagsSub, true),
  ),
  sbb: sem(
    'rw',
    binary((e, a, b) => e.sub(e.sub(a, b), e.let(carry(e))), flagsBorrow, true),
  ),
  cmp: sem(
    'r',
    binary((e, a, b) => e.sub(a, b), flagsSub, false),
  ),
  and: sem(
    'rw',
    binary((e, a, b) => e.and(a, b), logic, true),
  ),
  or: sem(
    'rw',
    binary((e, a, b) => e.or(a, b), logic, true),
  ),
  xor: sem(
    'rw',
    binary((e, a, b) => e.xor(a, b), logic, true),
  ),
  test: sem(
    'r',
    binary((e, a, b) => e.and(a, b), logic, false),
  ),
  mov: sem('w', (e, z) => e.write(z, e.low(1, z))),
  movzx: sem('w', (e, z, s) => e.write(z, e.zx(e.low(1, s as Size), s as Size))),
  movsx: sem('w', (e, z, s) => e.write(z, e.read(1, s as Size))),
  lea: sem('w', (e, z) => e.write(z, e.effectiveAddress())),
  inc: sem('rw', step('add')),
  dec: sem('rw', step('sub')),
  neg: sem('rw', (e, z) => {
    const zero = e.let(e.c(0));
    const a = e.let(e.read(0, z));
    const r = e.let(e.sx(e.sub(zero, a), z));
    e.write(z, r);
    flagsSub(e, z, zero, a, r);
  }),
  not: sem('rw', (e, z) => e.write(z, e.not(e.read(0, z)))),
  shl: sem('rw', shl),
  shr: sem('rw', shr),
  sar: sem('rw', sar),
  rol: sem('rw', rotate(true)),
  ror: sem('rw', rotate(false)),
  rcl: sem('rw', rotateCarry(true)),
  rcr: sem('rw', rotateCarry(false)),
  shld: sem('rw', doubleShift(true)),
  shrd: sem('rw', doubleShift(false)),
  mul: sem('r', mulAcc(false)),
  imul1: sem('r', mulAcc(true)),
  imul2: sem('rw', imul(0, 1)),
  imul3: sem('w', imul(1, 2)),
  div: sem('r', divide(false)),
  idiv: sem('r', divide(true)),
  bt: sem('r', bitOp(undefined)),
  bts: sem(
    'rw',
    bitOp((e, a, bit) => e.or(a, bit)),
  ),
  btr: sem(
    'rw',
    bitOp((e, a, bit) => e.and(a, e.let(e.not(bit)))),
  ),
  btc: sem(
    'rw',
    bitOp((e, a, bit) => e.xor(a, bit)),
  ),
  bsf: sem(
    'rw',
    bitScan((e, a) => e.ctz(a)),
  ),
  bsr: sem(
    'rw',
    bitScan((e, a) => e.sub(e.c(63), e.let(e.clz(a)))),
  ),
  tzcnt: sem('w', tzcnt),
  lzcnt: sem('w', lzcnt),
  popcnt: sem('w', popcnt),
  xchg: sem('rw', (e, z) => {
    const a = e.let(e.read(0, z));
    const b = e.let(e.read(1, z));
    e.writeSrc(z, a);
    e.write(z, b);
  }),
  xadd: sem('rw', xadd),
  cmpxchg: sem('rw', cmpxchg),
  cmpxchgPair: sem('rw', cmpxchgPair),
  // the manual leaves BSWAP of 16 bits undefined: CPUs give 0
  bswap: sem('rw', (e, z) => e.write(z, z === 2 ? e.c(0) : swapBytes(e, e.let(e.read(0, z)), z))),
  'lock.add': sem('rw', lockedBinary('add')),
  'lock.sub': sem('rw', lockedBinary('sub')),
  'lock.and': sem('rw', lockedBinary('and')),
  'lock.or': sem('rw', lockedBinary('or')),
  'lock.xor': sem('rw', lockedBinary('xor')),
  'lock.inc': sem('rw', lockedStep('add')),
  'lock.dec': sem('rw', lockedStep('sub')),
  'lock.adc': sem(
    'rw',
    lockedLoop(2, (e, a, b) => e.add(e.add(a, b), e.let(carry(e))), flagsAdd),
  ),
  'lock.sbb': sem(
    'rw',
    lockedLoop(2, (e, a, b) => e.sub(e.sub(a, b), e.let(carry(e))), flagsBorrow),
  ),
  'lock.neg': sem(
    'rw',
    lockedLoop(
      1,
      (e, a, zero) => e.sub(zero, a),
      (e, z, a, zero, r) => flagsSub(e, z, zero, a, r),
    ),
  ),
  'lock.not': sem(
    'rw',
    lockedLoop(
      1,
      (e, a) => e.not(a),
      () => {},
    ),
  ),
  'lock.bts': sem('rw', lockedBitOp('or')),
  'lock.btr': sem('rw', lockedBitOp('and')),
  'lock.btc': sem('rw', lockedBitOp('xor')),
  'lock.xadd': sem('rw', (e, z) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.atomic('add', z, b));
    const r = e.let(e.sx(e.add(a, b), z));
    e.writeSrc(z, a);
    flagsAdd(e, z, a, b, r);
  }),
  'lock.xchg': sem('rw', (e, z) => e.writeSrc(z, e.let(e.atomic('xchg', z, e.let(e.read(1, z)))))),
  'lock.cmpxchg': sem('rw', lockedCmpxchg),
  'lock.cmpxchg8b': sem('rw', lockedCmpxchg8b),
  setcc: sem('w', (e, _z, cc) => e.write(1, e.bool(condition(e, cc)))),
  cmovcc: sem('rw', (e, z, cc) => {
    const b = e.let(e.read(1, z));
    const a = e.let(e.read(0, z));
    e.write(z, e.select(b, a, condition(e, cc)));
  }),
  cbw: sem('none', (e, z) => e.setReg(RAX, z, e.reg(RAX, (z >> 1) as Size))),
  cwd: sem('none', (e, z) => e.setReg(RDX, z, e.shrs(e.reg(RAX, z), e.c(63)))),
  lahf: sem('none', (e) => {
    const f = e.let(e.or(packStatus(e), e.c(2)));
    const low = e.let(e.and(e.reg(RAX, 2), e.c(0xff)));
    e.setReg(RAX, 2, e.or(e.get(low), e.shl(e.get(f), e.c(8))));
  }),
  sahf: sem('none', (e) => {
    const ah = e.let(e.and(e.shru(e.reg(RAX, 2), e.c(8)), e.c(0xd5)));
    const f = e.let(e.or(e.and(packStatus(e), e.c(0x800)), e.let(e.get(ah))));
    unpackStatus(e, f);
  }),
  clc: sem('none', (e) => setCarry(e, e.let(e.c(0)))),
  stc: sem('none', (e) => setCarry(e, e.let(e.c(1)))),
  cmc: sem('none', (e) => setCarry(e, e.let(e.xor(carry(e), e.c(1))))),
  cld: sem('none', (e) => e.setFlagsRest(e.and(e.flagsRest(), e.c(~0x400)))),
  std: sem('none', (e) => e.setFlagsRest(e.or(e.flagsRest(), e.c(0x400)))),
  cli: sem('none', (e) => {
    e.slowIf(e.ne(e.cpl(), e.c(0)));
    e.setFlagsRest(e.and(e.flagsRest(), e.c(~IF_BIT)));
  }),
  sti: sem('none', (e) => {
    e.slowIf(e.ne(e.or(e.cpl(), e.irqWindow()), e.c(0)));
    e.setFlagsRest(e.or(e.flagsRest(), e.c(IF_BIT)));
  }),
  pushf: sem('w', (e, z) => {
    e.slowIf(e.ne(e.and(e.flagsRest(), e.c(0x20000)), e.c(0)));
    const f = e.let(e.and(e.or(e.flagsRest(), packStatus(e)), e.c(0xfcffff)));
    e.stackAdd(z, -z);
    e.write(z, f);
  }),
  popf: sem('r', (e, z) => {
    const f = e.let(e.read(0, z));
    // only the kernel's plain use; another CPL, virtual-8086, single-stepping, a waiting interrupt and what SMAP let
    // in take the helper
    const window = e.bool(e.andBool(e.ne(e.irqWindow(), e.c(0)), e.ne(e.and(e.get(f), e.c(IF_BIT)), e.c(0))));
    const busy = e.or(e.or(e.cpl(), e.userOpen()), e.let(window));
    e.slowIf(e.ne(e.or(busy, e.let(e.and(e.get(f), e.c(TF_BIT)))), e.c(0)));
    const mask = z === 2 ? POPF_MASK & 0xffff : POPF_MASK;
    e.stackAdd(z, z);
    e.setFlagsRest(e.or(e.and(e.flagsRest(), e.c(~mask)), e.let(e.and(e.get(f), e.c(mask)))));
    unpackStatus(e, f);
  }),
  push: sem('w', (e, z) => {
    const v = e.let(e.read(1, z));
    e.stackAdd(z, -z);
    e.write(z, v);
  }),
  pop: sem('w', (e, z) => {
    const v = e.let(e.read(1, z));
    e.stackAdd(z, z);
    e.write(z, v);
  }),
  leave: sem('r', (e, z) => {
    const v = e.let(e.read(0, z));
    // as much of RSP as the stack is wide, whatever the operand's size
    e.stackAddVar(z, e.let(e.sub(e.reg(RBP, 8), e.reg(RSP, 8))));
    e.stackAdd(z, z);
    e.setReg(RBP, z, v);
  }),
  jmpRel: sem('none', (e) => e.jumpRel()),
  jmp: sem('r', (e, z) => e.jump(nearTarget(e, z, e.read(0, z)))),
  jcc: sem('none', (e, _z, cc) => e.if(condition(e, cc), () => e.jumpRel())),
  callRel: sem('w', (e, z) => {
    e.stackAdd(z, -z);
    e.write(z, e.nextRip());
    e.jumpRel();
  }),
  call: sem('w', (e, z) => {
    const target = nearTarget(e, z, e.read(1, z));
    e.stackAdd(z, -z);
    e.write(z, e.nextRip());
    e.jump(target);
  }),
  ret: sem('r', (e, z) => {
    const target = nearTarget(e, z, e.read(0, z));
    const more = e.let(e.add(e.imm(), e.c(z)));
    e.stackAddVar(z, more);
    e.jump(target);
  }),
  nop: sem('none', () => {}),
};
