/**
 * A miss of the code TLB in WebAssembly, where all is plain: code that may be run, in RAM, which was decoded where
 * it goes on. What is not is the engine's (engine/blocks.ts). Frames are found in an index that the code cache keeps.
 */
import type { Module } from '../../wasm/module.ts';
import type { Var } from '../../x86/sem/sem.ts';
import { cpuState, SEG, segment } from '../cpu-state.ts';
import { svmState } from '../engine/svm/state.ts';
import { CR4_SMEP, PTE } from '../mmu.ts';
import { addBody, loadAt, makeBody } from './function.ts';
import { EXEC_ENTRIES, TLB_EXEC } from './record.ts';
import type { RoutineEmitter } from './routine-emitter.ts';
import {
  CODE64,
  enterAt,
  flagsOf,
  isSet,
  type Leaf,
  MEMORY,
  NX,
  nested,
  slowIfWatched,
  slowUnlessLinear,
  use,
  walk,
} from './walk.ts';

/** Entries of the index, by the frame's low bits: its number with the mode above (u32), and the table (u32). */
export const CODE_INDEX = { entries: 8192, entrySize: 8, modeShift: 20, modes: 4096 } as const;
/** Of execMode: the mode, below the time of a flush. */
const MODE_MASK = 0xffff;

function slowUnlessAllowed(e: RoutineEmitter, { rights, any }: Leaf): void {
  e.slowIf(e.ne(e.and(any, e.let(e.big(BigInt.asIntN(64, NX)))), e.c(0)));
  const user = e.let(isSet(e, rights, PTE.user));
  e.if(
    e.eq(e.cpl(), e.c(3)),
    () => e.slowIf(e.eqz(user)),
    () => {
      const smep = e.let(e.and(e.state32(cpuState.cr4.offset), e.c(CR4_SMEP)));
      e.slowIf(e.ne(e.and(smep, e.let(e.sub(e.c(0), user))), e.c(0)));
    },
  );
}

/** The table of the frame in the mode of this privilege. */
function tableOf(e: RoutineEmitter, address: Var): Var {
  const frame = e.let(e.shru(e.get(address), e.c(12)));
  const index = e.let(e.state32(cpuState.codeIndex.offset));
  e.slowIf(e.eqz(index));
  const [kernel, user] = [0, 1].map((k) => e.let(e.state32(cpuState.execMode.addr(0, k)))) as [Var, Var];
  const mode = e.let(e.and(e.select(user, kernel, e.eq(e.cpl(), e.c(3))), e.c(MODE_MASK)));
  const key = e.let(e.or(e.shl(e.get(mode), e.c(CODE_INDEX.modeShift)), frame));
  const number = e.let(e.and(e.get(frame), e.c(CODE_INDEX.entries - 1)));
  const at = e.let(e.add(e.mul(e.get(number), e.c(CODE_INDEX.entrySize)), index));
  e.slowIf(e.ne(loadAt(e, at, 4), key));
  return e.let(loadAt(e, at, 4, 4));
}

/** Linear address of rip, in a code segment without an end. */
function codeAddress(e: RoutineEmitter): Var {
  const rip = e.let(e.state64(cpuState.rip.offset));
  slowUnlessLinear(e, rip);
  e.if(e.ne(e.state32(cpuState.mode.offset), e.c(CODE64)), () =>
    e.slowIf(e.ne(e.state32(cpuState.seg.addr(0, SEG.cs) + segment.limit.offset), e.big(0xffff_ffffn))),
  );
  const based = e.let(e.add(e.state64(cpuState.segBase.addr(0, SEG.cs)), rip));
  return e.let(e.and(based, e.let(e.state64(cpuState.linMask.offset))));
}

/** fillCode(cpu): for the code at rip. */
export function addFillCode(m: Module): void {
  const body = makeBody(1, (e) => {
    slowIfWatched(e);
    e.slowIf(e.ne(e.state32(svmState.flags.offset), e.c(0)));
    const linear = codeAddress(e);
    const leaf = walk(e, linear);
    slowUnlessAllowed(e, leaf);
    const gpa = use(e, { linear, write: e.let(e.c(0)) }, leaf);
    const address = nested(e, gpa, e.let(e.c(MEMORY)));
    const table = tableOf(e, address);
    const slot = e.let(e.add(e.shl(e.and(e.get(address), e.c(4095)), e.c(2)), table));
    e.slowIf(e.eqz(loadAt(e, slot, 4)));
    const number = e.let(e.and(e.shru(e.get(linear), e.c(12)), e.c(EXEC_ENTRIES - 1)));
    enterAt(e, TLB_EXEC, number, linear, table, flagsOf(e, leaf, e.let(e.c(0))));
  });
  addBody(m, body, 'fillCode');
}
