/**
 * Segment registers and SYSENTER and SYSEXIT of 32-bit code as routines, for what a kernel with flat segments does at
 * each of its entries. What is not plain is the helper's (engine/segments.ts, engine/syscall.ts).
 */
import { AC, IF, RF, TF, VM } from '../../x86/flags.ts';
import { RCX, RDX, RSP } from '../../x86/sem/common.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { codeDiffers } from '../emit/system.ts';
import { BEYOND } from '../engine/registers.ts';
import { CR0_PE } from '../mmu.ts';
import { loadAt, type SystemRoutine, storeAt, systemRoutine } from './function.ts';
import {
  FLAT32,
  gdtDescriptor,
  loadFlat,
  slowUnless,
  slowUnlessFlat,
  slowUnlessLegacy,
  slowUnlessZero,
} from './legacy-segments.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** Of a descriptor's high word: accessed writable data that does not expand down; limited to nothing (with the low word). */
const PLAIN_MASK = 0x008f_9f00;
const PLAIN = 0x008f_9300;
/** Leaves unless ring 0 runs in protected mode, and no user page is let in. */
function slowUnlessKernel(e: RoutineEmitter): void {
  slowUnless(e, e.and(e.state32(cpuState.cr0.offset), e.c(CR0_PE)));
  slowUnlessZero(e, e.or(e.cpl(), e.let(e.userOpen())));
  slowUnlessZero(e, e.and(e.flagsRest(), e.c(VM | AC)));
}

/**
 * MOV and POP to ES, DS, FS or GS, whose number the immediate is, in 16-bit and 32-bit code: of a data segment without
 * limits, and for FS and GS of a null selector. ES and DS must have been without limits too, since code is decoded for that.
 */
function loadSegment(e: RoutineEmitter): void {
  slowUnlessKernel(e);
  const selector = e.let(e.and(e.read(1, 8), e.c(0xffff)));
  const cpu = e.let(e.cpuAddress());
  const register = e.let(e.add(e.shl(e.imm(), e.c(4)), cpu));
  const effective = e.let(e.add(e.shl(e.imm(), e.c(3)), cpu));
  const late = e.let(e.bool(e.gtu(e.imm(), e.c(SEG.ds))));
  const word = e.let(e.get(selector));
  const base = e.let(e.c(0));
  const based = e.let(e.big(BigInt(BEYOND) << 32n));
  e.if(
    e.gtu(e.get(selector), e.c(3)),
    () => {
      const found = gdtDescriptor(e, selector);
      const high = e.let(e.shru(e.get(found), e.c(32)));
      e.slowIf(e.ne(e.and(e.get(high), e.c(PLAIN_MASK)), e.c(PLAIN)));
      e.slowIf(e.ne(e.and(e.get(found), e.c(0xffff)), e.c(0xffff)));
      // the descriptor's privilege is the selector's or less
      const dpl = e.let(e.and(e.shru(e.get(high), e.c(13)), e.c(3)));
      e.slowIf(e.gtu(e.and(e.get(selector), e.c(3)), dpl));
      e.if(e.eqz(late), () => {
        const old = e.let(loadAt(e, register, 8, cpuState.seg.offset));
        e.slowIf(
          e.ne(e.and(e.shru(e.get(old), e.c(16)), e.big(0xffff_ffff_009fn)), e.big(0xffff_ffff_0093n)),
        );
      });
      const low = e.let(e.and(e.shru(e.get(high), e.c(8)), e.c(0xff)));
      const attr = e.let(e.or(e.and(e.shru(e.get(high), e.c(12)), e.c(0xf00)), low));
      e.set(word, e.or(e.or(e.shl(e.get(attr), e.c(16)), word), e.big(-0x1_0000_0000n)));
      const upper = e.let(e.and(e.get(high), e.c(0xff00_0000)));
      e.set(base, e.or(e.and(e.shru(e.get(found), e.c(16)), e.c(0xff_ffff)), upper));
      e.set(based, e.get(base));
    },
    () => slowUnless(e, e.get(late)),
  );
  storeAt(e, register, 8, word, cpuState.seg.offset);
  storeAt(e, register, 8, base, cpuState.seg.offset + segment.base.offset);
  storeAt(e, effective, 8, based, cpuState.segBase.offset);
}

/** CS for the ring that is entered, from the MSR; leaves in long mode, and where the code may not mean the same. */
function entered(e: RoutineEmitter): Var {
  slowUnlessLegacy(e);
  slowUnlessZero(e, e.or(e.userOpen(), e.let(codeDiffers(e))));
  slowUnlessZero(e, e.and(e.flagsRest(), e.c(TF | VM | AC)));
  const cs = e.let(e.and(e.state32(cpuState.sysenterCs.offset), e.c(0xfffc)));
  slowUnless(e, e.get(cs));
  return cs;
}
/** Flat segments from a selector on, of a ring. */
function enter(e: RoutineEmitter, cs: V64, code: number, data: number): void {
  const selector = e.let(cs);
  const stack = e.let(e.and(e.add(e.get(selector), e.c(8)), e.c(0xffff)));
  loadFlat(e, SEG.cs, e.let(e.and(e.get(selector), e.c(0xffff))), code);
  loadFlat(e, SEG.ss, stack, data);
}

/** SYSENTER from flat ring 3; where it goes is left in operand 0. */
function sysenter(e: RoutineEmitter): void {
  const cs = entered(e);
  slowUnlessFlat(e, SEG.cs, FLAT32.userCode);
  slowUnlessFlat(e, SEG.ss, FLAT32.userData);
  e.slowIf(e.ne(e.cpl(), e.c(3)));
  e.setFlagsRest(e.and(e.flagsRest(), e.c(~(IF | VM | RF))));
  enter(e, e.get(cs), FLAT32.kernelCode, FLAT32.kernelData);
  e.setPrivilege(0);
  e.setReg(RSP, 8, e.state32(cpuState.sysenterEsp.offset));
  e.write(8, e.state32(cpuState.sysenterEip.offset));
}
/** SYSEXIT to flat ring 3. */
function sysexit(e: RoutineEmitter): void {
  const cs = entered(e);
  slowUnlessFlat(e, SEG.cs, FLAT32.kernelCode);
  slowUnlessFlat(e, SEG.ss, FLAT32.kernelData);
  slowUnlessZero(e, e.or(e.cpl(), e.let(e.irqWindow())));
  enter(e, e.or(e.add(e.get(cs), e.c(16)), e.c(3)), FLAT32.userCode, FLAT32.userData);
  e.setPrivilege(3);
  e.setReg(RSP, 8, e.zx(e.reg(RCX, 8), 4));
  e.write(8, e.zx(e.reg(RDX, 8), 4));
}

export const SEGMENT_ROUTINES: readonly SystemRoutine[] = [
  systemRoutine('loadSegment', loadSegment),
  systemRoutine('sysenter', sysenter),
  systemRoutine('sysexit', sysexit),
];
