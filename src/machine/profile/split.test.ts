import { describe, expect, it } from 'vitest';
import { Split } from './split.ts';

describe('the time of interpreted and of compiled code', () => {
  it('follows from turns that mix them differently', () => {
    const split = new Split();
    for (const [interpreted, compiled] of [
      [100, 0],
      [10, 1000],
      [200, 50],
      [0, 5000],
    ] as const)
      split.add(20 * interpreted + 2 * compiled, interpreted, compiled);
    const data = split.data();
    expect(data).toMatchObject({ interpreted: 310, compiled: 6050, ns: 20 * 310 + 2 * 6050 });
    expect(data.interpretedNs).toBeCloseTo(20 * 310, 3);
    expect(data.compiledNs).toBeCloseTo(2 * 6050, 3);
  });

  it('is all of the one that there was', () => {
    const interpreter = new Split();
    interpreter.add(500, 50, 0);
    expect(interpreter.data()).toMatchObject({ interpretedNs: 500, compiledNs: 0 });
    const compiler = new Split();
    compiler.add(500, 0, 50);
    expect(compiler.data()).toMatchObject({ interpretedNs: 0, compiledNs: 500 });
  });

  it('is by instructions where turns that are all alike tell no difference', () => {
    const split = new Split();
    for (let i = 0; i < 5; i++) split.add(100, 10, 30);
    const data = split.data();
    expect(data.interpretedNs).toBeCloseTo(125, 6);
    expect(data.compiledNs).toBeCloseTo(375, 6);
  });

  it('is never negative, and adds up to what was measured', () => {
    const split = new Split();
    split.add(1000, 100, 10);
    split.add(100, 100, 1000);
    const data = split.data();
    expect(data.compiledNs).toBe(0);
    expect(data.interpretedNs + data.compiledNs).toBeCloseTo(1100, 6);
    expect(new Split().data()).toMatchObject({ ns: 0, interpretedNs: 0, compiledNs: 0 });
  });
});
