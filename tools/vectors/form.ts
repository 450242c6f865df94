/** What a row of the tables of forms says. */
import type { Lane } from './random.ts';
import type { UndefinedByCount } from './undefined-flags.ts';

/** How the operands of a form must be shaped for it to do something worth recording; see prepare.ts. */
export type Prep =
  | 'shift'
  | 'shift2'
  | 'div'
  | 'bitOffset'
  | 'jump8'
  | 'jump32'
  | 'moffs'
  | 'cmpxchg'
  | 'cmpxchg8b'
  | 'scan'
  | 'xlat'
  | 'stack'
  | 'popf'
  | 'enter'
  | 'leave'
  | 'call'
  | 'callIndirect'
  | 'ret'
  | 'loop'
  | 'string'
  | 'maskmov'
  | 'mask'
  | 'packedCount'
  | 'stringCompare'
  | 'csr'
  | 'bitRange';

export interface Form {
  name: string;
  /** In the notation of `parseEncoding`. */
  enc: string;
  /** Operand sizes to record, of b w d q; 66 and REX.W follow from them. */
  sizes: string;
  /** The encoding has no operand-size prefix of its own (SSE, jumps). */
  fixed?: boolean;
  /** 64 bits without REX.W (the stack instructions). */
  def64?: boolean;
  /** What the r/m operand may be: register, memory, or (when absent) either. */
  rm?: 'r' | 'm';
  /** Size in bytes of the r/m operand where it is not the operand size. */
  src?: number;
  /** LOCK is allowed with a memory operand. */
  lock?: boolean;
  legacy?: number[];
  /** Bounds of the immediate, the upper one excluded. */
  immRange?: [number, number];
  /** Implicit general registers that get an edge value. */
  named?: number[];
  undef?: number | UndefinedByCount;
  prep?: Prep;
  cases?: number;
  /** Register files of the ModRM.reg and ModRM.rm operands, "g" or "x"; "gg" when absent. */
  files?: 'gg' | 'xx' | 'xg' | 'gx';
  /** How the lanes of XMM operands are filled. */
  lane?: Lane;
  /** A misaligned memory operand faults: mostly align. */
  align?: boolean;
  /** Rounding modes, DAZ, FTZ and exception masks of MXCSR matter. */
  rounds?: boolean;
}
