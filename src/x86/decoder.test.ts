import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  compareAt,
  everyOpcode,
  everyVexOpcode,
  newDecoder,
  random,
  randomCode,
  type Verdict,
} from './decoder.fuzz.ts';
import { DECODE_OK, DECODE_TOO_LONG, DECODE_TRUNCATED, decode } from './decoder.ts';
import { disassemble } from './disasm.ts';
import { type CodeSize, Insn, NO_REG, OPK } from './insn.ts';
import { FORM_OP } from './opcode-table.ts';
import { OP, OP_NAMES } from './ops.ts';

const insn = new Insn();

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.split(' '), (byte) => Number.parseInt(byte, 16));
}

function statusOf(hex: string, size: CodeSize = 64): number {
  const bytes = bytesOf(hex);
  return decode(bytes, 0, bytes.length, size, insn);
}

function decoded(hex: string, size: CodeSize = 64): Insn {
  expect(statusOf(hex, size)).toBe(DECODE_OK);
  return insn;
}

function nameOf(hex: string, size: CodeSize = 64): string {
  return OP_NAMES[decoded(hex, size).op]!;
}

function text(hex: string, size: CodeSize = 64): string {
  return disassemble(decoded(hex, size), 0x1000n);
}

describe('the decoder', () => {
  it('reads base, index, scale and displacement', () => {
    expect(decoded('48 8b 44 8d f8')).toMatchObject({
      op: OP.mov,
      length: 5,
      opSize: 8,
      addrSize: 8,
      base: 5,
      index: 1,
      scale: 2,
      disp: -8,
      dispHi: -1,
      seg: 2,
    });
    expect(decoded('8b 04 25 00 00 00 80')).toMatchObject({
      base: NO_REG,
      index: NO_REG,
      dispHi: -1,
      seg: 3,
    });
  });

  it('sign-extends immediates where the instruction does and keeps plain bytes plain', () => {
    expect(decoded('48 83 c0 80')).toMatchObject({ op: OP.add, imm: -128, immHi: -1 });
    expect(decoded('04 80')).toMatchObject({ op: OP.add, opSize: 1, imm: -128, immHi: -1 });
    expect(decoded('48 c7 c0 00 00 00 80')).toMatchObject({ imm: -0x80000000, immHi: -1 });
    expect(decoded('48 b8 00 00 00 80 01 00 00 00')).toMatchObject({ imm: -0x80000000, immHi: 1 });
    for (const hex of ['cd ff', 'c1 e0 ff', 'e4 ff', '66 0f 70 c0 ff', 'c8 00 00 ff', '0f ba e0 ff']) {
      decoded(hex);
      expect(hex.startsWith('c8') ? insn.imm2 : insn.imm).toBe(255);
      expect(insn.immHi).toBe(0);
    }
    expect(decoded('c2 ff ff')).toMatchObject({ op: OP.ret, imm: 0xffff, immHi: 0 });
  });

  it('names AH to BH 16 to 19 unless there is a REX', () => {
    expect(decoded('88 e0').operands[1]).toMatchObject({ kind: OPK.gpr, reg: 16, size: 1 });
    expect(decoded('40 88 e0').operands[1]).toMatchObject({ kind: OPK.gpr, reg: 4, size: 1 });
  });

  it('drops a REX that another prefix follows', () => {
    expect(decoded('48 66 89 c8')).toMatchObject({ rex: 0, opSize: 2, length: 4 });
  });

  it('ignores 66 on near branches in 64-bit mode only', () => {
    expect(decoded('66 e8 00 00 00 00')).toMatchObject({ op: OP.call, opSize: 8, length: 6 });
    expect(decoded('66 e8 00 00', 32)).toMatchObject({ op: OP.call, opSize: 2, length: 4 });
  });

  it('takes LOCK only on read-modify-write instructions with a memory destination', () => {
    expect(decoded('f0 01 08')).toMatchObject({ op: OP.add, lock: true });
    for (const hex of ['f0 01 c8', 'f0 03 08', 'f0 39 08', 'f0 90', 'f0 8b 00'])
      expect(nameOf(hex)).toBe('invalid');
  });

  it('uses up mandatory prefixes and leaves repeat prefixes', () => {
    expect(decoded('f3 0f 10 c1')).toMatchObject({ op: OP.movss, rep: 0 });
    expect(decoded('f3 48 a5')).toMatchObject({ op: OP.movs, rep: 0xf3, opSize: 8 });
    expect(decoded('66 f3 0f b8 c1')).toMatchObject({ op: OP.popcnt, rep: 0, opSize: 2, opSizePrefix: true });
  });

  it('tells nop, pause and xchg apart', () => {
    expect([nameOf('90'), nameOf('48 90'), nameOf('f3 90'), nameOf('41 90')]).toEqual([
      'nop',
      'nop',
      'pause',
      'xchg',
    ]);
  });

  it('wants more bytes where the code ends, and refuses over 15', () => {
    expect(statusOf('48 8b')).toBe(DECODE_TRUNCATED);
    expect(statusOf('66')).toBe(DECODE_TRUNCATED);
    expect(statusOf('0f')).toBe(DECODE_TRUNCATED);
    expect(statusOf(`${'66 '.repeat(14)}90`)).toBe(DECODE_OK);
    expect(statusOf(`${'66 '.repeat(14)}05 00 00`)).toBe(DECODE_TOO_LONG);
    expect(statusOf(`${'66 '.repeat(15)}90`)).toBe(DECODE_TOO_LONG);
    expect(statusOf(`${'66 '.repeat(14)}05`)).toBe(DECODE_TOO_LONG);
  });

  it('respects offset and limit', () => {
    const bytes = bytesOf('90 48 8b 05 10 00 00 00 c3');
    expect(decode(bytes, 1, 8, 64, insn)).toBe(DECODE_OK);
    expect(insn).toMatchObject({ length: 7, base: 16, disp: 16 });
    expect(decode(bytes, 1, 7, 64, insn)).toBe(DECODE_TRUNCATED);
  });

  it('has an encoding for every operation', () => {
    const encoded = new Set(FORM_OP);
    expect(OP_NAMES.filter((_, op) => !encoded.has(op))).toEqual([]);
  });

  it('leaves nothing of the instruction before', () => {
    decoded('f0 64 48 81 44 8d 7f 11 22 33 44');
    expect(decoded('c3')).toMatchObject({
      lock: false,
      segOverride: false,
      rex: 0,
      count: 0,
      imm: 0,
      disp: 0,
    });
  });
});

describe('the disassembler', () => {
  it.each([
    ['48 8b 44 8d f8', 'mov rax, qword ptr [rbp+rcx*4-0x8]'],
    ['65 48 8b 04 25 28 00 00 00', 'mov rax, qword ptr gs:[0x28]'],
    ['f0 0f b1 0b', 'lock cmpxchg dword ptr [rbx], ecx'],
    ['75 fe', 'jne 0x1000'],
    ['f3 a4', 'rep movsb'],
    ['0f 20 c0', 'mov rax, cr0'],
    ['c8 10 00 02', 'enter 0x10, 0x2'],
    ['66 0f 70 c1 1b', 'pshufd xmm0, xmm1, 0x1b'],
    ['d8 c1', 'fadd st0, st1'],
    ['88 e0', 'mov al, ah'],
    ['0f 04', 'invalid'],
  ])('prints %s as "%s"', (hex, line) => {
    expect(text(hex)).toBe(line);
  });

  it('prints far pointers and segment registers of 16-bit code', () => {
    expect(text('ea 00 7c 00 f0', 16)).toBe('jmpf 0xf000:0x7c00');
    expect(text('8e d8', 16)).toBe('mov ds, ax');
  });
});

/**
 * Where iced finds an instruction and the decoder deliberately does not: features no CPUID of ours offers.
 * All other differences fail.
 */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  'AMD 3DNow': 'femms',
  'restricted transactional memory': 'xbegin xend xabort xtest',
  'shadow stacks (CET)': 'incsspd incsspq saveprevssp rstorssp wrssd wrssq wrussd wrussq setssbsy clrssbsy',
  'enclaves and TDX': 'encls enclu enclv tdcall seamret seamops seamcall pconfig pbndkb',
  'SEV-SNP and AMD broadcast TLB': 'pvalidate rmpadjust rmpupdate rmpquery psmash invlpgb tlbsync mcommit',
  'user interrupts and FRED': 'uiret testui clui stui senduipi eretu erets lkgs',
  'MSR lists and history reset': 'wrmsrns rdmsrlist wrmsrlist hreset',
  'load tracking and user wait': 'xsusldtrk xresldtrk umonitor umwait tpause ptwrite',
  'direct stores and remote atomics': 'movdiri movdir64b enqcmd enqcmds aadd aand aor axor',
  'key locker':
    'loadiwkey encodekey128 encodekey256 aesenc128kl aesdec128kl aesenc256kl aesdec256kl ' +
    'aesencwide128kl aesdecwide128kl aesencwide256kl aesdecwide256kl',
  'VIA PadLock':
    'xstore xstore_alt xcryptecb xcryptcbc xcryptctr xcryptcfb xcryptofb montmul xsha1 xsha256 xsha512 ' +
    'xsha512_alt ccs_hash ccs_encrypt undoc',
};
const UNSUPPORTED_NAMES = new Set(Object.values(UNSUPPORTED).join(' ').split(' '));

/** VEX beyond BMI, EVEX, XOP and 3DNow are whole encoding spaces without an entry in the tables. */
function isExpected(verdict: Verdict): boolean {
  if (verdict.difference === undefined) return true;
  if (verdict.difference !== 'invalid') return false;
  const bmi = /^(andn|bextr|bls(i|r|msk)|bzhi|mulx|p(dep|ext)|rorx|s[ah][rl]x)$/.test(verdict.mnemonic);
  if (verdict.code.startsWith('VEX_')) return !bmi;
  return /^(EVEX|XOP|D3NOW)_/.test(verdict.code) || UNSUPPORTED_NAMES.has(verdict.mnemonic);
}

function describeFailure(bytes: Uint8Array, offset: number, verdict: Verdict): string {
  const hex = [...bytes.subarray(offset, offset + 16)].map((b) => b.toString(16).padStart(2, '0'));
  return `${hex.join(' ')}: ${verdict.code}: ${verdict.difference}`;
}

const STRINGS = process.env.DOMZERO_LONG === '1' ? 1_000_000 : 60_000;
const SLOT = 32;
const BATCH = 10_000;

/** Failures among instructions, each in a slot of its own with bytes enough behind it. */
function compareAll(size: CodeSize, codes: Iterable<readonly number[]>): string[] {
  const failures: string[] = [];
  for (const batch of batches(codes)) {
    const decoder = newDecoder(batch, size);
    for (let at = 0; at < batch.length; at += SLOT) {
      const verdict = compareAt(decoder, batch, at, 0x7fff_1000n);
      if (!isExpected(verdict)) failures.push(describeFailure(batch, at, verdict));
    }
    decoder.free();
  }
  return failures;
}

function* batches(codes: Iterable<readonly number[]>): Generator<Uint8Array> {
  let batch = new Uint8Array(BATCH * SLOT);
  let used = 0;
  for (const code of codes) {
    batch.set(code, used++ * SLOT);
    if (used < BATCH) continue;
    yield batch;
    batch = new Uint8Array(BATCH * SLOT);
    used = 0;
  }
  yield batch.subarray(0, used * SLOT);
}

function* randomCodes(size: CodeSize, count: number): Generator<number[]> {
  const pick = random(size);
  for (let n = 0; n < count; n++) yield randomCode(pick, size, []);
}

/**
 * The same with the code ending somewhere in the instruction. iced reads a ModRM byte before it refuses some
 * opcodes; we may call those invalid at once, and then they must be so with more bytes too.
 */
function fuzzTruncated(size: CodeSize, count: number): string[] {
  const pick = random(size + 1);
  const code: number[] = [];
  const failures: string[] = [];
  for (let n = 0; n < count; n++) {
    const whole = Uint8Array.from(randomCode(pick, size, code));
    const cut = whole.slice(0, 1 + pick(10));
    const verdict = compareOnce(cut, size);
    if (isExpected(verdict)) continue;
    const early = verdict.code === 'truncated' && verdict.difference === 'invalid';
    if (!early || !isExpected(compareOnce(whole, size))) failures.push(describeFailure(cut, 0, verdict));
  }
  return failures;
}

function compareOnce(bytes: Uint8Array, size: CodeSize): Verdict {
  const decoder = newDecoder(bytes, size);
  const verdict = compareAt(decoder, bytes, 0, 0x1000n);
  decoder.free();
  return verdict;
}

describe('against iced-x86', () => {
  it.each([64, 32, 16] as const)('decodes random %i-bit code alike', (size) => {
    expect(compareAll(size, randomCodes(size, STRINGS / 3)).slice(0, 20)).toEqual([]);
  });

  it.each([64, 32, 16] as const)('decodes every %i-bit opcode alike', (size) => {
    expect(compareAll(size, everyOpcode()).slice(0, 20)).toEqual([]);
    expect(compareAll(size, everyVexOpcode()).slice(0, 20)).toEqual([]);
  });

  it.each([64, 32, 16] as const)('finds the end of truncated %i-bit code alike', (size) => {
    expect(fuzzTruncated(size, STRINGS / 30).slice(0, 20)).toEqual([]);
  });

  const program = '/bin/busybox';
  it.skipIf(!existsSync(program))(
    `decodes the text of ${program} alike (skipped where there is none)`,
    () => {
      const text = textSection(readFileSync(program));
      const decoder = newDecoder(text, 64);
      const failures: string[] = [];
      for (let at = 0; at < text.length; ) {
        const verdict = compareAt(decoder, text, at, BigInt(at));
        if (!isExpected(verdict)) failures.push(describeFailure(text, at, verdict));
        at += Math.max(verdict.length, 1);
      }
      decoder.free();
      expect(text.length).toBeGreaterThan(100_000);
      expect(failures.slice(0, 20)).toEqual([]);
    },
  );
});

/** The executable PROGBITS section called .text of an ELF64 file. */
function textSection(file: Uint8Array): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const table = Number(view.getBigUint64(40, true));
  const section = (n: number) => {
    const at = table + n * view.getUint16(58, true);
    const offset = Number(view.getBigUint64(at + 24, true));
    return { name: view.getUint32(at, true), offset, end: offset + Number(view.getBigUint64(at + 32, true)) };
  };
  const names = section(view.getUint16(62, true));
  const wanted = new TextEncoder().encode('.text\0');
  for (let n = 1; n < view.getUint16(60, true); n++) {
    const { name, offset, end } = section(n);
    if (wanted.every((byte, k) => file[names.offset + name + k] === byte)) return file.slice(offset, end);
  }
  throw new Error('no .text section');
}
