/** What V8 is told before it compiles any WebAssembly. */
import { setFlagsFromString } from 'node:v8';

/** The last major version of V8 with a second, quick register allocator for functions as large as the interpreter. */
const LAST_WITH_MID_TIER = 11;

export function tuneV8(): void {
  // no function of ours calls itself, and loops are left often enough by their budgets: a look at the stack in each
  // turn of a loop costs 5 to 8 %
  setFlagsFromString('--no-wasm-stack-checks');
  if (Number.parseInt(process.versions.v8, 10) <= LAST_WITH_MID_TIER)
    setFlagsFromString('--no-turbo-use-mid-tier-regalloc-for-huge-functions');
}
