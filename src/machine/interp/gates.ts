/** Gates of the IDT as deliveries in WebAssembly see them, whatever their size: see delivery.ts and legacy-delivery.ts. */
import { IF, NT, RF, TF, VM } from '../../x86/flags.ts';
import type { Var } from '../../x86/sem/sem.ts';
import { cpuState, segment } from '../cpu-state.ts';
import { loadAt } from './function.ts';
import { tableWord } from './legacy-segments.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** Bits of `how`: an error code is pushed; an INT n, for which the gate has to be this ring's. */
export const HOW = { error: 1, software: 2 } as const;

/** Of a gate's upper word: present, and the type but for its lowest bit, which tells a trap gate. */
const GATE_MASK = 0x9e00;
const GATE = 0x8e00;
export const segmentField = (s: number, f: { offset: number }): number => cpuState.seg.addr(0, s) + f.offset;
export const selectorOf = (e: RoutineEmitter, s: number): Var =>
  e.let(loadAt(e, e.let(e.cpuAddress()), 2, segmentField(s, segment.sel)));
const beyond = (e: RoutineEmitter, last: Var, limit: number): void =>
  e.slowIf(e.gtu(e.get(last), e.let(e.state32(limit))));

/** What is delivered. */
export interface Event {
  readonly vector: Var;
  readonly error: Var;
  /** 1 or 0, or not 0. */
  readonly hasError: Var;
  readonly software: Var;
  readonly rf: Var;
  readonly ip: Var;
  /** The privilege level: 0 or 3. */
  readonly user: Var;
  /** The flags that are not the status. */
  readonly rest: Var;
}

export interface Gate {
  /** Its first 8 bytes, and the upper word of these. */
  readonly low: Var;
  readonly upper: Var;
  readonly selector: Var;
  readonly trap: Var;
  /** Linear address. */
  readonly at: Var;
}
/** The gate of a vector; leaves unless it is an interrupt or trap gate, with none of some more bits in its upper word. */
export function plainGate(e: RoutineEmitter, event: Event, bytes: number, unwanted: number): Gate {
  const from = e.let(e.mul(e.get(event.vector), e.c(bytes)));
  beyond(e, e.let(e.add(e.get(from), e.c(bytes - 1))), cpuState.idtLimit.offset);
  const at = e.let(e.add(e.let(e.state64(cpuState.idtBase.offset)), from));
  const low = tableWord(e, e.get(at));
  const upper = e.let(e.shru(e.get(low), e.c(32)));
  e.slowIf(e.ne(e.and(e.get(upper), e.c(GATE_MASK | unwanted)), e.c(GATE)));
  e.if(e.ne(e.get(event.software), e.c(0)), () => {
    const dpl = e.let(e.and(e.shru(e.get(upper), e.c(13)), e.c(3)));
    e.slowIf(e.ltu(dpl, event.user));
  });
  const selector = e.let(e.and(e.shru(e.get(low), e.c(16)), e.c(0xffff)));
  return { low, upper, selector, trap: e.let(e.and(e.get(upper), e.c(0x100))), at };
}
/** Flags that a gate clears, an interrupt gate IF as well. */
const CLEARED = TF | NT | RF | VM;
export function enterGate(e: RoutineEmitter, rest: Var, trap: Var): void {
  const masked = e.let(
    e.select(e.let(e.c(~CLEARED)), e.let(e.c(~(CLEARED | IF))), e.ne(e.get(trap), e.c(0))),
  );
  e.setFlagsRest(e.and(rest, masked));
}
