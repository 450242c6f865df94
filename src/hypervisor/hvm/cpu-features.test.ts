import { describe, expect, it } from 'vitest';
import { type Policy, sanitise } from './cpu-features.ts';
import { defaultPolicy, maxPolicy } from './cpu-policy.ts';

const NONE = 0xffff_ffff;
const words = (policy: Policy, leaf: number, subleaf = NONE): Uint32Array =>
  policy.find((l) => l.leaf === leaf && l.subleaf === subleaf)!.words;

/** The default, changed, as a CPU with everything makes it. */
function wish(change: (of: (leaf: number, subleaf?: number) => Uint32Array) => void): Policy {
  const wanted = defaultPolicy();
  change((leaf, subleaf) => words(wanted, leaf, subleaf));
  return sanitise(wanted, maxPolicy());
}

describe('a CPU policy', () => {
  it('is the default when nothing else is wished for', () => {
    expect(wish(() => {})).toEqual(defaultPolicy());
  });

  it('has no more than the CPU', () => {
    const all = wish((of) => {
      of(1).fill(NONE);
      of(7, 0).fill(NONE);
      of(0)[0] = 100;
    });
    for (const k of [2, 3]) expect(words(all, 1)[k]).toBe(words(maxPolicy(), 1)[k]);
    expect(words(all, 7, 0)[1]).toBe(words(maxPolicy(), 7, 0)[1]);
    expect(words(all, 0)[0]).toBe(words(maxPolicy(), 0)[0]);
  });

  it('loses what depends on a hidden feature', () => {
    const noSse = wish((of) => {
      of(1)[3] = of(1)[3]! & ~(1 << 25);
    });
    expect(words(noSse, 1)[3]! & (1 << 26)).toBe(0); // sse2
    expect(words(noSse, 1)[2]! & 0x80201).toBe(0); // sse3 ssse3 sse4_1
    expect(words(noSse, 0x8000_0001)[3]! & (1 << 29)).toBe(0); // lm
    const noXsave = wish((of) => {
      of(1)[2] = of(1)[2]! & ~(1 << 26);
    });
    expect([...words(noXsave, 0xd, 0)]).toEqual([0, 0, 0, 0]);
  });

  it("hides a feature in AMD's copy of the word too", () => {
    const noPge = wish((of) => {
      of(1)[3] = of(1)[3]! & ~(1 << 13);
    });
    expect(words(noPge, 0x8000_0001)[3]! & (1 << 13)).toBe(0);
  });

  it('describes MONITOR where it has it', () => {
    expect([...words(defaultPolicy(), 5)]).toEqual([0, 0, 0, 0]);
    const monitor = wish((of) => {
      of(1)[2] = of(1)[2]! | 8;
      of(5).fill(0);
    });
    expect(words(monitor, 5)[0]).toBe(64);
  });
});
