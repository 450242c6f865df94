/** What a guest cannot run: a fault for the guest, a name for the log. */
import { describe, expect, it } from 'vitest';
import { nullPlatform, TestCpu } from '../testing.ts';

const CODE = 0x4000_0000;

/** Runs `bytes` in ring 3; answers the exception and what was named. */
function run(...bytes: number[]): { vector: number; rip: number; named: string[] } {
  const named: string[] = [];
  const t = new TestCpu({ ...nullPlatform, cannotRun: (_cpu, what) => void named.push(what) });
  t.m.write(t.map(CODE), Uint8Array.from(bytes));
  t.user(CODE, 0);
  const { vector, rip } = t.run();
  return { vector, rip: Number(rip) - CODE, named };
}

describe('an instruction that is not there', () => {
  it.each([
    ['in a helper', 'vmxon', [0x90, 0xf3, 0x0f, 0xc7, 0x30]],
    ['on vectors', 'gf2p8mulb', [0x90, 0x66, 0x0f, 0x38, 0xcf, 0xc1]],
    ['in no table', 'opcode 0f 04', [0x90, 0x0f, 0x04]],
    ['in no VEX table', 'opcode vex 0f 77', [0x90, 0xc5, 0xf8, 0x77]],
    ['with a LOCK it cannot have', 'opcode lock 90', [0x90, 0xf0, 0x90]],
  ])('%s is #UD at its place, and named %s', (_where, name, bytes) => {
    expect(run(...bytes)).toEqual({ vector: 6, rip: 1, named: [`the instruction ${name}`] });
  });

  it('is not named where it is meant to be #UD', () => {
    for (const bytes of [
      [0x0f, 0x0b],
      [0x0f, 0xb9, 0xc0],
      [0x0f, 0xff, 0xc0],
    ])
      expect(run(...bytes)).toEqual({ vector: 6, rip: 0, named: [] });
  });
});

it('code where there is no RAM is #GP(0), and its place is named', () => {
  const named: string[] = [];
  const t = new TestCpu({ ...nullPlatform, cannotRun: (_cpu, what) => void named.push(what) });
  t.map(CODE, true, true, 0xfee0_0000);
  t.user(CODE, 0);
  expect(t.run()).toMatchObject({ vector: 13, errorCode: 0, rip: BigInt(CODE) });
  expect(named).toEqual(['code at guest-physical fee00000, where there is no RAM']);
});
