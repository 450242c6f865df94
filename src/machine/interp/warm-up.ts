/** Runs the interpreter for nothing, so that V8 optimises it (for all threads and instances) before a guest needs it. */
import { Mem } from '../../base/mem.ts';
import { instantiateModule, sharedMemory } from '../wasm-api.ts';
import { specialOf } from './handlers.ts';
import { CPU_BYTES, REC } from './record.ts';

/** A vCPU's block, then a record that leads to itself. */
const CPU = 65536;
const RECORD = CPU + CPU_BYTES;
const SLOT = RECORD + REC.size;
const BYTES = 1 << 20;
/** More than V8's budget for a function's first code. */
const TURNS = 20_000;

export function warmUp(interpreter: object): void {
  const memory = sharedMemory(BYTES);
  const mem = new Mem(() => memory.buffer);
  mem.setU16(RECORD + REC.handler, specialOf('goto'));
  mem.setU16(RECORD + REC.n, 1);
  mem.setU32(RECORD + REC.slot, SLOT);
  mem.setU32(SLOT, RECORD);
  const { run } = instantiateModule(interpreter, memory, { ticks: () => -1 });
  (run as (cpu: number, rp: number, fuel: number) => number)(CPU, RECORD, TURNS);
}
