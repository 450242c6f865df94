/**
 * Interpreted and compiled code take turns within WebAssembly, where no clock is read. Known of each turn are its time
 * and the instructions of either kind; what an instruction of each costs is the least-squares fit over all turns.
 */

export interface SplitData {
  /** Instructions retired by either, and the time of both together: measured. */
  readonly interpreted: number;
  readonly compiled: number;
  readonly ns: number;
  /** Of that time: derived. */
  readonly interpretedNs: number;
  readonly compiledNs: number;
}

export class Split {
  private interpreted = 0;
  private compiled = 0;
  private ns = 0;
  private ii = 0;
  private ic = 0;
  private cc = 0;
  private it = 0;
  private ct = 0;

  /** A turn took `ns` for so many instructions. */
  add(ns: number, interpreted: number, compiled: number): void {
    this.interpreted += interpreted;
    this.compiled += compiled;
    this.ns += ns;
    this.ii += interpreted * interpreted;
    this.ic += interpreted * compiled;
    this.cc += compiled * compiled;
    this.it += interpreted * ns;
    this.ct += compiled * ns;
  }

  data(): SplitData {
    const { interpreted, compiled, ns } = this;
    const [i, c] = this.costs();
    const sum = i * interpreted + c * compiled;
    const share = sum > 0 ? (i * interpreted) / sum : 1;
    return { interpreted, compiled, ns, interpretedNs: ns * share, compiledNs: ns * (1 - share) };
  }

  /** Nanoseconds of an instruction of either kind, by the normal equations; neither is negative. */
  private costs(): [number, number] {
    const { ii, ic, cc, it, ct } = this;
    const determinant = ii * cc - ic * ic;
    const alone: [number, number] = ii > cc ? [ii > 0 ? it / ii : 0, 0] : [0, cc > 0 ? ct / cc : 0];
    if (determinant <= 1e-9 * ii * cc || ii === 0 || cc === 0) return this.oneKind(alone);
    const i = (it * cc - ct * ic) / determinant;
    const c = (ct * ii - it * ic) / determinant;
    if (i < 0) return [0, ct / cc];
    return c < 0 ? [it / ii, 0] : [i, c];
  }
  /** Turns that are all alike tell nothing of the kinds' difference. */
  private oneKind(alone: [number, number]): [number, number] {
    return this.interpreted > 0 && this.compiled > 0 ? [1, 1] : alone;
  }
}
