/** Functions beside the interpreter's, written in the algebra: routines, and what serves TLBs and exceptions. */
import { I32, type Module, type ValType } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Size, V64, Var } from '../../x86/sem/sem.ts';
import { cpuState } from '../cpu-state.ts';
import { LOCAL, LOCAL_TYPES } from './emitter.ts';
import { RoutineEmitter } from './routine-emitter.ts';

const V = {} as V64;
/** Parameters that the emitters' common locals begin after. */
const COMMON = 3;

/** Indices of the interpreter's functions, as they are added; routines follow. `ticks` is imported. */
export const FUNCTION = {
  ticks: 0,
  loop: 1,
  retag: 2,
  enter: 3,
  fill: 4,
  deliver: 5,
  fault: 6,
  fillCode: 7,
  switchSpace: 8,
} as const;

/** A routine that knows the vCPU's state. */
export interface SystemRoutine {
  readonly name: string;
  readonly fn: (e: RoutineEmitter) => void;
  /** It changes nothing but registers and TLBs: code can go on behind it. */
  readonly plain: boolean;
}
export const systemRoutine = (name: string, fn: SystemRoutine['fn'], plain = false): SystemRoutine => ({
  name,
  fn,
  plain,
});

/** A function that is yet to be added to a module. */
export interface Body {
  readonly params: ValType[];
  readonly locals: ValType[];
  readonly emitter: RoutineEmitter;
}

/**
 * A function of `params` 32-bit parameters, the first of which is the vCPU. It answers 0 when it is through, and 1 when it
 * was left by `slowIf`; then it has changed nothing that counts.
 */
export function makeBody(params: number, make: (e: RoutineEmitter) => void): Body {
  const e = new RoutineEmitter();
  e.beginHandler(['r1', 'r2'], 8);
  e.open('slow');
  make(e);
  e.code.i32(0);
  e.code.op(OP.return);
  e.end();
  e.code.i32(1);
  const common = LOCAL_TYPES.slice(Math.max(0, params - COMMON));
  const missing = Array<ValType>(Math.max(0, COMMON - params)).fill(I32);
  return {
    params: Array<ValType>(params).fill(I32),
    locals: [...missing, ...common, ...e.locals],
    emitter: e,
  };
}
/** Adds it; answers its index. */
export function addBody(m: Module, { params, locals, emitter }: Body, exported: string): number {
  return m.func(params, [I32], locals, emitter.code, exported);
}

/** A parameter, unsigned. */
export function argument(e: RoutineEmitter, n: number): Var {
  e.code.get(n);
  e.code.op(OP.i64_extend_i32_u);
  return e.let(V);
}
/** Where the number of the memory operand's segment is in the immediate of a routine that is given its offset. */
export const OPERAND_SEGMENT = 8;
/** Linear address of the memory operand whose offset is operand 1. */
export function operandAddress(e: RoutineEmitter): Var {
  const segment = e.let(e.and(e.shru(e.imm(), e.c(OPERAND_SEGMENT)), e.c(7)));
  const based = e.let(e.add(e.read(1, 8), e.let(e.segmentBaseOf(segment))));
  return e.let(e.and(based, e.let(e.state64(cpuState.linMask.offset))));
}
/** A number as an i32 for a call. */
export function word(e: RoutineEmitter, _v: V64): void {
  e.code.op(OP.i32_wrap_i64);
}

const LOAD = { 1: OP.i64_load8_u, 2: OP.i64_load16_u, 4: OP.i64_load32_u, 8: OP.i64_load } as const;
const STORE = { 1: OP.i64_store8, 2: OP.i64_store16, 4: OP.i64_store32, 8: OP.i64_store } as const;

/** Machine memory, unsigned. */
export function loadAt(e: RoutineEmitter, at: Var, size: Size, offset = 0): V64 {
  word(e, e.get(at));
  e.code.mem(LOAD[size], 0, offset);
  return V;
}
export function storeAt(e: RoutineEmitter, at: Var, size: Size, v: Var, offset = 0): void {
  word(e, e.get(at));
  e.code.get(v.slot);
  e.code.mem(STORE[size], 0, offset);
}

/** Machine address of a byte that is accessed, found in the TLB or put there; leaves if neither will do. */
export function translated(e: RoutineEmitter, linear: Var, kind: number): Var {
  e.loadContext();
  e.open('outer', OP.loop);
  e.open('handler');
  e.open('miss');
  e.code.get(linear.slot);
  e.code.set(LOCAL.ea);
  e.translate(1, kind);
  e.br('handler');
  e.end();
  e.setState64(cpuState.faultAddr.offset, linear);
  e.setState32(cpuState.faultKind.offset, e.c(kind | (1 << 8)));
  e.code.get(LOCAL.cpu);
  e.code.call(FUNCTION.fill);
  e.brIf('slow');
  e.br('outer');
  e.end();
  e.end();
  e.code.get(LOCAL.ha);
  e.code.op(OP.i64_extend_i32_u);
  return e.let(V);
}
