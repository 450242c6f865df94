/**
 * Hypercalls as functions that throw. Arguments are built in an area of domain 0's own RAM, which is used as a stack:
 * `withArgs` takes what a call needs and gives it back when the call is over.
 */
import { errnoName } from '../abi/errno.ts';
import type { Mem } from '../base/mem.ts';
import type { Gate } from './gate.ts';

/** A call that the hypervisor refused. `code` is the errno's name ("ENOMEM") or a grant status' ("GNTST_bad_gntref"). */
export class KernelError extends Error {
  readonly code: string;
  constructor(operation: string, code: string) {
    super(`${operation}: ${code}`);
    this.name = 'KernelError';
    this.code = code;
  }
}

/** First frames of domain 0's RAM. Frame 0 is left alone, so that address 0 can mean "none". */
export const ARG_FIRST_FRAME = 1;
const ARG_FRAMES = 16;
export const ARG_END_FRAME = ARG_FIRST_FRAME + ARG_FRAMES;

/** A piece of the argument area: where a hypercall finds it (`gpa`), and where this thread does (`at`). */
export interface Arg {
  readonly gpa: number;
  readonly at: number;
}

export class Hypercalls {
  readonly gate: Gate;
  readonly mem: Mem;
  /** Machine addresses of the argument frames. */
  private readonly frames: number[] = [];
  private frame = 0;
  private used = 0;

  constructor(gate: Gate) {
    this.gate = gate;
    this.mem = gate.mem;
    for (let i = 0; i < ARG_FRAMES; i++) {
      const at = gate.resolve(ARG_FIRST_FRAME + i, true);
      if (at < 0) throw new Error(`domain 0 has no RAM at guest frame ${ARG_FIRST_FRAME + i}`);
      this.frames.push(at);
    }
  }

  /** Makes the call; 0 or a positive result, or throws. `operation` is for the error's text. */
  call(operation: string, nr: number, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
    const result = this.gate.hypercall(nr, a1, a2, a3, a4, a5);
    if (result < 0) throw new KernelError(operation, errnoName(result));
    return result;
  }

  /** Runs `use` with zeroed argument space, `size` bytes each, none of them across a frame's end. */
  withArgs<T>(sizes: readonly number[], use: (...args: Arg[]) => T): T {
    const { frame, used } = this;
    try {
      return use(...sizes.map((size) => this.take(size)));
    } finally {
      this.frame = frame;
      this.used = used;
    }
  }

  private take(size: number): Arg {
    if (size > 4096) throw new RangeError(`a hypercall argument of ${size} bytes does not fit in a frame`);
    if (this.used + size > 4096) {
      this.frame++;
      this.used = 0;
    }
    if (this.frame >= ARG_FRAMES) throw new RangeError('the hypercall argument area is full');
    const at = this.frames[this.frame]! + this.used;
    const gpa = (ARG_FIRST_FRAME + this.frame) * 4096 + this.used;
    this.mem.fill(at, size);
    this.used = (this.used + size + 7) & ~7;
    return { gpa, at };
  }
}
