/**
 * Address spaces in the TLBs, as WebAssembly: one goes, another one comes. What they are is told in engine/tlb-spaces.ts.
 *
 *   switchSpace(cpu, number, keep) -> 0: done, 1: there is no generation for it left
 *   dropSpace(cpu, number) -> 0       empties one, perhaps the one that runs
 */
import type { Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { addBody, argument, FUNCTION, loadAt, makeBody, storeAt, word } from './function.ts';
import {
  MAX_GENERATION,
  MAX_PARKED,
  SPACE,
  SPACES,
  SPACES_AT,
  TLB_ENTRY,
  TLB_LIST,
  TLB_READ,
} from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import { owned } from './tlb-functions.ts';

const ZERO = (e: RoutineEmitter): Var => e.let(e.c(0));

/** What is listed as a space's, from one place to another, and bears a generation, goes. */
function clear(e: RoutineEmitter, from: Var, end: Var, generation: Var): void {
  const next = e.let(e.get(from));
  e.if(e.ltu(next, end), () =>
    e.loop(() => {
      const number = e.let(loadAt(e, next, 2));
      const entries = e.let(e.add(e.cpuAddress(), e.c(TLB_READ)));
      const at = e.let(e.add(e.mul(e.get(number), e.c(TLB_ENTRY.size)), entries));
      const tag = e.let(loadAt(e, at, 4));
      e.if(e.ne(owned(e, at, tag, generation), e.c(0)), () => storeAt(e, at, 4, ZERO(e)));
      e.set(next, e.add(e.get(next), e.c(2)));
      return e.ltu(next, end);
    }),
  );
}
const listOf = (e: RoutineEmitter, space: Var): Var => e.let(e.add(e.get(space), e.c(SPACE.list)));
const behind = (e: RoutineEmitter, list: Var, count: V64): Var => {
  const n = e.let(count);
  return e.let(e.add(e.shl(e.get(n), e.c(1)), list));
};

/** Empties a space that does not run. */
function empty(e: RoutineEmitter, space: Var): void {
  const list = listOf(e, space);
  const end = behind(e, list, loadAt(e, space, 4, SPACE.count));
  clear(e, list, end, e.let(loadAt(e, space, 4, SPACE.generation)));
  storeAt(e, space, 4, ZERO(e), SPACE.count);
}
/** What is listed as the running space's and bears one generation gets another one. */
function retag(e: RoutineEmitter, from: Var, to: Var): void {
  e.code.get(0);
  word(e, e.get(from));
  word(e, e.get(to));
  e.code.call(FUNCTION.retag);
  e.code.op(OP.drop);
}
const live = (e: RoutineEmitter): Var => e.let(e.state32(cpuState.generation.offset));

/** Copies a list of so many. */
function copy(e: RoutineEmitter, to: Var, from: Var, count: Var): void {
  word(e, e.get(to));
  word(e, e.get(from));
  word(e, e.shl(e.get(count), e.c(1)));
  e.code.memoryCopy();
}
const liveList = (e: RoutineEmitter): Var => e.let(e.add(e.cpuAddress(), e.c(TLB_LIST)));

function park(e: RoutineEmitter, space: Var): void {
  const generation = e.let(loadAt(e, space, 4, SPACE.generation));
  retag(e, live(e), generation);
  const from = liveList(e);
  const count = e.let(e.state32(cpuState.listed.offset));
  e.if(e.gtu(e.get(count), e.c(MAX_PARKED)), () => {
    clear(e, behind(e, from, e.c(MAX_PARKED)), behind(e, from, e.get(count)), generation);
    e.set(count, e.c(MAX_PARKED));
  });
  copy(e, listOf(e, space), from, count);
  storeAt(e, space, 4, count, SPACE.count);
}
function resume(e: RoutineEmitter, space: Var): void {
  const count = e.let(loadAt(e, space, 4, SPACE.count));
  copy(e, liveList(e), listOf(e, space), count);
  e.setState32(cpuState.listed.offset, count);
  retag(e, e.let(loadAt(e, space, 4, SPACE.generation)), live(e));
  e.setState32(cpuState.space.offset, e.sub(e.get(space), e.cpuAddress()));
}

/** The space of a number, counted from 1; 0 if there is none. */
function find(e: RoutineEmitter, number: Var): Var {
  const found = ZERO(e);
  const space = e.let(e.add(e.cpuAddress(), e.c(SPACES_AT)));
  const end = e.let(e.add(e.get(space), e.c(SPACES * SPACE.size)));
  e.loop(() => {
    e.if(e.eq(loadAt(e, space, 4, SPACE.number), number), () => e.set(found, e.get(space)));
    e.set(space, e.add(e.get(space), e.c(SPACE.size)));
    return e.ltu(space, end);
  });
  return found;
}
/** A space for a number that has none: the one that came first goes for it. Leaves if it has no generation yet. */
function take(e: RoutineEmitter, number: Var, running: Var): Var {
  const following = (): V64 => {
    const next = e.let(e.add(e.state32(cpuState.nextSpace.offset), e.c(1)));
    return e.and(e.get(next), e.c(SPACES - 1));
  };
  const place = (): V64 => {
    const first = e.let(e.add(e.cpuAddress(), e.c(SPACES_AT)));
    return e.add(e.mul(e.state32(cpuState.nextSpace.offset), e.c(SPACE.size)), first);
  };
  const space = e.let(place());
  e.if(e.eq(e.get(space), running), () => {
    e.setState32(cpuState.nextSpace.offset, following());
    e.set(space, place());
  });
  e.if(
    e.eqz(loadAt(e, space, 4, SPACE.generation)),
    () => {
      const last = e.let(e.state32(cpuState.generationLast.offset));
      e.slowIf(e.eq(e.get(last), e.c(MAX_GENERATION)));
      e.set(last, e.add(e.get(last), e.c(1)));
      e.setState32(cpuState.generationLast.offset, last);
      storeAt(e, space, 4, last, SPACE.generation);
    },
    () => empty(e, space),
  );
  storeAt(e, space, 4, number, SPACE.number);
  e.setState32(cpuState.nextSpace.offset, following());
  return space;
}

function switchSpace(e: RoutineEmitter): void {
  const number = e.let(e.add(e.get(argument(e, 1)), e.c(1)));
  const keep = argument(e, 2);
  const own = e.let(e.state32(cpuState.space.offset));
  e.slowIf(e.eqz(own));
  const running = e.let(e.add(e.get(own), e.cpuAddress()));
  e.if(
    e.eq(loadAt(e, running, 4, SPACE.number), number),
    () => e.if(e.eqz(keep), () => retag(e, live(e), ZERO(e))),
    () => {
      const space = find(e, number);
      e.if(
        e.eqz(space),
        () => e.set(space, e.get(take(e, number, running))),
        () => e.if(e.eqz(keep), () => empty(e, space)),
      );
      park(e, running);
      resume(e, space);
    },
  );
  e.setState32(cpuState.switches.offset, e.add(e.state32(cpuState.switches.offset), e.c(1)));
}
function dropSpace(e: RoutineEmitter): void {
  const number = e.let(e.add(e.get(argument(e, 1)), e.c(1)));
  const space = find(e, number);
  e.if(e.ne(e.get(space), e.c(0)), () => {
    const own = e.let(e.add(e.state32(cpuState.space.offset), e.cpuAddress()));
    e.if(
      e.eq(e.get(space), own),
      () => retag(e, live(e), ZERO(e)),
      () => empty(e, space),
    );
  });
}

/** Adds both. */
export function addSpaces(m: Module): void {
  addBody(m, makeBody(3, switchSpace), 'switchSpace');
  addBody(m, makeBody(2, dropSpace), 'dropSpace');
}
