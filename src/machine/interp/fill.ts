/**
 * A TLB miss in WebAssembly, where all is plain: the access is allowed and within one page of RAM without
 * code. What is not is a page fault (fault.ts), or the engine's, which walks again (mmu.ts) and finds what it is.
 */
import type { Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { FRAME_TABLE_AT, FRAME_WRITTEN, frameInfo } from '../machine.ts';
import { addBody, loadAt, makeBody, storeAt } from './function.ts';
import { TAG_USER, TLB_ENTRIES, TLB_READ, TLB_WRITE } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import {
  check,
  enterAt,
  flagsOf,
  MEMORY,
  missed,
  nested,
  slowIfWatched,
  use,
  WRITABLE,
  walk,
} from './walk.ts';

/** Leaves if the frame holds code and is to be written; else notes that it may be. */
function noteWritten(e: RoutineEmitter, address: Var): void {
  e.code.i32(FRAME_TABLE_AT);
  e.code.mem(OP.i64_load32_u, 2, 0);
  const table = e.let({} as V64);
  const number = e.let(e.shru(e.get(address), e.c(12)));
  const info = e.let(e.add(e.mul(e.get(number), e.c(frameInfo.$.size)), table));
  const high = e.let(loadAt(e, info, 4, frameInfo.codeHi.offset));
  e.slowIf(e.ne(e.or(loadAt(e, info, 4, frameInfo.codeLo.offset), high), e.c(0)));
  const flags = e.let(e.or(loadAt(e, info, 2, frameInfo.flags.offset), e.c(FRAME_WRITTEN)));
  storeAt(e, info, 2, flags, frameInfo.flags.offset);
}

function enterPage(e: RoutineEmitter, tlb: number, linear: Var, value: Var, flags: Var): void {
  const user = e.let(e.and(e.state32(cpuState.tlbCtx.offset), e.c(TAG_USER)));
  const turn = e.let(e.mul(e.get(user), e.c(TLB_ENTRIES / 2 / TAG_USER)));
  const number = e.let(e.and(e.xor(e.shru(e.get(linear), e.c(12)), turn), e.c(TLB_ENTRIES - 1)));
  enterAt(e, tlb, number, linear, value, flags);
}
/** fill(cpu): for the access in faultAddr and faultKind. */
export function addFill(m: Module): void {
  const body = makeBody(1, (e) => {
    slowIfWatched(e);
    const access = missed(e);
    const { linear, write } = access;
    const leaf = walk(e, linear);
    const { denied, open } = check(e, access, leaf);
    e.slowIf(e.ne(e.get(denied), e.c(0)));
    const gpa = use(e, access, leaf);
    const types = e.let(e.select(e.let(e.c(WRITABLE)), e.let(e.c(MEMORY)), e.ne(e.get(write), e.c(0))));
    const address = nested(e, gpa, types);
    e.if(e.ne(e.get(write), e.c(0)), () => noteWritten(e, address));
    const value = e.let(e.sub(address, linear));
    const flags = flagsOf(e, leaf, open);
    enterPage(e, TLB_READ, linear, value, flags);
    e.if(e.ne(e.get(write), e.c(0)), () => enterPage(e, TLB_WRITE, linear, value, flags));
  });
  addBody(m, body, 'fill');
}
