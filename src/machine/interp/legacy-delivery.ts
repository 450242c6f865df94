/**
 * An exception or interrupt through the IDT of 32-bit code, see delivery.ts: a 32-bit gate to flat ring 0 code, from flat
 * ring 0 or 3, onto a flat stack with room in one page.
 */
import { packStatus, RF, VM } from '../../x86/flags.ts';
import { RSP } from '../../x86/sem/common.ts';
import type { Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { storeAt, translated } from './function.ts';
import { type Event, enterGate, plainGate, segmentField, selectorOf } from './gates.ts';
import {
  FLAT32,
  loadFlat,
  slowUnless,
  slowUnlessFlat,
  slowUnlessFlatDescriptor,
  slowUnlessLegacy,
  slowUnlessZero,
  tableWord,
} from './legacy-segments.ts';
import { KIND_WRITE } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

const GATE_BYTES = 8;
/** Words that are always pushed. */
const WORDS = 3;
/** Where the TSS has ESP0 and SS0, and the last byte of that; the bit of its attributes that tells 32 bits. */
const TSS = { stack: 4, last: 9, wide: 8 } as const;
const CODE32 = 32;

/** ESP and SS before the frame; SS counts only if it comes from the TSS. */
function stack(e: RoutineEmitter, user: Var): { above: Var; ss: Var } {
  const above = e.let(e.zx(e.reg(RSP, 8), 4));
  const ss = e.let(e.c(0));
  e.if(e.ne(e.get(user), e.c(0)), () => {
    slowUnless(e, e.and(e.state32(cpuState.seg.addr(0, SEG.tr)), e.c(TSS.wide << 16)));
    e.slowIf(e.ltu(e.state32(segmentField(SEG.tr, segment.limit)), e.c(TSS.last)));
    const pair = tableWord(e, e.add(e.state64(segmentField(SEG.tr, segment.base)), e.c(TSS.stack)));
    e.set(above, e.zx(pair, 4));
    e.set(ss, e.and(e.shru(e.get(pair), e.c(32)), e.c(0xffff)));
    slowUnlessZero(e, e.and(e.get(ss), e.c(3)));
    slowUnlessFlatDescriptor(e, ss, FLAT32.kernelData);
  });
  return { above, ss };
}

export function deliverLegacy(e: RoutineEmitter, event: Event): void {
  const { user, rest } = event;
  slowUnlessLegacy(e);
  e.slowIf(e.ne(e.state32(cpuState.mode.offset), e.c(CODE32)));
  slowUnlessZero(e, e.and(e.get(rest), e.c(VM)));
  // so that code means the same afterwards, where only the privilege is another
  slowUnlessFlat(e, SEG.cs, FLAT32.kernelCode, user);
  slowUnlessFlat(e, SEG.ss, FLAT32.kernelData, user);
  slowUnlessZero(e, e.state64(cpuState.segBase.addr(0, SEG.ss)));
  const { low, upper, selector, trap } = plainGate(e, event, GATE_BYTES, 0);
  const target = e.let(e.or(e.and(e.get(low), e.c(0xffff)), e.let(e.and(e.get(upper), e.big(0xffff_0000n)))));
  slowUnlessFlatDescriptor(e, selector, FLAT32.kernelCode);
  const { above, ss } = stack(e, user);
  // from ring 3 there are two words more
  const words = e.let(e.add(e.and(e.get(user), e.c(2)), e.let(e.add(e.get(event.hasError), e.c(WORDS)))));
  const size = e.let(e.shl(e.get(words), e.c(2)));
  const sp = e.let(e.zx(e.sub(above, size), 4));
  e.slowIf(e.gtu(e.add(e.and(e.get(sp), e.c(4095)), size), e.c(4096)));
  push(e, event, translated(e, sp, KIND_WRITE));
  e.setReg(RSP, 4, sp);
  loadFlat(e, SEG.cs, e.let(e.and(e.get(selector), e.c(0xfffc))), FLAT32.kernelCode);
  e.if(e.ne(e.get(user), e.c(0)), () => loadFlat(e, SEG.ss, ss, FLAT32.kernelData));
  enterGate(e, rest, trap);
  e.setState64(cpuState.rip.offset, target);
}

function push(e: RoutineEmitter, { error, hasError, user, rest, rf, ip }: Event, at: Var): void {
  e.if(e.ne(e.get(hasError), e.c(0)), () => {
    storeAt(e, at, 4, error);
    e.set(at, e.add(e.get(at), e.c(4)));
  });
  const flags = e.let(e.or(e.and(e.get(rest), e.c(~RF)), e.let(packStatus(e))));
  storeAt(e, at, 4, ip);
  storeAt(e, at, 4, selectorOf(e, SEG.cs), 4);
  storeAt(e, at, 4, e.let(e.or(flags, rf)), 8);
  e.if(e.ne(e.get(user), e.c(0)), () => {
    storeAt(e, at, 4, e.let(e.reg(RSP, 8)), 12);
    storeAt(e, at, 4, selectorOf(e, SEG.ss), 16);
  });
}
