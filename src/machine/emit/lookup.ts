/** Finding the record for an address, as WebAssembly: what all code does that jumps to where it has not been. */
import { OP } from '../../wasm/opcodes.ts';
import { cpuState, SEG } from '../cpu-state.ts';
import { EXEC_ENTRIES, TLB_EXEC } from '../interp/record.ts';
import { LOCAL, type ValueEmitter } from './value.ts';

/**
 * Looks up the linear address on the stack, which goes to `w1`, in the execute TLB. Leaves the tag that is there and the
 * tag that should be; the entry is at `ti` + TLB_EXEC. `isPage`: the address is that of a page.
 */
function probe(e: ValueEmitter, isPage: boolean): void {
  const { code } = e;
  const { ti, w1, cpu, ctx } = LOCAL;
  code.tee(w1);
  code.op(OP.i32_wrap_i64);
  code.i32(8);
  code.op(OP.i32_shr_u);
  code.i32((EXEC_ENTRIES - 1) * 16);
  code.op(OP.i32_and);
  code.get(cpu);
  code.op(OP.i32_add);
  code.tee(ti);
  code.mem(OP.i64_load, 3, TLB_EXEC);
  code.get(w1);
  if (!isPage) {
    code.i64(-4096);
    code.op(OP.i64_and);
  }
  code.get(ctx);
  code.op(OP.i64_or);
}
/** To an rip on the stack. */
function addCodeBase({ code }: ValueEmitter): void {
  code.get(LOCAL.cpu);
  code.mem(OP.i64_load, 3, cpuState.segBase.addr(0, SEG.cs));
  code.op(OP.i64_add);
}
/** The table of records that the entry names. */
function probedTable(e: ValueEmitter): void {
  e.code.get(LOCAL.ti);
  e.code.mem(OP.i32_load, 2, TLB_EXEC + 8);
}

/**
 * Whether the code page at an rip (on the stack) is not known to be the one that a table is of; the table's address is what
 * `table` pushes. A linear address that would wrap is that of no page. `based`: the code segment may have a base.
 */
export function pageDiffers(e: ValueEmitter, table: () => void, based = true): void {
  const { code } = e;
  if (based) addCodeBase(e);
  probe(e, true);
  code.op(OP.i64_ne);
  probedTable(e);
  table();
  code.op(OP.i32_ne);
  code.op(OP.i32_or);
}

/**
 * `lip` to a record in `rp`, through the execute TLB to the page's table, and to the slot in it; 0 if there is none.
 * ripBase becomes that of the page.
 */
export function findRecord(e: ValueEmitter): void {
  const { code } = e;
  const { cpu, lip } = LOCAL;
  const lin = LOCAL.w1;
  code.get(lip);
  addCodeBase(e);
  code.get(cpu);
  code.mem(OP.i64_load, 3, cpuState.linMask.offset);
  code.op(OP.i64_and);
  probe(e, false);
  code.op(OP.i64_eq);
  e.open('inner', OP.if);
  probedTable(e);
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
}
