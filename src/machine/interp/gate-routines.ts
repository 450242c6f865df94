/**
 * INT n and IRET of 32-bit code as routines: in and out through gates, where rings 0 and 3 have flat segments. What is not
 * plain is the helper's (engine/exceptions.ts, engine/iret.ts).
 */
import { AC, NT, TF, VIF, VIP, VM } from '../../x86/flags.ts';
import { RSP } from '../../x86/sem/common.ts';
import type { Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { codeDiffers, setFlags } from '../emit/system.ts';
import { svmState } from '../engine/svm/state.ts';
import { deliverOrLeave } from './delivery.ts';
import { loadAt, type SystemRoutine, systemRoutine, translated } from './function.ts';
import { HOW } from './gates.ts';
import {
  FLAT32,
  loadFlat,
  slowUnlessFlat,
  slowUnlessFlatDescriptor,
  slowUnlessLegacy,
  slowUnlessZero,
} from './legacy-segments.ts';
import { KIND_READ } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** In the immediate of INT n: where the next instruction begins in its page, above the vector. */
export const INT_NEXT = 8;
const WORD = 4;
/** Bytes of a frame to the same ring, and to ring 3. */
const FRAME = { same: 3 * WORD, outer: 5 * WORD } as const;
const DATA_SEGMENTS = [SEG.es, SEG.ds, SEG.fs, SEG.gs] as const;
/** Of a register's attributes. */
const ATTR = { s: 0x10, dpl: 0x60 } as const;

/** Where it goes is left in operand 0. */
function softwareInterrupt(e: RoutineEmitter): void {
  slowUnlessLegacy(e);
  slowUnlessZero(e, e.state32(svmState.flags.offset));
  slowUnlessZero(e, e.and(e.flagsRest(), e.c(TF | VM)));
  e.if(e.ne(e.cpl(), e.c(0)), () => slowUnlessZero(e, codeDiffers(e)));
  const vector = e.let(e.and(e.imm(), e.c(255)));
  const ip = e.let(e.add(e.state64(cpuState.ripBase.offset), e.let(e.shru(e.imm(), e.c(INT_NEXT)))));
  deliverOrLeave(e, { vector, error: e.let(e.c(0)), ip }, HOW.software, 0);
  e.write(8, e.state64(cpuState.rip.offset));
}

/** Leaves if there is a segment register that ring 3 would lose. */
function slowUnlessKept(e: RoutineEmitter): void {
  for (const s of DATA_SEGMENTS) {
    const attr = e.let(e.shru(e.state32(cpuState.seg.addr(0, s)), e.c(16)));
    const ring3 = e.let(e.bool(e.eq(e.and(e.get(attr), e.c(ATTR.dpl)), e.c(ATTR.dpl))));
    e.slowIf(e.ne(e.and(e.get(attr), e.c(ATTR.s)), e.let(e.mul(e.and(e.get(attr), e.c(ATTR.s)), ring3))));
  }
}

/** From flat ring 0 there or to flat ring 3; where it goes is left in operand 0. */
function iret(e: RoutineEmitter): void {
  slowUnlessLegacy(e);
  slowUnlessZero(e, e.or(e.or(e.cpl(), e.let(e.userOpen())), e.let(e.irqWindow())));
  slowUnlessZero(e, e.and(e.flagsRest(), e.c(TF | VM | NT)));
  slowUnlessFlat(e, SEG.cs, FLAT32.kernelCode);
  slowUnlessFlat(e, SEG.ss, FLAT32.kernelData);
  slowUnlessZero(e, e.state64(cpuState.segBase.addr(0, SEG.ss)));
  const sp = e.let(e.zx(e.reg(RSP, 8), 4));
  const inPage = e.let(e.and(e.get(sp), e.c(4095)));
  e.slowIf(e.gtu(e.get(inPage), e.c(4096 - FRAME.same)));
  const frame = translated(e, sp, KIND_READ);
  const [ip, flags] = [0, 2].map((k) => e.let(loadAt(e, frame, 4, k * WORD))) as [Var, Var];
  const code = e.let(loadAt(e, frame, 2, WORD));
  slowUnlessZero(e, e.and(e.get(flags), e.c(TF | VM | VIF | VIP)));
  const user = e.let(e.and(e.get(code), e.c(3)));
  // ring 0 or 3
  e.slowIf(e.eqz(e.and(e.sub(e.get(user), e.c(1)), e.c(2))));
  slowUnlessFlatDescriptor(e, code, FLAT32.kernelCode, user);
  const above = e.let(e.add(e.get(sp), e.c(FRAME.same)));
  const ss = e.let(e.c(0));
  e.if(e.ne(e.get(user), e.c(0)), () => {
    slowUnlessZero(e, codeDiffers(e));
    slowUnlessZero(e, e.and(e.get(flags), e.c(AC)));
    slowUnlessKept(e);
    e.slowIf(e.gtu(e.get(inPage), e.c(4096 - FRAME.outer)));
    e.set(above, loadAt(e, frame, 4, 3 * WORD));
    e.set(ss, loadAt(e, frame, 2, 4 * WORD));
    e.slowIf(e.ne(e.and(e.get(ss), e.c(3)), e.c(3)));
    slowUnlessFlatDescriptor(e, ss, FLAT32.userData);
  });
  e.setState32(cpuState.nmiBlocked.offset, e.c(0));
  setFlags(e, flags);
  e.setReg(RSP, 4, above);
  e.if(
    e.ne(e.get(user), e.c(0)),
    () => {
      loadFlat(e, SEG.cs, code, FLAT32.userCode);
      loadFlat(e, SEG.ss, ss, FLAT32.userData);
      e.setPrivilege(3);
    },
    () => loadFlat(e, SEG.cs, code, FLAT32.kernelCode),
  );
  e.write(8, ip);
}

export const GATE_ROUTINES: readonly SystemRoutine[] = [
  systemRoutine('int', softwareInterrupt),
  systemRoutine('iret', iret),
];
