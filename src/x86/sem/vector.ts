/** SSE and SSE2 instructions, as Wasm SIMD gives them. @spec SDM 2; MXCSR exceptions are not raised here. */
import type { Access, Semantics } from './integer.ts';

export interface VectorSemantics extends Semantics {
  readonly name: string;
  readonly form: 'rr' | 'rm' | 'mr' | 'rri';
  /** Bytes of the memory operand, 0 for register forms. */
  readonly mem: number;
  readonly dst: Access;
}

export const VECTOR: readonly VectorSemantics[] = [];
