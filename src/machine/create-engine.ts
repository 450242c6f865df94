/** A CPU on a machine: builds and instantiates the interpreter's module. */
import { buildDriver } from './compiler/driver.ts';
import type { FunctionTable } from './compiler/regions.ts';
import { type EngineOptions, SoftwareCpu } from './engine/engine.ts';
import type { InterpreterExports } from './engine/parts.ts';
import { buildInterpreter } from './interp/build.ts';
import type { Machine } from './machine.ts';
import type { Platform } from './platform.ts';
import { instantiate } from './wasm-api.ts';

export function createEngine(machine: Machine, platform: Platform, options: EngineOptions): SoftwareCpu {
  // the import must not ask for more than the memory's maximum, nor for a larger one
  const exports = instantiate(
    buildInterpreter(1, machine.maxPages),
    machine.memory,
  ) as unknown as InterpreterExports;
  const engine = new SoftwareCpu(machine, platform, exports, options);
  if (options.compile) {
    const driver = instantiate(buildDriver(1, machine.maxPages), machine.memory, { run: exports.run });
    engine.compileWith(
      driver as unknown as InterpreterExports,
      driver.table as FunctionTable,
      options.compile,
    );
  }
  return engine;
}
