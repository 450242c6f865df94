/**
 * The interpreter as a WebAssembly module: one function, one loop, one br_table over the handlers. What is too long for
 * a handler is a function beside it (routines.ts), which `run` calls between two turns of this one.
 *
 *   (cpu, rp, fuel) -> LEAVE     rp 0: find the record for rip
 *
 *   leave                              stores rp, counts and fuel
 *     slow    the instruction is for a helper
 *       miss    a TLB miss: left, not called from, since a call in here would slow every handler
 *         outer
 *           jump    rip changed to lip: look it up
 *             next    dispatch rp
 */
import type { Code } from '../../wasm/code.ts';
import { F64, I32, Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { cpuState } from '../cpu-state.ts';
import { findRecord, pageDiffers } from '../emit/lookup.ts';
import { addFillCode } from './code-fill.ts';
import { addDeliver } from './delivery.ts';
import { InterpEmitter, LOCAL, LOCAL_TYPES } from './emitter.ts';
import { addFault } from './fault.ts';
import { addFill } from './fill.ts';
import { HANDLERS, type Handler, SPECIAL, type Special } from './handlers.ts';
import { KIND_RMW, LEAVE, REC } from './record.ts';
import { addRoutines, addRun, addServe, addTurn } from './routines.ts';
import { addSpaces } from './space-functions.ts';
import { emitBitAddress, emitMovs, emitStos } from './strings.ts';
import { addEnter, addRetag } from './tlb-functions.ts';

export function buildInterpreter(minPages: number, maxPages: number): Uint8Array {
  const m = new Module();
  m.importSharedMemory(minPages, maxPages);
  m.importFunc('env', 'ticks', [], [F64]);
  m.func([I32, I32, I32], [I32], LOCAL_TYPES, body());
  addRetag(m);
  addEnter(m);
  addFill(m);
  addDeliver(m);
  addFault(m);
  addFillCode(m);
  addSpaces(m);
  const routines = addRoutines(m);
  addRun(m, routines);
  addTurn(m, routines);
  addServe(m);
  return m.bytes();
}

function body(): Code {
  const e = new InterpEmitter();
  const { code } = e;
  e.loadContext();
  code.get(LOCAL.cpu);
  code.mem(OP.i64_load, 3, cpuState.rip.offset);
  code.set(LOCAL.lip);
  code.get(LOCAL.cpu);
  code.mem(OP.i32_load, 2, cpuState.exitBn.offset);
  code.set(LOCAL.bn);
  e.open('leave');
  e.open('slow');
  e.open('miss');
  e.open('outer', OP.loop);
  e.open('jump');
  code.get(LOCAL.rp);
  code.op(OP.i32_eqz);
  e.brIf('jump');
  e.open('next', OP.loop);
  dispatch(e);
  e.end();
  code.op(OP.unreachable);
  e.end(); // jump
  lookup(e);
  e.br('outer');
  e.end(); // outer
  code.op(OP.unreachable);
  e.end(); // miss
  leaveWith(e, LEAVE.miss);
  e.end(); // slow
  leaveWith(e, LEAVE.helper);
  e.end(); // leave
  e.leave();
  return code;
}

function leaveWith(e: InterpEmitter, why: number): void {
  e.code.i32(why);
  e.code.set(LOCAL.code);
  e.br('leave');
}

/** The handlers, nested blocks and a br_table; each body ends in `br next`. */
function dispatch(e: InterpEmitter): void {
  const { code } = e;
  const count = SPECIAL.length + HANDLERS.length;
  for (let i = 0; i < count; i++) e.open('handler');
  code.get(LOCAL.rp);
  code.mem(OP.i32_load16_u, 1, REC.handler);
  code.op(OP.br_table);
  code.u(count - 1);
  for (let i = 0; i < count; i++) code.u(i);
  for (const name of SPECIAL) {
    e.end();
    special(e, name);
  }
  for (const h of HANDLERS) {
    e.end();
    handler(e, h);
  }
}

function handler(e: InterpEmitter, h: Handler): void {
  e.beginHandler(h.places, h.z);
  const mem = h.places.indexOf('mem');
  if (mem >= 0) {
    const rw = h.semantics.dst as 'r' | 'w' | 'rw';
    e.access(h.memSize, mem === 0, rw, h.name.startsWith('lock.'), h.aligned);
  }
  h.semantics.fn(e, h.z, h.s);
  e.advance();
}

function special(e: InterpEmitter, name: Special): void {
  const { code } = e;
  e.beginHandler(['r1', 'mem'], 8);
  switch (name) {
    case 'helper':
      return leaveWith(e, LEAVE.helper);
    case 'stop':
      return leaveWith(e, LEAVE.stop);
    case 'region':
      return leaveWith(e, LEAVE.region);
    case 'straddle':
      return straddle(e);
    case 'routine':
      return leaveWith(e, LEAVE.routine);
    case 'goto':
      return e.jumpRel();
    case 'nextPage':
      e.account();
      e.nextRip();
      code.set(LOCAL.lip);
      return e.br('jump');
    case 'loadRmw':
      return loadRmw(e);
    case 'bitAddress':
      return emitBitAddress(e);
    case 'movs':
      return emitMovs(e);
    case 'stos':
      return emitStos(e);
  }
}

/** An instruction with its end on the next page: its records are good while that is the page they were made of. */
function straddle(e: InterpEmitter): void {
  const { code } = e;
  code.get(LOCAL.cpu);
  code.mem(OP.i64_load, 3, cpuState.ripBase.offset);
  code.i64(4096);
  code.op(OP.i64_add);
  pageDiffers(e, () => {
    code.get(LOCAL.rp);
    code.mem(OP.i32_load, 2, REC.imm);
  });
  e.brIf('slow');
  code.get(LOCAL.rp);
  code.mem(OP.i32_load, 2, REC.slot);
  code.set(LOCAL.rp);
  e.br('next');
}

/** Loads r1 (a temporary) from memory that a later record of the same instruction writes. Size in the immediate. */
function loadRmw(e: InterpEmitter): void {
  const { code } = e;
  e.linear();
  for (const z of [1, 2, 4, 8] as const) {
    e.imm();
    code.i64(z);
    code.op(OP.i64_eq);
    e.open('inner', OP.if);
    e.translate(z, KIND_RMW);
    e.write(z, e.read(1, z));
    e.advance();
    e.end();
  }
  code.op(OP.unreachable);
}

/**
 * lip to a record, and to where its page is; leaves when there is none, or when the budget is used up. The record that
 * jumped is in `rp`, if one did; what is read as the hint of none, in the machine's first page, is 0.
 */
function lookup(e: InterpEmitter): void {
  const { code } = e;
  code.get(LOCAL.rp);
  code.tee(LOCAL.ha);
  code.mem(OP.i32_load, 2, REC.hint);
  code.set(LOCAL.c32);
  findRecord(e);
  e.guessed(LOCAL.ha, LOCAL.rp);
  code.get(LOCAL.c32);
  code.set(LOCAL.rp);
  code.get(LOCAL.rp);
  code.op(OP.i32_eqz);
  e.open('inner', OP.if);
  storeRip(code);
  leaveWith(e, LEAVE.fetch);
  e.end();
  code.get(LOCAL.rp);
  code.mem(OP.i32_load16_u, 1, REC.n);
  code.i32(1);
  code.op(OP.i32_sub);
  code.set(LOCAL.bn);
  e.spend(LOCAL.fuel);
  e.open('inner', OP.if);
  leaveWith(e, LEAVE.fuel);
  e.end();
}

function storeRip(code: Code): void {
  code.get(LOCAL.cpu);
  code.get(LOCAL.lip);
  code.mem(OP.i64_store, 3, cpuState.rip.offset);
}
