/**
 * Routines: functions beside the interpreter's for instructions whose bodies would make that too large. `run` calls them
 * between two turns of the interpreter, so its loop still calls nothing. Whoever else compiles code can call them too:
 *
 *   (cpu, d, s, imm) -> 0: done, 1: not begun, for the helper       d, s: machine addresses of the operands
 *
 * They are exported as r0, r1, ... in the order of ROUTINES.
 */
import { Code } from '../../wasm/code.ts';
import { I32, type Module, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { ROUTINES } from '../../x86/sem/routines.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL_TYPES } from './emitter.ts';
import { specialOf } from './handlers.ts';
import { LEAVE, REC } from './record.ts';
import { RoutineEmitter } from './routine-emitter.ts';

const PARAMS: ValType[] = [I32, I32, I32, I32];
/** The last parameter takes the place of a local. */
const LOCALS = LOCAL_TYPES.slice(PARAMS.length - 3);

/** Adds a function for each routine; answers their indices. */
export function addRoutines(m: Module): number[] {
  return ROUTINES.map(({ fn }, i) => {
    const e = new RoutineEmitter();
    e.beginHandler(['r1', 'r2'], 8);
    e.open('slow');
    fn(e);
    e.code.i32(0);
    e.code.op(OP.return);
    e.end();
    e.code.i32(1);
    return m.func(PARAMS, [I32], [...LOCALS, ...e.locals], e.code, `r${i}`);
  });
}

const RUN = { cpu: 0, rp: 1, fuel: 2, why: 3, retired: 4 } as const;

/** run(cpu, rp, fuel) -> LEAVE: the interpreter at `loop`, and routines between its turns. */
export function addRun(m: Module, loop: number, routines: readonly number[]): void {
  const c = new Code();
  const field = (opcode: number, offset: number): void => {
    c.get(RUN.rp);
    c.mem(opcode, 0, offset);
  };
  c.open(OP.loop);
  c.get(RUN.cpu);
  c.get(RUN.rp);
  c.get(RUN.fuel);
  c.call(loop);
  c.set(RUN.why);
  // what was retired in earlier turns counts too
  c.get(RUN.cpu);
  c.get(RUN.cpu);
  c.mem(OP.i32_load, 2, cpuState.exitIc.offset);
  c.get(RUN.retired);
  c.op(OP.i32_add);
  c.tee(RUN.retired);
  c.mem(OP.i32_store, 2, cpuState.exitIc.offset);
  c.get(RUN.why);
  c.i32(LEAVE.routine);
  c.op(OP.i32_ne);
  c.open(OP.if);
  c.get(RUN.why);
  c.op(OP.return);
  c.end();
  for (const [local, from] of [
    [RUN.rp, cpuState.exitRp],
    [RUN.fuel, cpuState.fuel],
  ] as const) {
    c.get(RUN.cpu);
    c.mem(OP.i32_load, 2, from.offset);
    c.set(local);
  }
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
