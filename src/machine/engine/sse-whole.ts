/** SSE instructions on whole vectors that Wasm has nothing like, and that are rare. @spec SDM 2 */
import { OP as X } from '../../x86/ops.ts';
import type { Operands } from './sse-operands.ts';

type Register = (op: number, run: (o: Operands) => void) => void;

/** Eight sums of four absolute differences. */
function mpsadbw(o: Operands): void {
  const src = o.lanes(1, 1).map(Number);
  const dst = o.lanes(0, 1).map(Number);
  const from = (o.imm & 3) * 4;
  const to = (o.imm & 4) !== 0 ? 4 : 0;
  const sum = (i: number): number =>
    [0, 1, 2, 3].reduce((all, k) => all + Math.abs(dst[to + i + k]! - src[from + k]!), 0);
  o.setLanes(
    2,
    Array.from({ length: 8 }, (_, i) => BigInt(sum(i))),
  );
}
function phminposuw(o: Operands): void {
  const words = o.lanes(1, 2).map(Number);
  const least = Math.min(...words);
  o.setLanes(8, [BigInt(least + words.indexOf(least) * 0x1_0000), 0n]);
}
function insertps(o: Operands): void {
  const src = o.lanes(1, 4);
  const out = o.lanes(0, 4);
  out[(o.imm >> 4) & 3] = src.length === 4 ? src[o.imm >> 6]! : src[0]!;
  o.setLanes(
    4,
    out.map((v, n) => ((o.imm >> n) & 1 ? 0n : v)),
  );
}

export function registerSseWhole(register: Register): void {
  register(X.mpsadbw, mpsadbw);
  register(X.phminposuw, phminposuw);
  register(X.insertps, insertps);
}
