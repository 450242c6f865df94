/**
 * An exception or interrupt through the IDT of 64-bit code, as WebAssembly, where all is plain: an interrupt or trap gate
 * to flat ring 0 code, from there or from ring 3, onto a stack that has room in one page. The rest is the engine's, which
 * has the same steps and all faults (engine/exceptions.ts).
 */
import type { Module } from '../../wasm/module.ts';
import { AC, IF, NT, packStatus, RF, TF, VM } from '../../x86/flags.ts';
import { RSP } from '../../x86/sem/common.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { ATTR, FLAT, flatSegment, NULL_SS, turnEntries } from '../emit/system.ts';
import { addBody, argument, loadAt, makeBody, storeAt, translated } from './function.ts';
import { KIND_READ, KIND_WRITE } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import { slowUnlessCanonical } from './walk.ts';

export interface DeliveryFunction {
  /**
   * 0: delivered. 1: not begun, but the privilege level and EFLAGS.AC are to be set anew. `rf` is pushed with the flags;
   * ip in halves.
   */
  deliver(
    cpu: number,
    vector: number,
    error: number,
    hasError: number,
    rf: number,
    ip: number,
    ipHigh: number,
  ): number;
}

const CODE64 = 64;
const GATE_BYTES = 16;
/** Of a gate's upper word: present, and the type but for its lowest bit, which tells a trap gate. */
const GATE_MASK = 0x9e00;
const GATE = 0x8e00;
const IST = 7;
/** Where the TSS has RSP0. */
const TSS_RSP0 = 4;

const field = (e: RoutineEmitter, offset: number): Var => e.let(e.state64(offset));
const segmentField = (s: number, f: { offset: number }): number => cpuState.seg.addr(0, s) + f.offset;
/** An 8-byte word of one of the CPU's tables. */
function tableWord(e: RoutineEmitter, linear: V64): Var {
  const at = e.let(linear);
  e.slowIf(e.gtu(e.and(e.get(at), e.c(4095)), e.c(4096 - 8)));
  return e.let(loadAt(e, translated(e, at, KIND_READ), 8));
}
const beyond = (e: RoutineEmitter, last: Var, limit: number): void =>
  e.slowIf(e.gtu(e.get(last), e.let(e.state32(limit))));

interface Gate {
  selector: Var;
  target: Var;
  trap: Var;
}
function gate(e: RoutineEmitter, vector: Var): Gate {
  const from = e.let(e.mul(e.get(vector), e.c(GATE_BYTES)));
  beyond(e, e.let(e.add(e.get(from), e.c(GATE_BYTES - 1))), cpuState.idtLimit.offset);
  const base = field(e, cpuState.idtBase.offset);
  const low = tableWord(e, e.add(base, from));
  const high = tableWord(e, e.add(e.add(base, from), e.c(8)));
  const upper = e.let(e.shru(e.get(low), e.c(32)));
  e.slowIf(e.ne(e.and(e.get(upper), e.c(GATE_MASK | IST)), e.c(GATE)));
  const middle = e.let(e.and(e.get(upper), e.big(0xffff_0000n)));
  const target = e.let(
    e.or(e.or(e.and(e.get(low), e.c(0xffff)), middle), e.let(e.shl(e.get(high), e.c(32)))),
  );
  slowUnlessCanonical(e, target);
  const selector = e.let(e.and(e.shru(e.get(low), e.c(16)), e.c(0xffff)));
  return { selector, target, trap: e.let(e.and(e.get(upper), e.c(0x100))) };
}
/** Leaves unless the selector is of the GDT's flat ring 0 code. */
function checkCode(e: RoutineEmitter, selector: Var): void {
  const last = e.let(e.or(e.get(selector), e.c(7)));
  beyond(e, last, cpuState.gdtLimit.offset);
  e.slowIf(e.ne(e.and(e.get(selector), e.c(4)), e.c(0)));
  const offset = e.let(e.and(e.get(selector), e.c(0xfff8)));
  e.slowIf(e.eqz(offset));
  const descriptor = tableWord(e, e.add(field(e, cpuState.gdtBase.offset), offset));
  e.slowIf(e.ne(e.get(descriptor), e.big(FLAT.kernelCode)));
}
/** The stack pointer before the frame. */
function stack(e: RoutineEmitter, user: Var): Var {
  const sp = e.let(e.reg(RSP, 8));
  e.if(e.ne(e.get(user), e.c(0)), () => {
    const limit = e.let(e.state32(segmentField(SEG.tr, segment.limit)));
    e.slowIf(e.ltu(e.get(limit), e.c(TSS_RSP0 + 7)));
    e.set(sp, e.get(tableWord(e, e.add(field(e, segmentField(SEG.tr, segment.base)), e.let(e.c(TSS_RSP0))))));
  });
  e.set(sp, e.and(e.get(sp), e.c(-16)));
  slowUnlessCanonical(e, sp);
  return sp;
}

/** Flags that a gate clears, an interrupt gate IF as well. */
const CLEARED = TF | NT | RF | VM;
const WORDS = 5;
type Arguments = [Var, Var, Var, Var, Var, Var];

function deliver(e: RoutineEmitter): void {
  // accesses use some of the parameters' locals
  const [vector, error, hasError, rf, low, high] = [1, 2, 3, 4, 5, 6].map((n) => argument(e, n)) as Arguments;
  const user = field(e, cpuState.cpl.offset);
  // ring 0 or 3
  e.slowIf(e.eqz(e.and(e.sub(e.get(user), e.c(1)), e.c(2))));
  e.slowIf(e.ne(e.state32(cpuState.mode.offset), e.c(CODE64)));
  e.slowIf(e.ne(e.state32(cpuState.watched.offset), e.c(0)));
  const rest = e.let(e.flagsRest());
  // what tables are read with knows nothing of AC
  e.if(e.ne(e.and(e.get(rest), e.c(AC)), e.c(0)), () => {
    turnEntries(e, 'closed');
    e.setFlagsRest(e.and(e.get(rest), e.c(~AC)));
  });
  e.setPrivilege(0);
  const { selector, target, trap } = gate(e, vector);
  checkCode(e, selector);
  const above = stack(e, user);
  const size = e.let(e.mul(e.add(e.get(hasError), e.c(WORDS)), e.c(8)));
  const sp = e.let(e.sub(above, size));
  const offset = e.let(e.and(e.get(sp), e.c(4095)));
  e.slowIf(e.gtu(e.add(offset, size), e.c(4096)));
  const at = translated(e, sp, KIND_WRITE);
  e.if(e.ne(e.get(hasError), e.c(0)), () => {
    storeAt(e, at, 8, error);
    e.set(at, e.add(e.get(at), e.c(8)));
  });
  const flags = e.let(e.or(e.and(e.get(rest), e.c(~RF)), e.let(packStatus(e))));
  const selectorOf = (s: number): Var =>
    e.let(loadAt(e, e.let(e.cpuAddress()), 2, segmentField(s, segment.sel)));
  const ip = e.let(e.or(e.shl(e.get(high), e.c(32)), low));
  storeAt(e, at, 8, ip);
  storeAt(e, at, 8, selectorOf(SEG.cs), 8);
  storeAt(e, at, 8, e.let(e.or(flags, rf)), 16);
  storeAt(e, at, 8, e.let(e.reg(RSP, 8)), 24);
  storeAt(e, at, 8, selectorOf(SEG.ss), 32);
  e.setReg(RSP, 8, sp);
  flatSegment(e, SEG.cs, e.let(e.and(e.get(selector), e.c(0xfffc))), ATTR.kernelCode);
  e.if(e.ne(e.get(user), e.c(0)), () => {
    e.setState64(segmentField(SEG.ss, segment.sel), e.c(NULL_SS << 16));
    e.setState64(segmentField(SEG.ss, segment.base), e.c(0));
  });
  const masked = e.let(
    e.select(e.let(e.c(~CLEARED)), e.let(e.c(~(CLEARED | IF))), e.ne(e.get(trap), e.c(0))),
  );
  e.setFlagsRest(e.and(rest, masked));
  e.setState64(cpuState.rip.offset, target);
}

export function addDeliver(m: Module): void {
  addBody(m, makeBody(7, deliver), 'deliver');
}
