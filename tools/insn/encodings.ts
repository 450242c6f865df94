/** An operation's encodings, as the opcode tables have them, in the manual's notation; and what iced-x86 says of each. */
import { CpuidFeature, Decoder, DecoderOptions, RflagsBits } from 'iced-x86';
import { FORM, IMM, IN_MODRM, K, parseAlternative, SIZE } from '../../src/x86/opcode-form.ts';
import { MAPS } from '../../src/x86/opcode-table.ts';

export interface Encoding {
  /** `66 0F 38 F6 /r` */
  readonly code: string;
  /** `r32/64, r/m32/64` */
  readonly operands: string;
  /** Where it is valid: 64-bit mode, the others, or both. */
  readonly modes: string;
  readonly lock: boolean;
  /** Bytes of an example, and the code size they are for. */
  readonly example: { readonly bytes: Uint8Array; readonly size: 32 | 64 };
  /** CPUID's features, none for what every 64-bit processor has. */
  readonly features: readonly string[];
  readonly flags: Flags;
}

/** RFLAGS by what an instruction does with them, as letters: `CF OF`. */
export interface Flags {
  readonly read: string;
  /** By the result, or to 0, or to 1. */
  readonly written: string;
  readonly undefined: string;
}

const MAP_BYTES = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const PREFIX = ['', '66', 'F3', 'F2'];
const LEGACY_MAPS = 4;

const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
const only = (mask: number, all: number): number | undefined =>
  mask !== all && (mask & (mask - 1)) === 0 ? Math.log2(mask) : undefined;

type Alternative = ReturnType<typeof parseAlternative>;

const kinds = (a: Alternative): number[] => a.form.operands.map((o) => o & 31);
const needsModrm = (a: Alternative): boolean =>
  kinds(a).some((k) => IN_MODRM.has(k)) || a.mod !== 3 || a.reg !== 255 || a.rm !== 255;

/** ModRM of an example: memory at [RAX] where it may be memory, else register 0 (1 for x87, whose 0 may be special). */
function exampleModrm(a: Alternative): number {
  const reg = lowest(a.reg);
  const rm = lowest(a.rm);
  return (a.mod & 1 ? 0 : 0xc0) | (reg << 3) | (a.rm === 255 ? 0 : rm);
}
const lowest = (mask: number): number => 31 - Math.clz32(mask & -mask);

/** `/r`, `/2`, or the whole byte where only one is admitted. */
function modrmText(a: Alternative): string {
  if (!needsModrm(a)) return '';
  const rm = only(a.rm, 255);
  const digits = [...Array(8).keys()].filter((n) => (a.reg >> n) & 1);
  if (kinds(a).includes(K.st)) return ` ${hex(0xc0 | (digits[0]! << 3))}+i`;
  if (rm !== undefined && digits.length === 1) return ` ${hex(0xc0 | (digits[0]! << 3) | rm)}`;
  return digits.length === 8 ? ' /r' : ` /${digits.join(',')}`;
}

const IMMEDIATES: Record<number, string> = {
  [IMM.u8]: 'ib',
  [IMM.s8]: 'ib',
  [IMM.u16]: 'iw',
  [IMM.z]: 'iw/id',
  [IMM.v]: 'iw/id/io',
  [IMM.second]: 'ib',
};

function tailText(operand: number): string {
  switch (operand & 31) {
    case K.imm:
      return ` ${IMMEDIATES[operand >> 15]}`;
    case K.rel:
      return ((operand >> 5) & 31) === 1 ? ' cb' : ' cw/cd';
    case K.far:
      return ' cd/cp';
    case K.moffs:
      return ' moffs';
    default:
      return '';
  }
}

const WIDTHS: Record<number, string> = {
  1: '8',
  2: '16',
  4: '32',
  8: '64',
  10: '80',
  16: '128',
  [SIZE.v]: '16/32/64',
  [SIZE.y]: '32/64',
  [SIZE.z]: '16/32',
  [SIZE.n]: '32/64',
  [SIZE.p]: '16:16/32/64',
  [SIZE.a]: '16&16/32&32',
  [SIZE.s]: '16&32/64',
  [SIZE.e]: '14/28byte',
  [SIZE.f]: '94/108byte',
  [SIZE.k]: '512byte',
};
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];
const FIXED: Record<number, string> = { 0: 'AX', 1: 'CX', 2: 'DX' };

function operandText(a: Alternative, operand: number): string {
  const register = WIDTHS[(operand >> 5) & 31] ?? '';
  const memory = WIDTHS[(operand >> 10) & 31] ?? '';
  const fixed = operand >> 15;
  const either = (name: string, inRegister: string): string =>
    a.mod === 1 ? `m${memory}` : a.mod === 2 ? name + inRegister : `${name}${inRegister}/m${memory}`;
  switch (operand & 31) {
    case K.rm:
      return register === memory && a.mod === 3 ? `r/m${memory}` : either('r', register);
    case K.reg:
    case K.opcodeReg:
    case K.gprRm:
    case K.vvvv:
      return `r${register}`;
    case K.fixedGpr:
      return register === '8'
        ? `${FIXED[fixed]![0]}L`
        : register === '16'
          ? FIXED[fixed]!
          : `(E/R)${FIXED[fixed]}`;
    case K.imm:
      return `imm${register}`;
    case K.one:
      return '1';
    case K.rel:
      return `rel${register}`;
    case K.xmmRm:
      return either('xmm', '');
    case K.xmmReg:
      return 'xmm';
    case K.mmRm:
      return either('mm', '');
    case K.mmReg:
      return 'mm';
    case K.moffs:
      return `moffs${memory}`;
    case K.st:
      return 'ST(i)';
    case K.fixedSt:
      return 'ST(0)';
    case K.sregReg:
      return 'Sreg';
    case K.fixedSreg:
      return SEGMENTS[fixed]!;
    case K.crReg:
      return 'CRn';
    case K.drReg:
      return 'DRn';
    default:
      return 'ptr16:16/32';
  }
}

/** The bytes of an example, with the code size for which they are valid. */
function example(a: Alternative, map: number, opcode: number): Encoding['example'] {
  const size = a.modes === 1 ? 32 : 64;
  const prefix = lowest(a.prefix);
  const bytes: number[] = [];
  if (map >= LEGACY_MAPS)
    bytes.push(0xc4, 0xe0 | (map - LEGACY_MAPS + 1), ((a.w === 2 ? 0x80 : 0) | 0x78 | prefix) & 255, opcode);
  else {
    if (prefix > 0) bytes.push(Number.parseInt(PREFIX[prefix]!, 16));
    if (a.w === 2) bytes.push(0x48);
    bytes.push(...MAP_BYTES[map]!, opcode);
  }
  if (needsModrm(a)) bytes.push(exampleModrm(a));
  while (bytes.length < 15) bytes.push(0);
  return { bytes: Uint8Array.from(bytes), size };
}

const FLAG_NAMES = ['OF', 'SF', 'ZF', 'AF', 'CF', 'PF', 'DF', 'IF', 'AC'] as const;
const flagNames = (bits: number): string => FLAG_NAMES.filter((name) => bits & RflagsBits[name]).join(' ');
/** What every 64-bit processor has needs no bit. */
const BASE =
  /^(INTEL8086|INTEL186|INTEL286|INTEL386|INTEL486|INTEL8086_ONLY|X64|CPUID|FPU|FPU287|FPU387|PAUSE|MULTIBYTENOP|UD)$|_ONLY$/;
const NAMES = CpuidFeature as unknown as Record<number, string>;

function facts({ bytes, size }: Encoding['example']): Pick<Encoding, 'features' | 'flags'> {
  const decoder = new Decoder(size, bytes, DecoderOptions.None);
  const i = decoder.decode();
  const features = [...i.cpuidFeatures()].map((f) => NAMES[f]!).filter((name) => !BASE.test(name));
  const written = i.rflagsWritten | i.rflagsCleared | i.rflagsSet;
  const flags = {
    read: flagNames(i.rflagsRead),
    written: flagNames(written),
    undefined: flagNames(i.rflagsUndefined),
  };
  i.free();
  decoder.free();
  return { features, flags };
}

/** Prefixes and map: `66 REX.W 0F 38 `, `VEX.LZ.66.0F38.W0 `. */
function leadText(a: Alternative, map: number): string {
  const prefix = only(a.prefix, 15);
  const name = prefix === undefined ? '' : PREFIX[prefix] || 'NP';
  if (map < LEGACY_MAPS) {
    const words = [name, a.w === 2 ? 'REX.W' : '', ...MAP_BYTES[map]!.map(hex)];
    return words
      .filter((w) => w)
      .map((w) => `${w} `)
      .join('');
  }
  const bytes = MAP_BYTES[map - LEGACY_MAPS + 1]!.map(hex).join('');
  return `VEX.L${a.form.flags & FORM.l0 ? 'Z' : 'IG'}.${name}.${bytes}${['', '.W0', '.W1', ''][a.w]} `;
}

/** One opcode's alternative in words; `last` is the last of several opcodes that are alike. */
function describe(a: Alternative, map: number, opcode: number, last: number): Encoding {
  const register = kinds(a).includes(K.opcodeReg) ? '+r' : last > opcode ? `-${hex(last)}` : '';
  const tail = a.form.operands.map(tailText).join('');
  const at = example(a, map, opcode);
  return {
    code: `${leadText(a, map)}${hex(opcode)}${register}${modrmText(a)}${tail}`,
    operands: a.form.operands.map((o) => operandText(a, o)).join(', '),
    modes: ['', 'not in 64-bit mode', 'in 64-bit mode', ''][a.modes]!,
    lock: (a.form.flags & FORM.lock) !== 0,
    example: at,
    ...facts(at),
  };
}

interface Row {
  readonly map: number;
  readonly opcode: number;
  readonly text: string;
  readonly parsed: Alternative;
}

/** Every alternative of every opcode. */
function* rows(): Generator<Row> {
  for (const [map, table] of MAPS.entries())
    for (const [first, specs] of Object.entries(table))
      for (const [n, spec] of (typeof specs === 'string' ? [specs] : specs).entries())
        for (const text of spec.split('|'))
          yield { map, opcode: Number(first) + n, text: text.trim(), parsed: parseAlternative(text) };
}
const ROWS = [...rows()];

/** All encodings of an operation, neighbouring opcodes that are alike as one. */
export function encodingsOf(op: number): Encoding[] {
  const mine = ROWS.filter((row) => row.parsed.form.op === op);
  const runs: { row: Row; last: number }[] = [];
  for (const row of mine) {
    const run = runs.find(
      (r) => r.row.map === row.map && r.row.text === row.text && r.last === row.opcode - 1,
    );
    if (run) run.last = row.opcode;
    else runs.push({ row, last: row.opcode });
  }
  return runs.map(({ row, last }) => describe(row.parsed, row.map, row.opcode, last));
}
