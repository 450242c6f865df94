/** What operands an operation likes: the lanes of its vectors, the alignment of its memory. */
import type { OpName } from '../../src/x86/ops.ts';
import type { Lane, Random } from './random.ts';

const INTEGER_LANES = ['i8', 'i16', 'i32', 'i64'] as const;

/** The lane of an operation's source. */
export function laneOf(r: Random, op: OpName, bits: number): Lane {
  if (/^cvtt?(ps|ss)2/.test(op)) return 'f32';
  if (/^cvtt?(pd|sd)2/.test(op)) return 'f64';
  if (/^cvt/.test(op)) return 'i32';
  if (!op.startsWith('p') && /(ps|ss)$/.test(op)) return 'f32';
  if (!op.startsWith('p') && /(pd|sd)$/.test(op)) return 'f64';
  const lane = /^p.*?(b|w|d|q)$/.exec(op);
  if (lane && r.chance(70)) return ({ b: 'i8', w: 'i16', d: 'i32', q: 'i64' } as const)[lane[1] as 'b'];
  if (/^(mov|p|aes|sha)/.test(op) && r.chance(60)) return r.pick(INTEGER_LANES);
  return bits === 64 ? 'i64' : bits === 32 ? 'i32' : bits === 16 ? 'i16' : 'i8';
}

/** Operations that MXCSR's rounding and exception masks matter to. */
export function roundsOf(op: OpName): boolean {
  return /^(add|sub|mul|div|min|max|sqrt|cmp|u?comi|cvt|round|dp|h?addsub|hadd|hsub)\w*(ps|pd|ss|sd|pi|si|dq)$/.test(
    op,
  );
}

const UNALIGNED = /^(movu|movdqu|lddqu|pcmp[ei]str|sha)/;

/** What the address of a memory operand should be a multiple of: 1 where it does not matter. */
export function alignmentOf(op: OpName, bytes: number): number {
  if (/^(xsave|xrstor)/.test(op)) return 64;
  if (/^(fxsave|fxrstor)$/.test(op)) return 16;
  return bytes === 16 && !UNALIGNED.test(op) ? 16 : 1;
}
