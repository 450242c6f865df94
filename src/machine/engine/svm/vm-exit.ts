/** A guest that is to be left: thrown by whatever finds it, before any effect, as a fault is. */
export class VmExit {
  readonly code: number;
  readonly info1: bigint;
  readonly info2: bigint;
  /** Where the guest goes on behind the instruction, where the exit tells; else 0. */
  readonly nextRip: bigint;
  /** The event that was being delivered, as EXITINTINFO has it; undefined until somebody knows. */
  intInfo: bigint | undefined;

  constructor(code: number, info1 = 0n, info2 = 0n, nextRip = 0n, intInfo?: bigint) {
    this.code = code;
    this.info1 = info1;
    this.info2 = info2;
    this.nextRip = nextRip;
    this.intInfo = intInfo;
  }
}
