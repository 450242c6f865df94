/**
 * What changes the TLBs, as WebAssembly: entering a page, and retagging what the running address space has listed. Both
 * the walk in WebAssembly and the engine call them (engine/tlb.ts).
 */
import type { Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { V64, Var } from '../../x86/sem/sem.ts';
import { cpuState, OPEN_ENTRIES } from '../cpu-state.ts';
import { addBody, argument, FUNCTION, loadAt, makeBody, storeAt, word } from './function.ts';
import {
  ENTRY_FLAG,
  GEN_MASK,
  GEN_SHIFT,
  LARGE_REGIONS,
  MAX_LISTED,
  REGIONS,
  TAG_CLOSED,
  TLB_ENTRY,
  TLB_LIST,
  TLB_READ,
} from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';

/** As JavaScript calls them. `place` is the entry's from the start of the vCPU's block. */
export interface TlbFunctions {
  /** Enters a page; the address in two halves. */
  enter(cpu: number, place: number, low: number, high: number, value: number, flags: number): void;
  /** What is listed and bears one generation gets another, 0: goes; the rest is taken off the list. */
  retag(cpu: number, from: number, to: number): void;
  /** Goes on in an address space, with what is known of it or empty. 0: done, 1: no generation is left for it. */
  switchSpace(cpu: number, number: number, keep: number): number;
  /** Empties an address space, perhaps the one that runs. */
  dropSpace(cpu: number, number: number): void;
  /** Fills the TLBs for the access that missed. 0: done, 1: the engine has to see. */
  fill(cpu: number): number;
}

const CPU = 0;
const cpuAddress = (e: RoutineEmitter): Var => argument(e, CPU);
const generationOf = (e: RoutineEmitter, tag: Var): V64 =>
  e.shru(e.and(e.get(tag), e.c(GEN_MASK)), e.c(GEN_SHIFT));
/** Whether an entry bears a generation and is not global: 1 or 0. */
export function owned(e: RoutineEmitter, at: Var, tag: Var, generation: Var): V64 {
  const same = e.let(e.bool(e.eq(generationOf(e, tag), generation)));
  return e.and(e.bool(e.eqz(e.and(loadAt(e, at, 4, TLB_ENTRY.flags), e.c(ENTRY_FLAG.global)))), same);
}

/** Number of a region's byte; `linear` is the whole address. */
export function regionOf(e: RoutineEmitter, linear: Var): V64 {
  const upper = e.let(e.and(e.shru(e.get(linear), e.c(51)), e.c(REGIONS)));
  return e.or(e.and(e.shru(e.get(linear), e.c(21)), e.c(REGIONS - 1)), upper);
}

/** retag(cpu, from, to) */
export function addRetag(m: Module): void {
  const body = makeBody(3, (e) => {
    const cpu = cpuAddress(e);
    const from = argument(e, 1);
    const to = argument(e, 2);
    const list = e.let(e.add(e.get(cpu), e.c(TLB_LIST)));
    const end = e.let(e.add(e.get(list), e.let(e.shl(e.state32(cpuState.listed.offset), e.c(1)))));
    const kept = e.let(e.get(list));
    const next = e.let(e.get(list));
    e.if(e.ltu(next, end), () =>
      e.loop(() => {
        const number = e.let(loadAt(e, next, 2));
        const at = e.let(e.add(e.add(e.get(cpu), e.c(TLB_READ)), e.let(e.shl(e.get(number), e.c(4)))));
        const tag = e.let(loadAt(e, at, 4));
        e.if(e.ne(owned(e, at, tag, from), e.c(0)), () => {
          const other = e.or(e.and(e.get(tag), e.c(~GEN_MASK)), e.let(e.shl(e.get(to), e.c(GEN_SHIFT))));
          const made = e.let(other);
          const none = e.let(e.c(0));
          storeAt(e, at, 4, e.let(e.select(made, none, e.ne(e.get(to), e.c(0)))));
          storeAt(e, kept, 2, number);
          e.set(kept, e.add(e.get(kept), e.let(e.select(e.let(e.c(2)), none, e.ne(e.get(to), e.c(0))))));
        });
        e.set(next, e.add(e.get(next), e.c(2)));
        return e.ltu(next, end);
      }),
    );
    e.setState32(cpuState.listed.offset, e.shru(e.sub(kept, list), e.c(1)));
  });
  addBody(m, body, 'retag');
}

/** The entry is about to be one of the running address space's. */
function list(e: RoutineEmitter, cpu: Var, at: Var): void {
  const live = e.let(e.state32(cpuState.generation.offset));
  const tag = e.let(loadAt(e, at, 4));
  e.if(e.eqz(owned(e, at, tag, live)), () => {
    e.if(e.eq(e.state32(cpuState.listed.offset), e.c(MAX_LISTED)), () => {
      e.code.get(CPU);
      word(e, e.get(live));
      e.code.i32(0);
      e.code.call(FUNCTION.retag);
      e.code.op(OP.drop);
    });
    const n = e.let(e.state32(cpuState.listed.offset));
    const to = e.let(e.add(e.add(e.get(cpu), e.c(TLB_LIST)), e.let(e.shl(e.get(n), e.c(1)))));
    storeAt(e, to, 2, e.let(e.shru(e.sub(e.sub(at, cpu), e.c(TLB_READ)), e.c(4))));
    e.setState32(cpuState.listed.offset, e.add(e.get(n), e.c(1)));
  });
}

/** STAC and CLAC open and close the entry from now on; the one that was listed longest goes. */
function listOpen(e: RoutineEmitter, cpu: Var, at: Var, tag: Var): void {
  const entries = cpuState.openEntry.offset;
  const tags = cpuState.openTag.offset;
  const place = (n: V64): Var => e.let(e.add(e.shl(n, e.c(2)), cpu));
  const free = e.let(e.c(-1));
  for (let k = 0; k < OPEN_ENTRIES; k++)
    e.if(e.eq(e.state32(entries + 4 * k), at), () => e.set(free, e.c(k)));
  e.if(e.eq(e.get(free), e.c(-1)), () => {
    e.set(free, e.state32(cpuState.openNext.offset));
    e.setState32(cpuState.openNext.offset, e.and(e.add(e.get(free), e.c(1)), e.c(OPEN_ENTRIES - 1)));
    const old = e.let(loadAt(e, place(e.get(free)), 4, entries));
    const oldTag = e.let(loadAt(e, place(e.get(free)), 4, tags));
    e.if(e.ne(e.get(old), e.c(0)), () => {
      e.if(e.eq(e.and(loadAt(e, old, 4), e.c(~TAG_CLOSED)), oldTag), () => storeAt(e, old, 4, e.let(e.c(0))));
    });
  });
  storeAt(e, place(e.get(free)), 4, at, entries);
  storeAt(e, place(e.get(free)), 4, tag, tags);
  e.setState32(cpuState.userOpen.offset, e.c(1));
}

/** enter(cpu, place, low, high, value, flags) */
export function addEnter(m: Module): void {
  const body = makeBody(6, (e) => {
    const cpu = cpuAddress(e);
    const at = e.let(e.add(argument(e, 1), cpu));
    const low = argument(e, 2);
    const high = argument(e, 3);
    const flags = argument(e, 5);
    e.if(e.eqz(e.and(e.get(flags), e.c(ENTRY_FLAG.global))), () => list(e, cpu, at));
    const context = e.let(e.state32(cpuState.tlbCtx.offset));
    const tag = e.let(e.or(e.and(e.get(low), e.c(-4096)), context));
    e.if(e.ne(e.and(e.get(flags), e.c(ENTRY_FLAG.open)), e.c(0)), () => listOpen(e, cpu, at, tag));
    e.if(e.ne(e.and(e.get(flags), e.c(ENTRY_FLAG.large)), e.c(0)), () => {
      const linear = e.let(e.or(e.shl(e.get(high), e.c(32)), low));
      storeAt(e, e.let(e.add(regionOf(e, linear), cpu)), 1, e.let(e.c(1)), LARGE_REGIONS);
      e.setState32(cpuState.largeSeen.offset, e.c(1));
    });
    storeAt(e, at, 4, tag);
    storeAt(e, at, 4, high, TLB_ENTRY.high);
    storeAt(e, at, 4, argument(e, 4), TLB_ENTRY.value);
    storeAt(e, at, 4, flags, TLB_ENTRY.flags);
  });
  addBody(m, body, 'enter');
}
