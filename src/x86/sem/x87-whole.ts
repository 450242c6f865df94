/** Rounding plain 80-bit numbers to integers. @spec SDM 1 4.8.4 */
import type { Var } from './sem.ts';
import { roundsUp } from './x87-number.ts';
import type { Num, Unit } from './x87-unit.ts';

/** Rounding control: towards zero. */
export const CHOP = 3;

/**
 * The magnitude of n, of whose significand `by` bits (at least 1) are behind the point, rounded as the control word and
 * `more` bits of rounding control say; notes whether it is inexact.
 */
export function toWhole(u: Unit, n: Num, by: Var, more: Var): Var {
  const { e } = u;
  const rc = e.let(e.or(e.and(e.shru(e.controlWord(), e.c(10)), e.c(3)), more));
  const whole = e.let(e.c(0));
  const rest = e.let(e.bool(e.ne(e.get(n.sig), e.c(0))));
  e.if(e.ltu(e.get(by), e.c(65)), () => {
    const above = e.let(e.shru(n.sig, by));
    const none = e.let(e.c(0));
    e.set(whole, e.select(above, none, e.ltu(e.get(by), e.c(64))));
    e.set(rest, e.shl(e.get(n.sig), e.sub(e.c(64), by)));
  });
  const toNearest = e.let(roundsUp(e, whole, rest));
  // away from zero: 1 (down) below it, 2 (up) above
  const away = e.bool(e.eq(e.add(e.get(rc), e.shru(e.get(n.se), e.c(15))), e.c(2)));
  const directed = e.let(e.and(away, e.bool(e.ne(e.get(rest), e.c(0)))));
  const up = e.let(e.select(toNearest, directed, e.eqz(rc)));
  u.inexact(rest, up);
  return e.let(e.add(whole, up));
}
