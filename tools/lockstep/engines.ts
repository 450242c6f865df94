/** The engines that can be compared, by name. */
import { COMPILE, COMPILE_ALL, type CompileOptions } from '../../src/machine/compiler/regions.ts';
import { createEngine } from '../../src/machine/create-engine.ts';
import { EXIT } from '../../src/machine/platform.ts';
import type { EngineFactory } from './rig.ts';

/** An engine that runs its instructions one by one: what comes of doing several together shows against it. */
const singly =
  (factory: EngineFactory): EngineFactory =>
  (machine, platform, options) => {
    const engine = factory(machine, platform, options);
    engine.run = (cpu, blocks) => {
      for (let i = 0; i < blocks; i++) {
        const exit = engine.step(cpu);
        if (exit !== EXIT.budget) return exit;
      }
      return EXIT.budget;
    };
    return engine;
  };

const compiling =
  (compile: CompileOptions): EngineFactory =>
  (machine, platform, options) =>
    createEngine(machine, platform, { ...options, compile });

export const ENGINES: Readonly<Record<string, EngineFactory>> = {
  interpreter: createEngine,
  stepper: singly(createEngine),
  compiler: compiling(COMPILE),
  'compile-all': compiling(COMPILE_ALL),
};
