/**
 * The interpreter as a WebAssembly module: one function, one loop, one br_table over the handlers.
 *
 *   run(cpu, rp, fuel) -> LEAVE     rp 0: find the record for rip
 *
 *   leave                              stores rp, counts and fuel
 *     slow    the instruction is for a helper
 *       miss    a TLB miss: left, not called from, since a call in here would slow every handler
 *         outer
 *           jump    rip changed to lip: look it up
 *             next    dispatch rp
 */
import type { Code } from '../../wasm/code.ts';
import { I32, Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { InterpEmitter, LOCAL, LOCAL_TYPES } from './emitter.ts';
import { HANDLERS, type Handler, SPECIAL, type Special } from './handlers.ts';
import { EXEC_ENTRIES, KIND_RMW, LEAVE, REC, TLB_EXEC } from './record.ts';
import { emitMovs, emitStos } from './strings.ts';

export function buildInterpreter(minPages: number, maxPages: number): Uint8Array {
  const m = new Module();
  m.importSharedMemory(minPages, maxPages);
  m.func([I32, I32, I32], [I32], LOCAL_TYPES, body(), 'run');
  return m.bytes();
}

function body(): Code {
  const e = new InterpEmitter();
  const { code } = e;
  code.get(LOCAL.cpu);
  code.mem(OP.i64_load, 3, cpuState.tlbCtx.offset);
  code.set(LOCAL.ctx);
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
    case 'goto':
      e.account();
      code.get(LOCAL.rp);
      code.mem(OP.i32_load, 2, REC.slot);
      code.set(LOCAL.rp);
      return e.enterBlock();
    case 'nextPage':
      e.account();
      e.nextRip();
      code.set(LOCAL.lip);
      return e.br('jump');
    case 'loadRmw':
      return loadRmw(e);
    case 'bitAddress':
      return bitAddress(e);
    case 'movs':
      return emitMovs(e);
    case 'stos':
      return emitStos(e);
  }
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

/** r1 += the byte offset of the word of `imm` bytes in which bit number r2 (signed) lies. */
function bitAddress(e: InterpEmitter): void {
  e.beginHandler(['r1', 'r2'], 8);
  const z = e.let(e.imm());
  const log = e.let(e.ctz(z));
  // sign-extend the bit number from its operand size
  const unused = e.let(e.sub(e.c(64), e.shl(e.get(z), e.c(3))));
  const bit = e.let(e.shrs(e.shl(e.read(1, 8), unused), unused));
  const units = e.shrs(e.get(bit), e.add(e.get(log), e.c(3)));
  const bytes = e.let(e.shl(units, log));
  e.write(8, e.add(e.read(0, 8), bytes));
  e.advance();
}

/** lip to a record: through the execute TLB to the page's table, and to the slot in it. */
function lookup(e: InterpEmitter): void {
  const { code } = e;
  const { cpu, lip, ti } = LOCAL;
  const lin = LOCAL.w1;
  code.get(lip);
  code.get(cpu);
  code.mem(OP.i64_load, 3, cpuState.segBase.offset + 8 * SEG.cs);
  code.op(OP.i64_add);
  code.get(cpu);
  code.mem(OP.i64_load, 3, cpuState.linMask.offset);
  code.op(OP.i64_and);
  code.tee(lin);
  code.op(OP.i32_wrap_i64);
  code.i32(8);
  code.op(OP.i32_shr_u);
  code.i32((EXEC_ENTRIES - 1) * 16);
  code.op(OP.i32_and);
  code.get(cpu);
  code.op(OP.i32_add);
  code.tee(ti);
  code.mem(OP.i64_load, 3, TLB_EXEC);
  code.get(lin);
  code.i64(-4096);
  code.op(OP.i64_and);
  code.get(LOCAL.ctx);
  code.op(OP.i64_or);
  code.op(OP.i64_eq);
  e.open('inner', OP.if);
  code.get(ti);
  code.mem(OP.i32_load, 2, TLB_EXEC + 8);
  code.get(lin);
  code.op(OP.i32_wrap_i64);
  code.i32(4095);
  code.op(OP.i32_and);
  code.i32(2);
  code.op(OP.i32_shl);
  code.op(OP.i32_add);
  code.mem(OP.i32_load, 2, 0);
  code.set(LOCAL.rp);
  code.op(OP.else);
  code.i32(0);
  code.set(LOCAL.rp);
  e.end();
  // ripBase = lip - offset in page
  code.get(cpu);
  code.get(lip);
  code.get(lin);
  code.i64(4095);
  code.op(OP.i64_and);
  code.op(OP.i64_sub);
  code.mem(OP.i64_store, 3, cpuState.ripBase.offset);
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
  code.get(LOCAL.fuel);
  code.i32(1);
  code.op(OP.i32_sub);
  code.tee(LOCAL.fuel);
  code.i32(0);
  code.op(OP.i32_lt_s);
  e.open('inner', OP.if);
  leaveWith(e, LEAVE.fuel);
  e.end();
}

function storeRip(code: Code): void {
  code.get(LOCAL.cpu);
  code.get(LOCAL.lip);
  code.mem(OP.i64_store, 3, cpuState.rip.offset);
}
