/**
 * SHA-1 and SHA-256 extensions. Words are 32 bits; numbers may carry more above, which rotations cut.
 * Misaligned memory operands do not fault, as on AMD's CPUs and against the SDM. @spec SDM 2, FIPS 180-4 6.1, 6.2
 */
import { type Routine, routine } from './routine.ts';
import type { Sem, V64, Var, Vec, VecVar } from './sem.ts';
import { lanes, zero } from './vector-rows.ts';

const row = (name: string, fn: (e: Sem) => void): Routine => routine(name, fn, { aligned: false });

/** The word twice, so that a shift right by up to 32 rotates its low half. */
const twice = (e: Sem, x: Var): Var => e.let(e.mul(e.zx(x, 4), e.big(0x1_0000_0001n)));
const rotl = (e: Sem, x: Var, n: number): V64 => e.shru(e.get(twice(e, x)), e.c(32 - n));
const rotations = (e: Sem, x: Var, [a, b, c]: readonly [number, number, number]): V64 => {
  const d = twice(e, x);
  return e.xor(e.xor(e.shru(e.get(d), e.c(a)), e.shru(e.get(d), e.c(b))), e.shru(e.get(d), e.c(c)));
};
const word = (e: Sem, v: VecVar, lane: number): Var => e.let(e.lane32(v, lane));
/** Four words as a vector, the lowest first. */
function vector(e: Sem, a: Var, b: Var, c: Var, d: Var): Vec {
  const low = e.splat64(e.or(e.zx(a, 4), e.shl(e.get(b), e.c(32))));
  return e.setLane64(low, 1, e.or(e.zx(c, 4), e.shl(e.get(d), e.c(32))));
}

type Choice = (e: Sem, x: Var, y: Var, z: Var) => V64;
const choose: Choice = (e, x, y, z) => e.xor(e.and(e.xor(y, z), x), z);
const parity: Choice = (e, x, y, z) => e.xor(e.xor(x, y), z);
const majority: Choice = (e, x, y, z) => e.or(e.and(e.or(x, y), z), e.and(x, y));

// --- SHA-1 ---------------------------------------------------------------------------------------------------------------

const SHA1: readonly (readonly [Choice, number])[] = [
  [choose, 0x5a82_7999],
  [parity, 0x6ed9_eba1],
  [majority, 0x8f1b_bcdc | 0],
  [parity, 0xca62_c1d6 | 0],
];
/** Four rounds; E has been added to the first message word (SHA1NEXTE). */
function sha1Rounds(e: Sem, f: Choice, k: number): void {
  const state = e.vlet(e.vread(0));
  const message = e.vlet(e.vread(1));
  let [d, c, b, a] = [0, 1, 2, 3].map((n) => word(e, state, n)) as [Var, Var, Var, Var];
  let last: Var | undefined;
  for (let n = 3; n >= 0; n--) {
    let sum = e.add(e.add(f(e, b, c, d), rotl(e, a, 5)), e.add(e.lane32(message, n), e.c(k)));
    if (last) sum = e.add(sum, last);
    const next = e.let(sum);
    const turned = e.let(rotl(e, b, 30));
    [last, d, c, b, a] = [d, c, turned, a, next];
  }
  e.vwrite(vector(e, d, c, b, a));
}
function sha1rnds4(e: Sem): void {
  const which = e.let(e.and(e.imm8(), e.c(3)));
  SHA1.forEach(([f, k], n) => {
    e.if(e.eq(e.get(which), e.c(n)), () => sha1Rounds(e, f, k));
  });
}
const turned = (e: Sem, x: VecVar, n: number): Vec =>
  e.v2('v128_or', e.vshift('i32x4_shl', e.vget(x), e.c(n)), e.vshift('i32x4_shr_u', e.vget(x), e.c(32 - n)));
function sha1nexte(e: Sem): void {
  const d = e.vlet(e.vread(0));
  const s = e.vlet(e.vread(1));
  const last = word(e, d, 3);
  e.vwrite(e.setLane32(s, 3, e.add(e.lane32(s, 3), rotl(e, last, 30))));
}
function sha1msg1(e: Sem): void {
  const d = e.vlet(e.vread(0));
  const s = e.vlet(e.vread(1));
  e.vwrite(e.v2('v128_xor', e.shuffle(lanes(4, [6, 7, 0, 1]), d, s), d));
}
/** The lowest word depends on the highest of the result. */
function sha1msg2(e: Sem): void {
  const s = e.vlet(e.vread(1));
  const nothing = e.vlet(zero(e));
  const early = e.vlet(e.v2('v128_xor', e.shuffle(lanes(4, [4, 0, 1, 2]), s, nothing), e.vread(0)));
  const out = e.vlet(turned(e, early, 1));
  const late = e.vlet(e.shuffle(lanes(4, [3, 4, 4, 4]), out, nothing));
  e.vwrite(e.v2('v128_xor', turned(e, late, 1), out));
}

// --- SHA-256 -------------------------------------------------------------------------------------------------------------

/** Two rounds, their words plus constants in XMM0: C D G H in operand 0, A B E F in operand 1. */
function sha256rnds2(e: Sem): void {
  const dst = e.vlet(e.vread(0));
  const src = e.vlet(e.vread(1));
  const wk = e.vlet(e.vreg(0));
  let [h, g, d, c] = [0, 1, 2, 3].map((n) => word(e, dst, n)) as [Var, Var, Var, Var];
  let [f, x, b, a] = [0, 1, 2, 3].map((n) => word(e, src, n)) as [Var, Var, Var, Var];
  for (let n = 0; n < 2; n++) {
    const chosen = e.add(e.add(choose(e, x, f, g), e.get(h)), e.lane32(wk, n));
    const t = e.let(e.add(chosen, rotations(e, x, [6, 11, 25])));
    const next = e.let(e.add(e.add(majority(e, a, b, c), rotations(e, a, [2, 13, 22])), t));
    const moved = e.let(e.add(t, d));
    [h, g, f, x, d, c, b, a] = [g, f, x, moved, c, b, a, next];
  }
  e.vwrite(vector(e, f, x, b, a));
}
/** The exclusive or of two rotations and a shift of each word. */
function sigma(e: Sem, x: VecVar, a: number, b: number, shift: number): Vec {
  const right = e.vlet(turned(e, x, 32 - a));
  const both = e.v2('v128_xor', turned(e, x, 32 - b), right);
  return e.v2('v128_xor', both, e.vshift('i32x4_shr_u', e.vget(x), e.c(shift)));
}
function sha256msg1(e: Sem): void {
  const d = e.vlet(e.vread(0));
  const s = e.vlet(e.vread(1));
  const next = e.vlet(e.shuffle(lanes(4, [1, 2, 3, 4]), d, s));
  e.vwrite(e.v2('i32x4_add', sigma(e, next, 7, 18, 3), d));
}
/** The upper two words depend on the lower two of the result. */
function sha256msg2(e: Sem): void {
  const d = e.vlet(e.vread(0));
  const s = e.vlet(e.vread(1));
  const nothing = e.vlet(zero(e));
  const early = e.vlet(e.shuffle(lanes(4, [2, 3, 4, 4]), s, nothing));
  const low = e.vlet(e.v2('i32x4_add', sigma(e, early, 17, 19, 10), d));
  const late = e.vlet(e.shuffle(lanes(4, [4, 4, 0, 1]), low, nothing));
  e.vwrite(e.v2('i32x4_add', sigma(e, late, 17, 19, 10), low));
}

export const SHA: readonly Routine[] = [
  row('sha1rnds4', sha1rnds4),
  row('sha1nexte', sha1nexte),
  row('sha1msg1', sha1msg1),
  row('sha1msg2', sha1msg2),
  row('sha256rnds2', sha256rnds2),
  row('sha256msg1', sha256msg1),
  row('sha256msg2', sha256msg2),
];
