/** Which of two faults it is, where the vectors seldom come to two: what a CPU did is in docs/VECTORS.md. */
import { describe, expect, test } from 'vitest';
import { VectorRunner } from '../../tests/vector-runner.ts';
import { RECORDED_FORMS } from '../../tools/vectors/files.ts';
import type { VectorForm } from '../../tools/vectors/forms.ts';
import { generate } from '../../tools/vectors/generate.ts';
import { AT, Kase, MEM_BASE, MEM_SIZE, SEG, SELECTOR } from '../../tools/vectors/record.ts';

const SS = 12;
const GP = 13;
const PF = 14;
const RSP = 4;
const RBP = 5;
const END = MEM_BASE + MEM_SIZE;
const NT = 0x4000;

const runner = new VectorRunner();

/** Any case of a form, with this code and the window at the end of what is mapped. */
function made(key: string, code: readonly number[], stack: number = SELECTOR.data): Kase {
  const kase = new Kase();
  generate(RECORDED_FORMS.find((form) => form.key === key) as VectorForm, 0, kase);
  const { input } = kase;
  input.bytes.set(code, AT.code);
  input.setU32(AT.codeLength, code.length);
  input.setU32(AT.window, END - input.windowLength);
  input.setU32(AT.flags, input.u32(AT.flags) & ~NT);
  input.setU16(AT.sel + 2 * SEG.ss, stack);
  return kase;
}
function outcome(kase: Kase): readonly [vector: number, error: number, cr2: number] {
  runner.run(kase);
  const { got } = runner;
  return [got.fault, got.u32(AT.error), Number(got.u64(AT.cr2))];
}
/** Puts words of four bytes on the stack, as far as it is there. */
function stackWords(kase: Kase, at: number, words: readonly number[]): void {
  kase.input.gpr[RSP] = BigInt(at);
  words.forEach((word, k) => {
    const offset = at + 4 * k - kase.input.window;
    if (offset + 4 <= kase.input.windowLength) kase.input.view.setUint32(AT.mem + offset, word, true);
  });
}

describe('a return to another level', () => {
  const frame = [0x2000_0900, 0x20, 0x202];

  test('reads all of its frame before it looks at CS', () => {
    const kase = made('32 cf iret 32', [0xcf]);
    stackWords(kase, END - 12, frame);
    expect(outcome(kase)).toEqual([PF, 4, END + 4]);
    const far = made('32 cb retf 32', [0xcb]);
    stackWords(far, END - 8, frame);
    expect(outcome(far)).toEqual([PF, 4, END + 4]);
  });

  test('has what is wrong with CS found when all is there', () => {
    const kase = made('32 cf iret 32', [0xcf]);
    stackWords(kase, END - 20, frame);
    expect(outcome(kase)).toEqual([GP, 0x20, 0]);
  });
});

describe('a misaligned operand', () => {
  /** 16 bytes at [RBP + 1]. */
  const forms = [
    ['64 0f.2d 66 cvtpd2pi 32 m', [0x66, 0x0f, 0x2d, 0x45, 1]],
    ['64 0f.2c 66 cvttpd2pi 32 m', [0x66, 0x0f, 0x2c, 0x45, 1]],
    ['64 0f.58 66 addpd 32 m', [0x66, 0x0f, 0x58, 0x45, 1]],
  ] as const;

  test.each(forms)('is #GP before its address is no address of the stack: %s', (key, code) => {
    const kase = made(key, code);
    kase.input.gpr[RBP] = 1n << 47n;
    expect(outcome(kase)).toEqual([GP, 0, 0]);
    kase.input.gpr[RBP] = (1n << 47n) - 1n;
    expect(outcome(kase)).toEqual([SS, 0, 0]);
  });

  test('is #GP before it is beyond the end of a short stack segment', () => {
    const kase = made('32 0f.58 66 addpd 32 m', [0x66, 0x0f, 0x58, 0x45, 1], SELECTOR.short);
    kase.input.gpr[RBP] = 0x1100n;
    expect(outcome(kase)).toEqual([GP, 0, 0]);
    kase.input.gpr[RBP] = 0x10ffn;
    expect(outcome(kase)).toEqual([SS, 0, 0]);
  });
});

describe('a far call from 32-bit to 64-bit code', () => {
  test('pushes on the stack as 64-bit code has it: with all of RSP, and without the limit', () => {
    // call 0033:2000_0900
    const kase = made('32 9a callf 32', [0x9a, 0x00, 0x09, 0x00, 0x20, 0x33, 0x00], SELECTOR.short);
    kase.input.gpr[RSP] = 0x40n;
    expect(outcome(kase)).toEqual([PF, 6, 0x3c]);
    kase.input.gpr[RSP] = BigInt(END - 64);
    runner.run(kase);
    expect(runner.got.u16(AT.sel + 2 * SEG.cs)).toBe(SELECTOR.code64);
    expect(runner.got.gpr[RSP]).toBe(BigInt(END - 72));
  });
});
