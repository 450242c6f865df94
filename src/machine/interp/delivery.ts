/**
 * An exception or interrupt through the IDT, as WebAssembly, where all is plain: an interrupt or trap gate to flat ring 0
 * code, from there or from ring 3, onto a stack that has room in one page. That of 64-bit code is here, that of 32-bit
 * code in legacy-delivery.ts. The rest is the engine's, which has the same steps and all faults (engine/exceptions.ts).
 */
import type { Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { AC, packStatus, RF } from '../../x86/flags.ts';
import { RSP } from '../../x86/sem/common.ts';
import type { Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { ATTR, FLAT, flatSegment, NULL_SS, turnEntries } from '../emit/system.ts';
import { addBody, argument, FUNCTION, makeBody, storeAt, translated, word } from './function.ts';
import { type Event, enterGate, type Gate, HOW, plainGate, segmentField, selectorOf } from './gates.ts';
import { deliverLegacy } from './legacy-delivery.ts';
import { gdtDescriptor, tableWord } from './legacy-segments.ts';
import { KIND_WRITE } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import { CODE64, slowUnlessCanonical } from './walk.ts';

export interface DeliveryFunction {
  /**
   * 0: delivered. 1: not begun, but the privilege level and EFLAGS.AC are to be set anew. `how` is of HOW, `rf` is pushed with
   * the flags; ip in halves.
   */
  deliver(
    cpu: number,
    vector: number,
    error: number,
    how: number,
    rf: number,
    ip: number,
    ipHigh: number,
  ): number;
}

const GATE_BYTES = 16;
const IST = 7;
/** Where the TSS has RSP0. */
const TSS_RSP0 = 4;

const field = (e: RoutineEmitter, offset: number): Var => e.let(e.state64(offset));
function target(e: RoutineEmitter, { low, upper, at }: Gate): Var {
  const high = tableWord(e, e.add(e.get(at), e.c(8)));
  const middle = e.let(e.and(e.get(upper), e.big(0xffff_0000n)));
  const to = e.let(e.or(e.or(e.and(e.get(low), e.c(0xffff)), middle), e.let(e.shl(e.get(high), e.c(32)))));
  slowUnlessCanonical(e, to);
  return to;
}
/** Leaves unless the selector is of the GDT's flat ring 0 code. */
function checkCode(e: RoutineEmitter, selector: Var): void {
  e.slowIf(e.eqz(e.and(e.get(selector), e.c(0xfff8))));
  e.slowIf(e.ne(e.get(gdtDescriptor(e, selector)), e.big(FLAT.kernelCode)));
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
const WORDS = 5;

function deliverLong(e: RoutineEmitter, event: Event): void {
  const { error, hasError, user, rest, rf, ip } = event;
  const gate = plainGate(e, event, GATE_BYTES, IST);
  const { selector, trap } = gate;
  const to = target(e, gate);
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
  storeAt(e, at, 8, ip);
  storeAt(e, at, 8, selectorOf(e, SEG.cs), 8);
  storeAt(e, at, 8, e.let(e.or(flags, rf)), 16);
  storeAt(e, at, 8, e.let(e.reg(RSP, 8)), 24);
  storeAt(e, at, 8, selectorOf(e, SEG.ss), 32);
  e.setReg(RSP, 8, sp);
  flatSegment(e, SEG.cs, e.let(e.and(e.get(selector), e.c(0xfffc))), ATTR.kernelCode);
  e.if(e.ne(e.get(user), e.c(0)), () => {
    e.setState64(segmentField(SEG.ss, segment.sel), e.c(NULL_SS << 16));
    e.setState64(segmentField(SEG.ss, segment.base), e.c(0));
  });
  enterGate(e, rest, trap);
  e.setState64(cpuState.rip.offset, to);
}

type Arguments = [Var, Var, Var, Var, Var, Var];

function deliver(e: RoutineEmitter): void {
  // accesses use some of the parameters' locals
  const [vector, error, how, rf, low, high] = [1, 2, 3, 4, 5, 6].map((n) => argument(e, n)) as Arguments;
  const user = field(e, cpuState.cpl.offset);
  // ring 0 or 3
  e.slowIf(e.eqz(e.and(e.sub(e.get(user), e.c(1)), e.c(2))));
  e.slowIf(e.ne(e.state32(cpuState.watched.offset), e.c(0)));
  const rest = e.let(e.flagsRest());
  // what tables are read with knows nothing of AC
  e.if(e.ne(e.and(e.get(rest), e.c(AC)), e.c(0)), () => {
    turnEntries(e, 'closed');
    e.setFlagsRest(e.and(e.get(rest), e.c(~AC)));
  });
  e.setPrivilege(0);
  const hasError = e.let(e.and(e.get(how), e.c(HOW.error)));
  const software = e.let(e.and(e.get(how), e.c(HOW.software)));
  const ip = e.let(e.or(e.shl(e.get(high), e.c(32)), low));
  const event: Event = { vector, error, hasError, software, rf, ip, user, rest };
  e.if(
    e.eq(e.state32(cpuState.mode.offset), e.c(CODE64)),
    () => deliverLong(e, event),
    () => deliverLegacy(e, event),
  );
}

/**
 * Delivers in the middle of another function, which is left if that comes to nothing: with the state as it was, but for
 * what no code sees.
 */
export function deliverOrLeave(
  e: RoutineEmitter,
  { vector, error, ip }: { vector: Var; error: Var; ip: Var },
  how: number,
  rf: number,
): void {
  const changed = [cpuState.cpl, cpuState.tlbCtx, cpuState.flagsRest, cpuState.faultAddr];
  const before = changed.map((f) => e.let(e.state64(f.offset)));
  const kind = e.let(e.state32(cpuState.faultKind.offset));
  e.code.get(0);
  word(e, e.get(vector));
  word(e, e.get(error));
  e.code.i32(how);
  e.code.i32(rf);
  word(e, e.get(ip));
  word(e, e.shru(e.get(ip), e.c(32)));
  e.code.call(FUNCTION.deliver);
  e.open('inner', OP.if);
  changed.forEach((f, k) => {
    e.setState64(f.offset, before[k] as Var);
  });
  e.setState32(cpuState.faultKind.offset, kind);
  e.br('slow');
  e.end();
}

export function addDeliver(m: Module): void {
  addBody(m, makeBody(7, deliver), 'deliver');
}
