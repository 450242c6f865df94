import { describe, expect, it } from 'vitest';
import { Profile } from '../machine/profile/profile.ts';
import { OP } from '../x86/ops.ts';
import { hotSpots, profileReport, table, time } from './profile-report.ts';
import { SymbolMap } from './symbols.ts';

const symbols = SymbolMap.parse('ffffffff81000000 T _text\nffffffff81001000 T later\n');
const TEXT = Number(BigInt.asIntN(64, 0xffff_ffff_8100_0000n));

describe('hot code', () => {
  const samples = [
    { address: TEXT + 0x10, user: false, ns: 5 },
    { address: TEXT + 0x20, user: false, ns: 6 },
    { address: TEXT + 0x1000, user: false, ns: 7 },
    { address: 0x40_1000, user: true, ns: 8 },
  ];

  it('is by function where the kernel has one, else by page', () => {
    expect(hotSpots(samples, symbols)).toEqual([
      { where: '_text', ns: 11 },
      { where: 'user 0000000000401000', ns: 8 },
      { where: 'later', ns: 7 },
    ]);
  });

  it('is by page where there are no symbols', () => {
    expect(hotSpots(samples, undefined).map((h) => h.where)).toEqual([
      'ffffffff81000000',
      'user 0000000000401000',
      'ffffffff81001000',
    ]);
  });
});

describe('the report', () => {
  it('aligns the columns of a table, and leaves out an empty one', () => {
    expect(
      table(
        'what',
        ['n'],
        [
          ['a', '10'],
          ['long', '5'],
        ],
      ),
    ).toEqual(['', '  what   n', '  a     10', '  long   5']);
    expect(table('what', ['n'], [])).toEqual([]);
  });

  it('gives times in three digits or so', () => {
    expect([7, 1500, 2.5e6, 3e9].map(time)).toEqual(['7 ns', '1.5 us', '2.5 ms', '3.00 s']);
  });

  it('says where the time went, and of what', () => {
    const p = new Profile();
    p.ns.code = 750;
    p.ns.helper = 250;
    p.split.add(750, 30, 0);
    p.piece('helper', 250);
    p.helper(OP.cpuid, 250);
    p.exits[1]!++;
    p.counters.modules = 3;
    p.latency.add(90);
    p.unsampled = 750;
    p.sample(TEXT + 4, false);
    const text = profileReport('web', { domid: 4, ...p.data() }, symbols);
    expect(text).toContain("profile of web (domain 4): 1.0 us of the CPU's thread");
    expect(text).toMatch(/guest code +750 ns +75\.0 %/);
    expect(text).toMatch(/interpreted +750 ns +75\.0 % +0\.0 million/);
    expect(text).toMatch(/cpuid +1 +250 ns +25\.0 %/);
    expect(text).toMatch(/interrupts, due to delivered +1 +90 ns +90 ns +90 ns/);
    expect(text).toMatch(/hlt +1$/m);
    expect(text).toMatch(/modules compiled +3$/m);
    expect(text).toMatch(/_text +750 ns +75\.0 %/);
  });
});
