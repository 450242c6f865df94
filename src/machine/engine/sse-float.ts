/** SSE floating point in its exact form. @spec SDM 1 11.5, SDM 2 */
import { type OpName, OP as X } from '../../x86/ops.ts';
import { cpuState } from '../cpu-state.ts';
import { defaultNan, F32, F64, type Format, isNan, quiet } from './float-format.ts';
import { EXC } from './registers.ts';
import { SoftFloat } from './softfloat.ts';
import type { Operands } from './sse-operands.ts';

type SseHelper = (o: Operands) => void;
type Register = (op: number, run: SseHelper) => void;

const CR4_OSXMMEXCPT = 0x400;

/** Sets the sticky flags; an unmasked exception faults before anything is written. */
function settle(o: Operands, s: SoftFloat): void {
  const masks = (o.mxcsr >> 7) & 0x3f;
  const stop = s.before & ~masks;
  // what an operand does wrong, unmasked, keeps results from being computed
  const flags = stop ? s.before : s.before | s.after;
  o.c.set32(cpuState.mxcsr, o.mxcsr | flags);
  if (flags & ~masks) o.c.fault(o.c.get32(cpuState.cr4) & CR4_OSXMMEXCPT ? EXC.XM : EXC.UD);
}

/** dst lanes = fn(dst, src); one lane for scalar forms. */
function binary(f: Format, scalar: boolean, fn: (s: SoftFloat, a: bigint, b: bigint) => bigint): SseHelper {
  return (o) => {
    const b = o.lanes(1, f.size);
    const a = o.lanes(0, f.size);
    const s = new SoftFloat(o.mxcsr);
    const out = a.slice(0, scalar ? 1 : a.length).map((x, n) => fn(s, x, b[n]!));
    settle(o, s);
    o.setLanes(f.size, out);
  };
}

const PREDICATES: readonly ((order: number | undefined) => boolean)[] = [
  (d) => d === 0,
  (d) => d !== undefined && d < 0,
  (d) => d !== undefined && d <= 0,
  (d) => d === undefined,
];
/** LT, LE, NLT and NLE complain of quiet NaNs too. */
function compare(f: Format, o: Operands, s: SoftFloat, a: bigint, b: bigint): bigint {
  const p = o.imm & 7;
  const order = s.compare(a, b, f, (p & 3) === 1 || (p & 3) === 2);
  return PREDICATES[p & 3]!(order) !== p > 3 ? (1n << BigInt(8 * f.size)) - 1n : 0n;
}

/** Ordered compares: ZF PF CF; OF, SF, AF cleared. */
function comi(f: Format, signalling: boolean): SseHelper {
  return (o) => {
    const s = new SoftFloat(o.mxcsr);
    const b = o.lane(1, f.size);
    const order = s.compare(o.lane(0, f.size), b, f, signalling);
    settle(o, s);
    o.c.setStatus(order === undefined ? 0x45 : order < 0 ? 1 : order === 0 ? 0x40 : 0);
  };
}

const FORMS = [
  ['ps', F32, false],
  ['pd', F64, false],
  ['ss', F32, true],
  ['sd', F64, true],
] as const;

function arithmetic(register: Register): void {
  for (const [suffix, f, scalar] of FORMS) {
    const define = (name: string, fn: (s: SoftFloat, a: bigint, b: bigint) => bigint): void =>
      register(X[`${name}${suffix}` as OpName], binary(f, scalar, fn));
    define('add', (s, a, b) => s.add(a, b, f));
    define('sub', (s, a, b) => s.sub(a, b, f));
    define('mul', (s, a, b) => s.mul(a, b, f));
    define('div', (s, a, b) => s.div(a, b, f));
    define('min', (s, a, b) => s.pick(a, b, f, false));
    define('max', (s, a, b) => s.pick(a, b, f, true));
    define('sqrt', (s, _a, b) => s.sqrt(b, f));
    register(X[`cmp${suffix}` as OpName], (o) => binary(f, scalar, (s, a, b) => compare(f, o, s, a, b))(o));
  }
  for (const [suffix, f] of [
    ['ss', F32],
    ['sd', F64],
  ] as const) {
    register(X[`comi${suffix}`], comi(f, true));
    register(X[`ucomi${suffix}`], comi(f, false));
  }
}

/** Lanes of src, each converted, into the low lanes of dst; `clear`: zeros above. */
function convert(
  from: number,
  count: number,
  to: number,
  clear: boolean,
  fn: (s: SoftFloat, v: bigint) => bigint,
): SseHelper {
  return (o) => {
    const s = new SoftFloat(o.mxcsr);
    const out = o
      .lanes(1, from)
      .slice(0, count)
      .map((v) => fn(s, v));
    settle(o, s);
    o.setLanes(to, out);
    if (clear && count * to === 8) o.setHigh(0n);
  };
}
const signed = (v: bigint, size: number): bigint => BigInt.asIntN(8 * size, v);

function conversions(register: Register): void {
  register(
    X.cvtps2pd,
    convert(4, 2, 8, false, (s, v) => s.convert(v, F32, F64)),
  );
  register(
    X.cvtpd2ps,
    convert(8, 2, 4, true, (s, v) => s.convert(v, F64, F32)),
  );
  register(
    X.cvtss2sd,
    convert(4, 1, 8, false, (s, v) => s.convert(v, F32, F64)),
  );
  register(
    X.cvtsd2ss,
    convert(8, 1, 4, false, (s, v) => s.convert(v, F64, F32)),
  );
  register(
    X.cvtdq2ps,
    convert(4, 4, 4, false, (s, v) => s.fromInt(signed(v, 4), F32)),
  );
  register(
    X.cvtdq2pd,
    convert(4, 2, 8, false, (s, v) => s.fromInt(signed(v, 4), F64)),
  );
  for (const [t, truncate] of [
    ['t', true],
    ['', false],
  ] as const) {
    register(
      X[`cvt${t}ps2dq`],
      convert(4, 4, 4, false, (s, v) => s.toInt(v, F32, 32, truncate)),
    );
    register(
      X[`cvt${t}pd2dq`],
      convert(8, 2, 4, true, (s, v) => s.toInt(v, F64, 32, truncate)),
    );
    for (const [suffix, f] of [
      ['ss', F32],
      ['sd', F64],
    ] as const)
      register(X[`cvt${t}${suffix}2si`], (o) => {
        const s = new SoftFloat(o.mxcsr);
        const v = s.toInt(o.lane(1, f.size), f, 8 * o.i.operands[0].size, truncate);
        settle(o, s);
        o.setGpr(v);
      });
  }
  for (const [suffix, f] of [
    ['ss', F32],
    ['sd', F64],
  ] as const)
    register(X[`cvtsi2${suffix}`], (o) => {
      const s = new SoftFloat(o.mxcsr);
      const v = s.fromInt(signed(o.gpr(1), o.i.operands[1].size), f);
      settle(o, s);
      o.setLanes(f.size, [v]);
    });
}

/** 1 / x and 1 / sqrt(x) to 12 bits; denormals count as zeros, nothing is raised. Makes of CPU differ in the last bits. */
function approximations(register: Register): void {
  const view = new DataView(new ArrayBuffer(4));
  const approximate =
    (fn: (x: number) => number) =>
    (_s: SoftFloat, _a: bigint, b: bigint): bigint => {
      if (isNan(b, F32)) return quiet(b, F32);
      const bits = Number(b);
      view.setUint32(0, bits & 0x7f80_0000 ? bits : bits & 0x8000_0000);
      const y = fn(view.getFloat32(0));
      if (Number.isNaN(y)) return defaultNan(F32);
      view.setFloat32(0, y);
      const result = view.getUint32(0);
      const finite = (result & 0x7f80_0000) !== 0x7f80_0000;
      if ((result & 0x7f80_0000) === 0) return BigInt((result & 0x8000_0000) >>> 0);
      return BigInt((finite ? (result + 0x800) & ~0xfff : result) >>> 0);
    };
  // a negative zero has an infinite root of its sign
  const rootOf = (x: number): number => (x === 0 ? 1 / x : 1 / Math.sqrt(x));
  for (const [suffix, scalar] of [
    ['ps', false],
    ['ss', true],
  ] as const) {
    register(
      X[`rcp${suffix}`],
      binary(
        F32,
        scalar,
        approximate((x) => 1 / x),
      ),
    );
    register(X[`rsqrt${suffix}`], binary(F32, scalar, approximate(rootOf)));
  }
}

/** SSE3's additions across and alternating; ROUNDxx; dot products. */
function later(register: Register): void {
  for (const [suffix, f] of [
    ['ps', F32],
    ['pd', F64],
  ] as const) {
    const across =
      (subtract: boolean) =>
      (o: Operands): void => {
        const b = o.lanes(1, f.size);
        const v = [...o.lanes(0, f.size), ...b];
        const s = new SoftFloat(o.mxcsr);
        const out = b.map((_, n) => s.add(v[2 * n]!, v[2 * n + 1]!, f, subtract));
        settle(o, s);
        o.setLanes(f.size, out);
      };
    register(X[`hadd${suffix}`], across(false));
    register(X[`hsub${suffix}`], across(true));
    register(X[`addsub${suffix}`], (o) => {
      const b = o.lanes(1, f.size);
      const s = new SoftFloat(o.mxcsr);
      const out = o.lanes(0, f.size).map((a, n) => s.add(a, b[n]!, f, (n & 1) === 0));
      settle(o, s);
      o.setLanes(f.size, out);
    });
    register(X[`dp${suffix}`], (o) => dotProduct(f, o));
  }
  for (const [suffix, f, scalar] of FORMS)
    register(X[`round${suffix}`], (o) => {
      const silent = (o.imm & 8) !== 0;
      const round = (s: SoftFloat, v: bigint): bigint =>
        s.toIntegral(v, f, o.imm & 4 ? s.rounding : o.imm & 3, silent);
      binary(f, scalar, (s, _a, b) => round(s, b))(o);
    });
}
/** Each step raises its exceptions before the next begins. */
function dotProduct(f: Format, o: Operands): void {
  const b = o.lanes(1, f.size);
  const a = o.lanes(0, f.size);
  const step = (fn: (s: SoftFloat) => bigint[]): bigint[] => {
    const s = new SoftFloat(o.mxcsr);
    const out = fn(s);
    settle(o, s);
    return out;
  };
  let v = step((s) => a.map((x, n) => ((o.imm >> (4 + n)) & 1 ? s.mul(x, b[n]!, f) : 0n)));
  while (v.length > 1) {
    const terms = v;
    v = step((s) =>
      Array.from({ length: terms.length / 2 }, (_, n) => s.add(terms[2 * n]!, terms[2 * n + 1]!, f)),
    );
  }
  o.setLanes(
    f.size,
    a.map((_, n) => ((o.imm >> n) & 1 ? v[0]! : 0n)),
  );
}

export function registerSseFloat(register: Register): void {
  arithmetic(register);
  conversions(register);
  approximations(register);
  later(register);
}
