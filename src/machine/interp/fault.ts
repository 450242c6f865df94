/**
 * A page fault in WebAssembly, where the access that missed the TLB is surely one and nothing comes before
 * it: it is found by another walk, and delivered. The rest is the engine's, which has the same steps (engine/misses.ts).
 */
import type { Module } from '../../wasm/module.ts';
import { AC, RF } from '../../x86/flags.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { codeDiffers } from '../emit/system.ts';
import { svmState } from '../engine/svm/state.ts';
import { CR0_EM, CR0_TS, PF } from '../mmu.ts';
import { deliverOrLeave } from './delivery.ts';
import { addBody, loadAt, makeBody } from './function.ts';
import { HOW } from './gates.ts';
import { REC } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import { type Access, check, missed, slowIfUneven, slowIfWatched, walk } from './walk.ts';

const PAGE_FAULT = 14;
/** An exception of the x87 is pending. */
const FSW_ES = 0x80;
const CR4_OSFXSR = 0x200;
const MAX_SIZE = 8;

const slowUnlessZero = (e: RoutineEmitter, v: V64): void => e.slowIf(e.ne(v, e.c(0)));

/** Leaves if something may come before the fault (engine/fault-order.ts), or the handler's code is not as it was. */
function slowUnlessFirst(e: RoutineEmitter): void {
  slowUnlessZero(e, e.state32(svmState.flags.offset));
  e.slowIf(e.gtu(e.shru(e.state32(cpuState.faultKind.offset), e.c(8)), e.c(MAX_SIZE)));
  slowUnlessZero(e, e.and(e.state32(cpuState.cr0.offset), e.c(CR0_EM | CR0_TS)));
  slowUnlessZero(e, e.and(e.statusWord(), e.c(FSW_ES)));
  e.slowIf(e.eqz(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_OSFXSR))));
  e.if(e.ne(e.cpl(), e.c(0)), () => slowUnlessZero(e, codeDiffers(e)));
  const shut = e.let(e.bool(e.eqz(e.and(e.flagsRest(), e.c(AC)))));
  slowUnlessZero(e, e.and(e.userOpen(), e.let(e.sub(e.c(0), shut))));
}

/** Error code of the fault; leaves if the access is none, or if that is not all there is to say. */
function errorCode(e: RoutineEmitter, access: Access): Var {
  const user = e.let(e.bool(e.eq(e.cpl(), e.c(3))));
  const error = e.let(
    e.or(e.mul(e.get(access.write), e.c(PF.write)), e.let(e.mul(e.get(user), e.c(PF.user)))),
  );
  e.open('handler');
  const leaf = walk(e, access.linear, () => e.brIf('handler'));
  slowIfUneven(e, leaf);
  e.slowIf(e.eqz(check(e, access, leaf).denied));
  e.set(error, e.or(e.get(error), e.c(PF.present)));
  e.end();
  return error;
}

/** Delivers it at the record's instruction. What a delivery that comes to nothing has changed is as before. */
function raise(e: RoutineEmitter, { linear }: Access, error: Var): void {
  const record = e.let(e.state32(cpuState.exitRp.offset));
  const ip = e.let(e.add(e.state64(cpuState.ripBase.offset), loadAt(e, record, 2, REC.off)));
  deliverOrLeave(e, { vector: e.let(e.c(PAGE_FAULT)), error, ip }, HOW.error, RF);
  e.setState64(cpuState.cr2.offset, linear);
  // the instruction has begun
  const run = e.let(e.sub(loadAt(e, record, 2, REC.n), e.let(e.state32(cpuState.exitBn.offset))));
  e.setState64(cpuState.icount.offset, e.add(e.state64(cpuState.icount.offset), run));
}

/** fault(cpu): for the access in faultAddr and faultKind, of the record at exitRp, which `fill` did not serve. */
export function addFault(m: Module): void {
  const body = makeBody(1, (e) => {
    slowIfWatched(e);
    slowUnlessFirst(e);
    const access = missed(e);
    raise(e, access, errorCode(e, access));
  });
  addBody(m, body, 'fault');
}
