/**
 * What goes to and fro between the interpreter and compiled regions, as a WebAssembly module of its own with the table
 * of the regions: from one to the next without a trip through JavaScript.
 *
 *   run(cpu, rp, fuel) -> LEAVE       as the interpreter's; regions have a budget of their own, `regionFuel`
 */
import { I32, Module } from '../../wasm/module.ts';
import { OP } from '../../wasm/opcodes.ts';
import { cpuState } from '../cpu-state.ts';
import { findRecord } from '../emit/lookup.ts';
import { LOCAL, LOCAL_TYPES, ValueEmitter } from '../emit/value.ts';
import { specialOf } from '../interp/handlers.ts';
import { LEAVE, REC } from '../interp/record.ts';
import { ENTRY } from './entry.ts';

/**
 * Blocks of the interpreter's budget that it costs to go there from a region: where that happens often is soon seen to be
 * hot, as what regions are of is. More finds long ways through the kernel sooner, and makes a boot compile too much.
 */
const EXIT_BLOCKS = 8;

/** Regions there can be at a time. */
export const MAX_REGIONS = 8192;

const { cpu, rp, fuel, ic, code: why } = LOCAL;
/** Place in the table of the region that was entered last. */
const last = LOCAL.c32;

class DriverEmitter extends ValueEmitter {
  load(offset: number, local: number): void {
    this.code.get(cpu);
    this.code.mem(OP.i32_load, 2, offset);
    this.code.set(local);
  }
  store(offset: number, local: number): void {
    this.code.get(cpu);
    this.code.get(local);
    this.code.mem(OP.i32_store, 2, offset);
  }
  field(opcode: number, offset: number): void {
    this.code.get(rp);
    this.code.mem(opcode, 0, offset);
  }
  /** Adds what was retired to the count. */
  retire(): void {
    this.code.get(cpu);
    this.code.mem(OP.i32_load, 2, cpuState.exitIc.offset);
    this.code.get(ic);
    this.code.op(OP.i32_add);
    this.code.set(ic);
  }
  /** And to that of compiled code alone. */
  retireCompiled(): void {
    this.code.get(cpu);
    for (const from of [cpuState.exitIc, cpuState.compiledIc]) {
      this.code.get(cpu);
      this.code.mem(OP.i32_load, 2, from.offset);
    }
    this.code.op(OP.i32_add);
    this.code.mem(OP.i32_store, 2, cpuState.compiledIc.offset);
  }
  is(value: number): void {
    this.code.i32(value);
    this.code.op(OP.i32_eq);
  }
}

/** `countCompiled`: adds what compiled code retires to `cpuState.compiledIc`. */
export function buildDriver(minPages: number, maxPages: number, countCompiled = false): Uint8Array {
  const m = new Module();
  m.importSharedMemory(minPages, maxPages);
  const interpreter = m.importFunc('env', 'run', [I32, I32, I32], [I32]);
  const fill = m.importFunc('env', 'fill', [I32], [I32]);
  const region = m.functionType([I32, I32, I32], [I32]);
  m.functionTable(MAX_REGIONS, 'table');
  const e = new DriverEmitter();
  const { code } = e;
  e.open('leave');
  e.open('outer', OP.loop);
  for (const local of [cpu, rp, fuel]) code.get(local);
  code.call(interpreter);
  code.set(why);
  e.retire();
  e.load(cpuState.fuel.offset, fuel);
  e.load(cpuState.exitRp.offset, rp);
  code.get(why);
  code.i32(LEAVE.region);
  code.op(OP.i32_ne);
  e.brIf('leave');
  e.open('next', OP.loop);
  enterRegion(e, region);
  if (countCompiled) e.retireCompiled();
  afterRegion(e, fill);
  e.end();
  e.end();
  e.end();
  e.store(cpuState.exitIc.offset, ic);
  e.store(cpuState.fuel.offset, fuel);
  code.get(why);
  m.func([I32, I32, I32], [I32], LOCAL_TYPES, code, 'run');
  return m.bytes();
}

function enterRegion(e: DriverEmitter, type: number): void {
  const { code } = e;
  code.get(cpu);
  e.field(OP.i32_load, ENTRY.number);
  code.get(cpu);
  code.mem(OP.i32_load, 2, cpuState.regionFuel.offset);
  e.field(OP.i32_load, ENTRY.index);
  code.tee(last);
  code.callIndirect(type);
  code.set(why);
  e.retire();
  e.load(cpuState.fuel.offset, LOCAL.bn);
  e.store(cpuState.regionFuel.offset, LOCAL.bn);
}

/** On to the next region, to the interpreter, or out. */
function afterRegion(e: DriverEmitter, fill: number): void {
  const { code } = e;
  code.get(why);
  e.is(LEAVE.jump);
  e.open('inner', OP.if);
  code.get(cpu);
  code.mem(OP.i64_load, 3, cpuState.rip.offset);
  code.set(LOCAL.lip);
  code.get(cpu);
  code.mem(OP.i64_load, 3, cpuState.tlbCtx.offset);
  code.set(LOCAL.ctx);
  findRecord(e);
  code.get(rp);
  code.op(OP.i32_eqz);
  e.brIf('outer');
  // as at the start of a block of the interpreter's
  e.field(OP.i32_load16_u, REC.n);
  code.i32(1);
  code.op(OP.i32_sub);
  code.set(LOCAL.bn);
  e.store(cpuState.exitBn.offset, LOCAL.bn);
  e.field(OP.i32_load16_u, REC.handler);
  code.i32(specialOf('region'));
  code.op(OP.i32_ne);
  e.open('inner', OP.if);
  e.spend(fuel, EXIT_BLOCKS);
  code.op(OP.i32_eqz);
  e.brIf('outer');
  leaveAt(e, LEAVE.fuel);
  e.end();
  e.load(cpuState.regionFuel.offset, LOCAL.bn);
  e.spend(LOCAL.bn);
  e.store(cpuState.regionFuel.offset, LOCAL.bn);
  e.open('inner', OP.if);
  leaveAt(e, LEAVE.fuel);
  e.end();
  // what goes to and fro between two regions should be one
  code.get(rp);
  e.field(OP.i32_load, ENTRY.count);
  code.i32(1);
  code.op(OP.i32_sub);
  code.tee(LOCAL.bn);
  code.mem(OP.i32_store, 2, ENTRY.count);
  code.get(LOCAL.bn);
  code.op(OP.i32_eqz);
  e.open('inner', OP.if);
  e.store(cpuState.lastRegion.offset, last);
  leaveAt(e, LEAVE.merge);
  e.end();
  e.br('next');
  e.end();
  e.load(cpuState.exitRp.offset, rp);
  code.get(why);
  e.is(LEAVE.resume);
  e.brIf('outer');
  // a page that only has to be looked up: the interpreter goes on with the instruction
  code.get(why);
  e.is(LEAVE.miss);
  e.open('inner', OP.if);
  code.get(cpu);
  code.call(fill);
  code.op(OP.i32_eqz);
  e.brIf('outer');
  e.end();
  e.br('leave');
}

/** Out of the driver, at the entry of a region. */
function leaveAt(e: DriverEmitter, reason: number): void {
  e.store(cpuState.exitRp.offset, rp);
  e.code.i32(reason);
  e.code.set(why);
  e.br('leave');
}
