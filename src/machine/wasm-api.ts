/** The little of the WebAssembly API that the machine needs; the core has no DOM or Node types. */
import type { WasmMemory } from './machine.ts';

interface WasmApi {
  Memory: new (d: { initial: number; maximum: number; shared: true }) => WasmMemory;
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> };
}
const api = (globalThis as unknown as { WebAssembly: WasmApi }).WebAssembly;

/** A shared memory that can grow to `bytes`; throws a RangeError when the address space cannot be had. */
export function sharedMemory(bytes: number): WasmMemory {
  return new api.Memory({ initial: 16, maximum: Math.ceil(bytes / 65536), shared: true });
}

/** Instantiates a module on a memory; `imports` are the functions it takes from elsewhere. */
export function instantiate(
  bytes: Uint8Array,
  memory: WasmMemory,
  imports: Record<string, unknown> = {},
): Record<string, unknown> {
  return instantiateModule(compileModule(bytes), memory, imports);
}
/** Modules can be sent to another thread. */
export function compileModule(bytes: Uint8Array): object {
  return new api.Module(bytes);
}
export function instantiateModule(
  module: object,
  memory: WasmMemory,
  imports: Record<string, unknown> = {},
): Record<string, unknown> {
  return new api.Instance(module, { env: { memory, ...imports } }).exports;
}
