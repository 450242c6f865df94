import { describe, expect, it } from 'vitest';
import { DECODE_OK, DECODE_TOO_LONG, DECODE_TRUNCATED, decode } from './decoder.ts';
import {
  type Agreement,
  compareEveryOpcode,
  compareRandom,
  compareShaped,
  compareText,
  compareTruncated,
} from './decoder-agreement.fuzz.ts';
import { hostFiles, textOf } from './decoder-files.fuzz.ts';
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

describe('against iced-x86', () => {
  const SIZES = [64, 32, 16] as const;
  /** Strings in all: a million of them, and twice that of programs' code where a Debian system's are found. */
  const RANDOM = 300_000;
  const SHAPED = 640_000;
  const CUT = 60_000;
  const OF_A_FILE = 250_000;

  function expectAgreement(...results: readonly Agreement[]): void {
    for (const { source, differences } of results)
      expect({ source, differences }).toEqual({ source, differences: [] });
  }

  it.each(SIZES)('decodes random %i-bit code alike', (size) => {
    const results = [compareRandom(size, RANDOM / 3, 1), compareShaped(size, SHAPED / 3, 1)];
    expectAgreement(...results);
    expect(results[1]!.valid).toBeGreaterThan(SHAPED / 9);
  });

  it.each(SIZES)('decodes every %i-bit opcode alike', (size) => {
    expectAgreement(...compareEveryOpcode(size));
  });

  it.each(SIZES)('finds the end of truncated %i-bit code alike', (size) => {
    expectAgreement(compareTruncated(size, CUT / 3, 1));
  });

  for (const [name, path] of Object.entries(hostFiles()))
    it(`decodes the code of ${name} alike`, { timeout: 300_000 }, (context) => {
      if (path === undefined) return context.skip(`this host has no ${name} where Debian puts it`);
      const text = textOf(path);
      expect(text.length).toBeGreaterThan(100_000);
      expectAgreement(compareText(path, text, false, OF_A_FILE));
    });
});
