/**
 * Where the time of a CPU's thread goes, guest by guest: a clock that is always charged to one kind of work of one guest.
 *
 * Nothing of the engine knows of it. Its parts' methods are replaced, in their objects, by ones that measure around them
 * (instrument.ts); where nobody profiles, there is nothing that could cost anything.
 */
import type { Clock } from '../../base/host.ts';
import { type Kind, Profile } from './profile.ts';

type Args<T, K extends keyof T> = T[K] extends (...args: infer A) => unknown ? A : never;
type Result<T, K extends keyof T> = T[K] extends (...args: never[]) => infer R ? R : never;

export class Profiler {
  /** Of the guest that runs, or ran last. */
  profile = new Profile();
  private readonly clock: Clock;
  private kind: Kind | undefined = undefined;
  private since: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.since = clock.now();
  }

  now(): number {
    return this.clock.now();
  }

  /** From now on it is this guest's time. */
  select(profile: Profile): void {
    this.charge();
    this.profile = profile;
  }
  /** Other work begins (undefined: none that counts); answers what was done until now. */
  enter(kind: Kind | undefined): Kind | undefined {
    const before = this.kind;
    this.charge();
    this.kind = kind;
    return before;
  }
  private charge(): void {
    const now = this.clock.now();
    if (this.kind !== undefined) this.profile.ns[this.kind] += now - this.since;
    this.since = now;
  }
  /**
   * Calls of the method count as work of this kind (undefined: of nobody). `done` is told of each that does not throw,
   * with its time from beginning to end; if it answers false, there was nothing to do.
   */
  around<T extends object, K extends keyof T>(
    object: T,
    method: K,
    kind: Kind | undefined,
    done?: (ns: number, args: Args<T, K>, result: Result<T, K>) => unknown,
  ): void {
    this.replace(object, method, (call) => (...args) => {
      const before = this.enter(kind);
      const began = this.since;
      try {
        const result = call(...args);
        this.enter(before);
        const ns = this.since - began;
        if (done?.(ns, args, result) !== false && kind) this.profile.piece(kind, ns);
        return result;
      } catch (e) {
        this.enter(before);
        throw e;
      }
    });
  }

  /** Has `seen` be told of each call of the method, before it is made. */
  before<T extends object, K extends keyof T>(
    object: T,
    method: K,
    seen: (...args: Args<T, K>) => void,
  ): void {
    this.replace(object, method, (call) => (...args) => {
      seen(...args);
      return call(...args);
    });
  }

  /** Has `seen` be told what `look` saw before and after each call of the method. */
  between<T extends object, K extends keyof T>(
    object: T,
    method: K,
    look: () => number,
    seen: (before: number, after: number) => void,
  ): void {
    this.replace(object, method, (call) => (...args) => {
      const before = look();
      const result = call(...args);
      seen(before, look());
      return result;
    });
  }

  private replace<T extends object, K extends keyof T>(
    object: T,
    method: K,
    make: (call: (...args: Args<T, K>) => Result<T, K>) => (...args: Args<T, K>) => Result<T, K>,
  ): void {
    const original = object[method] as (...args: Args<T, K>) => Result<T, K>;
    object[method] = make((...args) => original.apply(object, args)) as T[K];
  }
}
