/** What an engine's outcome may differ in from a CPU's, and what it does differ in. */
import type { OpName } from '../../src/x86/ops.ts';
import { usesUnit } from './prepare-unit.ts';
import { AT, FAULT_NONE, FLAG_MASK, FX, type Kase, type Rec, SEG, SELECTOR } from './record.ts';

/**
 * Functions whose result may be off by one unit in the last place, and C1 (which way it was rounded) with it.
 * @spec SDM vol. 1 8.3.10 "Transcendental Instruction Accuracy": less than 1 ulp
 */
const TRANSCENDENTAL: ReadonlySet<OpName> = new Set<OpName>([
  'f2xm1',
  'fyl2x',
  'fyl2xp1',
  'fpatan',
  'fsin',
  'fcos',
  'fsincos',
  'fptan',
]);
const C1 = 0x200;

/** Results within 1.5 * 2^-12 of the exact ones, each maker's own. @spec SDM vol. 2 "RCPPS", "RSQRTPS" */
const APPROXIMATE: ReadonlySet<OpName> = new Set<OpName>(['rcpps', 'rcpss', 'rsqrtps', 'rsqrtss']);
const APPROXIMATE_BY = 2 * 1.5 * 2 ** -12;

/**
 * Bytes of an image in memory that are the CPU's own: FOP, FIP and FDP, which AMD's save and restore with exceptions only,
 * and MXCSR_MASK. @spec APM vol. 2 11.4.4.2, SDM vol. 1 11.6.6
 */
const OWN_BYTES: readonly (readonly [from: number, to: number])[] = [
  [FX.fop, FX.mxcsr],
  [28, 32],
];
const IMAGES = /^(fxsave|xsave)/;
/** After these the pointers are as the image gave them, or not. */
const RESTORES = /^(fxrstor|xrstor)/;

/** Numbers normal 80-bit values by size: neighbours get neighbouring ones. */
function ordinal(rec: Rec, at: number): bigint {
  return (BigInt(rec.u16(at + 8)) << 63n) | (rec.u64(at) & 0x7fff_ffff_ffff_ffffn);
}

/** Whether the unit has become MMX's when such an instruction faults, the manual does not say. @spec SDM vol. 1 9.5.1 */
const LATE_FAULTS = /^(cvt\w*pi\w*|maskmovq)$/;

const PAGE_FAULT = 14;

/**
 * MOVSXD to 16 bits reads two bytes; AMD's CPUs read four, and fault for the two that nobody wants.
 * @spec SDM vol. 2 "MOVSX/MOVSXD"
 */
function readsTooMuch({ form, address }: Kase, want: Rec): boolean {
  const word = form.op === 'movsx' && form.opcode === 0x63 && form.size === 2 && form.rm === 'm';
  return word && want.fault === PAGE_FAULT && want.u64(AT.cr2) - address >= 2n;
}

class Comparison {
  readonly wrong: string[] = [];
  private readonly want: Rec;
  private readonly got: Rec;
  private readonly kase: Kase;

  constructor(kase: Kase, want: Rec, got: Rec) {
    this.kase = kase;
    this.want = want;
    this.got = got;
  }

  private check(what: string, got: number | bigint, want: number | bigint): void {
    if (got !== want) this.wrong.push(`${what} ${got.toString(16)} not ${want.toString(16)}`);
  }
  private u16(what: string, at: number): void {
    this.check(what, this.got.u16(at), this.want.u16(at));
  }
  private u64(what: string, at: number): void {
    this.check(what, this.got.u64(at), this.want.u64(at));
  }

  all(): string[] {
    const { want, got, kase } = this;
    if (readsTooMuch(kase, want) && got.fault === FAULT_NONE) return [];
    this.check('fault', got.fault, want.fault);
    this.u64('rip', AT.rip);
    if (want.fault !== FAULT_NONE) {
      this.check('error', got.u32(AT.error), want.u32(AT.error));
      this.u64('cr2', AT.cr2);
    }
    this.registers();
    const mask = FLAG_MASK & ~kase.undefinedFlags;
    this.check('flags', got.u32(AT.flags) & mask, want.u32(AT.flags) & mask);
    this.segments();
    this.vectors();
    const late = want.fault !== FAULT_NONE && LATE_FAULTS.test(kase.form.op);
    if (usesUnit(kase.form) && !late) this.unit();
    this.memory();
    return this.wrong;
  }

  /** Outside 64-bit code there are eight registers of 32 bits; what was above them is undefined. @spec SDM 1 3.4.1.1 */
  private registers(): void {
    const { want, got } = this;
    const long = this.kase.form.mode === 64 && want.u16(AT.sel + 2 * SEG.cs) === SELECTOR.code64;
    if (long) for (let i = 0; i < 16; i++) this.u64(`r${i}`, 8 * i);
    else for (let i = 0; i < 8; i++) this.check(`r${i}`, got.u32(8 * i), want.u32(8 * i));
  }
  private segments(): void {
    for (const [name, i] of Object.entries(SEG)) this.u16(name, AT.sel + 2 * i);
    this.u64('fs base', AT.fsBase);
    this.u64('gs base', AT.gsBase);
  }
  private vectors(): void {
    const { want, got } = this;
    this.check('mxcsr', got.u32(AT.fx + FX.mxcsr), want.u32(AT.fx + FX.mxcsr));
    for (let at = AT.fx + FX.xmm; at < AT.fx + FX.end; at += 8) {
      if (got.u32(at) === want.u32(at) && got.u32(at + 4) === want.u32(at + 4)) continue;
      if (APPROXIMATE.has(this.kase.form.op) && this.near(at) && this.near(at + 4)) continue;
      const n = at - AT.fx - FX.xmm;
      this.u64(`xmm${n >> 4}.${n & 8}`, at);
    }
  }

  /** Are these singles as close as two approximations of the same number? */
  private near(at: number): boolean {
    const got = this.got.view.getFloat32(at, true);
    const want = this.want.view.getFloat32(at, true);
    return this.got.u32(at) === this.want.u32(at) || Math.abs(got / want - 1) <= APPROXIMATE_BY;
  }

  private unit(): void {
    const { want, got } = this;
    const loose = TRANSCENDENTAL.has(this.kase.form.op);
    const status = loose ? ~C1 : -1;
    this.u16('fcw', AT.fx + FX.fcw);
    this.check('fsw', got.u16(AT.fx + FX.fsw) & status, want.u16(AT.fx + FX.fsw) & status);
    this.check('ftw', got.bytes[AT.fx + FX.ftw]!, want.bytes[AT.fx + FX.ftw]!);
    if (want.fault === FAULT_NONE && !RESTORES.test(this.kase.form.op)) this.pointers();
    for (let n = 0; n < 8; n++) {
      const at = AT.fx + FX.st + 16 * n;
      if (got.u64(at) === want.u64(at) && got.u16(at + 8) === want.u16(at + 8)) continue;
      const ulps = ordinal(got, at) - ordinal(want, at);
      if (loose && ulps >= -1n && ulps <= 1n) continue;
      const hex = (rec: Rec): string => `${rec.u16(at + 8).toString(16)}.${rec.u64(at).toString(16)}`;
      this.wrong.push(`st${n} ${hex(got)} not ${hex(want)}`);
    }
  }

  /** 32 bits of them: FNSAVE shows no more, and after a fault the recorder sees nothing. */
  private pointers(): void {
    this.u16('fop', AT.fx + FX.fop);
    this.check('fip', this.got.u32(AT.fx + FX.fip), this.want.u32(AT.fx + FX.fip));
    this.check('fdp', this.got.u32(AT.fx + FX.fdp), this.want.u32(AT.fx + FX.fdp));
  }

  private memory(): void {
    const { want, got, kase } = this;
    const { input } = kase;
    const end = AT.mem + input.windowLength;
    const image = IMAGES.test(kase.form.op) ? AT.mem + Number(kase.address) - input.window : Number.NaN;
    const own = (at: number): boolean =>
      OWN_BYTES.some(([from, to]) => at + 4 > image + from && at < image + to);
    for (let at = AT.mem; at < end; at += 4) {
      if (got.words[at >> 2] === want.words[at >> 2] || own(at)) continue;
      this.check(`memory ${(input.window + at - AT.mem).toString(16)}`, got.u32(at), want.u32(at));
    }
  }
}

/** What differs; nothing where the outcome is the CPU's. */
export function differences(kase: Kase, want: Rec, got: Rec): string[] {
  return new Comparison(kase, want, got).all();
}

const hexBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** For a report: the case. */
export function describeInput(kase: Kase): string {
  const { input, form } = kase;
  const registers = [...input.gpr].map((v, i) => `r${i}=${v.toString(16)}`);
  const at = Number(BigInt.asIntN(64, kase.address)) - input.window;
  const inside = at >= 0 && at < input.windowLength;
  const memory = inside ? hexBytes(input.bytes.subarray(AT.mem + at, AT.mem + at + 16)) : 'elsewhere';
  const lines = [
    `${form.key} #${kase.number}: ${hexBytes(input.code)} at ${kase.start.toString(16)}`,
    `  ${registers.join(' ')} flags=${input.u32(AT.flags).toString(16)} mxcsr=${input.u32(AT.fx + FX.mxcsr).toString(16)}`,
    `  fs base ${input.u64(AT.fsBase).toString(16)}, gs base ${input.u64(AT.gsBase).toString(16)}`,
    `  memory at ${kase.address.toString(16)}: ${memory}`,
  ];
  const xmm = (n: number): string =>
    hexBytes(input.bytes.subarray(AT.fx + FX.xmm + 16 * n, AT.fx + FX.xmm + 16 * n + 16));
  if (input.codeLength > 0)
    lines.push(
      `  ${[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].map((n) => `x${n}=${xmm(n)}`).join(' ')}`,
    );
  if (usesUnit(form)) {
    const st = (n: number): string =>
      `${input.u16(AT.fx + FX.st + 16 * n + 8).toString(16)}.${input.u64(AT.fx + FX.st + 16 * n).toString(16)}`;
    lines.push(
      `  fcw ${input.u16(AT.fx).toString(16)} fsw ${input.u16(AT.fx + 2).toString(16)} ftw ${input.bytes[AT.fx + 4]!.toString(16)} ${[0, 1, 2, 3, 4, 5, 6, 7].map((n) => `st${n}=${st(n)}`).join(' ')}`,
    );
  }
  return lines.join('\n');
}
