/** Status flags of a subtraction, for helpers. */
import { AF, CF, OF, PF, SF, STATUS, ZF } from '../../x86/flags.ts';
import type { Core } from './core.ts';

export function flagsOfSub(c: Core, z: number, x: bigint, y: bigint): void {
  const bits = 8 * z;
  const a = BigInt.asUintN(bits, x);
  const b = BigInt.asUintN(bits, y);
  const r = BigInt.asUintN(bits, a - b);
  let low = Number(r & 255n);
  low ^= low >> 4;
  low ^= low >> 2;
  low ^= low >> 1;
  const sign = (v: bigint): boolean => v >> BigInt(bits - 1) !== 0n;
  const overflow = sign(a) !== sign(b) && sign(r) !== sign(a);
  c.setStatus(
    (c.flags & ~STATUS) |
      (a < b ? CF : 0) |
      (low & 1 ? 0 : PF) |
      ((a ^ b ^ r) & 16n ? AF : 0) |
      (r === 0n ? ZF : 0) |
      (sign(r) ? SF : 0) |
      (overflow ? OF : 0),
  );
}
