/** A CPU on a machine: builds and instantiates the interpreter's module. */
import { buildDriver } from './compiler/driver.ts';
import type { FunctionTable } from './compiler/regions.ts';
import { type EngineOptions, SoftwareCpu } from './engine/engine.ts';
import type { InterpreterExports, Runner } from './engine/parts.ts';
import { ticks } from './engine/services.ts';
import { buildInterpreter } from './interp/build.ts';
import type { Machine } from './machine.ts';
import type { Platform } from './platform.ts';
import { instantiate } from './wasm-api.ts';

export function createEngine(machine: Machine, platform: Platform, options: EngineOptions): SoftwareCpu {
  // the import must not ask for more than the memory's maximum, nor for a larger one
  const exports = instantiate(buildInterpreter(1, machine.maxPages), machine.memory, {
    ticks: () => (options.clockCounts ? -1 : ticks(options)),
  }) as unknown as InterpreterExports;
  const engine = new SoftwareCpu(machine, platform, exports, options);
  if (options.compile) {
    const bytes = buildDriver(1, machine.maxPages, options.profiler !== undefined);
    const driver = instantiate(bytes, machine.memory, {
      run: exports.run,
      fill: exports.fill,
    });
    engine.compileWith(
      driver as unknown as Runner,
      driver.table as FunctionTable,
      exports as unknown as Record<string, unknown>,
      options.compile,
    );
  }
  if (options.profiler) engine.measure(options.profiler);
  return engine;
}
