/** What `npm run insn` prints is complete, and docs/INSTRUCTIONS.md is what it writes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { nullPlatform, TestCpu } from '../src/machine/testing.ts';
import { OP, OP_NAMES, type OpName } from '../src/x86/ops.ts';
import { encodingsOf } from './insn/encodings.ts';
import { Sources } from './insn/meaning.ts';
import { instructionsPage, PAGE } from './insn/page.ts';
import { describe as describeInsn, operationOf } from './insn.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const CODE = 0x4000_0000;
const DATA = 0x5000_0000;

/** Runs an operation's first encoding in ring 3; answers what was named as not there. */
function runner(): (op: OpName) => string[] {
  const named: string[] = [];
  const t = new TestCpu({ ...nullPlatform, cannotRun: (_cpu, what) => void named.push(what) });
  const code = t.map(CODE);
  t.map(DATA);
  return (op) => {
    named.length = 0;
    const { example } = encodingsOf(OP[op])[0]!;
    t.m.write(code, example.bytes);
    t.engine.dropCode(code / 4096);
    t.user(CODE, 0);
    for (let r = 0; r < 8; r++) t.engine.core.setGpr(r, 8, BigInt(DATA + 0x400));
    if (example.size === 64) t.engine.step(t.cpu);
    return [...named];
  };
}

describe('the page of instructions', () => {
  it(`is what the tables and sources say (npm run insn -- --write writes ${PAGE} anew)`, () => {
    expect(readFileSync(join(root, PAGE), 'utf8')).toBe(instructionsPage(root));
  });

  it('names a meaning for each instruction but those that are not there', () => {
    const sources = new Sources(root);
    const run = runner();
    const names = OP_NAMES.filter((op) => op !== 'invalid');
    const missing = names.filter((op) => run(op).includes(`the instruction ${op}`));
    expect(names.filter((op) => sources.meaningsOf(op).length === 0)).toEqual(missing);
  });
});

describe('an instruction in one place', () => {
  const text = (op: OpName): string => describeInsn(root, op).join('\n');

  it('has its encodings, flags and meaning', () => {
    const adc = text('adc');
    expect(adc).toMatch(/83 \/2 ib +r\/m16\/32\/64, imm8 +LOCK/);
    expect(adc).toMatch(/reads CF; writes OF SF ZF AF CF PF/);
    expect(adc).toMatch(/src\/x86\/sem\/integer\.ts:\d+\n +adc: sem\(/);
    expect(adc).toMatch(/export function flagsAdd/);
  });

  it('has what a helper does, and says where there is nothing', () => {
    expect(text('movbe')).toMatch(/F0 \/r .*MOVBE[\s\S]*src\/machine\/engine\//);
    expect(text('gf2p8mulb')).toMatch(/66 0F 38 CF \/r +xmm, xmm\/m128 +GFNI[\s\S]*It is not there: #UD/);
  });

  it.each([
    ['jne', 'jcc'],
    ['cmovge', 'cmovcc'],
    ['movsb', 'movs'],
    ['SAL', 'shl'],
    ['cdqe', 'cbw'],
    ['movsd', 'movsd'],
  ])('is found by the name %s', (name, op) => {
    expect(operationOf(name)).toBe(op);
  });
});
