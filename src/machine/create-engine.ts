/** A CPU on a machine: instantiates the interpreter's module, and builds it where it was not built before. */
import { buildDriver } from './compiler/driver.ts';
import type { FunctionTable } from './compiler/regions.ts';
import { type EngineOptions, SoftwareCpu } from './engine/engine.ts';
import type { InterpreterExports, Runner } from './engine/parts.ts';
import { ticks } from './engine/services.ts';
import { buildInterpreter } from './interp/build.ts';
import type { Machine } from './machine.ts';
import type { Platform } from './platform.ts';
import { compileModule, instantiate, instantiateModule } from './wasm-api.ts';

export function createEngine(machine: Machine, platform: Platform, options: EngineOptions): SoftwareCpu {
  const module = options.interpreter ?? compileModule(buildInterpreter(1, machine.maxPages));
  const exports = instantiateModule(module, machine.memory, {
    ticks: () => (options.clockCounts ? -1 : ticks(options)),
  }) as unknown as InterpreterExports;
  const engine = new SoftwareCpu(machine, platform, exports, options);
  if (options.compile) {
    const bytes = buildDriver(1, machine.maxPages, options.profiler !== undefined);
    const driver = instantiate(bytes, machine.memory, {
      run: exports.turn,
      fill: exports.serve,
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
