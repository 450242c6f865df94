/**
 * Routines: functions beside the interpreter's for instructions whose bodies would make that too large. `run` calls them
 * between two turns of the interpreter, so its loop still calls nothing. Compiled regions call them where they are:
 *
 *   (cpu, d, s, imm) -> 0: done, 1: not begun, for the helper       d, s: machine addresses of the operands
 *
 * They are exported as r0, r1, ... in the order of ROUTINE_LIST.
 */
import { Code } from '../../wasm/code.ts';
import { I32, type Module, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { cpuState } from '../cpu-state.ts';
import { addBody, type Body, FUNCTION, makeBody } from './function.ts';
import { specialOf } from './handlers.ts';
import { LEAVE, REC } from './record.ts';
import type { Touched } from './routine-emitter.ts';
import { ROUTINE_LIST } from './routine-list.ts';

const PARAMS: ValType[] = [I32, I32, I32, I32];

let made: Body[] | undefined;
function bodies(): Body[] {
  made ??= ROUTINE_LIST.map(({ fn }) => makeBody(PARAMS.length, fn));
  return made;
}
/** What the routine with an index changes. */
export const touchedBy = (index: number): Touched => bodies()[index]!.emitter.touched;

/** What the routine with an index is exported and imported as. */
export const routineName = (i: number): string => `r${i}`;
/** Adds a function for each routine; answers their indices. */
export function addRoutines(m: Module): number[] {
  return bodies().map((body, i) => addBody(m, body, routineName(i)));
}
/** Imports all routines, whose functions' indices then are theirs if there are no imports before. */
export function importRoutines(m: Module): void {
  for (const i of ROUTINE_LIST.keys()) m.importFunc('env', routineName(i), PARAMS, [I32]);
}

const RUN = { cpu: 0, rp: 1, fuel: 2, why: 3, retired: 4 } as const;

/** run(cpu, rp, fuel) -> LEAVE: the interpreter at `loop`, and routines between its turns. */
export function addRun(m: Module, routines: readonly number[]): void {
  const c = new Code();
  const field = (opcode: number, offset: number): void => {
    c.get(RUN.rp);
    c.mem(opcode, 0, offset);
  };
  c.open(OP.loop);
  c.get(RUN.cpu);
  c.get(RUN.rp);
  c.get(RUN.fuel);
  c.call(FUNCTION.loop);
  c.set(RUN.why);
  // what was retired in earlier turns counts too
  c.get(RUN.cpu);
  c.get(RUN.cpu);
  c.mem(OP.i32_load, 2, cpuState.exitIc.offset);
  c.get(RUN.retired);
  c.op(OP.i32_add);
  c.tee(RUN.retired);
  c.mem(OP.i32_store, 2, cpuState.exitIc.offset);
  for (const [local, from] of [
    [RUN.rp, cpuState.exitRp],
    [RUN.fuel, cpuState.fuel],
  ] as const) {
    c.get(RUN.cpu);
    c.mem(OP.i32_load, 2, from.offset);
    c.set(local);
  }
  c.get(RUN.why);
  c.i32(LEAVE.miss);
  c.op(OP.i32_eq);
  c.open(OP.if);
  c.get(RUN.cpu);
  c.call(FUNCTION.fill);
  c.op(OP.i32_eqz);
  c.brIf(1);
  c.end();
  c.get(RUN.why);
  c.i32(LEAVE.routine);
  c.op(OP.i32_ne);
  c.open(OP.if);
  c.get(RUN.why);
  c.op(OP.return);
  c.end();
  c.open(OP.loop);
  callRoutine(c, routines, field);
  c.open(OP.if);
  c.get(RUN.cpu);
  c.get(RUN.rp);
  c.mem(OP.i32_store, 2, cpuState.exitRp.offset);
  c.i32(LEAVE.helper);
  c.op(OP.return);
  c.end();
  c.get(RUN.rp);
  c.i32(REC.size);
  c.op(OP.i32_add);
  c.set(RUN.rp);
  // they often come one after the other
  field(OP.i32_load16_u, REC.handler);
  c.i32(specialOf('routine'));
  c.op(OP.i32_eq);
  c.brIf(0);
  c.end();
  c.br(0);
  c.end();
  c.op(OP.unreachable);
  m.func([I32, I32, I32], [I32], [I32, I32], c, 'run');
}

/** Calls the routine of the record; its answer stays on the stack. */
function callRoutine(
  c: Code,
  routines: readonly number[],
  field: (opcode: number, offset: number) => void,
): void {
  c.open(OP.block, I32);
  for (let i = 0; i < routines.length; i++) c.open(OP.block);
  field(OP.i32_load, REC.slot);
  c.op(OP.br_table);
  c.u(routines.length - 1);
  for (let i = 0; i < routines.length; i++) c.u(i);
  routines.forEach((index, i) => {
    c.end();
    c.get(RUN.cpu);
    for (const r of [REC.r1, REC.r2]) {
      c.get(RUN.cpu);
      field(OP.i32_load16_u, r);
      c.op(OP.i32_add);
    }
    field(OP.i32_load, REC.imm);
    c.call(index);
    c.br(routines.length - 1 - i);
  });
  c.end();
}
