/** The x87 instructions, a row per form, and operand values biased towards the edges. */
import { edgeInt, edgeLane, type Random } from './random.ts';

export type MemKind =
  | 'f32'
  | 'f64'
  | 'f80'
  | 'i16'
  | 'i32'
  | 'i64'
  | 'bcd'
  | 'image'
  | 'word'
  | 'out'
  | 'q'
  | 'singles'
  | 'doubles';

export interface X87Form {
  name: string;
  opcode: number;
  /** ModRM byte of a register form, to which the register is added if `st`; else the reg field for memory. */
  modrm: number;
  st?: boolean;
  mem?: MemKind;
  /** Bytes before the opcode. */
  prefix?: readonly number[];
  /** Immediate bytes behind it: below this. */
  imm?: number;
  /** MMX: operands in the physical registers 0 (or 1 as the source) and n. */
  mmx?: boolean;
  /** It pushes: ST7 had better be empty. */
  pushes?: boolean;
  /** How ST0 is best chosen. */
  values?: 'angle' | 'small' | 'log' | 'far';
  cases: number;
}

const ARITH = ['add', 'mul', 'com', 'comp', 'sub', 'subr', 'div', 'divr'];

function arithmetic(): X87Form[] {
  const memory: [number, string, MemKind][] = [
    [0xd8, 'f', 'f32'],
    [0xda, 'fi', 'i32'],
    [0xdc, 'f', 'f64'],
    [0xde, 'fi', 'i16'],
  ];
  const out: X87Form[] = [];
  ARITH.forEach((op, n) => {
    for (const [opcode, prefix, mem] of memory)
      out.push({ name: `${prefix}${op} ${mem}`, opcode, modrm: n, mem, cases: 90 });
    out.push({ name: `f${op} st0,sti`, opcode: 0xd8, modrm: 0xc0 + 8 * n, st: true, cases: 180 });
  });
  for (const [op, modrm] of Object.entries({
    add: 0xc0,
    mul: 0xc8,
    subr: 0xe0,
    sub: 0xe8,
    divr: 0xf0,
    div: 0xf8,
  })) {
    out.push({ name: `f${op} sti,st0`, opcode: 0xdc, modrm, st: true, cases: 100 });
    out.push({ name: `f${op}p sti,st0`, opcode: 0xde, modrm, st: true, cases: 100 });
  }
  return out;
}

/** "name opcode modrm" in hexadecimal. */
function rows(list: string, more: Partial<X87Form>): X87Form[] {
  return list
    .trim()
    .split(/\s*\n\s*/)
    .map((line) => {
      const [name, opcode, modrm] = line.split(' ') as [string, string, string];
      return {
        name,
        opcode: Number.parseInt(opcode, 16),
        modrm: Number.parseInt(modrm, 16),
        cases: 60,
        ...more,
      };
    });
}
const memory = (
  name: string,
  opcode: number,
  modrm: number,
  mem: MemKind,
  more: Partial<X87Form> = {},
): X87Form => ({
  name: `${name} ${mem}`,
  opcode,
  modrm,
  mem,
  cases: 100,
  ...more,
});

const MOVES: X87Form[] = [
  memory('fld', 0xd9, 0, 'f32', { pushes: true }),
  memory('fld', 0xdd, 0, 'f64', { pushes: true }),
  memory('fld', 0xdb, 5, 'f80', { pushes: true }),
  memory('fild', 0xdf, 0, 'i16', { pushes: true, cases: 50 }),
  memory('fild', 0xdb, 0, 'i32', { pushes: true, cases: 50 }),
  memory('fild', 0xdf, 5, 'i64', { pushes: true, cases: 50 }),
  memory('fbld', 0xdf, 4, 'bcd', { pushes: true }),
  memory('fst', 0xd9, 2, 'out', { name: 'fst m32', cases: 150 }),
  memory('fst', 0xdd, 2, 'out', { name: 'fst m64', cases: 150 }),
  memory('fstp', 0xd9, 3, 'out', { name: 'fstp m32', cases: 150 }),
  memory('fstp', 0xdd, 3, 'out', { name: 'fstp m64', cases: 150 }),
  memory('fstp', 0xdb, 7, 'out', { name: 'fstp m80', cases: 60 }),
  memory('fist', 0xdf, 2, 'out', { name: 'fist m16', values: 'small' }),
  memory('fistp', 0xdf, 3, 'out', { name: 'fistp m16', values: 'small' }),
  memory('fisttp', 0xdf, 1, 'out', { name: 'fisttp m16', values: 'small' }),
  memory('fist', 0xdb, 2, 'out', { name: 'fist m32', values: 'small' }),
  memory('fistp', 0xdb, 3, 'out', { name: 'fistp m32', values: 'small' }),
  memory('fisttp', 0xdb, 1, 'out', { name: 'fisttp m32', values: 'small' }),
  memory('fistp', 0xdf, 7, 'out', { name: 'fistp m64', values: 'small' }),
  memory('fisttp', 0xdd, 1, 'out', { name: 'fisttp m64', values: 'small' }),
  memory('fbstp', 0xdf, 6, 'out', { values: 'small', cases: 150 }),
  ...rows('fld-sti d9 c0', { st: true, pushes: true }),
  ...rows('fxch d9 c8\nfst-sti dd d0\nfstp-sti dd d8\nfstpnce d9 d8\nffree dd c0\nffreep df c0', {
    st: true,
    cases: 40,
  }),
  ...rows(
    'fxch-dd dd c8\nfxch-df df c8\nfstp-df df d0\nfstp-df2 df d8\nfcom-dc dc d0\nfcomp-dc dc d8\nfcomp-de de d0',
    {
      st: true,
      cases: 25,
    },
  ),
  ...rows('fcmovb da c0\nfcmove da c8\nfcmovbe da d0\nfcmovu da d8', { st: true, cases: 30 }),
  ...rows('fcmovnb db c0\nfcmovne db c8\nfcmovnbe db d0\nfcmovnu db d8', { st: true, cases: 30 }),
  ...rows('fucom dd e0\nfucomp dd e8\nfucomi db e8\nfcomi db f0\nfucomip df e8\nfcomip df f0', {
    st: true,
    cases: 90,
  }),
];

const CONTROL: X87Form[] = [
  memory('fnstenv', 0xd9, 6, 'out', { name: 'fnstenv', cases: 20 }),
  memory('fnstenv', 0xd9, 6, 'out', { name: 'fnstenv-16', cases: 20, prefix: [0x66] }),
  memory('fldenv', 0xd9, 4, 'image', { name: 'fldenv', cases: 30 }),
  memory('fldenv', 0xd9, 4, 'image', { name: 'fldenv-16', cases: 30, prefix: [0x66] }),
  memory('fnsave', 0xdd, 6, 'out', { name: 'fnsave', cases: 20 }),
  memory('fnsave', 0xdd, 6, 'out', { name: 'fnsave-16', cases: 20, prefix: [0x66] }),
  memory('frstor', 0xdd, 4, 'image', { name: 'frstor', cases: 30 }),
  memory('frstor', 0xdd, 4, 'image', { name: 'frstor-16', cases: 30, prefix: [0x66] }),
  memory('fldcw', 0xd9, 5, 'word', { cases: 40 }),
  memory('fnstcw', 0xd9, 7, 'out', { cases: 10 }),
  memory('fnstsw', 0xdd, 7, 'out', { cases: 20 }),
  ...rows(
    'fnstsw-ax df e0\nfnop d9 d0\nfincstp d9 f7\nfdecstp d9 f6\nfnclex db e2\nfninit db e3\nfneni db e0',
    { cases: 25 },
  ),
];

const ON_ST0: X87Form[] = [
  ...rows('fchs d9 e0\nfabs d9 e1\nftst d9 e4\nfxam d9 e5\nfcompp de d9\nfucompp da e9', { cases: 90 }),
  ...rows('fld1 d9 e8\nfldl2t d9 e9\nfldl2e d9 ea\nfldpi d9 eb\nfldlg2 d9 ec\nfldln2 d9 ed\nfldz d9 ee', {
    pushes: true,
    cases: 20,
  }),
  ...rows('fsqrt d9 fa\nfscale d9 fd', { cases: 180 }),
  ...rows('fscale-small d9 fd\nfrndint d9 fc', { values: 'small', cases: 120 }),
  ...rows('fprem d9 f8\nfprem1 d9 f5', { cases: 180 }),
  ...rows('fprem-far d9 f8\nfprem1-far d9 f5', { values: 'far', cases: 120 }),
  ...rows('fxtract d9 f4', { pushes: true, cases: 90 }),
  ...rows('f2xm1 d9 f0', { values: 'angle', cases: 250 }),
  ...rows('fyl2x d9 f1\nfyl2xp1 d9 f9', { values: 'log', cases: 300 }),
  ...rows('fpatan d9 f3', { cases: 300 }),
  ...rows('fsin d9 fe\nfcos d9 ff', { values: 'angle', cases: 250 }),
  ...rows('fsincos d9 fb\nfptan d9 f2', { values: 'angle', cases: 250, pushes: true }),
];

/** "name byte..." in hexadecimal, the opcode after 0F; each with a register and with a memory source. */
function mmxRows(list: string, more: Partial<X87Form> = {}): X87Form[] {
  return list
    .trim()
    .split(/\s*\n\s*|, */)
    .flatMap((line) => {
      const [name, ...bytes] = line.split(' ') as [string, ...string[]];
      const code = [0x0f, ...bytes.map((b) => Number.parseInt(b, 16))];
      const opcode = code.pop()!;
      const form: X87Form = {
        name,
        opcode,
        modrm: 0xc0,
        prefix: code,
        mmx: true,
        st: true,
        cases: 14,
        ...more,
      };
      return more.mem === undefined && more.st !== false
        ? [form, { ...form, name: `${name} q`, modrm: 0, mem: 'q', cases: 6 } as X87Form]
        : [form];
    });
}
/** A whole snippet: conversions between MXCSR's load from and its store to memory, at RDI + 16. */
function snippet(name: string, hex: string, mem: MemKind): X87Form {
  const prefix = [...Buffer.from(hex.replaceAll(' ', ''), 'hex')];
  const opcode = prefix.pop()!;
  return { name, opcode, modrm: -1, prefix, mmx: true, mem, cases: 60 };
}
/** Shifts by an immediate: the operation is in ModRM.reg. */
const mmxShift = (name: string, opcode: number, reg: number): X87Form => ({
  name,
  opcode,
  modrm: 0xc0 + 8 * reg,
  prefix: [0x0f],
  mmx: true,
  st: true,
  imm: 70,
  cases: 14,
});

const MMX: X87Form[] = [
  ...mmxRows(`punpcklbw 60, punpcklwd 61, punpckldq 62, packsswb 63, pcmpgtb 64, pcmpgtw 65, pcmpgtd 66, packuswb 67
    punpckhbw 68, punpckhwd 69, punpckhdq 6a, packssdw 6b, movq 6f, pcmpeqb 74, pcmpeqw 75, pcmpeqd 76
    psrlw d1, psrld d2, psrlq d3, paddq d4, pmullw d5, psubusb d8, psubusw d9, pminub da, pand db
    paddusb dc, paddusw dd, pmaxub de, pandn df, pavgb e0, psraw e1, psrad e2, pavgw e3, pmulhuw e4, pmulhw e5
    psubsb e8, psubsw e9, pminsw ea, por eb, paddsb ec, paddsw ed, pmaxsw ee, pxor ef
    psllw f1, pslld f2, psllq f3, pmuludq f4, pmaddwd f5, psadbw f6, psubb f8, psubw f9, psubd fa, psubq fb
    paddb fc, paddw fd, paddd fe, pshufb 38 00, phaddw 38 01, phaddd 38 02, phaddsw 38 03, pmaddubsw 38 04
    phsubw 38 05, phsubd 38 06, phsubsw 38 07, psignb 38 08, psignw 38 09, psignd 38 0a, pmulhrsw 38 0b
    pabsb 38 1c, pabsw 38 1d, pabsd 38 1e`),
  ...mmxRows('pshufw 70, palignr 3a 0f', { imm: 20 }),
  ...mmxRows('pinsrw c4, pextrw c5', { imm: 8, st: false }),
  ...mmxRows('pmovmskb d7, movd 6e, movd-from 7e', { st: false }),
  ...mmxRows('movd-to-mem 7e, movq-to-mem 7f, movntq e7', { mem: 'out', modrm: 0 }),
  mmxRows('maskmovq f7')[0]!,
  mmxShift('psrlw-i', 0x71, 2),
  mmxShift('psraw-i', 0x71, 4),
  mmxShift('psllw-i', 0x71, 6),
  mmxShift('psrld-i', 0x72, 2),
  mmxShift('psrad-i', 0x72, 4),
  mmxShift('pslld-i', 0x72, 6),
  mmxShift('psrlq-i', 0x73, 2),
  mmxShift('psllq-i', 0x73, 6),
  snippet('cvtps2pi', '0fae5710 0f2d07 0fae5f10', 'singles'),
  snippet('cvttps2pi', '0fae5710 0f2c07 0fae5f10', 'singles'),
  snippet('cvtpd2pi', '0fae5710 660f2d07 0fae5f10', 'doubles'),
  snippet('cvttpd2pi', '0fae5710 660f2c07 0fae5f10', 'doubles'),
  snippet('cvtpi2ps', '0fae5710 0f2ac1 0f134720 0fae5f10', 'singles'),
  snippet('cvtpi2ps-mem', '0fae5710 0f2a07 0f134720 0fae5f10', 'singles'),
  snippet('cvtpi2pd', '660f2ac1 0f114720', 'singles'),
  snippet('cvtpi2pd-mem', '660f2a07 0f114720', 'singles'),
  snippet('movq2dq', 'f30fd6c1 0f114720', 'singles'),
  snippet('movdq2q', 'f30f6f07 f20fd6c0', 'doubles'),
  { name: 'emms', opcode: 0x77, modrm: -1, prefix: [0x0f], mmx: true, cases: 10 },
];

export const X87_FORMS: readonly X87Form[] = [...arithmetic(), ...MOVES, ...CONTROL, ...ON_ST0, ...MMX];

/** An MMX operand: lanes at the edges of their size, or a shift count. */
export function chooseMmx(r: Random, form: X87Form): [bigint, bigint] {
  const lane = r.pick(['i8', 'i16', 'i32', 'i64'] as const);
  const value = (): bigint => {
    const bits = Number(lane.slice(1));
    let v = 0n;
    for (let at = 0; at < 64; at += bits) v = (v << BigInt(bits)) | edgeLane(r, lane);
    return v;
  };
  return [value(), /^ps[rl][la]/.test(form.name) && r.chance(80) ? BigInt(r.below(70)) : value()];
}

const INTEGER = 1n << 63n;
const ALL = (1n << 64n) - 1n;

/** 80 bits from their parts. */
export const extended = (sign: number, exp: number, sig: bigint): bigint =>
  (BigInt((sign << 15) | exp) << 64n) | sig;

/** A significand with its integer bit, often short, round or full. */
function significand(r: Random): bigint {
  const choices: readonly (() => bigint)[] = [
    () => INTEGER,
    () => ALL,
    () => INTEGER | (r.u64() >> 40n),
    () => INTEGER | (r.u64() & (ALL << BigInt(r.below(63)))),
    () => INTEGER | (r.u64() & (ALL << 39n)) | (r.chance(50) ? 1n << 39n : 0n),
    () => INTEGER | (r.u64() & (ALL << 10n)) | (r.chance(50) ? 1n << 10n : 0n),
    () => ALL ^ (1n << BigInt(r.below(63))),
  ];
  return r.chance(45) ? INTEGER | r.u64() : r.pick(choices)();
}

const SPECIAL: readonly ((r: Random) => [number, bigint])[] = [
  () => [0, 0n],
  () => [0, 0n],
  () => [0x7fff, INTEGER],
  () => [0x7fff, INTEGER],
  (r) => [0x7fff, INTEGER | (1n << 62n) | (r.chance(50) ? r.u64() >> 2n : 0n)],
  (r) => [0x7fff, INTEGER | (r.u64() >> 2n) | 1n],
  (r) => [0x7fff, r.u64() >> BigInt(1 + r.below(3))],
  (r) => [0, r.u64() >> BigInt(1 + r.below(63))],
  (r) => [0, INTEGER | r.u64()],
  (r) => [1 + r.below(0x7ffe), r.u64() >> 1n],
];

/** Any 80-bit value. */
export function edgeExtended(r: Random): bigint {
  const sign = r.below(2);
  if (r.chance(22)) return extended(sign, ...r.pick(SPECIAL)(r));
  const near = (at: number, by: number): number =>
    Math.min(0x7ffe, Math.max(1, at - by + r.below(2 * by + 1)));
  const exps = [
    () => near(0x3fff, 66),
    () => near(0x3fff, 3),
    () => near(0x3fff, 66),
    () => near(0x3fff, 16383),
    () => near(0x3fff - 126, 30),
    () => near(0x3fff + 128, 4),
    () => near(0x3fff - 1022, 60),
    () => near(0x3fff + 1024, 4),
    () => 1 + r.below(70),
    () => 0x7ffe - r.below(4),
    () => near(0x1fff, 40),
    () => near(0x5fff, 4),
  ];
  return extended(sign, r.pick(exps)(), significand(r));
}

/** A value with `from` <= exponent < `to` (unbiased), most of the time. */
function within(r: Random, from: number, to: number): bigint {
  if (r.chance(15)) return edgeExtended(r);
  return extended(r.below(2), 0x3fff + from + r.below(to - from), significand(r));
}

/** A value close to another: the same, a neighbour, or of about its size. */
function related(r: Random, v: bigint): bigint {
  const choice = r.below(4);
  if (choice === 0) return v ^ (r.chance(50) ? 1n << 79n : 0n);
  if (choice === 1) return v + BigInt(r.below(5)) - (v > 2n ? 2n : 0n);
  if (choice === 2) return v ^ (1n << BigInt(r.below(63)));
  const exp = Math.min(0x7ffe, Math.max(0, Number((v >> 64n) & 0x7fffn) + r.below(131) - 65));
  return extended(r.below(2), exp, significand(r));
}

/** ST0 and the other operand of a form. */
export function chooseValues(r: Random, form: X87Form): [bigint, bigint] {
  const pair = (a: bigint): [bigint, bigint] => [a, r.chance(40) ? related(r, a) : edgeExtended(r)];
  switch (form.values) {
    case 'angle':
      return [
        form.name === 'f2xm1' ? within(r, -70, 0) : within(r, r.chance(50) ? -3 : -68, r.chance(70) ? 8 : 63),
        edgeExtended(r),
      ];
    case 'small':
      return [within(r, -5, 67), within(r, -3, 14)];
    case 'log':
      return [
        form.name === 'fyl2x' ? logValue(r) : within(r, -70, -2),
        r.chance(60) ? within(r, -40, 40) : edgeExtended(r),
      ];
    case 'far':
      return [within(r, 60, 1000), within(r, -200, 60)];
    default:
      return pair(edgeExtended(r));
  }
}
function logValue(r: Random): bigint {
  if (r.chance(30)) return extended(0, 0x3fff - r.below(2), significand(r));
  if (r.chance(20)) return extended(0, 0x3fff, INTEGER | (r.u64() >> BigInt(1 + r.below(62))));
  return r.chance(80) ? edgeExtended(r) & ~(1n << 79n) : edgeExtended(r);
}

function decimal(r: Random): bigint {
  let v = BigInt(r.chance(50) ? r.below(2) * 128 : r.below(256)) << 72n;
  const digits = r.chance(20) ? 18 : r.below(19);
  const bad = r.chance(15);
  for (let n = 0; n < digits; n++) v |= BigInt(r.below(bad ? 16 : 10)) << BigInt(4 * n);
  return v;
}

/** Sixteen bytes of numbers, some near the integers' limits, and an MXCSR with all masked. */
function convertible(r: Random, kind: 'singles' | 'doubles'): bigint {
  const lane = kind === 'singles' ? 'f32' : 'f64';
  const bits = BigInt(lane.slice(1));
  let v = 0x1f80n | BigInt((r.below(4) << 13) | (r.chance(30) ? 0x40 : 0));
  for (let at = 0n; at < 128n; at += bits) v = (v << bits) | edgeLane(r, lane);
  return v;
}

/** Bits and bytes of a memory operand. */
export function chooseMemory(r: Random, kind: MemKind): [bigint, number] {
  if (kind === 'f32') return [edgeLane(r, 'f32'), 4];
  if (kind === 'f64') return [edgeLane(r, 'f64'), 8];
  if (kind === 'f80') return [edgeExtended(r), 10];
  if (kind === 'bcd') return [decimal(r), 10];
  if (kind === 'q')
    return [r.chance(30) ? BigInt(r.below(70)) : edgeLane(r, r.pick(['i8', 'i16', 'i32', 'i64'])), 8];
  if (kind === 'singles' || kind === 'doubles') return [convertible(r, kind), 20];
  if (kind === 'word') return [BigInt(r.u32() & 0xffff), 2];
  const bytes = Number(kind.slice(1)) / 8;
  return [edgeInt(r, bytes * 8), bytes];
}
