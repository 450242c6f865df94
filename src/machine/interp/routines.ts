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
import { ROUTINE_LIST } from './routine-list.ts';

const PARAMS: ValType[] = [I32, I32, I32, I32];

let made: Body[] | undefined;
function bodies(): Body[] {
  made ??= ROUTINE_LIST.map(({ fn }) => makeBody(PARAMS.length, fn));
  return made;
}
/** Whether the routine with an index sets all status flags; none goes by them. */
export const setsFlags = (index: number): boolean => bodies()[index]!.emitter.setsFlags;

/** What the routine with an index is exported and imported as. */
export const routineName = (i: number): string => `r${i}`;
/** Adds a function for each routine; answers their indices. */
export function addRoutines(m: Module): number[] {
  return bodies().map((body, i) => addBody(m, body, routineName(i)));
}
/** Imports all routines, in the order of their indices. */
export function importRoutines(m: Module): void {
  for (const i of ROUTINE_LIST.keys()) m.importFunc('env', routineName(i), PARAMS, [I32]);
}

const RUN = { cpu: 0, rp: 1, fuel: 2, why: 3, retired: 4 } as const;

/** run(cpu, rp, fuel) -> LEAVE: the interpreter at `loop`, and routines and TLB misses between its turns. */
export function addRun(m: Module, routines: readonly number[]): void {
  addTurns(m, routines, 'run');
}
/** turn: as `run`; where it is an access of the guest's that faults, the handler is what goes on. */
export function addTurn(m: Module, routines: readonly number[]): void {
  addTurns(m, routines, 'turn');
}

function addTurns(m: Module, routines: readonly number[], exported: 'run' | 'turn'): void {
  const c = new Code();
  if (exported === 'turn') takeRedirection(c);
  c.open(OP.loop);
  c.get(RUN.cpu);
  c.get(RUN.rp);
  c.get(RUN.fuel);
  c.call(FUNCTION.loop);
  c.set(RUN.why);
  takeExit(c);
  serveAt(c, LEAVE.miss, FUNCTION.fill, false);
  if (exported === 'turn') serveAt(c, LEAVE.miss, FUNCTION.fault, true);
  serveAt(c, LEAVE.fetch, FUNCTION.fillCode, true);
  c.get(RUN.why);
  c.i32(LEAVE.routine);
  c.op(OP.i32_ne);
  c.open(OP.if);
  c.get(RUN.why);
  c.op(OP.return);
  c.end();
  runRoutines(c, routines);
  c.br(0);
  c.end();
  c.op(OP.unreachable);
  m.func([I32, I32, I32], [I32], [I32, I32], c, exported);
}
const field = (c: Code, opcode: number, offset: number): void => {
  c.get(RUN.rp);
  c.mem(opcode, 0, offset);
};
/** Where the loop has come to. What was retired in earlier turns counts too. */
function takeExit(c: Code): void {
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
}
/** Where the loop was left for `why`, a function may see to that; then it goes on, `atRip` or at the same record. */
function serveAt(c: Code, why: number, by: number, atRip: boolean): void {
  c.get(RUN.why);
  c.i32(why);
  c.op(OP.i32_eq);
  c.open(OP.if);
  c.get(RUN.cpu);
  c.call(by);
  c.op(OP.i32_eqz);
  c.open(OP.if);
  if (atRip) {
    c.i32(0);
    c.set(RUN.rp);
  }
  c.br(2);
  c.end();
  c.end();
}
/** Runs the routine of the record, and those behind it: they often come one after the other. */
function runRoutines(c: Code, routines: readonly number[]): void {
  c.open(OP.loop);
  callRoutine(c, routines);
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
  field(c, OP.i32_load16_u, REC.handler);
  c.i32(specialOf('routine'));
  c.op(OP.i32_eq);
  c.brIf(0);
  c.end();
}
/** A fault that `serve` has delivered. */
function takeRedirection(c: Code): void {
  c.get(RUN.cpu);
  c.mem(OP.i32_load, 2, cpuState.redirected.offset);
  c.open(OP.if);
  c.i32(0);
  c.set(RUN.rp);
  c.get(RUN.cpu);
  c.i32(0);
  c.mem(OP.i32_store, 2, cpuState.redirected.offset);
  c.end();
}

/** serve(cpu) -> 0: the access that missed is in the TLB, or its fault is delivered and the next turn sees to that. */
export function addServe(m: Module): void {
  const c = new Code();
  const done = (after: () => void): void => {
    c.op(OP.i32_eqz);
    c.open(OP.if);
    after();
    c.i32(0);
    c.op(OP.return);
    c.end();
  };
  c.get(RUN.cpu);
  c.call(FUNCTION.fill);
  done(() => {});
  c.get(RUN.cpu);
  c.call(FUNCTION.fault);
  done(() => {
    c.get(RUN.cpu);
    c.i32(1);
    c.mem(OP.i32_store, 2, cpuState.redirected.offset);
  });
  c.i32(1);
  m.func([I32], [I32], [], c, 'serve');
}

/** Calls the routine of the record; its answer stays on the stack. */
function callRoutine(c: Code, routines: readonly number[]): void {
  c.open(OP.block, I32);
  for (let i = 0; i < routines.length; i++) c.open(OP.block);
  field(c, OP.i32_load, REC.slot);
  c.op(OP.br_table);
  c.u(routines.length - 1);
  for (let i = 0; i < routines.length; i++) c.u(i);
  routines.forEach((index, i) => {
    c.end();
    c.get(RUN.cpu);
    for (const r of [REC.r1, REC.r2]) {
      c.get(RUN.cpu);
      field(c, OP.i32_load16_u, r);
      c.op(OP.i32_add);
    }
    field(c, OP.i32_load, REC.imm);
    c.call(index);
    c.br(routines.length - 1 - i);
  });
  c.end();
}
